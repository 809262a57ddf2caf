package metrics

import (
	"math"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Tests exposes the statuses of the tests. It keeps the latest status of each test and creates the series at each scrape:
// deleted tests and unknown facts have no series.
//
// Tests is safe for concurrent use. A nil Tests discards all calls.
type Tests struct {
	phase         *prometheus.Desc
	loadDelivered *prometheus.Desc
	exposed       [facts]exposition

	exposedEndpoint [endpointFacts]exposition
	// endpointLimit is the maximum number of endpoints per test with their own series; zero disables the series of endpoints.
	endpointLimit int

	mu        sync.Mutex
	latest    map[types.NamespacedName]reading
	endpoints map[types.NamespacedName]*testEndpoints
}

// reading holds the exposed values of one test.
type reading struct {
	phase  string
	load   loadDelivered
	values values
}

// loadDelivered is the condition LoadDelivered. An empty reason means that the status does not have it yet.
type loadDelivered struct {
	reason string
	value  float64
}

func readLoadDelivered(s *v2.LocustTestStatus) loadDelivered {
	c := meta.FindStatusCondition(s.Conditions, v2.ConditionTypeLoadDelivered)
	if c == nil {
		return loadDelivered{}
	}
	switch c.Status {
	case metav1.ConditionTrue:
		return loadDelivered{c.Reason, 1}
	case metav1.ConditionFalse:
		return loadDelivered{c.Reason, 0}
	default:
		return loadDelivered{c.Reason, -1}
	}
}

// observed is a reading and its test.
type observed struct {
	test types.NamespacedName
	reading
}

func newTests(endpointLimit int) *Tests {
	return &Tests{
		phase: testDesc("phase", "The phase of the test, as a label; the value is always 1.", "phase"),
		loadDelivered: testDesc("load_delivered",
			"The condition LoadDelivered of the test, with its reason as a label: 1 for True, 0 for False, -1 for Unknown.", "reason"),
		exposed:         expositions(),
		exposedEndpoint: endpointExpositions(),
		endpointLimit:   endpointLimit,
		latest:          map[types.NamespacedName]reading{},
		endpoints:       map[types.NamespacedName]*testEndpoints{},
	}
}

// Observe replaces the values of the test by those of its latest status; a recreated test inherits nothing. The test is not
// retained and may be modified afterwards.
func (t *Tests) Observe(test *v2.LocustTest) {
	if t == nil {
		return
	}
	now := reading{phase: test.Status.Phase, load: readLoadDelivered(&test.Status), values: read(&test.Status)}
	key := types.NamespacedName{Namespace: test.Namespace, Name: test.Name}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.latest[key] = now
	if known := t.endpoints[key]; known != nil && known.uid != test.UID {
		delete(t.endpoints, key)
	}
}

// Forget removes the series of a test, if any.
func (t *Tests) Forget(namespace, name string) {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	test := types.NamespacedName{Namespace: namespace, Name: name}
	delete(t.latest, test)
	delete(t.endpoints, test)
}

// Describe implements prometheus.Collector.
func (t *Tests) Describe(descs chan<- *prometheus.Desc) {
	descs <- t.phase
	descs <- t.loadDelivered
	for i := range t.exposed {
		descs <- t.exposed[i].desc
	}
	for i := range t.exposedEndpoint {
		descs <- t.exposedEndpoint[i].desc
	}
}

// Collect implements prometheus.Collector.
func (t *Tests) Collect(metrics chan<- prometheus.Metric) {
	for _, o := range t.snapshot() {
		namespace, name := o.test.Namespace, o.test.Name
		if o.phase != "" {
			metrics <- constant(t.phase, prometheus.GaugeValue, 1, namespace, name, o.phase)
		}
		if o.load.reason != "" {
			metrics <- constant(t.loadDelivered, prometheus.GaugeValue, o.load.value, namespace, name, o.load.reason)
		}
		for i, value := range o.values {
			if math.IsNaN(value) {
				continue
			}
			e := t.exposed[i]
			if e.quantile == "" {
				metrics <- constant(e.desc, e.kind, value, namespace, name)
			} else {
				metrics <- constant(e.desc, e.kind, value, namespace, name, e.quantile)
			}
		}
		t.collectEndpoints(&o, metrics)
	}
}

// snapshot copies all readings, so that a slow scrape does not block Observe.
func (t *Tests) snapshot() []observed {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]observed, 0, len(t.latest))
	for test, r := range t.latest {
		all = append(all, observed{test, r})
	}
	return all
}

// constant returns one series. An invalid label fails the scrape with an error instead of a panic.
func constant(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) prometheus.Metric {
	metric, err := prometheus.NewConstMetric(desc, kind, value, labels...)
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return metric
}
