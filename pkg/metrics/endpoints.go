package metrics

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// OtherEndpoints is the label endpoint, with an empty method, of the series that sums up all endpoints without their own series.
const OtherEndpoints = "other"

// endpointFact is an index of one number of an endpoint.
type endpointFact int

const (
	endpointRequestsTotal endpointFact = iota
	endpointFailedRequestsTotal
	endpointRequestsPerSecond
	endpointResponseTimeP50
	endpointResponseTimeP90
	endpointResponseTimeP95
	endpointResponseTimeP99
	// endpointFacts is the number of facts.
	endpointFacts
)

// endpointValues holds a number for each fact; NaN if unknown.
type endpointValues [endpointFacts]float64

func endpointExpositions() [endpointFacts]exposition {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return testDesc("endpoint_"+name, help, append([]string{"method", "endpoint"}, labels...)...)
	}
	counter := func(name, help string) exposition {
		return exposition{desc: desc(name, help), kind: prometheus.CounterValue}
	}
	responseTime := desc("response_time_seconds", "Response time of all requests to the endpoint, by quantile.", "quantile")
	quantile := func(q string) exposition {
		return exposition{desc: responseTime, kind: prometheus.GaugeValue, quantile: q}
	}
	return [endpointFacts]exposition{
		endpointRequestsTotal:       counter("requests_total", "Requests to the endpoint, failed ones included."),
		endpointFailedRequestsTotal: counter("failed_requests_total", "Failed requests to the endpoint."),
		endpointRequestsPerSecond: {
			desc: desc("requests_per_second", "Requests per second to the endpoint in the last seconds; only while the load may run."),
			kind: prometheus.GaugeValue,
		},
		endpointResponseTimeP50: quantile("0.5"),
		endpointResponseTimeP90: quantile("0.9"),
		endpointResponseTimeP95: quantile("0.95"),
		endpointResponseTimeP99: quantile("0.99"),
	}
}

// endpointID identifies an endpoint of a test.
type endpointID struct {
	method, name string
}

// isOther reports whether the endpoint of the user has the labels of the sum.
func (id endpointID) isOther() bool { return id.method == "" && id.name == OtherEndpoints }

// isLabel reports whether the endpoint can be a label. An invalid one would fail the scrape of all tests.
func (id endpointID) isLabel() bool { return utf8.ValidString(id.method) && utf8.ValidString(id.name) }

// clone copies the texts, which may be part of the whole response of Locust.
func (id endpointID) clone() endpointID {
	return endpointID{strings.Clone(id.method), strings.Clone(id.name)}
}

// endpointSeries is an endpoint with its latest values.
type endpointSeries struct {
	endpointID
	values endpointValues
	// seen is true if the latest report has the endpoint.
	seen bool
}

// testEndpoints holds the endpoints of one test.
type testEndpoints struct {
	uid types.UID
	// own are the endpoints with their own series, in the order of their first report, and index their positions. An endpoint is
	// never removed: series that come and go would be new series in Prometheus each time.
	own   []endpointSeries
	index map[endpointID]int
	// other is the sum of all others.
	other endpointSeries
}

func newTestEndpoints(uid types.UID) *testEndpoints {
	return &testEndpoints{
		uid: uid, index: map[endpointID]int{},
		other: endpointSeries{endpointID: endpointID{name: OtherEndpoints}, values: unknownEndpoint()},
	}
}

// ObserveEndpoints replaces the values of the test's endpoints by those of the latest report. The first endpoints of the test, up
// to the limit, have their own series until the test is forgotten, and all others are summed up in the series OtherEndpoints.
//
// An endpoint that the report lacks keeps its counters and quantiles; its rate is unknown. A recreated test, which has another
// UID, inherits nothing. The series appear with those of Observe. The endpoints are not retained.
func (t *Tests) ObserveEndpoints(namespace, name string, uid types.UID, endpoints []report.Endpoint) {
	if t == nil || t.endpointLimit <= 0 {
		return
	}
	test := types.NamespacedName{Namespace: namespace, Name: name}
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.endpoints[test]
	if known == nil || known.uid != uid {
		known = newTestEndpoints(uid)
		t.endpoints[test] = known
	}
	known.observe(endpoints, t.endpointLimit)
}

