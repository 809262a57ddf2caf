package output

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// junit decodes what is written.
func junit(t *testing.T, r *v1alpha1.LocustReport) *junitSuites {
	t.Helper()
	var all junitSuites
	require.NoError(t, xml.Unmarshal([]byte(write(t, JUnit, r)), &all))
	require.Len(t, all.Suites, 1)
	return &all
}

func TestJUnit_Succeeded(t *testing.T) {
	all := junit(t, succeeded())
	suite := &all.Suites[0]
	want := junitTotals{Name: "load/shop.eu", Tests: 4, Time: "180.000"}
	assert.Equal(t, want, all.junitTotals)
	assert.Equal(t, want, suite.junitTotals)
	assert.Equal(t, "2026-01-02T03:04:05", suite.Timestamp)
	assert.Equal(t, "shop-eu-master.load", suite.Hostname)
	assert.Equal(t, []junitCase{
		{Class: "load.shop.eu", Name: "outcome", Time: "180.000", SystemOut: "Test completed successfully"},
		{Class: "load.shop.eu", Name: "load delivered", Time: "0.000", SystemOut: "The load was delivered as planned"},
		{Class: "load.shop.eu", Name: "POST /orders", Time: "0.045", SystemOut: "12 requests, 12 failed (100 %), 0.07 per second\n" +
			"response times: average 45.05ms, min 540µs, p50 2ms, p90 240ms, p95 300ms, p99 340ms, p99.9 350ms, max 1.35s\n" +
			"12 times: HTTPError('500 Server Error')"},
		{Class: "load.shop.eu", Name: `GET /items?q="a,b"`, Time: "0.045", SystemOut: "36000 requests, 0 failed (0 %), 200 per second\n" +
			"response times: average 45.05ms, min 540µs, p50 2ms, p90 240ms, p95 300ms, p99 340ms, p99.9 350ms, max 1.35s"},
	}, suite.Cases)
	assert.Equal(t, "result: final, from the reporter\nincomplete: endpoints, 2 of 131: no room for more", suite.SystemOut)
	assert.Equal(t, "2 times: KeyError: 'basket'", suite.SystemErr)
	properties := map[string]string{}
	for _, p := range suite.Properties {
		properties[p.Name] = p.Value
	}
	assert.Equal(t, map[string]string{
		"namespace": "load", "test": "shop.eu", "uid": "1f0c9a3e-1", "report": "shop.eu-1f0c9a3e", "phase": "Succeeded", "reason": "TestSucceeded",
		"loadDelivered": "True LoadAsPlanned", "locustVersion": "2.47.0", "image": "locustio/locust:2.47.0", "host": "https://shop.example.com",
		"users": "100", "expectedWorkers": "5", "connectedWorkers": "5", "final": "true", "totalRequests": "36012", "failedRequests": "12",
		"failureRatio": "0.0003", "requestsPerSecond": "200.07", "averageResponseTime": "45.054ms", "min": "544µs", "p50": "2ms", "p90": "240ms",
		"p95": "300ms", "p99": "340ms", "p999": "350ms", "max": "1.351584s",
	}, properties)
}

// TestJUnit_Problems checks what fails, what is an error and what is skipped.
func TestJUnit_Problems(t *testing.T) {
	with := func(r *v1alpha1.LocustReport, status metav1.ConditionStatus, reason string) *v1alpha1.LocustReport {
		r.Outcome.LoadDelivered = &v1alpha1.LoadDelivered{Status: status, Reason: reason, Message: "a worker was lost"}
		return r
	}
	unknown := failed()
	unknown.Outcome.LoadDelivered = nil
	broken := notStarted()
	broken.Run.StartTime = &started
	broken.Summary = &v1alpha1.Summary{}
	with(broken, metav1.ConditionFalse, v2.ReasonNoRequests)
	unseen := failed()
	unseen.Run.LoadStartTime = nil
	for name, c := range map[string]struct {
		report            *v1alpha1.LocustReport
		outcome, delivery string
	}{
		"succeeded":                        {succeeded(), "", ""},
		"criteria missed":                  {failed(), "failure TestFailed Success criteria not met: maxFailureRatio is 0.0001, measured 0.0003", ""},
		"could not run":                    {notStarted(), "error TestFailed The image cannot be pulled", "skipped LoadNotStarted: No load has started"},
		"locustfile that cannot be loaded": {broken, "error TestFailed The image cannot be pulled", "skipped NoRequests: a worker was lost"},
		"start of the load not observed":   {unseen, "failure TestFailed Success criteria not met: maxFailureRatio is 0.0001, measured 0.0003", ""},
		"not delivered":                    {with(failed(), metav1.ConditionFalse, v2.ReasonWorkersLost), "failure TestFailed Success criteria not met: maxFailureRatio is 0.0001, measured 0.0003", "failure WorkersLost WorkersLost: a worker was lost"},
		"not delivered, which is no error": {with(succeeded(), metav1.ConditionFalse, v2.ReasonWorkersLost), "", "skipped not delivered, which spec.loadGuarantee of the test permits: WorkersLost: a worker was lost"},
		"not observed":                     {with(succeeded(), metav1.ConditionUnknown, v2.ReasonNotObserved), "", "skipped NotObserved: a worker was lost"},
		"an old status":                    {unknown, "failure TestFailed Success criteria not met: maxFailureRatio is 0.0001, measured 0.0003", "skipped the operator did not report whether the load was delivered"},
	} {
		t.Run(name, func(t *testing.T) {
			all := junit(t, c.report)
			cases := all.Suites[0].Cases
			counted := junitTotals{}
			problem := func(i int) string {
				switch c := cases[i]; {
				case c.Failure != nil:
					counted.Failures++
					return "failure " + c.Failure.Type + " " + c.Failure.Message
				case c.Error != nil:
					counted.Errors++
					return "error " + c.Error.Type + " " + c.Error.Message
				case c.Skipped != nil:
					counted.Skipped++
					return "skipped " + c.Skipped.Message
				}
				return ""
			}
			assert.Equal(t, c.outcome, problem(0))
			assert.Equal(t, c.delivery, problem(1))
			for i := range cases[2:] {
				assert.Empty(t, problem(i+2), "an endpoint")
			}
			assert.Equal(t, []int{len(cases), counted.Failures, counted.Errors, counted.Skipped},
				[]int{all.Tests, all.Failures, all.Errors, all.Skipped})
			assert.Equal(t, c.report.Outcome.Phase == v2.PhaseFailed, all.Failures+all.Errors > 0, "a suite fails if, and only if, the test failed")
		})
	}
	assert.Contains(t, junit(t, failed()).Suites[0].Cases[0].Failure.Text, "File \"/lotest/src/locustfile.py\"")
}

