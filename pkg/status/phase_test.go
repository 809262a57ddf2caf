package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

func jobWith(condition batchv1.JobConditionType, status corev1.ConditionStatus) *batchv1.Job {
	return &batchv1.Job{Status: batchv1.JobStatus{Active: 1, Conditions: []batchv1.JobCondition{{Type: condition, Status: status}}}}
}

func TestRunning_LowerReadyCountKeepsPhase(t *testing.T) {
	s := running(t)
	zero := int32(0)
	s.obs.MasterJob.Status.Ready = &zero
	s.derive(t0.Add(20 * time.Second))
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
}

func TestMasterFailed_ReportsCause(t *testing.T) {
	end := t0.Add(60 * time.Second)
	for name, tc := range map[string]struct {
		change   func(s *fixture)
		contains []string
	}{
		"exit code and last lines": {func(s *fixture) { s.endPod(s.master(), end, 1, "Traceback\nModuleNotFoundError: no module named x") },
			[]string{"master exited with code 1", "ModuleNotFoundError"}},
		"out of memory": {func(s *fixture) {
			s.endPod(s.master(), end, 137, "")
			s.master().Status.ContainerStatuses[0].State.Terminated.Reason = "OOMKilled"
		}, []string{"code 137", "OOMKilled"}},
		"evicted": {func(s *fixture) {
			s.master().Status = corev1.PodStatus{Phase: corev1.PodFailed, Reason: "Evicted", Message: "node was low on memory"}
		}, []string{"Evicted", "low on memory"}},
		"evicted, with the exit code of a signal": {func(s *fixture) {
			s.endPod(s.master(), end, 137, "")
			s.master().Status.Reason, s.master().Status.Message = "Evicted", "node was low on memory"
			s.master().Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(end.Add(-time.Second))}}
		}, []string{"master failed: Evicted: node was low on memory"}},
		"preempted, with the exit code of a signal": {func(s *fixture) {
			s.endPod(s.master(), end, 143, "")
			s.master().Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
				Reason: "PreemptionByScheduler", Message: "preempting to accommodate a higher priority pod", LastTransitionTime: metav1.NewTime(end.Add(-time.Second))}}
		}, []string{"master was terminated: PreemptionByScheduler: preempting to"}},
		"evicted after its own end": {func(s *fixture) {
			s.endPod(s.master(), end, 3, "")
			s.master().Status.Reason = "Evicted"
			s.master().Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(end.Add(time.Second))}}
		}, []string{"master exited with code 3"}},
		"pod deleted": {func(s *fixture) {
			now := metav1.NewTime(end)
			s.endPod(s.master(), end, 0, "")
			s.master().DeletionTimestamp = &now
		}, []string{"was deleted"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := running(t)
			tc.change(s)
			s.endJob(s.obs.MasterJob, batchv1.JobFailed, end)
			s.derive(end)
			assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
			assert.Equal(t, end, s.prev.CompletionTime.Time)
			requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, tc.contains...)
			requireCondition(t, &s.prev, v2.ConditionTypeStalled, metav1.ConditionTrue, v2.ReasonTestFailed, tc.contains...)
		})
	}
}

// TestMasterCouldNotStart: the kubelet reports that a container that could not be started did so in 1970.
func TestMasterCouldNotStart(t *testing.T) {
	s := created(t)
	end := t0.Add(11 * time.Second)
	s.endPod(s.master(), end, 128, "exec: locust: not found")
	ended := s.master().Status.ContainerStatuses[0].State.Terminated
	ended.Reason, ended.StartedAt = "StartError", metav1.Unix(0, 0)
	s.derive(end)
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	assert.Nil(t, s.prev.StartTime)
	assert.Empty(t, s.prev.MasterPod, "Locust has not run in it")
	assert.Equal(t, end, s.prev.CompletionTime.Time)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "code 128 (StartError)")
}

func TestStartupDeadline_WithoutAMasterJob(t *testing.T) {
	s := created(t)
	s.waitPod(s.worker(0), "ErrImagePull", "not found")
	s.derive(t0.Add(10 * time.Second))
	s.obs.MasterJob, s.obs.Foreign = nil, []string{"master Job shop-master"}
	s.dropPod(s.master())
	d := s.derive(t0.Add(20 * time.Second))
	assert.Greater(t, d.RequeueAfter, time.Second)
	s.derive(t0.Add(10*time.Second + settings.StartupDeadline))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
}

