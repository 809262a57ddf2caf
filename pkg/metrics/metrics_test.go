package metrics

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

var update = flag.Bool("update", false, "write the golden files in testdata")

var t0 = time.Date(2026, time.January, 2, 3, 4, 5, 0, time.UTC)

// named returns a test with an empty status.
func named(name string) *v2.LocustTest {
	return &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: "load", Name: name, UID: types.UID("uid of " + name)}}
}

// pending returns a test that has been observed once.
func pending(name string) *v2.LocustTest {
	test := named(name)
	test.Status = v2.LocustTestStatus{Phase: v2.PhasePending, ExpectedWorkers: 3, Workers: "0/3"}
	return delivering(test, metav1.ConditionUnknown, v2.ReasonLoadNotStarted)
}

// delivering adds the condition LoadDelivered to a test, beside another one.
func delivering(test *v2.LocustTest, status metav1.ConditionStatus, reason string) *v2.LocustTest {
	test.Status.Conditions = []metav1.Condition{
		{Type: v2.ConditionTypeReady, Status: metav1.ConditionTrue, Reason: v2.ReasonResourcesCreated},
		{Type: v2.ConditionTypeLoadDelivered, Status: status, Reason: reason},
	}
	return test
}

// running returns a test with every fact except the completion time.
func running(name string) *v2.LocustTest {
	test := pending(name)
	s := &test.Status
	s.Phase, s.ConnectedWorkers, s.Workers, s.StartTime = v2.PhaseRunning, 2, "2/3", at(0)
	s.Progress = &v2.Progress{CurrentUsers: 80, TargetUsers: ptr.To[int32](100), StartTime: at(5 * time.Second), Percent: ptr.To[int32](25)}
	s.TestResult = &v2.TestResult{
		Source: v2.ResultSourceWebAPI, TotalRequests: 4000, FailedRequests: 10, FailureRatio: "0.0025", RequestsPerSecond: "41.7",
		AverageResponseTime: milliseconds(31), P50: milliseconds(20), P90: milliseconds(55), P95: milliseconds(80), P99: milliseconds(250),
	}
	return delivering(test, metav1.ConditionTrue, v2.ReasonLoadAsPlanned)
}

// finished returns a test with a final result. Like any status it keeps the last users and workers.
func finished(name, phase string) *v2.LocustTest {
	test := running(name)
	test.Status.Phase, test.Status.CompletionTime = phase, at(time.Minute)
	test.Status.Progress.Percent = ptr.To[int32](100)
	test.Status.TestResult.Final, test.Status.TestResult.Source = true, v2.ResultSourceReporter
	return test
}

func at(later time.Duration) *metav1.Time {
	return ptr.To(metav1.NewTime(t0.Add(later)))
}

func milliseconds(n int) *metav1.Duration {
	return &metav1.Duration{Duration: time.Duration(n) * time.Millisecond}
}

func TestTests_Golden(t *testing.T) {
	loadOver := running("over")
	loadOver.Status.TestResult.Final = true
	noWebAPI := running("mute")
	noWebAPI.Status.Progress, noWebAPI.Status.TestResult = nil, nil
	sparse := running("sparse")
	sparse.Status.Progress.TargetUsers, sparse.Status.Progress.Percent = nil, nil
	sparse.Status.TestResult = &v2.TestResult{FailureRatio: "0", RequestsPerSecond: "no number"}
	older := running("older")
	older.Status.Conditions = older.Status.Conditions[:1]

	for golden, tests := range map[string][]*v2.LocustTest{
		"new":        {named("new")},
		"pending":    {pending("early")},
		"running":    {running("shop")},
		"load-over":  {loadOver},
		"no-web-api": {noWebAPI},
		"sparse":     {sparse},
		"load-not-delivered": {
			delivering(running("silent"), metav1.ConditionFalse, v2.ReasonNoRequests),
			delivering(finished("cut", v2.PhaseFailed), metav1.ConditionFalse, v2.ReasonLoadCutShort),
			delivering(running("unseen"), metav1.ConditionUnknown, v2.ReasonNotObserved),
			older,
		},
		"finished": {finished("good", v2.PhaseSucceeded), finished("bad", v2.PhaseFailed)},
	} {
		t.Run(golden, func(t *testing.T) {
			m := newTests(0)
			for _, test := range tests {
				m.Observe(test)
			}
			matches(t, m, golden)
		})
	}
}