func (e *testEndpoints) observe(endpoints []report.Endpoint, limit int) {
	for i := range e.own {
		e.own[i].seen = false
		e.own[i].values[endpointRequestsPerSecond] = math.NaN()
	}
	sum := endpointSeries{endpointID: e.other.endpointID}
	decreased := false
	for i := range endpoints {
		now := readEndpoint(&endpoints[i])
		series := e.find(&endpoints[i], limit)
		switch {
		case series == nil:
			sum.add(now)
		case series.seen: // names that are equal after they were shortened
			series.add(now)
		default:
			decreased = decreased || now[endpointRequestsTotal] < series.values[endpointRequestsTotal]
			series.values, series.seen = now, true
		}
	}
	e.setOther(&sum, decreased)
}

// find returns the series of an endpoint; nil if it belongs to the others.
func (e *testEndpoints) find(endpoint *report.Endpoint, limit int) *endpointSeries {
	id := endpointID{endpoint.Method, endpoint.Name}
	i, ok := e.index[id]
	if !ok {
		if len(e.own) >= limit || id.isOther() || !id.isLabel() {
			return nil
		}
		id, i = id.clone(), len(e.own)
		e.own = append(e.own, endpointSeries{endpointID: id, values: unknownEndpoint()})
		e.index[id] = i
	}
	return &e.own[i]
}

// setOther replaces the sum of the others. A report has a limited number of endpoints, not always the same ones. A sum that is
// smaller for this reason must not decrease the counters, because Prometheus takes a decrease for a restart. So the counters
// decrease only if another one decreased too: Locust has reset its statistics.
func (e *testEndpoints) setOther(sum *endpointSeries, reset bool) {
	before := e.other.values
	if !sum.seen {
		e.other.seen = false
		e.other.values[endpointRequestsPerSecond] = math.NaN()
		return
	}
	e.other = *sum
	if reset {
		return
	}
	for _, counter := range []endpointFact{endpointRequestsTotal, endpointFailedRequestsTotal} {
		if before[counter] > sum.values[counter] {
			e.other.values[counter] = before[counter]
		}
	}
}

// add adds the values of another endpoint. The quantiles of both together are unknown.
func (s *endpointSeries) add(v endpointValues) {
	s.seen = true
	for _, sum := range []endpointFact{endpointRequestsTotal, endpointFailedRequestsTotal, endpointRequestsPerSecond} {
		s.values[sum] += v[sum]
	}
	for quantile := endpointResponseTimeP50; quantile < endpointFacts; quantile++ {
		s.values[quantile] = math.NaN()
	}
}

func unknownEndpoint() endpointValues {
	var v endpointValues
	for i := range v {
		v[i] = math.NaN()
	}
	return v
}

func readEndpoint(e *report.Endpoint) endpointValues {
	return endpointValues{
		endpointRequestsTotal:       float64(e.Requests),
		endpointFailedRequestsTotal: float64(e.Failures),
		endpointRequestsPerSecond:   e.RequestsPerSecond,
		endpointResponseTimeP50:     durationSeconds(e.P50),
		endpointResponseTimeP90:     durationSeconds(e.P90),
		endpointResponseTimeP95:     durationSeconds(e.P95),
		endpointResponseTimeP99:     durationSeconds(e.P99),
	}
}

// durationSeconds returns a duration in seconds; NaN if it is nil.
func durationSeconds(d *time.Duration) float64 {
	if d == nil {
		return math.NaN()
	}
	return d.Seconds()
}

// endpointsOf copies the series of a test, so that a slow scrape does not block ObserveEndpoints.
func (t *Tests) endpointsOf(test types.NamespacedName) []endpointSeries {
	t.mu.Lock()
	defer t.mu.Unlock()
	known := t.endpoints[test]
	if known == nil {
		return nil
	}
	all := make([]endpointSeries, 0, len(known.own)+1)
	return append(append(all, known.own...), known.other)
}

// collectEndpoints creates the series of the test's endpoints. Without running load there are no rates, as in the test's own
// series.
func (t *Tests) collectEndpoints(o *observed, metrics chan<- prometheus.Metric) {
	loading := !math.IsNaN(o.values[requestsPerSecond])
	for _, series := range t.endpointsOf(o.test) {
		for i, value := range series.values {
			if math.IsNaN(value) || endpointFact(i) == endpointRequestsPerSecond && !loading {
				continue
			}
			e := t.exposedEndpoint[i]
			labels := []string{o.test.Namespace, o.test.Name, series.method, series.name}
			if e.quantile != "" {
				labels = append(labels, e.quantile)
			}
			metrics <- constant(e.desc, e.kind, value, labels...)
		}
	}
}
