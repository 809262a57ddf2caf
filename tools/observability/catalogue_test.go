package observability

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	ctrlmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
)

// point is one series with its value.
type point struct {
	name   string
	labels map[string]string
	value  float64
}

// points returns the series that Prometheus creates from gathered metrics, with classic histograms.
func points(families []*dto.MetricFamily) []point {
	var all []point
	for _, family := range families {
		for _, m := range family.GetMetric() {
			own := map[string]string{}
			for _, pair := range m.GetLabel() {
				own[pair.GetName()] = pair.GetValue()
			}
			add := func(suffix string, value float64, extra ...string) {
				p := point{family.GetName() + suffix, maps.Clone(own), value}
				for i := 0; i < len(extra); i += 2 {
					p.labels[extra[i]] = extra[i+1]
				}
				all = append(all, p)
			}
			switch {
			case m.Counter != nil:
				add("", m.Counter.GetValue())
			case m.Gauge != nil:
				add("", m.Gauge.GetValue())
			case m.Histogram != nil:
				for _, bucket := range m.Histogram.GetBucket() {
					add("_bucket", float64(bucket.GetCumulativeCount()), "le", fmt.Sprint(bucket.GetUpperBound()))
				}
				add("_bucket", float64(m.Histogram.GetSampleCount()), "le", "+Inf")
				add("_sum", m.Histogram.GetSampleSum())
				add("_count", float64(m.Histogram.GetSampleCount()))
			}
		}
	}
	return all
}

// catalogue has all possible series: name → label → its possible values. A label without values can have any value.
type catalogue map[string]map[string][]string

// add adds a series.
func (c catalogue) add(p point) {
	if c[p.name] == nil {
		c[p.name] = map[string][]string{}
	}
	for name, value := range p.labels {
		if isOpen(p.name, name) {
			c[p.name][name] = nil
		} else if !slices.Contains(c[p.name][name], value) {
			c[p.name][name] = append(c[p.name][name], value)
		}
	}
}

// isOpen reports whether users choose the values of a label.
func isOpen(metric, label string) bool {
	switch label {
	case "namespace", "name":
		return strings.HasPrefix(metric, "locust_test_")
	case "method", "endpoint":
		return strings.HasPrefix(metric, "locust_test_endpoint_")
	}
	return false
}

// exposed returns the series that the operator exposes, as Prometheus stores them.
func exposed(t *testing.T) catalogue {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	m := metrics.New(endpointLimit)
	require.NoError(t, m.Register(registry))
	for _, phase := range []string{v2.PhasePending, v2.PhaseRunning, v2.PhaseSucceeded, v2.PhaseFailed} {
		test := example("test-"+strings.ToLower(phase), phase)
		m.Tests.Observe(test)
		observeEndpoints(m.Tests, test)
	}
	families, err := registry.Gather()
	require.NoError(t, err)
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	require.Equal(t, metrics.Names(), names, "the examples produce every metric")

	c := catalogue{}
	for _, p := range slices.Concat(points(families), points(controllerFamilies(t)), []point{{name: "up"}}) {
		c.add(p)
	}
	// The labels that Prometheus adds to every series of a target.
	target := targetOf(t)
	for _, known := range c {
		for _, label := range slices.Sorted(maps.Keys(target)) {
			if _, taken := known[label]; !taken {
				known[label] = nil
			}
		}
		known["job"] = []string{target["job"]}
	}
	return c
}

// targetOf returns the labels of the operator as a target, according to the Prometheus operator.
func targetOf(t *testing.T) map[string]string {
	t.Helper()
	m := monitor(t)
	service, _ := metricsService(t, &m)
	return map[string]string{
		"job": service.Labels[m.Spec.JobLabel], "namespace": service.Namespace, "service": service.Name,
		"endpoint": m.Spec.Endpoints[0].Port, "container": "manager", "pod": "manager-0", "instance": "10.0.0.1:8443",
	}
}

var named = regexp.MustCompile(`Named\("([^"]+)"\)`)

// controllerName returns the name of the reconciler's controller.
func controllerName(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, "controllers", "setup.go"))
	require.NoError(t, err)
	found := named.FindSubmatch(source)
	require.NotNil(t, found, "controllers/setup.go sets the name of the controller")
	return string(found[1])
}

var runOnce sync.Once

// controllerFamilies returns controller-runtime's own metrics of a controller with the reconciler's name that has reconciled.
func controllerFamilies(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	runOnce.Do(func() { runController(t, controllerName(t)) })
	all, err := ctrlmetrics.Registry.Gather()
	require.NoError(t, err)
	return slices.DeleteFunc(all, func(family *dto.MetricFamily) bool {
		return !strings.HasPrefix(family.GetName(), "controller_runtime_") && !strings.HasPrefix(family.GetName(), "workqueue_")
	})
}

