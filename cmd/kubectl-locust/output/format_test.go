package output

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

func TestWrite_UnknownFormat(t *testing.T) {
	var out bytes.Buffer
	require.EqualError(t, Write(&out, "html", succeeded()), `unknown format "html": use one of table, json, yaml, csv, markdown, junit`)
	assert.Empty(t, out.String())
	for _, format := range Formats() {
		assert.NoError(t, CheckFormat(format))
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWrite_BrokenWriter(t *testing.T) {
	for _, format := range Formats() {
		assert.EqualError(t, Write(brokenWriter{}, format, succeeded()), "disk full", format)
	}
}

func TestTable(t *testing.T) {
	assert.Equal(t, strings.TrimLeft(`
Test        load/shop.eu
Report      shop.eu-1f0c9a3e
Outcome     Failed: Success criteria not met: maxFailureRatio is 0.0001, measured 0.0003
Load        delivered, LoadAsPlanned
Run         2026-01-02T03:04:05Z, took 3m0s
Target      https://shop.example.com
Size        100 users, 5 of 5 workers connected
Software    Locust 2.47.0, image locustio/locust:2.47.0
Requests    36012, 12 failed (0.03 %), 200.07/s
Responses   average 45.05ms, min 540µs, p50 2ms, p90 240ms, p95 300ms, p99 340ms, p99.9 350ms, max 1.35s
Result      final, from the reporter

DETAILS
  Traceback:
    File "/lotest/src/locustfile.py"

ENDPOINT             REQUESTS   FAILED   PER SECOND   AVERAGE   MIN     P50   P90     P95     P99     P99.9   MAX
POST /orders         12         12       0.07         45.05ms   540µs   2ms   240ms   300ms   340ms   350ms   1.35s
GET /items?q="a,b"   36000      0        200          45.05ms   540µs   2ms   240ms   300ms   340ms   350ms   1.35s

FAILURES   ENDPOINT       ERROR
12         POST /orders   HTTPError('500 Server Error')

TIMES   EXCEPTION IN THE LOCUSTFILE
2       KeyError: 'basket'

WORKER             PEAK PROCESSOR   PEAK MEMORY
shop-eu-worker-a   61 %             70 MiB

INCOMPLETE   KEPT       REASON
endpoints    2 of 131   no room for more
`, "\n"), write(t, Table, failed()))
}

func TestTable_WithoutResult(t *testing.T) {
	assert.Equal(t, strings.TrimLeft(`
Test       load/shop.eu
Report     shop.eu-1f0c9a3e
Outcome    Failed: The image cannot be pulled
Load       not known, LoadNotStarted: No load has started
Run        did not start; ended 2026-01-02T03:07:05Z
Target     https://shop.example.com
Size       users not known in advance, 5 of 5 workers connected
Software   Locust 2.47.0, image locustio/locust:2.47.0
Requests   none reported
`, "\n"), write(t, Table, notStarted()))
}

func TestTable_ManyWorkers(t *testing.T) {
	r := succeeded()
	for range 12 {
		r.Workers = append(r.Workers, v1alpha1.Worker{Name: "w"})
	}
	text := write(t, Table, r)
	assert.Contains(t, text, "and 3 more\n")
	assert.Equal(t, 9, strings.Count(text, "\nw "))
}

func TestJSON(t *testing.T) {
	text := write(t, JSON, succeeded())
	assert.True(t, strings.HasPrefix(text, "{\n    \"kind\": \"LocustReport\",\n    \"apiVersion\": \"locust.io/v1alpha1\",\n"), text[:100])
	assert.NotContains(t, text, "managedFields")
	var back v1alpha1.LocustReport
	require.NoError(t, json.Unmarshal([]byte(text), &back))
	assert.JSONEq(t, toJSON(t, object(succeeded())), toJSON(t, &back))
}

func TestYAML(t *testing.T) {
	r := succeeded()
	r.Endpoints[0].Name = "\u202egnp\x1b[0m \"q\" \\ \U000e0041"
	r.Endpoints[1].Name = "ESCAPED-0-"
	text := write(t, YAML, r)
	assert.Contains(t, text, "apiVersion: locust.io/v1alpha1\n")
	assert.Contains(t, text, `name: "\U0000202egnp\U0000001b[0m \"q\" \\ \U000e0041"`+"\n")
	assert.NotContains(t, text, "managedFields")
	var back v1alpha1.LocustReport
	require.NoError(t, yaml.UnmarshalStrict([]byte(text), &back))
	assert.JSONEq(t, toJSON(t, object(r)), toJSON(t, &back))
}

func toJSON(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	require.NoError(t, err)
	return string(data)
}

// TestCSV_AsLocusts reads the CSV with the decoder of Locust's own.
func TestCSV_AsLocusts(t *testing.T) {
	want := succeeded()
	stats, err := report.DecodeCSV(strings.NewReader(write(t, CSV, want)))
	require.NoError(t, err)
	requireEqual := func(is *v1alpha1.Statistics, requests, failures int64, perSecond float64, p *report.Percentiles, x *report.Extremes) {
		t.Helper()
		assert.Equal(t, []int64{is.TotalRequests, is.FailedRequests}, []int64{requests, failures})
		assert.InDelta(t, map[string]float64{"200.07": 200.07, "0.07": 0.07, "200": 200}[is.RequestsPerSecond], perSecond, 1e-9)
		assert.Equal(t, report.Percentiles{P50: &is.P50.Duration, P90: &is.P90.Duration, P95: &is.P95.Duration, P99: &is.P99.Duration, P999: &is.P999.Duration}, *p)
		assert.Equal(t, report.Extremes{Min: &is.Min.Duration, Max: &is.Max.Duration, ContentBytes: is.AverageContentBytes}, *x)
	}
	requireEqual(&want.Summary.Statistics, stats.Requests, stats.Failures, stats.RequestsPerSecond, &stats.Percentiles, &stats.Extremes)
	assert.Equal(t, want.Summary.AverageResponseTime.Duration, stats.Average)
	require.Len(t, stats.Endpoints, 2)
	for i := range stats.Endpoints {
		is, e := &want.Endpoints[i], &stats.Endpoints[i]
		assert.Equal(t, []string{is.Method, is.Name}, []string{e.Method, e.Name})
		requireEqual(&is.Statistics, e.Requests, e.Failures, e.RequestsPerSecond, &e.Percentiles, &e.Extremes)
	}
}

func TestCSV_Rows(t *testing.T) {
	rows := func(r *v1alpha1.LocustReport) [][]string {
		t.Helper()
		all, err := csv.NewReader(strings.NewReader(write(t, CSV, r))).ReadAll()
		require.NoError(t, err)
		require.Len(t, all[0], 22)
		return all[1:]
	}
	assert.Equal(t, [][]string{
		{"POST", "/orders", "12", "12", "2", "45.054", "0.544", "1351.584", "5", "0.07", "0.07",
			"2", "N/A", "N/A", "N/A", "240", "300", "N/A", "340", "350", "N/A", "1351.584"},
		{"GET", `/items?q="a,b"`, "36000", "0", "2", "45.054", "0.544", "1351.584", "5", "200", "0",
			"2", "N/A", "N/A", "N/A", "240", "300", "N/A", "340", "350", "N/A", "1351.584"},
		{"", "Aggregated", "36012", "12", "2", "45.054", "0.544", "1351.584", "5", "200.07", "0.07",
			"2", "N/A", "N/A", "N/A", "240", "300", "N/A", "340", "350", "N/A", "1351.584"},
	}, rows(succeeded()))
	assert.Empty(t, rows(notStarted()), "a report without a result has only the header")

	r := notStarted()
	r.Summary = &v1alpha1.Summary{Statistics: v1alpha1.Statistics{RequestsPerSecond: "=1+1"}}
	none := "N/A"
	assert.Equal(t, [][]string{{"", "Aggregated", "0", "0", "0", "0", "0", "0", "0", none, none, none, none, none, none, none, none, none, none, none, none, none}}, rows(r))
}

func TestCSVText(t *testing.T) {
	for text, want := range map[string]string{
		"/orders": "/orders", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@SUM(A1)": "'@SUM(A1)", "＝1": "'＝1", `"=1`: `"'=1`,
		"\t=1": "'=1", "\r\n=1": "'=1", "  =1": "'=1", "a;=1": "a;'=1", "a; \"=1": "a; \"'=1", "a=b": "a=b", "a-b@c": "a-b@c", "": "",
		"a\nb": "a b", "\x1b[31mred": "\ufffd[31mred", "\xff": "\ufffd",
	} {
		assert.Equal(t, want, csvText(text), "%q", text)
	}
}
