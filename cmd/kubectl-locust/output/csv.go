package output

import (
	"bytes"
	"encoding/csv"
	"math"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// csvHeader returns the columns of Locust's CSV (stats.py, requests_csv_columns), so that programs that read it read this one too.
func csvHeader() []string {
	return []string{
		"Type", "Name", "Request Count", "Failure Count", "Median Response Time", "Average Response Time", "Min Response Time",
		"Max Response Time", "Average Content Size", "Requests/s", "Failures/s",
		"50%", "66%", "75%", "80%", "90%", "95%", "98%", "99%", "99.9%", "99.99%", "100%",
	}
}

// notAvailable is what Locust writes for a percentile that it does not have.
const notAvailable = "N/A"

// writeCSV writes one row for each endpoint, and the row Aggregated as the last one, as Locust does.
func writeCSV(out *bytes.Buffer, report *v1alpha1.LocustReport) error {
	rows := [][]string{csvHeader()}
	for i := range report.Endpoints {
		e := &report.Endpoints[i]
		rows = append(rows, csvRow(e.Method, e.Name, &e.Statistics))
	}
	if report.Summary != nil {
		rows = append(rows, csvRow("", "Aggregated", &report.Summary.Statistics))
	}
	return csv.NewWriter(out).WriteAll(rows)
}

func csvRow(method, name string, s *v1alpha1.Statistics) []string {
	size := notAvailable
	if s.AverageContentBytes != nil {
		size = strconv.FormatInt(*s.AverageContentBytes, 10)
	}
	perSecond, failures := rates(s)
	row := []string{
		csvText(method), csvText(name), strconv.FormatInt(s.TotalRequests, 10), strconv.FormatInt(s.FailedRequests, 10),
		milliseconds(s.P50), milliseconds(s.AverageResponseTime), milliseconds(s.Min), milliseconds(s.Max), size, perSecond, failures,
	}
	for _, percentile := range []*metav1.Duration{s.P50, nil, nil, nil, s.P90, s.P95, nil, s.P99, s.P999, nil, s.Max} {
		row = append(row, milliseconds(percentile))
	}
	if s.TotalRequests == 0 {
		for i := 4; i < 9; i++ {
			row[i] = "0" // as Locust writes them
		}
	}
	return row
}

// milliseconds returns a response time as Locust writes it.
func milliseconds(d *metav1.Duration) string {
	if d == nil {
		return notAvailable
	}
	return strconv.FormatFloat(float64(d.Duration)/float64(time.Millisecond), 'f', -1, 64)
}

// rates returns requests and failures per second. Locust divides both by the same time, so that the second one is the share of the
// failures in the first one. The API has rates as text, so that anything but a number is left out.
func rates(s *v1alpha1.Statistics) (requests, failures string) {
	number, err := strconv.ParseFloat(s.RequestsPerSecond, 64)
	if err != nil || number < 0 || math.IsInf(number, 0) || math.IsNaN(number) {
		return notAvailable, notAvailable
	}
	share := 0.0
	if s.TotalRequests > 0 {
		share = float64(s.FailedRequests) / float64(s.TotalRequests)
	}
	return strconv.FormatFloat(number, 'f', -1, 64), strconv.FormatFloat(math.Round(number*share*100)/100, 'f', -1, 64)
}

// csvText returns a text that a spreadsheet shows instead of computing it: an apostrophe precedes what begins a formula, at the start
// of the cell, and after a semicolon, at which some spreadsheets divide cells.
func csvText(text string) string {
	var out strings.Builder
	starts := true
	for _, r := range terminal.Safe(text) {
		if starts && beginsFormula(r) {
			out.WriteByte('\'')
		}
		if r != ' ' && r != '"' {
			starts = r == ';'
		}
		out.WriteRune(r)
	}
	return out.String()
}

// beginsFormula reports whether a spreadsheet takes what begins with a character for a formula. Some take the wide forms too.
func beginsFormula(r rune) bool { return strings.ContainsRune("=+-@\t\r＝＋－＠", r) }
