package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// inject adds a container to all pods, as an admission webhook does.
func (s *fixture) inject(state corev1.ContainerState) {
	for i := range s.obs.Pods {
		status := &s.obs.Pods[i].Status
		status.ContainerStatuses = append([]corev1.ContainerStatus{{Name: "mesh", State: state}}, status.ContainerStatuses...)
	}
}

// endLocust ends only the Locust container of a pod.
func (s *fixture) endLocust(pod *corev1.Pod, at time.Time, code int32) {
	c := mainContainer(pod)
	c.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, StartedAt: metav1.NewTime(startedAt(pod)), FinishedAt: metav1.NewTime(at),
	}}
}

var runs = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}

// TestSidecar_NeverEnds: the run ends with Locust, regardless of its Jobs, and then they are stopped.
func TestSidecar_NeverEnds(t *testing.T) {
	for name, code := range map[string]int32{v2.PhaseSucceeded: 0, v2.PhaseFailed: 1} {
		t.Run(name, func(t *testing.T) {
			s := running(t)
			s.inject(runs)
			end := t0.Add(time.Minute)
			s.endLocust(s.master(), end, code)
			for i := range 3 {
				s.endLocust(s.worker(i), end.Add(-time.Second), 0)
			}
			d := s.derive(end.Add(time.Second))
			require.Equal(t, name, s.prev.Phase)
			assert.Equal(t, end, s.prev.CompletionTime.Time, "when Locust's container ended")
			assert.Equal(t, "3/3", s.prev.Workers)
			require.Len(t, d.Events, 1)

			plan := PlanFor(&s.prev, &s.obs, settings, end.Add(2*time.Second))
			assert.Empty(t, plan.Stop, "sidecars may end by themselves, so that the logs stay")
			assert.Equal(t, sidecarGracePeriod-3*time.Second, plan.RequeueAfter)
			assert.Equal(t, []*batchv1.Job{s.obs.MasterJob, s.obs.WorkerJob}, PlanFor(&s.prev, &s.obs, settings, end.Add(sidecarGracePeriod)).Stop)
		})
	}
}

// TestSidecar_WorkersStay: a worker that keeps running after the end is stopped soon, a crashing one immediately.
func TestSidecar_WorkersStay(t *testing.T) {
	s := running(t)
	end := t0.Add(time.Minute)
	s.endLocust(s.master(), end, 0)
	s.derive(end)
	assert.Empty(t, PlanFor(&s.prev, &s.obs, settings, end).Stop)
	assert.Equal(t, []*batchv1.Job{s.obs.WorkerJob}, PlanFor(&s.prev, &s.obs, settings, end.Add(workerShutdownGracePeriod)).Stop)
	assert.Empty(t, PlanFor(&s.prev, &s.obs, settings, end.Add(-time.Hour)).Stop, "a clock that is behind")
	assert.Equal(t, workerShutdownGracePeriod, PlanFor(&s.prev, &s.obs, settings, end.Add(-time.Hour)).RequeueAfter)

	s = running(t)
	s.endLocust(s.master(), end, 1)
	for i := range 3 {
		s.endPod(s.worker(i), end, 1, "")
	}
	s.derive(end)
	assert.Equal(t, []*batchv1.Job{s.obs.WorkerJob}, PlanFor(&s.prev, &s.obs, settings, end).Stop, "its Job would start them again")
}