// runController runs a controller until it has reconciled once.
func runController(t *testing.T, name string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c, err := controller.NewUnmanaged(name, controller.Options{
		Reconciler: reconcile.Func(func(context.Context, reconcile.Request) (reconcile.Result, error) {
			return reconcile.Result{}, nil
		}),
	})
	require.NoError(t, err)
	require.NoError(t, c.Watch(source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[reconcile.Request]) error {
		queue.Add(reconcile.Request{})
		return nil
	})))
	stopped := make(chan error)
	go func() { stopped <- c.Start(ctx) }()
	require.Eventually(t, func() bool {
		families, err := ctrlmetrics.Registry.Gather()
		return err == nil && slices.ContainsFunc(points(families), func(p point) bool {
			return p.name == "controller_runtime_reconcile_time_seconds_count" && p.value > 0
		})
	}, 10*time.Second, 10*time.Millisecond)
	cancel()
	require.NoError(t, <-stopped)
}

var promql = parser.NewParser(parser.Options{})

// problems returns the parts of an expression that cannot have a result.
func (c catalogue) problems(expression string) []string {
	parsed, err := promql.ParseExpr(expression)
	if err != nil {
		return []string{err.Error()}
	}
	var found []string
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			found = append(found, c.selectorProblems(n)...)
		case *parser.AggregateExpr:
			found = append(found, c.unknownLabels(n.Expr, n.Grouping)...)
		case *parser.BinaryExpr:
			if n.VectorMatching != nil {
				found = append(found, c.unknownLabels(n.LHS, n.VectorMatching.MatchingLabels)...)
				found = append(found, c.unknownLabels(n.RHS, n.VectorMatching.MatchingLabels)...)
			}
		}
		return nil
	})
	return found
}

func (c catalogue) selectorProblems(s *parser.VectorSelector) []string {
	known, ok := c[s.Name]
	if !ok {
		return []string{fmt.Sprintf("no metric matches %s", s)}
	}
	var found []string
	for _, matcher := range s.LabelMatchers {
		if matcher.Name == model.MetricNameLabel {
			continue
		}
		values, ok := known[matcher.Name]
		switch {
		case !ok:
			found = append(found, fmt.Sprintf("%s has no label %s", s.Name, matcher.Name))
		case values != nil && !slices.ContainsFunc(values, matcher.Matches):
			found = append(found, fmt.Sprintf("%s: no value of the label matches %s, values are %q", s.Name, matcher, values))
		}
	}
	return found
}

// unknownLabels returns the wanted labels that no series of an expression has.
func (c catalogue) unknownLabels(expr parser.Expr, wanted []string) []string {
	var found []string
	for _, selectors := range parser.ExtractSelectors(expr) {
		for _, matcher := range selectors {
			if matcher.Name != model.MetricNameLabel || c[matcher.Value] == nil {
				continue
			}
			for _, label := range wanted {
				if _, ok := c[matcher.Value][label]; !ok {
					found = append(found, fmt.Sprintf("%s has no label %s", matcher.Value, label))
				}
			}
		}
	}
	return found
}

func TestCatalogue_FindsProblems(t *testing.T) {
	c := exposed(t)
	for expression, want := range map[string]string{
		`locust_test_users{`:                                                    "parse error",
		`locust_test_user`:                                                      "no metric matches locust_test_user",
		`sum(rate(locust_test_requests[5m]))`:                                   "no metric matches locust_test_requests",
		`{namespace="load"}`:                                                    "no metric matches",
		`locust_test_users_bucket`:                                              "no metric matches",
		`locust_operator_locust_poll_duration_seconds`:                          "no metric matches",
		`locust_test_users{test="shop"}`:                                        "locust_test_users has no label test",
		`sum by (test) (locust_test_users)`:                                     "locust_test_users has no label test",
		`locust_test_users and on (uid) up`:                                     "has no label uid",
		`locust_test_phase{phase="Completed"}`:                                  `no value of the label matches phase="Completed"`,
		`locust_test_response_time_seconds{quantile="1"}`:                       `no value of the label matches quantile="1"`,
		`sum by (method) (locust_test_requests_total)`:                          "locust_test_requests_total has no label method",
		`locust_test_endpoint_response_time_seconds{quantile="0.999"}`:          `no value of the label matches quantile="0.999"`,
		`locust_operator_status_writes_total{result=~"failed|denied"}`:          "no value of the label matches",
		`controller_runtime_reconcile_errors_total{controller="locust"}`:        "no value of the label matches",
		`up{job="locust-operator"}`:                                             "no value of the label matches",
		`histogram_quantile(0.9, controller_runtime_reconcile_time_seconds)`:    "no metric matches",
		`rate(controller_runtime_reconcile_time_seconds_bucket{le="7777"}[5m])`: "no value of the label matches",
	} {
		found := c.problems(expression)
		if assert.NotEmpty(t, found, expression) {
			assert.Contains(t, strings.Join(found, "; "), want, expression)
		}
	}
	for _, expression := range []string{
		`locust_test_users{namespace="any", name=~"any.*"}`,
		`locust_test_endpoint_requests_total{method="PATCH", endpoint="/any"}`,
		`up{job="locust-k8s-operator", pod=~"manager.*"}`,
		`max by (namespace, pod) (workqueue_depth{name="locusttest"})`,
	} {
		assert.Empty(t, c.problems(expression), expression)
	}
}