// TestStartupDeadline_ForeignName: a master whose workers cannot be created, because their Job's name has another owner, does
// not wait forever.
func TestStartupDeadline_ForeignName(t *testing.T) {
	s := created(t)
	s.runMaster(t0.Add(10 * time.Second))
	s.obs.WorkerJob, s.obs.Pods, s.obs.Foreign = nil, s.obs.Pods[:1], []string{"worker Job shop-worker"}
	at := t0.Add(12 * time.Second)
	d := s.derive(at)
	require.Equal(t, v2.PhaseRunning, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed, "not owned by this test: worker Job shop-worker")
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonCreationError, "not owned by this test: worker Job shop-worker")
	assert.Positive(t, d.RequeueAfter)
	assert.LessOrEqual(t, d.RequeueAfter, foreignRecheckInterval, "nothing reports when the name becomes free")
	s.derive(at.Add(settings.StartupDeadline - time.Second))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase)
	s.derive(at.Add(settings.StartupDeadline))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "startup deadline", "worker Job shop-worker")
	assert.Equal(t, []*batchv1.Job{s.obs.MasterJob}, PlanFor(&s.prev, &s.obs, settings, at.Add(settings.StartupDeadline)).Stop)
}

func TestMasterFailed_WaitsForPodStatus(t *testing.T) {
	s := running(t)
	end := t0.Add(60 * time.Second)
	s.endJob(s.obs.MasterJob, batchv1.JobFailed, end)
	d := s.derive(end)
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase, "the pod's end is seen through another watch")
	assert.Positive(t, d.RequeueAfter)
	assert.Less(t, d.RequeueAfter, podStatusTimeout)

	s.derive(end.Add(podStatusTimeout))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "BackoffLimitExceeded")
}

// TestMasterLostWithItsNode: the Job controller does not mark a Job as Failed while one of its pods is terminating, and a lost
// node never reports that the pod has ended.
func TestMasterLostWithItsNode(t *testing.T) {
	s := running(t)
	gone := metav1.NewTime(t0.Add(60 * time.Second)) // deleted 30 s before
	s.master().DeletionTimestamp = &gone
	s.derive(gone.Add(time.Hour))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase, "the Job has not given up")

	s.obs.MasterJob.Status.Active = 0
	s.obs.MasterJob.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue, Reason: "BackoffLimitExceeded"}}
	d := s.derive(gone.Add(-20 * time.Second))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase, "it may end in time")
	assert.Equal(t, 50*time.Second, d.RequeueAfter)
	s.derive(gone.Add(nodeReportTimeout - time.Second))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase)
	s.derive(gone.Add(nodeReportTimeout))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	assert.Equal(t, gone, *s.prev.CompletionTime)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed,
		"master pod shop-master-0 was deleted, and its node does not report that it ended")
	assert.Len(t, PlanFor(&s.prev, &s.obs, settings, gone.Add(nodeReportTimeout)).Stop, 2)
}

func TestWorkerJobFailed_FailsTheTest(t *testing.T) {
	s := running(t)
	s.endPod(s.worker(1), t0.Add(20*time.Second), 2, "no such option: --bogus")
	s.endJob(s.obs.WorkerJob, batchv1.JobFailed, t0.Add(30*time.Second))
	s.derive(t0.Add(30 * time.Second))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "worker Job failed", "shop-worker-1", "--bogus")
}

