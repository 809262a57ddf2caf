package metrics

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/types"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// endpoint returns an endpoint a tenth of whose requests failed, and that made a hundredth of them per second.
func endpoint(method, name string, requests int64) report.Endpoint {
	quantile := func(milliseconds int) *time.Duration { return new(time.Duration(milliseconds) * time.Millisecond) }
	return report.Endpoint{
		Method: method, Name: name, Requests: requests, Failures: requests / 10, RequestsPerSecond: float64(requests) / 100,
		Percentiles: report.Percentiles{P50: quantile(20), P90: quantile(55), P95: quantile(80), P99: quantile(250), P999: quantile(900)},
	}
}

// shop is a running test whose endpoints are observed.
type shop struct {
	*Tests
}

// newShop returns the test with a limit of its endpoints.
func newShop(limit int) shop {
	m := newTests(limit)
	m.Observe(running("shop"))
	return shop{m}
}

func (s shop) report(endpoints ...report.Endpoint) {
	s.ObserveEndpoints("load", "shop", "uid of shop", endpoints)
}

// series returns the values of a metric by method, endpoint and, if it has one, quantile: "GET / 0.5".
func (s shop) series(t *testing.T, name string) map[string]float64 {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	require.NoError(t, registry.Register(s.Tests))
	families, err := registry.Gather()
	require.NoError(t, err)
	all := map[string]float64{}
	for _, family := range families {
		if family.GetName() != "locust_test_endpoint_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, pair := range m.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			require.Equal(t, "load/shop", labels["namespace"]+"/"+labels["name"])
			key := strings.TrimSpace(labels["method"] + " " + labels["endpoint"] + " " + labels["quantile"])
			all[key] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return all
}

func TestEndpoints_Golden(t *testing.T) {
	for golden, endpoints := range map[string][]report.Endpoint{
		"endpoints": {endpoint("GET", "/", 1000), {Method: "GET", Name: "/unused"}},
		// All of them are too many for the limit, in the order of the report.
		"endpoints-others": {endpoint("GET", "/", 1000), endpoint("POST", "/cart", 100), endpoint("GET", "/a", 30), endpoint("PUT", "/b", 20)},
	} {
		t.Run(golden, func(t *testing.T) {
			m := newShop(2)
			m.report(endpoints...)
			matches(t, endpointsOnly(m), golden)
		})
	}
}

// endpointsOnly collects the series of endpoints.
type endpointsOnly struct{ *Tests }

func (e endpointsOnly) Collect(metrics chan<- prometheus.Metric) {
	for _, o := range e.snapshot() {
		e.collectEndpoints(&o, metrics)
	}
}

func TestEndpoints_OffByDefault(t *testing.T) {
	m := newShop(0)
	m.report(endpoint("GET", "/", 1000))
	matches(t, m.Tests, "running")
	assert.Empty(t, m.endpoints)
}

// TestEndpoints_Cardinality: whatever names a test makes up, its series and the operator's memory are bounded.
func TestEndpoints_Cardinality(t *testing.T) {
	const limit = 20
	m := newShop(limit)
	endpoints, series := map[string]bool{}, map[string]bool{}
	for round := range 50 {
		names := make([]report.Endpoint, 0, report.MaxEndpoints)
		for i := range report.MaxEndpoints {
			names = append(names, endpoint("GET", fmt.Sprintf("/product/%d-%d", round, i), 10))
		}
		m.report(names...)

		code, text := scrape(t, m.Tests)
		require.Equal(t, http.StatusOK, code)
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		require.NoError(t, err)
		for name, family := range families {
			for _, metric := range family.GetMetric() {
				if !strings.HasPrefix(name, "locust_test_endpoint_") {
					continue
				}
				series[name+fmt.Sprint(metric.GetLabel())] = true
				for _, label := range metric.GetLabel() {
					if label.GetName() == "endpoint" {
						endpoints[label.GetValue()] = true
					}
				}
			}
		}
	}
	assert.Len(t, endpoints, limit+1)
	assert.Len(t, series, 7*limit+3, "as in docs/metrics.md")
	assert.Contains(t, endpoints, "/product/0-19", "the first endpoints have their own series")
	assert.Contains(t, endpoints, OtherEndpoints)
	kept := m.endpoints[types.NamespacedName{Namespace: "load", Name: "shop"}]
	assert.Len(t, kept.own, limit)
	assert.Len(t, kept.index, limit)
}

func TestEndpoints_KeepTheirSeries(t *testing.T) {
	m := newShop(2)
	m.report(endpoint("GET", "/a", 100))
	m.report(endpoint("GET", "/worse", 900), endpoint("GET", "/worst", 800), endpoint("GET", "/a", 200))
	want := map[string]float64{"GET /a": 200, "GET /worse": 900, "other": 800}
	assert.Equal(t, want, m.series(t, "requests_total"))

	// The report of the worst endpoints lacks /a, which keeps its counters and quantiles.
	m.report(endpoint("GET", "/worst", 900), endpoint("GET", "/worse", 950))
	want["GET /worse"], want["other"] = 950, 900
	assert.Equal(t, want, m.series(t, "requests_total"))
	assert.Equal(t, map[string]float64{"GET /worse": 9.5, "other": 9}, m.series(t, "requests_per_second"))
	assert.Contains(t, m.series(t, "response_time_seconds"), "GET /a 0.95")

	m.report()
	assert.Equal(t, want, m.series(t, "requests_total"))
	assert.Empty(t, m.series(t, "requests_per_second"))
}

func TestEndpoints_SameNameWithOtherMethod(t *testing.T) {
	m := newShop(2)
	m.report(endpoint("GET", "/a", 100), endpoint("POST", "/a", 10))
	assert.Equal(t, map[string]float64{"GET /a": 100, "POST /a": 10}, m.series(t, "requests_total"))
}

// TestEndpoints_CountersDecreaseOnlyWithLocust: Prometheus takes each decrease for a restart.
func TestEndpoints_CountersDecreaseOnlyWithLocust(t *testing.T) {
	m := newShop(1)
	m.report(endpoint("GET", "/a", 100), endpoint("GET", "/b", 50), endpoint("GET", "/c", 50))
	assert.Equal(t, map[string]float64{"GET /a": 100, "other": 100}, m.series(t, "requests_total"))
	m.report(endpoint("GET", "/a", 110), endpoint("GET", "/b", 60))
	assert.Equal(t, map[string]float64{"GET /a": 110, "other": 100}, m.series(t, "requests_total"), "the report lacks /c")
	assert.Equal(t, map[string]float64{"GET /a": 11, "other": 10}, m.series(t, "failed_requests_total"))
	assert.Equal(t, map[string]float64{"GET /a": 1.1, "other": 0.6}, m.series(t, "requests_per_second"))

	m.report(endpoint("GET", "/a", 20), endpoint("GET", "/b", 10), endpoint("GET", "/c", 10))
	assert.Equal(t, map[string]float64{"GET /a": 20, "other": 20}, m.series(t, "requests_total"), "Locust has reset its statistics")
	assert.Equal(t, map[string]float64{"GET /a": 2, "other": 2}, m.series(t, "failed_requests_total"))
}

func TestEndpoints_Other(t *testing.T) {
	m := newShop(2)
	m.report(endpoint("", OtherEndpoints, 100))
	assert.Equal(t, map[string]float64{"other": 100}, m.series(t, "requests_total"))
	assert.Empty(t, m.series(t, "response_time_seconds"), "a sum has no quantiles")

	m.report(endpoint("", OtherEndpoints, 100), endpoint("GET", OtherEndpoints, 30), endpoint("", "task", 20), endpoint("", "more", 10))
	assert.Equal(t, map[string]float64{"GET other": 30, "task": 20, "other": 110}, m.series(t, "requests_total"))
	assert.Len(t, m.series(t, "response_time_seconds"), 8)
}

// TestEndpoints_EqualNames: two names of which only the beginning is left share a series. Two series with equal labels would fail
// the scrape.
func TestEndpoints_EqualNames(t *testing.T) {
	m := newShop(2)
	for range 2 {
		m.report(endpoint("GET", "/long…", 100), endpoint("GET", "/long…", 50))
		assert.Equal(t, map[string]float64{"GET /long…": 150}, m.series(t, "requests_total"))
		assert.Equal(t, map[string]float64{"GET /long…": 15}, m.series(t, "failed_requests_total"))
		assert.Equal(t, map[string]float64{"GET /long…": 1.5}, m.series(t, "requests_per_second"))
		assert.Empty(t, m.series(t, "response_time_seconds"))
	}
}

func TestEndpoints_HostileNames(t *testing.T) {
	names := []string{`"} 1`, "a\nb", `\`, "<script>alert(1)</script>", "{{.Endpoint}}", "ünï/日本", "", " "}
	m := newShop(len(names))
	var endpoints []report.Endpoint
	for i, name := range names {
		endpoints = append(endpoints, endpoint(name, name, int64(i)))
	}
	m.report(append(endpoints, endpoint("GET", "\xff", 7), endpoint("\xff", "/", 8))...)

	code, text := scrape(t, m.Tests)
	require.Equal(t, http.StatusOK, code)
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	require.NoError(t, err)
	var found []string
	for _, metric := range families["locust_test_endpoint_requests_total"].GetMetric() {
		labels := map[string]string{}
		for _, label := range metric.GetLabel() {
			labels[label.GetName()] = label.GetValue()
		}
		if labels["endpoint"] == OtherEndpoints {
			assert.InDelta(t, 15, metric.GetCounter().GetValue(), 0, "names that cannot be labels")
			continue
		}
		assert.Equal(t, labels["endpoint"], labels["method"])
		found = append(found, labels["endpoint"])
	}
	assert.ElementsMatch(t, names, found)
}

func TestEndpoints_NoRateWithoutLoad(t *testing.T) {
	m := newShop(1)
	m.report(endpoint("GET", "/", 100), endpoint("GET", "/b", 50))
	assert.Len(t, m.series(t, "requests_per_second"), 2)
	m.Observe(finished("shop", v2.PhaseSucceeded))
	assert.Empty(t, m.series(t, "requests_per_second"))
	assert.Equal(t, map[string]float64{"GET /": 100, "other": 50}, m.series(t, "requests_total"))
}

func TestEndpoints_Recreated(t *testing.T) {
	m := newShop(1)
	m.report(endpoint("GET", "/old", 100))
	m.ObserveEndpoints("load", "shop", "another", []report.Endpoint{endpoint("GET", "/new", 1)})
	assert.Equal(t, map[string]float64{"GET /new": 1}, m.series(t, "requests_total"))

	recreated := pending("shop")
	recreated.UID = "a third one"
	m.Observe(recreated)
	assert.Empty(t, m.series(t, "requests_total"), "it has not been polled")
	assert.Empty(t, m.endpoints)
}

func TestEndpoints_Forget(t *testing.T) {
	m := newShop(1)
	m.report(endpoint("GET", "/", 100))
	m.Forget("elsewhere", "shop")
	assert.NotEmpty(t, m.series(t, "requests_total"))
	m.Forget("load", "shop")
	matches(t, m.Tests, "new")
	assert.Empty(t, m.endpoints, "nothing is kept of deleted tests")
}

// TestEndpoints_DoNotKeepTheReport: a name may be part of the whole response of Locust.
func TestEndpoints_DoNotKeepTheReport(t *testing.T) {
	m := newShop(1)
	e := endpoint("GET", "/", 100)
	m.report(e)
	m.report(e)
	kept := m.endpoints[types.NamespacedName{Namespace: "load", Name: "shop"}]
	assert.NotSame(t, unsafe.StringData(e.Name), unsafe.StringData(kept.own[0].name))
	for id := range kept.index {
		assert.NotSame(t, unsafe.StringData(e.Name), unsafe.StringData(id.name))
		assert.NotSame(t, unsafe.StringData(e.Method), unsafe.StringData(id.method))
	}
	*e.P50 = time.Hour
	assert.InDelta(t, 0.02, m.series(t, "response_time_seconds")["GET / 0.5"], 1e-9)
	assert.Zero(t, testing.AllocsPerRun(100, func() { m.report(e) }), "an observation keeps nothing of it")
}

func TestEndpoints_UnknownQuantiles(t *testing.T) {
	m := newShop(1)
	e := endpoint("GET", "/", 100)
	e.P90, e.P95 = nil, nil
	m.report(e)
	assert.Equal(t, map[string]float64{"GET / 0.5": 0.02, "GET / 0.99": 0.25}, m.series(t, "response_time_seconds"))
}

// BenchmarkEndpoints serves scrapes of 100 running tests with 20 endpoints.
func BenchmarkEndpoints(b *testing.B) {
	m := New(20)
	for i := range 100 {
		name := fmt.Sprintf("test-%04d", i)
		m.Tests.Observe(running(name))
		var endpoints []report.Endpoint
		for j := range 100 {
			endpoints = append(endpoints, endpoint("GET", fmt.Sprintf("/%s/%d", strings.Repeat("x", 100), j), 100))
		}
		m.Tests.ObserveEndpoints("load", name, types.UID("uid of "+name), endpoints)
	}
	registry := prometheus.NewRegistry()
	require.NoError(b, m.Register(registry))
	benchmarkScrape(b, registry)
}