// TestSidecar_Fails: the exit code of another container does not fail the test, at the end or before.
func TestSidecar_Fails(t *testing.T) {
	s := running(t)
	s.inject(corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "OOMKilled", FinishedAt: metav1.NewTime(t0.Add(20 * time.Second))}})
	for i := range s.obs.Pods {
		c := podCondition(&s.obs.Pods[i], corev1.PodReady)
		c.Status, c.Reason = corev1.ConditionFalse, "ContainersNotReady"
	}
	s.obs.MasterJob.Status.Ready = ptr.To[int32](0)
	s.derive(t0.Add(30 * time.Second))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy)
	assert.Equal(t, "3/3", s.prev.Workers)

	end := t0.Add(time.Minute)
	for i := range 3 {
		s.endLocust(s.worker(i), end.Add(-time.Second), 0)
		s.worker(i).Status.Phase = corev1.PodFailed
	}
	s.endLocust(s.master(), end, 0)
	s.master().Status.Phase = corev1.PodFailed
	s.endJob(s.obs.MasterJob, batchv1.JobFailed, end)
	s.derive(end.Add(time.Second))
	require.Equal(t, v2.PhaseSucceeded, s.prev.Phase, "the Job failed, Locust did not")
	assert.Equal(t, "3/3", s.prev.Workers)
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy)
}

// TestSidecar_NotReady: a test runs when Locust does, although the Job counts no ready pod.
func TestSidecar_NotReady(t *testing.T) {
	s := created(t)
	s.runPod(s.master(), t0.Add(10*time.Second))
	s.inject(corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}})
	c := podCondition(s.master(), corev1.PodReady)
	c.Status, c.Reason = corev1.ConditionFalse, "ContainersNotReady"
	s.derive(t0.Add(12 * time.Second))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonImagePullError, "container mesh", "no such image")

	c.Reason = "" // the node is lost
	assert.False(t, isReady(s.master()))
}

// TestSidecar_Native: a native sidecar that crashes keeps Locust from starting, and is ignored afterwards.
func TestSidecar_Native(t *testing.T) {
	s := created(t)
	crash := corev1.ContainerStatus{Name: "mesh", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}
	s.master().Status.InitContainerStatuses = []corev1.ContainerStatus{crash}
	s.derive(t0.Add(5 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonInitializationError, "mesh")
	s.runMaster(t0.Add(10 * time.Second))
	s.derive(t0.Add(11 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
}

func deletedAt(at time.Time) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.DeletionGracePeriodSeconds = ptr.To[int64](30)
		pod.DeletionTimestamp = ptr.To(metav1.NewTime(at.Add(30 * time.Second)))
	}
}

// deletedByKubeletAt returns the change of the kubelet, which deletes a pod without a grace period after it has stopped the
// containers.
func deletedByKubeletAt(at time.Time) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.DeletionGracePeriodSeconds = ptr.To[int64](0)
		pod.DeletionTimestamp = ptr.To(metav1.NewTime(at))
	}
}

func disruptedAt(at time.Time) func(*corev1.Pod) {
	return func(pod *corev1.Pod) {
		pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at)})
	}
}

// TestCannotBeCreated: an object that cannot be created counts like an unhealthy pod.
func TestCannotBeCreated(t *testing.T) {
	s := created(t)
	s.runMaster(t0.Add(2 * time.Second))
	s.obs.WorkerJob, s.obs.Pods = nil, s.obs.Pods[:1]
	s.obs.Failure = &Failure{Message: "worker Job shop-worker could not be created: exceeded quota"}
	s.derive(t0.Add(3 * time.Second))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonCreationError, "exceeded quota")
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed, "exceeded quota")
	d := s.derive(t0.Add(4 * time.Second))
	assert.Equal(t, settings.StartupDeadline-time.Second, d.RequeueAfter)
	s.derive(t0.Add(4*time.Second + settings.StartupDeadline))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "startup deadline", "exceeded quota")
	assert.Equal(t, []*batchv1.Job{s.obs.MasterJob}, PlanFor(&s.prev, &s.obs, settings, t0.Add(10*time.Minute)).Stop, "the master does not wait alone")

	// It is created in time.
	s = created(t)
	worker := s.obs.WorkerJob
	s.obs.WorkerJob, s.obs.Failure = nil, &Failure{Message: "exceeded quota"}
	s.derive(t0.Add(3 * time.Second))
	s.obs.WorkerJob, s.obs.Failure = worker, nil
	s.derive(t0.Add(time.Minute))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
}
