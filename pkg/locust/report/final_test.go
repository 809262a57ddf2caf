package report

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// final is a message with all members.
const final = `{"locust.io/report":1,"complete":true,"state":"running","users":10,"workers":3,"start":1732330000.12,"end":1732330030.5,` +
	`"requests":1130,"failures":354,"avg":44.7481,"rps":37.4,"p50":2,"p90":230.0,"p95":290,"p99":340,` +
	`"endpoints":[{"method":"GET","name":"/x","requests":9,"failures":0,"avg":1.25,"p95":12},{"method":"POST","name":"/y","requests":5,"failures":5,"avg":2,"p95":null}],` +
	`"errors":[{"method":"GET","name":"/x","error":"Timeout()","count":3},{"method":"POST","name":"/y","error":"HTTPError('500')","count":20}],` +
	`"exceptions":[{"error":"ValueError: basket","count":7}],` +
	`"custom_exit":false,"log":["one","two"]}`

func TestDecodeFinal(t *testing.T) {
	require.True(t, IsFinal(final))
	f, err := DecodeFinal(final)
	require.NoError(t, err)
	assert.Equal(t, &Final{
		Report: Report{State: StateRunning, Users: 10, Workers: 3, Stats: Stats{
			Requests: 1130, Failures: 354, RequestsPerSecond: 37.4, Average: *took(44.748),
			Percentiles: Percentiles{P50: took(2), P90: took(230), P95: took(290), P99: took(340)},
			Endpoints:   []Endpoint{end("POST", "/y", 5, 5, *took(2), nil), end("GET", "/x", 9, 0, *took(1.25), took(12))},
			Errors:      []Error{{"POST", "/y", "HTTPError('500')", 20}, {"GET", "/x", "Timeout()", 3}},
			Exceptions:  []Error{{"", "", "ValueError: basket", 7}},

			EndpointCount: 2, ErrorCount: 2,
		}},
		Complete:  true,
		LoadStart: time.Date(2024, 11, 23, 2, 46, 40, 120_000_000, time.UTC),
		LoadEnd:   time.Date(2024, 11, 23, 2, 47, 10, 500_000_000, time.UTC),
		Log:       []string{"one", "two"},
	}, f)
}

// finalLeast is a minimal report: the load never started.
const finalLeast = `{"locust.io/report":1,"complete":false,"state":"ready","users":0,"workers":0,"start":0,"end":0,"requests":0,"failures":0,"avg":0,"rps":0}`

func TestDecodeFinal_Forms(t *testing.T) {
	decode := func(t *testing.T, from, to string) *Final {
		t.Helper()
		f, err := DecodeFinal(strings.Replace(finalLeast, from, to, 1))
		require.NoError(t, err)
		return f
	}
	t.Run("the least", func(t *testing.T) {
		assert.Equal(t, &Final{Report: Report{State: StateReady}}, decode(t, "", ""))
	})
	t.Run("nulls and empty lists", func(t *testing.T) {
		assert.Equal(t, &Final{Report: Report{State: StateReady}},
			decode(t, `"rps":0`, `"rps":0,"p50":null,"p90":null,"endpoints":null,"errors":[],"exceptions":null,"log":[]`))
	})
	t.Run("no requests have no percentiles", func(t *testing.T) {
		assert.Equal(t, Percentiles{}, decode(t, `"rps":0`, `"rps":0,"p50":0,"p99":0.0`).Percentiles)
	})
	t.Run("members of a newer reporter", func(t *testing.T) {
		assert.True(t, decode(t, `"rps":0}`, `"rps":0,"new":{"a":[]},"custom_exit":true}`+"\n").CustomExit)
	})
	list := func(of []string) string { return "[" + strings.Join(of, ",") + "]" }
	t.Run("sorted endpoints, the last lines of the log", func(t *testing.T) {
		var endpoints, log, want []string
		for i := range 12 {
			endpoints = append(endpoints, fmt.Sprintf(`{"name":"n%d","requests":1,"failures":%d,"avg":0}`, i, i))
			log = append(log, fmt.Sprintf("%q", fmt.Sprint(i, strings.Repeat("ab", 10*i))))
			want = append(want, fmt.Sprintf("n%d", 11-i))
		}
		f := decode(t, `"rps":0`, `"rps":0,"endpoints":`+list(endpoints)+`,"log":`+list(log))
		assert.Equal(t, want, endpointNames(f.Endpoints))
		assert.Equal(t, int32(12), f.EndpointCount)
		require.Len(t, f.Log, MaxLog)
		assert.Regexp(t, "^2ab", f.Log[0])
		assert.Regexp(t, "^11ab", f.Log[9])
	})
	t.Run("more than is kept", func(t *testing.T) {
		var errors, exceptions []string
		var wantErrors, wantExceptions []Error
		for i := range MaxErrors + 9 {
			errors = append(errors, fmt.Sprintf(`{"error":"e%d","count":%d}`, i, i))
			exceptions = append(exceptions, fmt.Sprintf(`{"error":"x%d","count":%d,"name":"n"}`, i, i))
		}
		for i := MaxErrors + 8; i > 8; i-- {
			wantErrors = append(wantErrors, Error{"", "", fmt.Sprintf("e%d", i), int64(i)})
			wantExceptions = append(wantExceptions, Error{"", "", fmt.Sprintf("x%d", i), int64(i)})
		}
		f := decode(t, `"rps":0`, `"rps":0,"errors":`+list(errors)+`,"exceptions":`+list(exceptions))
		assert.Equal(t, wantErrors, f.Errors)
		assert.Equal(t, wantExceptions, f.Exceptions)
		assert.Equal(t, []Error{{"", "", "e58", 58}, {"", "", "x58", 58}, {"", "", "e57", 57}, {"", "", "x57", 57}, {"", "", "e56", 56}}, f.TopErrors(5))
	})
	t.Run("texts", func(t *testing.T) {
		f := decode(t, `"rps":0`, `"rps":0,"errors":[{"error":"a\nb\u001b[0m","count":1}],"log":["`+strings.Repeat("x", 300)+`\n"]`)
		assert.Equal(t, "a b [0m", f.Errors[0].Text)
		assert.Equal(t, strings.Repeat("x", MaxLogLine-4)+" …", f.Log[0])
	})
}

