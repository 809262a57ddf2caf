package report

import (
	"encoding/json"
	"html"
	"io"
	"strings"
)

// totalName is the name of the entry for all endpoints together (stats.py); its method is empty, or null in old versions.
const totalName = "Aggregated"

// DecodeStats decodes the response of GET /stats/requests of Locust 2.12 and newer (web.py, request_stats) while it is
// received. It returns a *DecodeError for another format: other JSON, counts out of bounds, an unknown state. It also
// rejects a web UI without a runner (state "missing"), which has no data about the run. It returns errors of the reader
// unchanged.
//
// It clamps response times and rates to their bounds, and leaves out invalid endpoints, errors and workers: one invalid
// endpoint of the user's code does not invalidate the total.
//
// Percentiles are those over the whole run; Locust's percentiles of the last ten seconds are not used. For the whole run
// 2.12 has P50, P90 and P99, and later versions P50 and those in PERCENTILES_TO_STATISTICS: P95 and P99.
//
// Locust caches the response for two seconds, so it may be this old.
func DecodeStats(from io.Reader) (*Report, error) {
	a := statsDecoder{endpoints: topEndpoints(), errors: topErrors()}
	if err := readObject(from, a.member); err != nil {
		return nil, err
	}
	return a.report()
}

// statsDecoder collects the data of a response while it is read.
type statsDecoder struct {
	state, users, workerCount value
	hasStats                  bool
	total                     *entry
	endpoints                 top[Endpoint]
	errors                    top[Error]
	workers                   int32
	busiest                   *ProcessorUse
}

// member reads one member of the response. The last of duplicate members is used.
func (a *statsDecoder) member(name string, d *json.Decoder) error {
	switch name {
	case "state":
		return decodeValue(d, &a.state)
	case "user_count":
		return decodeValue(d, &a.users)
	case "worker_count":
		return decodeValue(d, &a.workerCount)
	case "stats":
		a.hasStats, a.total, a.endpoints = true, nil, topEndpoints()
		return readArray(d, name, a.addEntry)
	case "errors":
		a.errors = topErrors()
		return readArray(d, name, a.addError)
	case "workers":
		a.workers, a.busiest = 0, nil
		return readArray(d, name, a.addWorker)
	}
	return skipValue(d)
}

// addEntry adds an element of "stats". The last element with the total's name is the total.
func (a *statsDecoder) addEntry(raw *rawEntry) error {
	var r reader
	e := raw.read(&r)
	if r.err != nil {
		a.endpoints.count++
		return e.refused(r.err)
	}
	a.total = insertEntry(e, a.total, &a.endpoints)
	return nil
}

// isTotal reports whether the entry is the total of all endpoints.
func (e *entry) isTotal() bool { return e.Name == totalName && e.Method == "" }

// refused returns the error of an invalid total; nil for an endpoint, which is left out.
func (e *entry) refused(err error) error {
	if e.isTotal() {
		return err
	}
	return nil
}

// insertEntry adds an entry to the endpoints, or returns it as the total; the previous total then is an endpoint of that name.
func insertEntry(e, total *entry, endpoints *top[Endpoint]) *entry {
	if e.isTotal() {
		e, total = total, e
	}
	if e != nil {
		endpoints.add(e.cleaned())
	}
	return total
}

// addError adds an element of "errors".
func (a *statsDecoder) addError(raw *rawError) error {
	var r reader
	e := Error{
		Method:      r.text(raw.Method, "errors.method"),
		Name:        r.text(raw.Name, "errors.name"),
		Text:        r.text(raw.Error, "errors.error"),
		Occurrences: r.count(raw.Occurrences, "errors.occurrences"),
	}
	if r.err == nil {
		a.errors.add(e)
	}
	return nil
}

// addWorker counts an element of "workers" like Locust's own worker_count (runners.py), which 2.12 does not report.
func (a *statsDecoder) addWorker(raw *rawWorker) error {
	var r reader
	switch State(r.text(raw.State, "workers.state")) {
	case StateReady, StateSpawning, StateRunning:
		a.workers++
		if use := raw.processorUse(); use != nil && (a.busiest == nil || use.Percent > a.busiest.Percent) {
			a.busiest = use
		}
	}
	return nil
}

// processorUse returns nil if the worker's processor use is missing or invalid.
func (raw *rawWorker) processorUse() *ProcessorUse {
	r := &reader{}
	use := readUse(r, raw.Processor, raw.ID)
	if r.err != nil || raw.ID == "" || raw.Processor == "" {
		return nil
	}
	if i := strings.LastIndexByte(use.Worker, '_'); i > 0 {
		use.Worker = use.Worker[:i] // runners.py: the host name and a random number
	}
	return use
}

