// Package observability tests config/prometheus against the metrics of the operator: the ServiceMonitor selects the
// metrics Service, every expression of the alerts and of the dashboard parses and queries existing series, and the
// alerts fire when they should and not otherwise. It also tests that the overlays of config are consistent: the webhooks reach
// the operator, with the expected certificate.
package observability

import (
	"path/filepath"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// rendered is one object as rendered by kustomize.
type rendered struct {
	apiVersion, kind string
	yaml             []byte
}

// render returns the output of `kustomize build` for a folder of config.
func render(t *testing.T, folder string) []rendered {
	t.Helper()
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "config", folder))
	require.NoError(t, err)
	var all []rendered
	for _, resource := range built.Resources() {
		text, err := resource.AsYAML()
		require.NoError(t, err)
		all = append(all, rendered{resource.GetApiVersion(), resource.GetKind(), text})
	}
	return all
}

// decode returns all objects of a kind. An unknown field is an error.
func decode[T any](t *testing.T, from []rendered, apiVersion, kind string) []T {
	t.Helper()
	var all []T
	for _, r := range from {
		if r.apiVersion != apiVersion || r.kind != kind {
			continue
		}
		var object T
		require.NoError(t, yaml.UnmarshalStrict(r.yaml, &object), "%s", r.yaml)
		all = append(all, object)
	}
	return all
}

// lenient is decode for kinds whose Go types are not available: it ignores fields that T does not have.
func lenient[T any](t *testing.T, from []rendered, kind string) []T {
	t.Helper()
	var all []T
	for _, r := range from {
		if r.kind != kind {
			continue
		}
		var object T
		require.NoError(t, yaml.Unmarshal(r.yaml, &object), "%s", r.yaml)
		all = append(all, object)
	}
	return all
}

// only returns the single object of a kind.
func only[T any](t *testing.T, from []rendered, apiVersion, kind string) T {
	t.Helper()
	all := decode[T](t, from, apiVersion, kind)
	require.Len(t, all, 1, "objects of kind %s", kind)
	return all[0]
}

func monitor(t *testing.T) monitoringv1.ServiceMonitor {
	t.Helper()
	return only[monitoringv1.ServiceMonitor](t, render(t, "prometheus"), monitoringv1.SchemeGroupVersion.String(), monitoringv1.ServiceMonitorsKind)
}

func rules(t *testing.T) monitoringv1.PrometheusRule {
	t.Helper()
	return only[monitoringv1.PrometheusRule](t, render(t, "prometheus"), monitoringv1.SchemeGroupVersion.String(), monitoringv1.PrometheusRuleKind)
}

func dashboardMap(t *testing.T) corev1.ConfigMap {
	t.Helper()
	return only[corev1.ConfigMap](t, render(t, "prometheus"), "v1", "ConfigMap")
}
