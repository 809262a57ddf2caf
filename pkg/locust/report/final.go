package report

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The format of the final report, which the reporter writes in the master's container.
const (
	// finalPrefix begins every final report of any version, and no log tail.
	finalPrefix = `{"locust.io/report":`
	// finalVersion is the latest version. A newer reporter may add members; if the meaning of a member changes, so does the
	// version. Version 1 is a single line with at most five endpoints and errors; since version 2 the lists are in the rest.
	finalVersion = 2
	// ReportHeader is the header in which the reporter sends the final report with the CSV, and maxReportHeader its largest size
	// in bytes.
	ReportHeader    = "X-Locust-Report"
	maxReportHeader = 8192
	// maxFinal is the kubelet's limit for a termination message in bytes (MaxContainerTerminationMessageLength in
	// pkg/kubelet/container).
	maxFinal = 4096
	// maxEpoch is the end of the year 9999, the last that RFC 3339 can represent, in seconds since 1970.
	maxEpoch = 253402300799
)

// Bounds of the log in a final report: the number of lines, of which the last are kept, and their length in bytes.
const (
	MaxLog     = 10
	MaxLogLine = 256
)

// IsFinal reports whether a termination message is a final report, valid or not. Others are the user's own, or the last
// lines of the log.
func IsFinal(message string) bool { return strings.HasPrefix(message, finalPrefix) }

// DecodeFinal decodes the final report in the termination message of the master's container. It returns a *DecodeError for
// another format, an unknown version, and a message whose summary the kubelet has truncated. If the rest is truncated or damaged,
// Details.Problem is set.
//
// It clamps response times, the rate, users, workers and times to their bounds, and leaves out invalid endpoints and
// errors. Counts of requests must be valid.
//
// The exceptions of the user's code become Errors without a method and a name. LoadEnd is before LoadStart if the node's
// clock was set back in between.
func DecodeFinal(message string) (*Final, error) {
	switch {
	case !IsFinal(message):
		return nil, newDecodeError(document, "is not a report", "")
	case len(message) > maxFinal:
		return nil, newDecodeError(document, "is larger than "+strconv.Itoa(maxFinal)+" bytes", "")
	}
	return decodeFinal(message, "\n")
}

// DecodeReportHeader decodes the value of ReportHeader, as DecodeFinal does. It returns nil for an invalid header, because the CSV is
// valid without it.
func DecodeReportHeader(header string) *Final {
	if !IsFinal(header) || len(header) > maxReportHeader {
		return nil
	}
	f, err := decodeFinal(header, "\t")
	if err != nil {
		return nil
	}
	return f
}

// decodeFinal decodes the summary and the rest after a separator.
func decodeFinal(message, separator string) (*Final, error) {
	summary, packed, _ := strings.Cut(message, separator)
	var raw rawFinal
	d, _ := newJSONDecoder(strings.NewReader(summary))
	if err := d.Decode(&raw); err != nil {
		return nil, jsonError(document, err)
	}
	if err := expectEOF(d); err != nil {
		return nil, err
	}
	r := &reader{}
	version := r.count(raw.Version, "locust.io/report")
	if version < 1 || version > finalVersion {
		r.fail("locust.io/report", "is an unknown version", raw.Version)
	}
	if version == 1 && strings.TrimSpace(packed) != "" {
		r.fail(document, "has trailing data", "")
	}
	f := raw.read(r)
	if r.err != nil {
		return nil, r.err
	}
	if version > 1 {
		raw.readRest(f, packed)
	}
	return f, nil
}

// rawFinal is the termination message.
type rawFinal struct {
	Version    value           `json:"locust.io/report"`
	Complete   value           `json:"complete"`
	State      value           `json:"state"`
	Users      value           `json:"users"`
	Workers    value           `json:"workers"`
	Start      value           `json:"start"`
	End        value           `json:"end"`
	Requests   value           `json:"requests"`
	Failures   value           `json:"failures"`
	Average    value           `json:"avg"`
	Rate       value           `json:"rps"`
	P50        value           `json:"p50"`
	P90        value           `json:"p90"`
	P95        value           `json:"p95"`
	P99        value           `json:"p99"`
	P999       value           `json:"p999"`
	Min        value           `json:"min"`
	Max        value           `json:"max"`
	Endpoints  []finalEndpoint `json:"endpoints"`
	Errors     []finalError    `json:"errors"`
	CustomExit value           `json:"custom_exit"`
	Log        []value         `json:"log"`
	Locust     value           `json:"version"`
	Host       value           `json:"host"`
	Counts     []value         `json:"n"`
	Rest       value           `json:"rest"`
	Sum        value           `json:"crc"`
	rawTarget
	rawDelivery
}

