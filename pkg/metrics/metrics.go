// Package metrics tells Prometheus what the operator knows: of each test what its status says (Tests), and of the
// operator itself how its work goes (Operator).
//
// Nothing here is global: New makes the metrics, Register adds them to a registry. How long a reconciliation takes is
// not here, because controller-runtime measures it: controller_runtime_reconcile_time_seconds{controller="locusttest"}.
package metrics

import (
	"errors"
	"regexp"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are all metrics of this package.
type Metrics struct {
	// Tests is told about the tests.
	Tests *Tests
	// Operator is told about the operator's own work.
	Operator *Operator
}

// New makes the metrics. They are not exposed until they are registered.
func New() *Metrics {
	return &Metrics{Tests: newTests(), Operator: newOperator()}
}

// Register adds the metrics to a registry, for example controller-runtime's metrics.Registry. It fails when one of
// the names is taken there.
func (m *Metrics) Register(registry prometheus.Registerer) error {
	return errors.Join(registry.Register(m.Tests), registry.Register(m.Operator))
}

// fullName finds the name in a description, which tells it only as text.
var fullName = regexp.MustCompile(`fqName: "([^"]+)"`)

// Names are the names of all metrics that this package exposes, sorted. A histogram counts once, by the name that its
// series start with.
func Names() []string {
	m := New()
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
