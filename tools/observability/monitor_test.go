package observability

import (
	"fmt"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// metricsService returns the Service of config/default that the ServiceMonitor selects, with its port.
func metricsService(t *testing.T, m *monitoringv1.ServiceMonitor) (corev1.Service, corev1.ServicePort) {
	t.Helper()
	selector, err := metav1.LabelSelectorAsSelector(&m.Spec.Selector)
	require.NoError(t, err)
	require.Equal(t, monitoringv1.NamespaceSelector{}, m.Spec.NamespaceSelector, "the monitor selects only in its own namespace")
	require.Len(t, m.Spec.Endpoints, 1)

	var selected []corev1.Service
	for _, service := range decode[corev1.Service](t, render(t, "default"), "v1", "Service") {
		if service.Namespace == m.Namespace && selector.Matches(labels.Set(service.Labels)) {
			selected = append(selected, service)
		}
	}
	require.Len(t, selected, 1, "Services that the monitor selects")
	for _, port := range selected[0].Spec.Ports {
		if port.Name == m.Spec.Endpoints[0].Port {
			return selected[0], port
		}
	}
	require.Failf(t, "no such port", "Service %s has no port %q", selected[0].Name, m.Spec.Endpoints[0].Port)
	return corev1.Service{}, corev1.ServicePort{}
}

func TestMonitor_FindsTheMetricsServer(t *testing.T) {
	m := monitor(t)
	service, port := metricsService(t, &m)

	deployment := only[appsv1.Deployment](t, render(t, "default"), "apps/v1", "Deployment")
	pod := deployment.Spec.Template
	assert.Equal(t, service.Namespace, deployment.Namespace)
	assert.True(t, labels.SelectorFromSet(service.Spec.Selector).Matches(labels.Set(pod.Labels)), "the Service selects the operator's pod")
	container := pod.Spec.Containers[0]
	var number int32
	for _, p := range container.Ports {
		if p.Name == port.TargetPort.String() {
			number = p.ContainerPort
		}
	}
	assert.Contains(t, container.Args, fmt.Sprintf("--metrics-bind-address=:%d", number), "the Service forwards to the metrics server")
}

func TestMonitor_Scrapes(t *testing.T) {
	m := monitor(t)
	service, _ := metricsService(t, &m)
	endpoint := m.Spec.Endpoints[0]
	// Every version of the Prometheus operator accepts lower case.
	assert.Equal(t, monitoringv1.Scheme("https"), *endpoint.Scheme, "the metrics server speaks TLS only")
	assert.True(t, *endpoint.TLSConfig.InsecureSkipVerify)
	assert.NotEmpty(t, endpoint.BearerTokenFile, "the metrics server requires authentication") //nolint:staticcheck // no other field accepts the token of Prometheus' own ServiceAccount
	assert.True(t, endpoint.HonorLabels, "the namespace of a test is not replaced by that of the operator")
	assert.Contains(t, service.Labels, m.Spec.JobLabel)
}

func TestMonitor_LabelsAreAllowed(t *testing.T) {
	m := monitor(t)
	service, _ := metricsService(t, &m)
	// app.kubernetes.io/part-of must not be in a selector: every object has it.
	assert.NotContains(t, m.Spec.Selector.MatchLabels, "app.kubernetes.io/part-of")
	for name := range m.Spec.Selector.MatchLabels {
		assert.Equal(t, service.Labels[name], m.Labels[name], "the monitor has the labels of its Service")
	}
}