// finalEndpoint is an element of "endpoints".
type finalEndpoint struct {
	Method   value `json:"method"`
	Name     value `json:"name"`
	Requests value `json:"requests"`
	Failures value `json:"failures"`
	Average  value `json:"avg"`
	P95      value `json:"p95"`
}

// finalError is an element of "errors" and "exceptions".
type finalError struct {
	Method value `json:"method"`
	Name   value `json:"name"`
	Error  value `json:"error"`
	Count  value `json:"count"`
}

func (raw *rawFinal) read(r *reader) *Final {
	f := &Final{
		Complete:   r.flag(raw.Complete, "complete"),
		CustomExit: raw.CustomExit != "" && r.flag(raw.CustomExit, "custom_exit"),
		LoadStart:  r.timestamp(raw.Start, "start"),
		LoadEnd:    r.timestamp(raw.End, "end"),
	}
	f.State = r.state(raw.State)
	f.Users = r.clampedCount(raw.Users, "users")
	f.Workers = r.clampedCount(raw.Workers, "workers")
	f.Stats = raw.stats(r)
	f.Target = raw.rawTarget.read()
	f.Delivery = raw.rawDelivery.read()
	for _, line := range raw.Log[max(0, len(raw.Log)-MaxLog):] {
		f.Log = append(f.Log, clean(new(reader).text(line, "log"), MaxLogLine))
	}
	return f
}

func (raw *rawFinal) stats(r *reader) Stats {
	s := Stats{
		Requests:          r.count(raw.Requests, "requests"),
		Failures:          r.count(raw.Failures, "failures"),
		RequestsPerSecond: r.clamped(raw.Rate, "rps", maxRate),
		Average:           r.milliseconds(raw.Average, "avg"),
	}
	s.Percentiles = Percentiles{
		P50: r.percentile(raw.P50, "p50", s.Requests),
		P90: r.percentile(raw.P90, "p90", s.Requests),
		P95: r.percentile(raw.P95, "p95", s.Requests),
		P99: r.percentile(raw.P99, "p99", s.Requests),

		P999: r.percentile(raw.P999, "p999", s.Requests),
	}
	s.Extremes = r.extremes(raw.Min, raw.Max, "", s.Requests)
	endpoints := topEndpoints()
	for _, raw := range raw.Endpoints {
		var entry reader // an invalid endpoint or error is left out
		if e := raw.read(&entry); entry.err == nil {
			endpoints.add(e.cleaned())
		}
	}
	s.Endpoints, s.EndpointCount = endpoints.result(), endpoints.count
	s.Errors = readErrors(raw.Errors)
	s.Exceptions = readErrors(exceptions(raw.Exceptions))
	s.ErrorCount = int32(len(s.Errors))
	return s
}

// readErrors returns the valid errors, most frequent first.
func readErrors(raw []finalError) []Error {
	list := topErrors()
	for _, raw := range raw {
		var entry reader
		if e := raw.read(&entry); entry.err == nil {
			list.add(e.cleaned())
		}
	}
	return list.result()
}

// exceptions returns a copy of a list without methods and names.
func exceptions(list []finalError) []finalError {
	list = slices.Clone(list)
	for i := range list {
		list[i].Method, list[i].Name = "", ""
	}
	return list
}

func (raw *finalEndpoint) read(r *reader) Endpoint {
	e := Endpoint{
		Method:   r.text(raw.Method, "endpoints.method"),
		Name:     r.text(raw.Name, "endpoints.name"),
		Requests: r.count(raw.Requests, "endpoints.requests"),
		Failures: r.count(raw.Failures, "endpoints.failures"),
		Average:  r.milliseconds(raw.Average, "endpoints.avg"),
	}
	e.P95 = r.percentile(raw.P95, "endpoints.p95", e.Requests)
	return e
}

func (raw *finalError) read(r *reader) Error {
	return Error{
		Method:      r.text(raw.Method, "errors.method"),
		Name:        r.text(raw.Name, "errors.name"),
		Text:        r.text(raw.Error, "errors.error"),
		Occurrences: r.count(raw.Count, "errors.count"),
	}
}

// timestamp reads a time in seconds since 1970, to the microsecond. It returns the zero time for 0 and times beyond maxEpoch.
func (r *reader) timestamp(v value, field string) time.Time {
	seconds := r.clamped(v, field, maxEpoch+1)
	if seconds == 0 || seconds > maxEpoch {
		return time.Time{}
	}
	full, part := math.Modf(seconds)
	return time.Unix(int64(full), int64(math.Round(part*1e6))*1000).UTC()
}
