package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// WriteKind is why a status was written.
type WriteKind string

// WriteResult is what became of the write.
type WriteResult string

const (
	// KindTransition is a write for a new phase, condition or generation.
	KindTransition WriteKind = "transition"
	// KindRefresh is a write for counters and messages.
	KindRefresh WriteKind = "refresh"

	// ResultWritten is a write that the API server took.
	ResultWritten WriteResult = "written"
	// ResultConflict is a write that came after somebody else's; it is tried again, and no error.
	ResultConflict WriteResult = "conflict"
	// ResultError is a write that failed otherwise.
	ResultError WriteResult = "error"
)

const (
	pollOK    = "ok"
	pollError = "error"
)

// Operator counts the operator's own work. A nil Operator counts nothing.
type Operator struct {
	// StatusWrites counts status writes by kind and result.
	StatusWrites *prometheus.CounterVec
	// Polls counts requests to the web API of Locust's masters, by result: ok or error.
	Polls *prometheus.CounterVec
	// PollSeconds is how long those requests take, failed ones included.
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

// start exposes every counter at 0. Prometheus sees no increase in a series that begins with its first event.
func (o *Operator) start() {
	for _, kind := range []WriteKind{KindTransition, KindRefresh} {
		for _, result := range []WriteResult{ResultWritten, ResultConflict, ResultError} {
			o.StatusWrites.WithLabelValues(string(kind), string(result))
		}
	}
	o.Polls.WithLabelValues(pollOK)
	o.Polls.WithLabelValues(pollError)
}

// StatusWrite counts one write of a status.
func (o *Operator) StatusWrite(kind WriteKind, result WriteResult) {
	if o == nil {
		return
	}
	o.StatusWrites.WithLabelValues(string(kind), string(result)).Inc()
}

// Poll counts one request to the web API of a Locust master: how long it took, and the error that it ended with, nil
// when it was answered.
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
