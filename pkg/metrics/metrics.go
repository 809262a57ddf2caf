// Package metrics exposes the statuses of the tests (Tests) and the operator's own work (Operator) to Prometheus.
//
// There is no global state: New creates the metrics, Register adds them to a registry. controller-runtime measures the duration
// of reconciles: controller_runtime_reconcile_time_seconds{controller="locusttest"}.
package metrics

import (
	"errors"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics holds all metrics of this package.
type Metrics struct {
	// Tests exposes the tests.
	Tests *Tests
	// Operator exposes the operator's own work.
	Operator *Operator
}

// New returns new metrics. They are not exposed until they are registered. endpointLimit is the maximum number of endpoints per
// test that have their own series; zero disables the series of endpoints.
func New(endpointLimit int) *Metrics {
	return &Metrics{Tests: newTests(endpointLimit), Operator: newOperator()}
}

// Register adds the metrics to a registry, for example controller-runtime's metrics.Registry. It returns an error if one of the
// names is already registered.
func (m *Metrics) Register(registry prometheus.Registerer) error {
	return errors.Join(registry.Register(m.Tests), registry.Register(m.Operator))
}

// fullName matches the metric name in the text of a description, which has no getter for it.
var fullName = regexp.MustCompile(`fqName: "([^"]+)"`)

// Names returns the names of all metrics of this package, sorted. A histogram is one name, the prefix of its series.
func Names() []string {
	m := New(0)
	descs := make(chan *prometheus.Desc)
	go func() {
		m.Tests.Describe(descs)
		m.Operator.Describe(descs)
		close(descs)
	}()
	var names []string
	for desc := range descs {
		names = append(names, fullName.FindStringSubmatch(desc.String())[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}
