package cause

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

func TestFromReport(t *testing.T) {
	stats := func(requests, failures int64, errors ...report.Error) report.Stats {
		s := report.Stats{Requests: requests, Failures: failures}
		for _, e := range errors {
			if e.Name == "" {
				s.Exceptions = append(s.Exceptions, e)
			} else {
				s.Errors = append(s.Errors, e)
			}
		}
		return s
	}
	cart := report.Error{Method: "GET", Name: "/cart", Text: "HTTPError('503')", Occurrences: 9}
	key := report.Error{Text: "KeyError: 'x'", Occurrences: 3}
	long := cart
	long.Text = strings.Repeat("a", 250) + "end"
	for name, c := range map[string]struct {
		final  *report.Final
		line   string
		detail string
	}{
		"none":    {nil, "", ""},
		"nothing": {&report.Final{}, "", ""},
		"critical": {
			&report.Final{
				Report: report.Report{Stats: stats(30, 12, cart)},
				Log:    []string{"CRITICAL: unhandled exception: PermissionError: [Errno 13] Permission denied: 'report.html'", "WARNING: bye"},
			},
			"PermissionError: [Errno 13] Permission denied: 'report.html'; the operator chose user 1000; choose another with spec.security.podSecurityContext.runAsUser",
			"12 of 30 requests failed (40 %)\n9 × GET /cart: HTTPError('503')\nCRITICAL: unhandled exception: PermissionError: [Errno 13] Permission denied: 'report.html'\nWARNING: bye",
		},
		"greenlet": {
			&report.Final{Log: []string{"CRITICAL: Unhandled exception in greenlet: <Greenlet at 0x7f: f(<a.B>)>: ModuleNotFoundError: No module named 'x'"}},
			"ModuleNotFoundError: No module named 'x'; " + otherModule,
			"CRITICAL: Unhandled exception in greenlet: <Greenlet at 0x7f: f(<a.B>)>: ModuleNotFoundError: No module named 'x'",
		},
		"a server's message": {
			&report.Final{Report: report.Report{Stats: stats(1, 1, report.Error{Name: "/", Text: "ModuleNotFoundError: No module named 'x'", Occurrences: 1})}},
			"1 of 1 requests failed (100 %), 1 × /: ModuleNotFoundError: No module named 'x'",
			"",
		},
		"failures": {
			&report.Final{Report: report.Report{Stats: stats(30, 12, key, cart)}},
			"12 of 30 requests failed (40 %), 9 × GET /cart: HTTPError('503')",
			"12 of 30 requests failed (40 %)\n9 × GET /cart: HTTPError('503')\n3 × exception in the locustfile: KeyError: 'x'",
		},
		"failures without errors": {&report.Final{Report: report.Report{Stats: stats(3, 1)}}, "1 of 3 requests failed (33.33 %)", ""},
		"failures without a host": {
			&report.Final{Report: report.Report{Stats: stats(3, 3, report.Error{Method: "GET", Name: "/", Occurrences: 3, Text: `MissingSchema("Invalid URL '/': No scheme supplied")`})}},
			`3 of 3 requests failed (100 %), 3 × GET /: MissingSchema("Invalid URL '/': No scheme supplied"); ` + giveHost,
			"",
		},
		"long error": {
			&report.Final{Report: report.Report{Stats: stats(30, 12, long)}},
			"12 of 30 requests failed (40 %), 9 × GET /cart: " + strings.Repeat("a", 37) + " … " + strings.Repeat("a", 82) + "end",
			"12 of 30 requests failed (40 %)\n9 × GET /cart: " + long.Text,
		},
		"exception": {
			&report.Final{Report: report.Report{Stats: stats(30, 0, key)}, Log: []string{"ERROR: 'x'"}},
			"3 × exception in the locustfile: KeyError: 'x'",
			"3 × exception in the locustfile: KeyError: 'x'\nERROR: 'x'",
		},
		"exception alone": {&report.Final{Report: report.Report{Stats: stats(30, 0, key)}}, "3 × exception in the locustfile: KeyError: 'x'", ""},
		"error":           {&report.Final{Log: []string{"ERROR: You must specify the base host.", "WARNING: Stopping Locust..."}}, "You must specify the base host; " + giveHost, "ERROR: You must specify the base host.\nWARNING: Stopping Locust..."},
		"warning":         {&report.Final{Log: []string{"WARNING: CPU usage above 90%!", " "}}, "CPU usage above 90%!", ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := FromReport(c.final, chosen)
			assert.Equal(t, c.line, got.Line)
			assert.Equal(t, c.detail, got.Detail)
			checkBounds(t, got, "")
		})
	}
}

// Errors and log lines share the space.
func TestFromReport_Truncated(t *testing.T) {
	final := &report.Final{}
	final.Failures, final.Requests = 5, 5
	for range report.MaxErrors {
		final.Errors = append(final.Errors, report.Error{Method: "GET", Name: strings.Repeat("é\n", 50), Text: strings.Repeat("ü", 100), Occurrences: 1})
	}
	for range report.MaxLog {
		final.Log = append(final.Log, "ERROR: "+strings.Repeat("ö", 120))
	}
	c := FromReport(final, Facts{})
	checkBounds(t, c, "x")
	assert.Contains(t, c.Detail, "ü\n")
	assert.Contains(t, c.Detail, "…\nERROR: ö")
	assert.True(t, strings.HasPrefix(c.Detail, "5 of 5 requests failed"))
}
