package resources

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]string{"a": "a", "a.b.c": "a-b-c", "1-a": "1-a"} {
		assert.Equal(t, want+"-master", MasterName(name))
		assert.Equal(t, want+"-worker", WorkerName(name))
	}
}

func TestObjectMeta(t *testing.T) {
	test := builder.MakeShop()
	labels := func(role string) map[string]string {
		return map[string]string{
			"performance-test-name":        "shop.load",
			"performance-test-pod-name":    "shop-load-" + role,
			"managed-by":                   "locust-k8s-operator",
			"app":                          "shop.load",
			"locust.io/test-uid":           "uid-1",
			"app.kubernetes.io/component":  role,
			"app.kubernetes.io/name":       "locust",
			"app.kubernetes.io/instance":   "shop.load",
			"app.kubernetes.io/part-of":    "shop.load",
			"app.kubernetes.io/managed-by": "locust-k8s-operator",
		}
	}
	master, worker, service := masterOf(t, test), workerOf(t, test), BuildService(test)

	for _, row := range []struct {
		object metav1.Object
		role   string
	}{{master, "master"}, {worker, "worker"}, {service, "master"}} {
		assert.Equal(t, "shop-load-"+row.role, row.object.GetName())
		assert.Equal(t, "perf", row.object.GetNamespace())
		assert.Equal(t, labels(row.role), row.object.GetLabels())
		assert.Equal(t, []metav1.OwnerReference{{
			APIVersion: "locust.io/v2", Kind: "LocustTest", Name: "shop.load", UID: "uid-1",
			Controller: new(true), BlockOwnerDeletion: new(true),
		}}, row.object.GetOwnerReferences())
		for key, value := range row.object.GetLabels() {
			assert.Empty(t, validation.IsQualifiedName(key), key)
			assert.Empty(t, validation.IsValidLabelValue(value), value)
		}
	}
	assert.Equal(t, labels("master"), master.Spec.Template.Labels)
	assert.Equal(t, labels("worker"), worker.Spec.Template.Labels)
}

func TestPodLabels_UserMayReplaceWhatOnlyInforms(t *testing.T) {
	job := masterOf(t, builder.MakeShop(func(s *v2.LocustTestSpec) {
		s.Master.Labels = map[string]string{"app": "shop", "app.kubernetes.io/part-of": "black-friday", "managed-by": ManagedBy}
	}))
	assert.Equal(t, "shop", job.Spec.Template.Labels["app"])
	assert.Equal(t, "black-friday", job.Spec.Template.Labels["app.kubernetes.io/part-of"])
	assert.Equal(t, "shop.load", job.Labels["app"], "the Job itself keeps the operator's labels")
}

func TestBuildService(t *testing.T) {
	service := BuildService(builder.MakeShop())
	assert.JSONEq(t, `{
		"type": "ClusterIP",
		"selector": {"performance-test-pod-name": "shop-load-master", "locust.io/test-uid": "uid-1"},
		"ports": [
			{"name": "master", "protocol": "TCP", "port": 5557, "targetPort": 5557},
			{"name": "master-bind", "protocol": "TCP", "port": 5558, "targetPort": 5558},
			{"name": "web", "protocol": "TCP", "port": 8089, "targetPort": 8089}
		]}`, asJSON(t, service.Spec))

	pod := masterOf(t, builder.MakeShop()).Spec.Template.Labels
	for key, value := range service.Spec.Selector {
		assert.Equal(t, value, pod[key], "the Service must find the master")
	}
}

func TestBuildMasterJob(t *testing.T) {
	job := masterOf(t, builder.MakeShop())
	spec := job.Spec
	spec.Template = corev1.PodTemplateSpec{}
	assert.Equal(t, batchv1.JobSpec{Parallelism: new(int32(1)), Completions: new(int32(1)), BackoffLimit: new(int32(0))}, spec,
		"one pod, never retried, and nothing that expires before the outcome is recorded")
	assert.Equal(t, []corev1.ContainerPort{
		{Name: "master", ContainerPort: 5557, Protocol: corev1.ProtocolTCP},
		{Name: "master-bind", ContainerPort: 5558, Protocol: corev1.ProtocolTCP},
		{Name: "web", ContainerPort: 8089, Protocol: corev1.ProtocolTCP},
	}, container(job).Ports)
}

func TestBuildWorkerJob(t *testing.T) {
	for replicas, backoff := range map[int32]int32{1: 6, 3: 6, 4: 8, 500: 1000} {
		job := workerOf(t, builder.MakeShop(func(s *v2.LocustTestSpec) { s.Worker.Replicas = replicas }))
		spec := job.Spec
		spec.Template = corev1.PodTemplateSpec{}
		assert.Equal(t, batchv1.JobSpec{
			Parallelism: &replicas, Completions: &replicas, BackoffLimit: &backoff,
			CompletionMode:       new(batchv1.IndexedCompletion),
			PodReplacementPolicy: new(batchv1.Failed),
			PodFailurePolicy: &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
				Action:          batchv1.PodFailurePolicyActionIgnore,
				OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{Type: "DisruptionTarget", Status: "True"}},
			}}},
		}, spec)
		assert.Empty(t, container(job).Ports)
	}
}

func TestPods(t *testing.T) {
	for _, job := range []*batchv1.Job{masterOf(t, builder.MakeShop()), workerOf(t, builder.MakeShop())} {
		pod := job.Spec.Template.Spec
		require.Len(t, pod.Containers, 1)
		assert.Empty(t, pod.InitContainers)
		assert.Equal(t, job.Name, pod.Containers[0].Name, "the container has the Job's name")
		assert.Equal(t, corev1.RestartPolicyNever, pod.RestartPolicy)
		assert.Equal(t, corev1.PullIfNotPresent, pod.Containers[0].ImagePullPolicy)
		assert.Equal(t, corev1.TerminationMessageFallbackToLogsOnError, pod.Containers[0].TerminationMessagePolicy)
		assert.Equal(t, new(false), pod.AutomountServiceAccountToken)
		assert.Equal(t, new(false), pod.EnableServiceLinks)
		assert.Nil(t, pod.TerminationGracePeriodSeconds, "30 s, the default")
	}
}
