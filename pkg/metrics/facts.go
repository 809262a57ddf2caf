package metrics

import (
	"math"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// fact is an index of one number of a status.
type fact int

const (
	workersConnected fact = iota
	workersExpected
	users
	usersTarget
	requestsTotal
	failedRequestsTotal
	failureRatio
	requestsPerSecond
	responseTimeP50
	responseTimeP90
	responseTimeP95
	responseTimeP99
	responseTimeAverage
	progressRatio
	startTime
	completionTime
	// facts is the number of facts.
	facts
)

// values holds a number for each fact; NaN if unknown.
type values [facts]float64

// exposition describes how a fact is exposed.
type exposition struct {
	desc     *prometheus.Desc
	kind     prometheus.ValueType
	quantile string
}

func expositions() [facts]exposition {
	gauge := func(name, help string) exposition {
		return exposition{desc: testDesc(name, help), kind: prometheus.GaugeValue}
	}
	counter := func(name, help string) exposition {
		return exposition{desc: testDesc(name, help), kind: prometheus.CounterValue}
	}
	responseTime := testDesc("response_time_seconds", "Response time of all requests of the test, by quantile.", "quantile")
	quantile := func(q string) exposition {
		return exposition{desc: responseTime, kind: prometheus.GaugeValue, quantile: q}
	}
	return [facts]exposition{
		workersConnected:    gauge("workers_connected", "Workers connected to the master; only while the load may run."),
		workersExpected:     gauge("workers_expected", "Workers requested by the test; until the load has stopped."),
		users:               gauge("users", "Users that Locust simulates; only while the load may run."),
		usersTarget:         gauge("users_target", "Users requested by the test; only while the load may run, and only if known."),
		requestsTotal:       counter("requests_total", "Requests of the test, failed ones included."),
		failedRequestsTotal: counter("failed_requests_total", "Failed requests of the test."),
		failureRatio:        gauge("failure_ratio", "Failed requests as a fraction of all requests of the test, 0 to 1; absent before the first request."),
		requestsPerSecond:   gauge("requests_per_second", "Requests per second of the last seconds; only while the load may run."),
		responseTimeP50:     quantile("0.5"),
		responseTimeP90:     quantile("0.9"),
		responseTimeP95:     quantile("0.95"),
		responseTimeP99:     quantile("0.99"),
		responseTimeAverage: gauge("response_time_average_seconds", "Average response time of all requests of the test."),
		progressRatio:       gauge("progress_ratio", "Elapsed run time as a fraction of the requested run time, 0 to 1; absent without a run time."),
		startTime:           gauge("start_time_seconds", "Unix time when the test became Running."),
		completionTime:      gauge("completion_time_seconds", "Unix time when the test ended."),
	}
}

// testDesc returns the description of a metric of a test.
func testDesc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("locust_test_"+name, help, append([]string{"namespace", "name"}, labels...), nil)
}

// read returns the facts of a status.
func read(s *v2.LocustTestStatus) values {
	var v values
	for i := range v {
		v[i] = math.NaN()
	}
	v.readLoad(s)
	v.readResult(s.TestResult)
	if s.Progress != nil && s.Progress.Percent != nil {
		v[progressRatio] = float64(*s.Progress.Percent) / 100
	}
	v[startTime] = unix(s.StartTime)
	v[completionTime] = unix(s.CompletionTime)
	return v
}

// readLoad reads the facts that describe the running load. A status keeps some of them after the load has stopped; as a series
// that would look like running load.
func (v *values) readLoad(s *v2.LocustTestStatus) {
	if s.IsTerminal() || s.TestResult != nil && s.TestResult.Final {
		return
	}
	if s.ExpectedWorkers > 0 {
		v[workersExpected] = float64(s.ExpectedWorkers)
	}
	if s.Phase != v2.PhaseRunning {
		return
	}
	v[workersConnected] = float64(s.ConnectedWorkers)
	if s.Progress != nil {
		v[users] = float64(s.Progress.CurrentUsers)
		if s.Progress.TargetUsers != nil {
			v[usersTarget] = float64(*s.Progress.TargetUsers)
		}
	}
	if s.TestResult != nil {
		v[requestsPerSecond] = number(s.TestResult.RequestsPerSecond)
	}
}

// readResult reads the measurements of the whole test.
func (v *values) readResult(r *v2.TestResult) {
	if r == nil {
		return
	}
	v[requestsTotal] = float64(r.TotalRequests)
	v[failedRequestsTotal] = float64(r.FailedRequests)
	if r.TotalRequests > 0 {
		v[failureRatio] = float64(r.FailedRequests) / float64(r.TotalRequests)
	}
	v[responseTimeP50] = seconds(r.P50)
	v[responseTimeP90] = seconds(r.P90)
	v[responseTimeP95] = seconds(r.P95)
	v[responseTimeP99] = seconds(r.P99)
	v[responseTimeAverage] = seconds(r.AverageResponseTime)
}

// number parses a decimal number; NaN if it is invalid.
func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsInf(n, 0) {
		return math.NaN()
	}
	return n
}

// seconds returns a duration in seconds; NaN if it is nil.
func seconds(d *metav1.Duration) float64 {
	if d == nil {
		return math.NaN()
	}
	return d.Seconds()
}

// unix returns a time in seconds since 1970; NaN if it is nil.
func unix(t *metav1.Time) float64 {
	if t.IsZero() {
		return math.NaN()
	}
	return float64(t.Unix())
}