// matches compares a scrape with a file in testdata.
func matches(t *testing.T, c prometheus.Collector, golden string) {
	t.Helper()
	file := filepath.Join("testdata", golden+".txt")
	_, got := scrape(t, c)
	if *update {
		require.NoError(t, os.WriteFile(file, []byte(got), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	assert.Equal(t, string(want), got)
}

// scrape returns the HTTP status and the text of a scrape.
func scrape(t *testing.T, c prometheus.Collector) (code int, text string) {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(c))
	response := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	return response.Code, response.Body.String()
}

func TestTests_Recreated(t *testing.T) {
	m := newTests(0)
	m.Observe(finished("again", v2.PhaseFailed))
	recreated := pending("again")
	recreated.UID = "another"
	m.Observe(recreated)
	matches(t, m, "recreated")
}

func TestTests_Forget(t *testing.T) {
	m := newTests(0)
	m.Observe(running("shop"))
	m.Observe(running("gone"))
	m.Forget("load", "gone")
	m.Forget("elsewhere", "shop")
	m.Forget("load", "never seen")
	matches(t, m, "running")

	m.Forget("load", "shop")
	matches(t, m, "new")
	assert.Empty(t, m.latest, "nothing is kept of deleted tests")
}

func TestTests_DoesNotKeepTheTest(t *testing.T) {
	m := newTests(0)
	test := running("shop")
	m.Observe(test)
	*test.Status.Progress.TargetUsers, test.Status.TestResult.TotalRequests = 7, 7
	test.Status.TestResult.P50.Duration = time.Hour
	matches(t, m, "running")
}

func TestTests_BadLabelFailsTheScrape(t *testing.T) {
	m := newTests(0)
	m.Observe(running("\xff"))
	code, text := scrape(t, m)
	assert.Equal(t, http.StatusInternalServerError, code)
	assert.Contains(t, text, "is not valid UTF-8")
}

func TestTests_Concurrency(t *testing.T) {
	m := newTests(0)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := range 200 {
				name := fmt.Sprintf("test-%d", (worker+i)%5)
				m.Observe(running(name))
				if i%3 == 0 {
					m.Forget("load", name)
				}
				if i%20 == 0 {
					scrape(t, m)
				}
			}
		})
	}
	wg.Wait()
	for i := range 5 {
		m.Forget("load", fmt.Sprintf("test-%d", i))
	}
	matches(t, m, "new")
}

func TestTests_ObserveAllocatesNothing(t *testing.T) {
	m := newTests(0)
	test := running("shop")
	m.Observe(test)
	assert.Zero(t, testing.AllocsPerRun(100, func() { m.Observe(test) }))
}

func TestOperator_Golden(t *testing.T) {
	matches(t, newOperator(), "operator-idle")

	o := newOperator()
	o.StatusWrite(KindTransition, ResultWritten)
	o.StatusWrite(KindRefresh, ResultWritten)
	o.StatusWrite(KindRefresh, ResultWritten)
	o.StatusWrite(KindRefresh, ResultConflict)
	o.StatusWrite(KindTransition, ResultError)
	o.Poll(20*time.Millisecond, nil)
	o.Poll(30*time.Millisecond, nil)
	o.Poll(2*time.Second, errors.New("no response"))
	matches(t, o, "operator-busy")
}

func TestNil_IsNoPanic(*testing.T) {
	var m Metrics
	m.Tests.Observe(running("shop"))
	m.Tests.Forget("load", "shop")
	m.Tests.ObserveEndpoints("load", "shop", "uid of shop", []report.Endpoint{endpoint("GET", "/", 1)})
	m.Operator.StatusWrite(KindRefresh, ResultWritten)
	m.Operator.Poll(time.Second, nil)
}

func TestRegister(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, full().Register(registry))
	assert.Error(t, New(0).Register(registry), "the names are already registered")

	families, err := registry.Gather()
	require.NoError(t, err)
	var exposed []string
	for _, family := range families {
		exposed = append(exposed, family.GetName())
	}
	assert.Equal(t, exposed, Names(), "each described metric is exposed by the same name")
}

// full returns metrics with all series.
func full() *Metrics {
	m := New(1)
	m.Tests.Observe(running("shop"))
	m.Tests.Observe(finished("good", v2.PhaseSucceeded))
	m.Tests.ObserveEndpoints("load", "shop", "uid of shop", []report.Endpoint{endpoint("GET", "/", 100), endpoint("GET", "/cart", 50)})
	return m
}

func TestLint(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, full().Register(registry))
	families, err := registry.Gather()
	require.NoError(t, err)
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	require.NoError(t, err)
	var found []string
	for _, p := range problems {
		found = append(found, p.Metric+": "+p.Text)
	}
	// A summary would need the sum of all response times. Locust reports a rounded average: a sum computed from it would
	// decrease now and then, and Prometheus takes a decrease for a restart.
	assert.Equal(t, []string{
		`locust_test_endpoint_response_time_seconds: non-summary metrics should not have "quantile" label`,
		`locust_test_response_time_seconds: non-summary metrics should not have "quantile" label`,
	}, slices.Compact(found))
}

func BenchmarkObserve(b *testing.B) {
	m := newTests(0)
	test := running("shop")
	b.ReportAllocs()
	for b.Loop() {
		m.Observe(test)
	}
}

// BenchmarkScrape1000 serves scrapes of 1,000 running tests.
func BenchmarkScrape1000(b *testing.B) {
	m := New(0)
	for i := range 1000 {
		m.Tests.Observe(running(fmt.Sprintf("test-%04d", i)))
	}
	registry := prometheus.NewRegistry()
	require.NoError(b, m.Register(registry))
	benchmarkScrape(b, registry)
}

func benchmarkScrape(b *testing.B, registry *prometheus.Registry) {
	b.Helper()
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	b.ReportAllocs()
	for b.Loop() {
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
		b.SetBytes(int64(response.Body.Len()))
	}
}