// report returns the report of the collected data.
func (a *statsDecoder) report() (*Report, error) {
	var r reader
	report := &Report{State: r.state(a.state), Users: r.clampedCount(a.users, "user_count"), Workers: a.workers, Busiest: a.busiest}
	if a.workerCount != "" {
		report.Workers = r.clampedCount(a.workerCount, "worker_count")
	}
	switch {
	case !a.hasStats:
		r.fail("stats", "is missing", "")
	case a.total == nil:
		r.fail("stats", "has no entry "+totalName, "")
	}
	if r.err != nil {
		return nil, r.err
	}
	report.Stats = a.total.stats(&a.endpoints)
	report.ErrorCount = a.errors.count
	for _, e := range a.errors.result() {
		if a.total.old {
			e.Name, e.Text = html.UnescapeString(e.Name), withoutQuotes(html.UnescapeString(e.Text))
		}
		report.Errors = append(report.Errors, e.cleaned())
	}
	return report, nil
}

// rawEntry is an element of "stats".
type rawEntry struct {
	Method   value `json:"method"`
	Name     value `json:"name"`
	Requests value `json:"num_requests"`
	Failures value `json:"num_failures"`
	Rate     value `json:"current_rps"`
	Average  value `json:"avg_response_time"`
	P50      value `json:"median_response_time"`
	P90      value `json:"response_time_percentile_0.9"`
	P95      value `json:"response_time_percentile_0.95"`
	P99      value `json:"response_time_percentile_0.99"`
	Min      value `json:"min_response_time"`
	Max      value `json:"max_response_time"`
	Size     value `json:"avg_content_length"`
	// The names in 2.12, and in some later versions.
	OldP90 value `json:"ninetieth_response_time"`
	OldP99 value `json:"ninety_ninth_response_time"`
}

// rawError is an element of "errors".
type rawError struct {
	Method      value `json:"method"`
	Name        value `json:"name"`
	Error       value `json:"error"`
	Occurrences value `json:"occurrences"`
}

// rawWorker is an element of "workers".
type rawWorker struct {
	State     value `json:"state"`
	ID        value `json:"id"`
	Processor value `json:"cpu_usage"`
}

// entry is an element of "stats" or a row of the CSV; its texts are not cleaned.
type entry struct {
	Endpoint
	// old is true for a Locust that escapes the names and texts of errors for HTML: versions that build the entries in
	// web.py. Versions that build them in stats.py (to_dict) do not.
	old bool
}

func (raw *rawEntry) read(r *reader) *entry {
	e := &entry{old: raw.OldP90 != ""}
	if e.old {
		raw.P90, raw.P99 = raw.OldP90, raw.OldP99
	}
	e.Method = r.text(raw.Method, "stats.method")
	e.Name = r.text(raw.Name, "stats.name")
	e.Requests = r.count(raw.Requests, "stats.num_requests")
	e.Failures = r.count(raw.Failures, "stats.num_failures")
	e.RequestsPerSecond = r.clamped(raw.Rate, "stats.current_rps", maxRate)
	e.Average = r.milliseconds(raw.Average, "stats.avg_response_time")
	e.Percentiles = Percentiles{
		P50: r.percentile(raw.P50, "stats.median_response_time", e.Requests),
		P90: r.percentile(raw.P90, "90th percentile in stats", e.Requests),
		P95: r.percentile(raw.P95, "95th percentile in stats", e.Requests),
		P99: r.percentile(raw.P99, "99th percentile in stats", e.Requests),
	}
	e.Extremes = r.extremes(raw.Min, raw.Max, raw.Size, e.Requests)
	return e
}

// stats returns the entry as the total of all endpoints.
func (e *entry) stats(endpoints *top[Endpoint]) Stats {
	return Stats{
		Requests: e.Requests, Failures: e.Failures, RequestsPerSecond: e.RequestsPerSecond, Average: e.Average,
		Percentiles: e.Percentiles, Extremes: e.Extremes,
		Endpoints: endpoints.result(), EndpointCount: endpoints.count,
	}
}

var pythonEscapes = strings.NewReplacer(`\\`, `\`, `\'`, `'`)

// withoutQuotes reverses Python's repr. Locust 2.12 applies repr to an error on the worker, and again to this string on
// the master (stats.py, parse_error).
func withoutQuotes(text string) string {
	last := len(text) - 1
	if last < 1 || text[0] != text[last] || text[0] != '\'' && text[0] != '"' {
		return text
	}
	return pythonEscapes.Replace(text[1:last])
}
