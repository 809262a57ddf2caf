package report

import (
	"encoding/csv"
	"errors"
	"io"
	"strings"
)

// Columns of the CSV (stats.py, requests_csv_columns). The percentile columns depend on PERCENTILES_TO_REPORT, which users
// may change.
const (
	columnMethod   = "Type"
	columnName     = "Name"
	columnRequests = "Request Count"
	columnFailures = "Failure Count"
	columnMedian   = "Median Response Time"
	columnAverage  = "Average Response Time"
	columnRate     = "Requests/s"
	columnMin      = "Min Response Time"
	columnMax      = "Max Response Time"
	columnSize     = "Average Content Size"
	columnP50      = "50%"
	columnP90      = "90%"
	columnP95      = "95%"
	columnP99      = "99%"
	columnP999     = "99.9%"
)

// DecodeCSV decodes the response of GET /stats/requests/csv of Locust 2.12 and newer. All figures, including the requests
// per second, cover the whole run; the CSV has no errors. It returns a *DecodeError for any other format.
//
// Unlike the JSON the CSV is computed for each request, and has all percentiles in every version.
// DecodeCSV decodes it while it is received; errors of the reader are returned unchanged.
func DecodeCSV(from io.Reader) (*Stats, error) {
	r := &csvReader{source: source{from: from}}
	stats, err := readRows(csv.NewReader(r))
	return stats, r.result(err)
}

func readRows(rows *csv.Reader) (*Stats, error) {
	rows.ReuseRecord = true
	header, err := rows.Read()
	if err != nil {
		return nil, csvError(err)
	}
	columns, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	var total *entry
	endpoints := topEndpoints()
	for {
		record, err := rows.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, csvError(err)
		}
		var r reader
		e := columns.entry(&r, record)
		if r.err != nil {
			if err := e.refused(r.err); err != nil {
				return nil, err
			}
			endpoints.count++
			continue
		}
		total = insertEntry(e, total, &endpoints)
	}
	if total == nil {
		return nil, newDecodeError(document, "has no row "+totalName, "")
	}
	stats := total.stats(&endpoints)
	return &stats, nil
}

// csvError converts an error of encoding/csv.
func csvError(err error) error {
	var refused *DecodeError
	switch {
	case errors.Is(err, io.EOF):
		return newDecodeError(document, "is empty", "")
	case errors.As(err, &refused):
		return refused
	}
	return newDecodeError(document, "is not CSV", err.Error())
}

// columns maps the names of the columns to their positions.
type columns map[string]int

// parseHeader reads the header row.
func parseHeader(header []string) (columns, error) {
	c := make(columns, len(header))
	for i, name := range header {
		if _, exists := c[name]; !exists {
			c[name] = i
		}
	}
	required := []string{columnMethod, columnName, columnRequests, columnFailures, columnMedian, columnAverage, columnRate}
	for _, name := range required {
		if _, ok := c[name]; !ok {
			return nil, newDecodeError("column "+name, "is missing", "")
		}
	}
	return c, nil
}

// entry reads a row.
func (c columns) entry(r *reader, record []string) *entry {
	cell := func(name string) value {
		if at, ok := c[name]; ok {
			return value(record[at])
		}
		return ""
	}
	e := &entry{}
	e.Method, e.Name = strings.Clone(string(cell(columnMethod))), strings.Clone(string(cell(columnName))) // not the whole row
	median := cell(columnP50)
	if median == "" {
		median = cell(columnMedian)
	}
	e.Requests = r.count(cell(columnRequests), columnRequests)
	e.Failures = r.count(cell(columnFailures), columnFailures)
	e.RequestsPerSecond = r.clamped(cell(columnRate), columnRate, maxRate)
	e.Average = r.milliseconds(cell(columnAverage), columnAverage)
	e.Percentiles = Percentiles{
		P50: r.percentile(median, columnMedian, e.Requests),
		P90: r.percentile(cell(columnP90), columnP90, e.Requests),
		P95: r.percentile(cell(columnP95), columnP95, e.Requests),
		P99: r.percentile(cell(columnP99), columnP99, e.Requests),

		P999: r.percentile(cell(columnP999), columnP999, e.Requests),
	}
	e.Extremes = r.extremes(cell(columnMin), cell(columnMax), cell(columnSize), e.Requests)
	return e
}
