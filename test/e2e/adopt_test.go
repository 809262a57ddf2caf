//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// operator2 creates objects as the 2.x operator (2.3.0) does, with its names, labels, owner references and ports.
type operator2 struct {
	*fixture
	test *v2.LocustTest
}

const finalizerOfOperator2 = "locust.io/cleanup"

func (o *operator2) meta(role resources.Role) metav1.ObjectMeta {
	name := o.test.Name + "-" + string(role)
	return metav1.ObjectMeta{Namespace: o.namespace, Name: name,
		Labels: map[string]string{
			"app": o.test.Name, "managed-by": "locust-k8s-operator",
			"performance-test-name": o.test.Name, "performance-test-pod-name": name,
		},
		OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(o.test, v2.GroupVersion.WithKind("LocustTest"))},
	}
}

func (o *operator2) service() *corev1.Service {
	service := &corev1.Service{ObjectMeta: o.meta(resources.RoleMaster)}
	service.Labels = nil
	service.Spec.Selector = map[string]string{"performance-test-pod-name": service.Name}
	for name, port := range map[string]int32{"port5557": 5557, "port5558": 5558, "prometheus-metrics": 9646} {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{Name: name, Port: port})
	}
	return service
}

// exporter is a fake metrics exporter, a native sidecar.
const exporter = `import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit()); time.sleep(1e9)`

func (o *operator2) job(role resources.Role, pods int32, args ...string) *batchv1.Job {
	job := &batchv1.Job{ObjectMeta: o.meta(role), Spec: batchv1.JobSpec{Parallelism: &pods, BackoffLimit: new(int32), Template: probePod()}}
	template := &job.Spec.Template
	template.Labels = job.Labels
	container := &template.Spec.Containers[0]
	container.Name = job.Name
	container.Args = append([]string{"--locustfile", "/lotest/src/locustfile.py"}, args...)
	container.Env = o.test.Spec.Env.Variables
	container.VolumeMounts = []corev1.VolumeMount{{Name: "files", MountPath: "/lotest/src"}}
	template.Spec.Volumes = []corev1.Volume{{Name: "files", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: "files"}}}}}
	if role == resources.RoleMaster {
		template.Spec.InitContainers = []corev1.Container{{Name: "locust-metrics-exporter", Image: locustImage, RestartPolicy: ptr.To(corev1.ContainerRestartPolicyAlways),
			Command: []string{"python3", "-c", exporter}, SecurityContext: container.SecurityContext}}
	}
	return job
}

// status returns the status that the 2.x operator writes for a running test.
func (o *operator2) status(phase string) v2.LocustTestStatus {
	now := metav1.Now().Rfc3339Copy()
	s := v2.LocustTestStatus{ObservedGeneration: o.test.Generation, Phase: phase, ExpectedWorkers: 2, ConnectedWorkers: 2, StartTime: &now}
	for _, c := range []metav1.Condition{
		{Type: "Ready", Status: "True", Reason: "ResourcesCreated", Message: "All resources created"},
		{Type: "WorkersConnected", Status: "True", Reason: "AllWorkersConnected", Message: "2/2 workers connected"},
		{Type: "TestCompleted", Status: "False", Reason: "TestInProgress", Message: "Test has not started"},
		{Type: "PodsHealthy", Status: "True", Reason: "PodsStarting", Message: "Pods are starting up"},
		{Type: "SpecDrifted", Status: "True", Reason: "SpecChangeIgnored", Message: "Spec changes after creation are ignored. Delete and recreate the CR to apply changes."},
	} {
		c.ObservedGeneration, c.LastTransitionTime = o.test.Generation, now
		s.Conditions = append(s.Conditions, c)
	}
	return s
}

// createByOperator2 creates a test with a phase as the 2.x operator does.
func (s *fixture) createByOperator2(name, phase string, seconds int) *operator2 {
	s.t.Helper()
	test := s.test(name, seconds)
	test.Finalizers = []string{finalizerOfOperator2}
	s.create(test)
	o := &operator2{s, test}
	test.Status = o.status(phase)
	if phase == v2.PhaseSucceeded {
		test.Status.CompletionTime = test.Status.StartTime
	}
	require.NoError(s.t, k8s.Status().Update(s.t.Context(), test))
	return o
}

// TestAdopted checks that a test that runs during the upgrade from the 2.x operator continues: Locust runs once, is polled,
// and its workers are counted until the end. This test and a finished one can be deleted although they have the finalizer
// of that operator.
func TestAdopted(t *testing.T) {
	s := newFixture(t)
	watcher.FromOperator2(s.namespace)
	disturbed.add(t)
	stopOperator(t)
	t.Cleanup(func() { startOperator(t) })
	done := s.createByOperator2("done", v2.PhaseSucceeded, 5)
	o := s.createByOperator2("running", v2.PhaseRunning, 30)
	worker := o.job(resources.RoleWorker, 2, "--worker", "--master-port=5557", "--master-host=running-master")
	master := o.job(resources.RoleMaster, 1, "--users", "6", "--spawn-rate", "6", "--run-time", "30s", "--master", "--master-port=5557", "--expect-workers=2",
		"--autostart", "--autoquit", "1", "--enable-rebalancing", "--only-summary")
	for _, object := range []client.Object{o.service(), master, worker} {
		require.NoError(t, k8s.Create(t.Context(), object))
	}
	s.untilLoad(o.test)
	startOperator(t)

	live := s.Until(o.test, "it has live numbers", func(status *v2.LocustTestStatus) bool {
		return status.TestResult != nil && status.TestResult.TotalRequests > 0 && status.Progress != nil && status.Progress.CurrentUsers == 6
	})
	assert.Equal(t, v2.PhaseRunning, live.Phase)
	assert.Equal(t, v2.ResultSourceWebAPI, live.TestResult.Source)
	assert.Equal(t, "2/2 workers connected", condition(live, v2.ConditionTypeWorkersConnected).Message)
	assert.Equal(t, o.test.Status.StartTime.UTC(), live.StartTime.UTC())
	final := s.UntilPhase(o.test, v2.PhaseSucceeded)
	assert.Equal(t, "2/2", final.Workers)
	assert.Equal(t, v2.ReasonAllWorkersConnected, condition(final, v2.ConditionTypeWorkersConnected).Reason)
	assert.Positive(t, final.TestResult.TotalRequests)
	assert.Equal(t, 1, count(t, "started", s.key("running")), "Locust ran once")
	var pods corev1.PodList
	require.NoError(t, k8s.List(t.Context(), &pods, client.InNamespace(s.namespace)))
	assert.Len(t, pods.Items, 3, "no pod was added")
	var jobs batchv1.JobList
	require.NoError(t, k8s.List(t.Context(), &jobs, client.InNamespace(s.namespace)))
	assert.Len(t, jobs.Items, 2, "the finished test gets no Jobs")

	for _, test := range []*v2.LocustTest{done.test, o.test} {
		require.NoError(t, k8s.Delete(t.Context(), test, background))
		eventually(t, "test "+test.Name+" is gone", func() bool {
			return apierrors.IsNotFound(k8s.Get(context.Background(), client.ObjectKeyFromObject(test), &v2.LocustTest{}))
		})
	}
}
