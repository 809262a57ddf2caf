package report

import (
	"encoding/json"
	"html"
	"io"
	"strings"
)

// totalName is the name of the entry for all endpoints together (stats.py); its method is empty, or null in old ones.
const totalName = "Aggregated"

// DecodeStats reads the answer of GET /stats/requests of Locust 2.12 and newer (web.py, request_stats) while it comes. It
// refuses, with a *DecodeError, what is not of this form: other JSON, counts out of their bounds, a state that is not
// known. A web UI without a runner (state "missing") is refused too, as it knows nothing of the run. It returns errors of
// the reader as they are.
//
// Response times and rates are brought into their bounds, and endpoints, errors and workers that cannot be read are left
// out: one odd endpoint of the user's code does not make the total worthless.
//
// Percentiles are those over the whole run; Locust also tells those of the last ten seconds, which are not used. Of the
// whole run 2.12 tells P50, P90 and P99, and later ones P50 and the ones in PERCENTILES_TO_STATISTICS: P95 and P99.
//
// Locust computes the answer anew every two seconds, so it may be this old.
func DecodeStats(from io.Reader) (*Report, error) {
	var a statsDecoder
	if err := readObject(from, a.member); err != nil {
		return nil, err
	}
	return a.report()
}

// statsDecoder is what is kept of the statsDecoder while it is read.
type statsDecoder struct {
	state, users, workerCount value
	hasStats                  bool
	total                     *entry
	endpoints                 []Endpoint
	errors                    []Error
	workers                   int32
	busiest                   *ProcessorUse
}

// member reads one member of the answer. Of one that is there twice the last counts.
func (a *statsDecoder) member(name string, d *json.Decoder) error {
	switch name {
	case "state":
		return decodeValue(d, &a.state)
	case "user_count":
		return decodeValue(d, &a.users)
	case "worker_count":
		return decodeValue(d, &a.workerCount)
	case "stats":
		a.hasStats, a.total, a.endpoints = true, nil, nil
		return readArray(d, name, a.addEntry)
	case "errors":
		a.errors = nil
		return readArray(d, name, a.addError)
	case "workers":
		a.workers, a.busiest = 0, nil
		return readArray(d, name, a.addWorker)
	}
	return skipValue(d)
}

// addEntry takes in an element of "stats". The last one that can be the total is the total.
func (a *statsDecoder) addEntry(raw *rawEntry) error {
	var r reader
	e := raw.read(&r)
	if r.err != nil {
		return e.refused(r.err)
	}
	a.total, a.endpoints = insertEntry(e, a.total, a.endpoints)
	return nil
}

// isTotal reports whether the entry is that of all endpoints together.
func (e *entry) isTotal() bool { return e.Name == totalName && e.Method == "" }

// refused returns the error of an entry that cannot be read; nil for an endpoint, which is left out.
func (e *entry) refused(err error) error {
	if e.isTotal() {
		return err
	}
	return nil
}

// insertEntry returns the total and the endpoints with one more entry.
func insertEntry(e, total *entry, endpoints []Endpoint) (*entry, []Endpoint) {
	if e.isTotal() {
		e, total = total, e
	}
	if e != nil {
		endpoints = insert(endpoints, e.Endpoint, MaxEndpoints, compareEndpoints)
	}
	return total, endpoints
}

// addError takes in an element of "errors".
func (a *statsDecoder) addError(raw *rawError) error {
	var r reader
	e := Error{
		Method:      r.text(raw.Method, "errors.method"),
		Name:        r.text(raw.Name, "errors.name"),
		Text:        r.text(raw.Error, "errors.error"),
		Occurrences: r.count(raw.Occurrences, "errors.occurrences"),
	}
	if r.err == nil {
		a.errors = insert(a.errors, e, MaxErrors, compareErrors)
	}
	return nil
}

// addWorker counts an element of "workers" as Locust's own worker_count does (runners.py), which 2.12 does not tell.
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

// processorUse returns nil when the worker does not say how much of a processor it uses, or not as Locust does.
func (raw *rawWorker) processorUse() *ProcessorUse {
	r := &reader{}
	use := readUse(r, raw.Processor, raw.ID)
	if r.err != nil || raw.ID == "" || raw.Processor == "" {
		return nil
	}
	if i := strings.LastIndexByte(use.Worker, '_'); i > 0 {
		use.Worker = use.Worker[:i] // runners.py: the host's name and a random number
	}
	return use
}

// report puts together what was read.
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
	report.Stats = a.total.stats(a.endpoints)
	for _, e := range a.errors {
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
	// The names in 2.12, and in some after it.
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

// entry is what an element of "stats" or a row of the CSV tells; its texts are not clean.
type entry struct {
	Endpoint
	rate        float64
	percentiles Percentiles
	// old is true for a Locust that escapes the names and texts of errors for HTML: those that put the entries together
	// in web.py do. Those that do it in stats.py (to_dict) do not.
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
	e.rate = r.clamped(raw.Rate, "stats.current_rps", maxRate)
	e.Average = r.milliseconds(raw.Average, "stats.avg_response_time")
	e.percentiles = Percentiles{
		P50: r.percentile(raw.P50, "stats.median_response_time", e.Requests),
		P90: r.percentile(raw.P90, "90th percentile in stats", e.Requests),
		P95: r.percentile(raw.P95, "95th percentile in stats", e.Requests),
		P99: r.percentile(raw.P99, "99th percentile in stats", e.Requests),
	}
	e.P95 = e.percentiles.P95
	return e
}

// stats is the entry as the total of all endpoints.
func (e *entry) stats(endpoints []Endpoint) Stats {
	stats := Stats{
		Requests: e.Requests, Failures: e.Failures, RequestsPerSecond: e.rate, Average: e.Average, Percentiles: e.percentiles,
	}
	for _, endpoint := range endpoints {
		stats.Endpoints = append(stats.Endpoints, endpoint.cleaned())
	}
	return stats
}

var pythonEscapes = strings.NewReplacer(`\\`, `\`, `\'`, `'`)

// withoutQuotes undoes Python's repr. Locust 2.12 takes the repr of an error on the worker, and of this string again on
// the master (stats.py, parse_error).
func withoutQuotes(text string) string {
	last := len(text) - 1
	if last < 1 || text[0] != text[last] || text[0] != '\'' && text[0] != '"' {
		return text
	}
	return pythonEscapes.Replace(text[1:last])
}
