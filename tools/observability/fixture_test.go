package observability

import (
	"context"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	promqlengine "github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
)

var t0 = time.Date(2026, time.January, 2, 3, 0, 0, 0, time.UTC)

// example returns a test with a complete status for the phase.
func example(name, phase string) *v2.LocustTest {
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: "load", Name: name}}
	s := &test.Status
	s.Phase, s.ExpectedWorkers = phase, 3
	if phase == v2.PhasePending {
		delivered(test, metav1.ConditionUnknown, v2.ReasonLoadNotStarted)
		return test
	}
	delivered(test, metav1.ConditionTrue, v2.ReasonLoadAsPlanned)
	s.ConnectedWorkers, s.StartTime = 3, new(metav1.NewTime(t0))
	s.Progress = &v2.Progress{CurrentUsers: 100, TargetUsers: new(int32(100)), Percent: new(int32(50))}
	some := &metav1.Duration{Duration: 30 * time.Millisecond}
	s.TestResult = &v2.TestResult{
		RequestsPerSecond: "40", TotalRequests: 1000, FailedRequests: 1, FailureRatio: "0.001",
		AverageResponseTime: some, P50: some, P90: some, P95: some, P99: some,
	}
	if s.IsTerminal() {
		s.CompletionTime, s.TestResult.Final = new(metav1.NewTime(t0.Add(time.Minute))), true
	}
	return test
}

// endpointLimit is the value of --endpoint-metrics.
const endpointLimit = 2

// observeEndpoints exposes endpoints of a test: two with their own series, and two without.
func observeEndpoints(m *metrics.Tests, test *v2.LocustTest) {
	if test.Status.TestResult == nil {
		return
	}
	some := new(30 * time.Millisecond)
	endpoints := []report.Endpoint{{Method: "GET", Name: "/"}, {Method: "POST", Name: "/cart"}, {Method: "GET", Name: "/a"}, {Method: "GET", Name: "/b"}}
	for i := range endpoints {
		e := &endpoints[i]
		e.Requests, e.Failures, e.RequestsPerSecond = test.Status.TestResult.TotalRequests/4, test.Status.TestResult.FailedRequests/4, 10
		e.Percentiles = report.Percentiles{P50: some, P90: some, P95: some, P99: some}
	}
	m.ObserveEndpoints(test.Namespace, test.Name, test.UID, endpoints)
}

// delivered sets the condition LoadDelivered.
func delivered(test *v2.LocustTest, status metav1.ConditionStatus, reason string) {
	test.Status.Conditions = []metav1.Condition{{Type: v2.ConditionTypeLoadDelivered, Status: status, Reason: reason}}
}

// fixture is an operator that Prometheus scrapes, with the stored series.
type fixture struct {
	*metrics.Metrics
	reconcileErrors *prometheus.CounterVec
	target          map[string]string
	honorLabels     bool

	now      time.Time
	registry *prometheus.Registry
	history  history
	last     map[string]labels.Labels
	// gone is set while there is no target to scrape.
	gone   bool
	engine *promqlengine.Engine
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	w := &fixture{target: targetOf(t), honorLabels: monitor(t).Spec.Endpoints[0].HonorLabels, now: t0, history: history{}}
	w.engine = promqlengine.NewEngine(promqlengine.EngineOpts{
		MaxSamples: 1e6, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: promql,
	})
	w.start(t)
	return w
}

// start starts or restarts the operator: its counters are reset, and its pod has another name.
func (w *fixture) start(t *testing.T) {
	t.Helper()
	w.Metrics, w.registry = metrics.New(endpointLimit), prometheus.NewPedanticRegistry()
	require.NoError(t, w.Register(w.registry))
	w.reconcileErrors = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "controller_runtime_reconcile_errors_total", Help: "Replaces controller-runtime's own.",
	}, []string{"controller"})
	w.reconcileErrors.WithLabelValues(controllerName(t))
	w.registry.MustRegister(w.reconcileErrors)
	w.target = maps.Clone(w.target)
	w.target["pod"] += "x"
}