// TestJUnit_Names checks that equal names become different: readers identify a case by its name.
func TestJUnit_Names(t *testing.T) {
	r := succeeded()
	r.Endpoints = nil
	for _, name := range []string{"/", "/ (2)", "/", "\x00/", "\x01/", "outcome"} {
		r.Endpoints = append(r.Endpoints, v1alpha1.Endpoint{Name: name})
	}
	var names []string
	for _, c := range junit(t, r).Suites[0].Cases {
		names = append(names, c.Name)
	}
	assert.Equal(t, []string{"outcome", "load delivered", "/", "/ (2)", "/ (3)", "\ufffd/", "\ufffd/ (2)", "outcome (2)"}, names)
}

// TestJUnit_Schema checks the order of the elements, and the forms of times, that the schemas of Ant and Jenkins demand.
func TestJUnit_Schema(t *testing.T) {
	for name, r := range map[string]*v1alpha1.LocustReport{"succeeded": succeeded(), "failed": failed(), "not started": notStarted()} {
		t.Run(name, func(t *testing.T) { requireSchema(t, write(t, JUnit, r)) })
	}
}

// requireSchema checks a document against the parts of JUnit.xsd and junit-10.xsd that it uses.
func requireSchema(t testing.TB, text string) {
	t.Helper()
	// By element: its required attributes, and its children in their order.
	elements := map[string]struct{ attributes, children []string }{
		"testsuites": {[]string{"name", "tests", "failures", "errors", "time"}, []string{"testsuite"}},
		"testsuite": {[]string{"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname"},
			[]string{"properties", "testcase", "system-out", "system-err"}},
		"properties": {nil, []string{"property"}},
		"property":   {[]string{"name", "value"}, nil},
		"testcase":   {[]string{"classname", "name", "time"}, []string{"skipped", "error", "failure", "system-out"}},
		"skipped":    {[]string{"message"}, nil}, "error": {[]string{"message", "type"}, nil}, "failure": {[]string{"message", "type"}, nil},
		"system-out": {}, "system-err": {},
	}
	type level struct {
		name string
		at   int // in the children
	}
	var open []level
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		token, err := decoder.Token()
		if token == nil {
			require.ErrorContains(t, err, "EOF")
			break
		}
		switch token := token.(type) {
		case xml.StartElement:
			name := token.Name.Local
			element, known := elements[name]
			require.True(t, known, name)
			if len(open) == 0 {
				require.Equal(t, "testsuites", name)
			} else {
				parent := &open[len(open)-1]
				order := elements[parent.name].children
				for parent.at < len(order) && order[parent.at] != name {
					parent.at++
				}
				require.Less(t, parent.at, len(order), "%s in %s is missing or out of order", name, parent.name)
			}
			attributes := map[string]string{}
			for _, a := range token.Attr {
				attributes[a.Name.Local] = a.Value
			}
			for _, attribute := range element.attributes {
				require.Contains(t, attributes, attribute, name)
			}
			if at, timed := attributes["timestamp"]; timed {
				_, err := time.Parse("2006-01-02T15:04:05", at)
				require.NoError(t, err)
			}
			if took, timed := attributes["time"]; timed {
				require.Regexp(t, `^[0-9]+\.[0-9]{3}$`, took)
			}
			open = append(open, level{name: name})
		case xml.EndElement:
			open = open[:len(open)-1]
		}
	}
	require.Empty(t, open)
}