func TestIsFinal(t *testing.T) {
	for message, want := range map[string]bool{
		final:                                  true,
		`{"locust.io/report":3,"x":1`:          true, // a final report that DecodeFinal rejects
		"":                                     false,
		"Traceback (most recent call last):\n": false,
		" " + final:                            false,
		"x\n" + final:                          false,
		`{"complete":true}`:                    false,
		`{"locust.io/repor`:                    false,
		`{"locust.io/other":1`:                 false,
	} {
		assert.Equal(t, want, IsFinal(message), message)
	}
}

func TestDecodeFinal_Refusals(t *testing.T) {
	with := func(from, to string) string {
		changed := strings.Replace(final, from, to, 1)
		require.NotEqual(t, final, changed, from)
		return changed
	}
	for name, row := range map[string]struct{ message, want string }{
		"a log":             {"Traceback", "the document is not a report"},
		"cut":               {final[:200], "the document is truncated"},
		"cut after a brace": {final[:strings.LastIndex(final, "}]")+1], "the document is truncated"},
		"more after it":     {final + "}", "the document has trailing data"},
		"a line after it":   {final + "\n}", "the document has trailing data"},
		"too large":         {final + strings.Repeat(" ", 4096), "the document is larger than 4096 bytes"},
		"newer version":     {with(`report":1`, `report":3`), "locust.io/report is an unknown version: 3"},
		"version 0":         {with(`report":1`, `report":0`), "locust.io/report is an unknown version: 0"},
		"version as text":   {with(`report":1`, `report":"1"`), `locust.io/report is not a number: "1"`},
		"version twice":     {with(`"complete":true`, `"complete":true,"locust.io/report":3`), "locust.io/report is an unknown version: 3"},

		"no complete":       {with(`"complete":true,`, ``), "complete is missing"},
		"complete as text":  {with(`"complete":true`, `"complete":"true"`), `complete is neither true nor false: "true"`},
		"complete null":     {with(`"complete":true`, `"complete":null`), "complete is neither true nor false: null"},
		"custom_exit":       {with(`"custom_exit":false`, `"custom_exit":0`), "custom_exit is neither true nor false: 0"},
		"no state":          {with(`"state":"running",`, ``), "state is missing"},
		"unknown state":     {with(`"running"`, `"flying"`), "state is unknown: flying"},
		"no users":          {with(`"users":10,`, ``), "users is missing"},
		"no start":          {with(`"start":1732330000.12,`, ``), "start is missing"},
		"start null":        {with(`1732330000.12`, `null`), "start is not a number: null"},
		"requests":          {with(`"requests":1130`, `"requests":1.5`), "requests is not a whole number: 1.5"},
		"failures":          {with(`"failures":354`, `"failures":"354"`), `failures is not a number: "354"`},
		"p50":               {with(`"p50":2`, `"p50":true`), "p50 is not a number: true"},
		"p95":               {with(`"p95":290`, `"p95":[]`), "p95 is not a number: []"},
		"endpoints no list": {with(`"endpoints":[`, `"endpoints":1,"x":[`), "the document has an unexpected type: a JSON number"},
		"endpoint a number": {with(`{"method":"POST"`, `1,{"method":"POST"`), "the document has an unexpected type: a JSON number"},
		"log no list":       {with(`["one","two"]`, `"one"`), "the document has an unexpected type: a JSON string"},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := DecodeFinal(row.message)
			assert.Nil(t, f)
			requireDecodeError(t, err, row.want)
		})
	}
}

// A truncated message is rejected at any length.
func TestDecodeFinal_Cut(t *testing.T) {
	for end := len(finalPrefix); end < len(final); end++ {
		_, err := DecodeFinal(final[:end])
		assert.EqualError(t, err, "the document is truncated", final[:end])
	}
}

func BenchmarkDecodeFinal(b *testing.B) {
	b.SetBytes(int64(len(final)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeFinal(final); err != nil {
			b.Fatal(err)
		}
	}
}