// scrape stores series as a scrape by Prometheus does; families are exposed in addition to the operator's own.
func (w *fixture) scrape(t *testing.T, answers bool, families ...*dto.MetricFamily) {
	t.Helper()
	if w.gone {
		w.vanish()
		return
	}
	scraped := map[string]labels.Labels{}
	up := 0.0
	if answers {
		up = 1
		own, err := w.registry.Gather()
		require.NoError(t, err)
		for _, p := range points(append(own, families...)) {
			series := w.stored(p)
			scraped[series.String()] = series
			w.history.append(series, w.now, p.value)
		}
	}
	for key, series := range w.last {
		if _, there := scraped[key]; !there {
			w.history.append(series, w.now, math.Float64frombits(value.StaleNaN))
		}
	}
	w.last = scraped
	w.history.append(w.stored(point{name: "up"}), w.now, up)
}

// vanish marks series as stale, as Prometheus does when the target is gone.
func (w *fixture) vanish() {
	for _, series := range w.last {
		w.history.append(series, w.now, math.Float64frombits(value.StaleNaN))
	}
	w.last = nil
	w.history.append(w.stored(point{name: "up"}), w.now, math.Float64frombits(value.StaleNaN))
}

// stored returns the labels with which Prometheus stores a series.
func (w *fixture) stored(p point) labels.Labels {
	b := labels.NewBuilder(labels.FromMap(w.target))
	b.Set(model.MetricNameLabel, p.name)
	for name, value := range p.labels {
		if _, taken := w.target[name]; taken && !w.honorLabels {
			name = "exported_" + name
		}
		b.Set(name, value)
	}
	return b.Labels()
}

// query evaluates an expression at the current time.
func (w *fixture) query(t *testing.T, expression string) promqlengine.Vector {
	t.Helper()
	query, err := w.engine.NewInstantQuery(t.Context(), w.history, nil, expression, w.now)
	require.NoError(t, err, expression)
	defer query.Close()
	result := query.Exec(t.Context())
	require.NoError(t, result.Err, expression)
	require.Empty(t, result.Warnings.AsErrors(), expression)
	vector, err := result.Vector()
	require.NoError(t, err, expression)
	return slices.Clone(vector)
}

// history has the stored series of Prometheus, by the text of their labels.
type history map[string]*recorded

type recorded struct {
	labels  labels.Labels
	samples []chunks.Sample
}

func (h history) append(series labels.Labels, at time.Time, value float64) {
	key := series.String()
	if h[key] == nil {
		h[key] = &recorded{labels: series}
	}
	h[key].samples = append(h[key].samples, sample{at.UnixMilli(), value})
}

// Querier implements storage.Queryable.
func (h history) Querier(int64, int64) (storage.Querier, error) {
	return querier{history: h}, nil
}

// querier selects series from the history. It returns all samples of a series: none is later than
// a query.
type querier struct {
	storage.LabelQuerier
	history history
}

// Close implements storage.LabelQuerier.
func (querier) Close() error { return nil }

// Select implements storage.Querier.
func (q querier) Select(_ context.Context, _ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	set := &seriesSet{}
	for _, key := range slices.Sorted(maps.Keys(q.history)) {
		r := q.history[key]
		if !slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(r.labels.Get(m.Name)) }) {
			set.left = append(set.left, storage.NewListSeries(r.labels, r.samples))
		}
	}
	return set
}

type seriesSet struct {
	at   storage.Series
	left []storage.Series
}

func (s *seriesSet) Next() bool {
	if len(s.left) == 0 {
		return false
	}
	s.at, s.left = s.left[0], s.left[1:]
	return true
}

func (s *seriesSet) At() storage.Series                { return s.at }
func (s *seriesSet) Err() error                        { return nil }
func (s *seriesSet) Warnings() annotations.Annotations { return nil }

// sample is a number at a time, in milliseconds.
type sample struct {
	t int64
	f float64
}

func (s sample) T() int64                      { return s.t }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.f }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }
