package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// WriteKind is the reason of a status write.
type WriteKind string

// WriteResult is the result of a status write.
type WriteResult string

const (
	// KindTransition is a write for a new phase, condition or generation.
	KindTransition WriteKind = "transition"
	// KindRefresh is a write for counters and messages.
	KindRefresh WriteKind = "refresh"

	// ResultWritten is a successful write.
	ResultWritten WriteResult = "written"
	// ResultConflict is a write that conflicted with another client's. It is retried and not an error.
	ResultConflict WriteResult = "conflict"
	// ResultError is a write that failed for another reason.
	ResultError WriteResult = "error"
)

const (
	pollOK    = "ok"
	pollError = "error"
)

// Operator counts the operator's own work. A nil Operator discards all calls.
type Operator struct {
	// StatusWrites counts status writes by kind and result.
	StatusWrites *prometheus.CounterVec
	// Polls counts requests to the web API of Locust's masters, by result: ok or error.
	Polls *prometheus.CounterVec
	// PollSeconds observes the duration of those requests, failed ones included.
	PollSeconds prometheus.Histogram
}

func newOperator() *Operator {
	o := &Operator{
		StatusWrites: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "locust_operator_status_writes_total",
			Help: "Status writes by kind (transition, refresh) and result (written, conflict, error).",
		}, []string{"kind", "result"}),
		Polls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "locust_operator_locust_polls_total",
			Help: "Requests to the web API of Locust's masters by result (ok, error).",
		}, []string{"result"}),
		PollSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "locust_operator_locust_poll_duration_seconds",
			Help:    "Duration of requests to the web API of Locust's masters, failed ones included.",
			Buckets: prometheus.DefBuckets,
		}),
	}
	o.start()
	return o
}

// start initializes every counter to 0. Prometheus sees no increase if a series starts with its first event.
func (o *Operator) start() {
	for _, kind := range []WriteKind{KindTransition, KindRefresh} {
		for _, result := range []WriteResult{ResultWritten, ResultConflict, ResultError} {
			o.StatusWrites.WithLabelValues(string(kind), string(result))
		}
	}
	o.Polls.WithLabelValues(pollOK)
	o.Polls.WithLabelValues(pollError)
}

// StatusWrite counts one status write.
func (o *Operator) StatusWrite(kind WriteKind, result WriteResult) {
	if o == nil {
		return
	}
	o.StatusWrites.WithLabelValues(string(kind), string(result)).Inc()
}

// Poll counts one request to the web API of a Locust master, with its duration and its error, nil if it succeeded.
func (o *Operator) Poll(took time.Duration, err error) {
	if o == nil {
		return
	}
	result := pollOK
	if err != nil {
		result = pollError
	}
	o.Polls.WithLabelValues(result).Inc()
	o.PollSeconds.Observe(took.Seconds())
}

// Describe implements prometheus.Collector.
func (o *Operator) Describe(descs chan<- *prometheus.Desc) {
	for _, c := range o.collectors() {
		c.Describe(descs)
	}
}

// Collect implements prometheus.Collector.
func (o *Operator) Collect(metrics chan<- prometheus.Metric) {
	for _, c := range o.collectors() {
		c.Collect(metrics)
	}
}

func (o *Operator) collectors() []prometheus.Collector {
	return []prometheus.Collector{o.StatusWrites, o.Polls, o.PollSeconds}
}