func TestLostMasterJob(t *testing.T) {
	for name, tc := range map[string]struct {
		setup func(t testing.TB) *fixture
		lost  string
	}{
		"while running":             {running, "was deleted during the run"},
		"before it started":         {created, ""},
		"after its pod had started": {func(t testing.TB) *fixture { s := created(t); s.runPod(s.master(), t0); return s }, "after its pod had started"},
		"after its pod had started, and gone": {func(t testing.TB) *fixture {
			s := created(t)
			s.prev.MasterPod = "shop-master-0"
			return s
		}, "after its pod had started"},
		"while the operator was away": {func(t testing.TB) *fixture { s := created(t); s.obs.FirstObservation = true; return s }, "may have run"},
		"before Ready, operator crashed": {func(t testing.TB) *fixture {
			s := created(t)
			s.obs.FirstObservation = true
			s.prev = InitializeStatus(s.obs.Test, t0)
			return s
		}, "may have run"},
		"before Ready, operator crashed, and the worker Job is gone too": {func(t testing.TB) *fixture {
			s := created(t)
			s.obs.FirstObservation, s.obs.WorkerJob, s.obs.Pods = true, nil, nil
			s.obs.Service.CreationTimestamp = metav1.NewTime(t0)
			s.prev = InitializeStatus(s.obs.Test, t0)
			return s
		}, "may have run"},
		"operator crashed after it had created the Service": {func(t testing.TB) *fixture {
			s := newFixture(t)
			s.obs.FirstObservation, s.prev = true, InitializeStatus(s.obs.Test, t0)
			s.obs.Service = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "shop-master", CreationTimestamp: metav1.NewTime(t0.Add(time.Second))}}
			return s
		}, ""},
		"refused by a quota, operator crashed": {func(t testing.TB) *fixture {
			s := newFixture(t)
			s.obs.Service = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "shop-master", CreationTimestamp: metav1.NewTime(t0)}}
			s.obs.Failure = &Failure{Message: "exceeded quota"}
			s.prev = InitializeStatus(s.obs.Test, t0)
			s.derive(t0.Add(time.Second))
			s.obs.FirstObservation, s.obs.Failure = true, nil
			return s
		}, ""},
		"never created, operator crashed": {func(t testing.TB) *fixture {
			s := newFixture(t)
			s.obs.FirstObservation, s.prev = true, InitializeStatus(s.obs.Test, t0)
			return s
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := tc.setup(t)
			s.obs.MasterJob = nil
			plan := PlanFor(&s.prev, &s.obs, settings, t0.Add(time.Minute))
			s.derive(t0.Add(time.Minute))
			if tc.lost == "" {
				assert.Equal(t, v2.PhasePending, s.prev.Phase)
				assert.True(t, plan.CreateMaster, "lost before the run: created again")
				return
			}
			assert.False(t, plan.CreateMaster, "a load test is never started a second time")
			assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
			requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, tc.lost)
			if tc.lost == "was deleted during the run" {
				assert.Equal(t, "3/3", s.prev.Workers)
			}
		})
	}
}

// TestLostMasterJob_OldPodStarts: a pod of a master Job that was lost before the run, and that starts while it is being
// deleted, does not belong to the run of the new Job.
func TestLostMasterJob_OldPodStarts(t *testing.T) {
	s := created(t)
	s.obs.MasterJob.UID = "second"
	second := s.pod(resources.RoleMaster, 0)
	second.Name, second.UID, second.OwnerReferences[0].UID = "shop-master-second", "second-pod", "second"
	now := metav1.NewTime(t0.Add(30 * time.Second))
	s.runPod(s.master(), t0.Add(2*time.Second))
	s.master().DeletionTimestamp = &now
	s.derive(t0.Add(3 * time.Second))
	require.Equal(t, v2.PhasePending, s.prev.Phase)
	assert.Empty(t, s.prev.MasterPod)

	s.runPod(&s.obs.Pods[len(s.obs.Pods)-1], t0.Add(5*time.Second))
	one := int32(1)
	s.obs.MasterJob.Status.Ready = &one
	s.derive(t0.Add(5 * time.Second))
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
	assert.Equal(t, "shop-master-second", s.prev.MasterPod)
}

func TestStartupDeadline(t *testing.T) {
	s := created(t)
	s.waitPod(s.master(), "ImagePullBackOff", "no such image nope:1")
	d := s.derive(t0.Add(10 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonImagePullError, "no such image nope:1")
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionTrue, v2.ReasonResourcesCreated)
	assert.Positive(t, d.RequeueAfter, "no watch event reports that the deadline has passed")

	s.derive(t0.Add(10*time.Second + settings.StartupDeadline - time.Second))
	assert.Equal(t, v2.PhasePending, s.prev.Phase)
	s.derive(t0.Add(10*time.Second + settings.StartupDeadline))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "ImagePullError", "no such image nope:1", "startup deadline of 5m0s")
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonImagePullError, "no such image nope:1")
}

func TestStartupDeadline_EndsWithTheStartup(t *testing.T) {
	s := running(t)
	s.dropPod(s.worker(2))
	s.waitPod(s.pod("worker", 3), "ErrImagePull", "not found")
	s.derive(t0.Add(20 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonImagePullError)
	s.derive(t0.Add(time.Hour))
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase, "the test runs; a worker that cannot come back does not end it")
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing)
}

func TestStartupDeadline_WithNoWorkerLeft(t *testing.T) {
	s := running(t)
	for i := range 3 {
		s.endPod(s.worker(i), t0.Add(20*time.Second), 1, "SyntaxError")
	}
	d := s.derive(t0.Add(20 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonCrashLoopBackOff)
	assert.Equal(t, "0/3", s.prev.Workers)
	assert.Equal(t, settings.StartupDeadline, d.RequeueAfter)
	s.derive(t0.Add(20*time.Second + settings.StartupDeadline))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase, "they took seconds to fail and counted as connected; there is no load, and none to come")
}
