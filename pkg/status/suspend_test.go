package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// suspend keeps a Job from having pods, as the Job controller does: it removes them.
func (s *fixture) suspend(job *batchv1.Job) {
	job.Spec.Suspend = ptr.To(true)
	job.Status.Active, job.Status.Ready = 0, ptr.To[int32](0)
	var kept []corev1.Pod
	for i := range s.obs.Pods {
		if !ownedBy(&s.obs.Pods[i], job) {
			kept = append(kept, s.obs.Pods[i])
		}
	}
	s.obs.Pods = kept
}

// TestSuspended_BeforeTheStart: as a queue does. No problem is reported, no deadline applies, and the test starts on resume.
func TestSuspended_BeforeTheStart(t *testing.T) {
	for name, suspend := range map[string]func(*fixture){
		"both Jobs": func(s *fixture) { s.suspend(s.obs.MasterJob); s.suspend(s.obs.WorkerJob) },
		"master":    func(s *fixture) { s.suspend(s.obs.MasterJob) },
		"parallelism 0": func(s *fixture) {
			s.suspend(s.obs.MasterJob)
			s.obs.MasterJob.Spec.Suspend, s.obs.MasterJob.Spec.Parallelism = nil, ptr.To[int32](0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := created(t)
			suspend(s)
			for _, at := range []time.Duration{2 * time.Second, time.Minute, time.Hour} {
				s.derive(t0.Add(at))
				require.Equal(t, v2.PhasePending, s.prev.Phase)
				requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionTrue, v2.ReasonResourcesCreated)
				requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonSuspended, "master Job", "suspended")
				requireCondition(t, &s.prev, v2.ConditionTypeReconciling, metav1.ConditionTrue, v2.ReasonSuspended)
				requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionFalse, v2.ReasonTestInProgress, "has not started")
				assert.NotContains(t, newFacts(&s.prev, &s.obs, settings, t0.Add(at)).findStuckObjects(), s.obs.MasterJob.UID, "its Events explain nothing")
				plan := PlanFor(&s.prev, &s.obs, settings, t0.Add(at))
				plan.EventsFor, plan.RequeueAfter = nil, 0 // the workers may be stuck
				assert.Equal(t, Plan{}, plan)
			}
			s.obs.MasterJob.Spec.Suspend, s.obs.MasterJob.Spec.Parallelism = ptr.To(false), ptr.To[int32](1)
			s.obs.WorkerJob.Spec.Suspend = ptr.To(false)
			s.obs.MasterJob.Status.Active = 1
			s.obs.Pods = nil
			s.pod(resources.RoleMaster, 0)
			s.runMaster(t0.Add(2 * time.Hour))
			s.derive(t0.Add(2 * time.Hour))
			require.Equal(t, v2.PhaseRunning, s.prev.Phase)
			assert.Equal(t, "shop-master-0", s.prev.MasterPod)
		})
	}
}

// TestSuspended_DuringTheRun: the run is lost, and stopped so that a resume starts nothing.
func TestSuspended_DuringTheRun(t *testing.T) {
	s := running(t)
	s.suspend(s.obs.MasterJob)
	now := t0.Add(30 * time.Second)
	assert.Empty(t, PlanFor(&s.prev, &s.obs, settings, now).Stop, "the status comes first")
	s.derive(now)
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "the master Job was suspended during the run")
	assert.Equal(t, []*batchv1.Job{s.obs.MasterJob, s.obs.WorkerJob}, PlanFor(&s.prev, &s.obs, settings, now).Stop)

	// Stopped by its deadline alone, a suspended Job would run for a second when it is resumed.
	s.obs.MasterJob.Spec.ActiveDeadlineSeconds = ptr.To[int64](1)
	assert.Contains(t, PlanFor(&s.prev, &s.obs, settings, now).Stop, s.obs.MasterJob)
	s.obs.MasterJob.Spec.Parallelism = ptr.To[int32](0)
	assert.NotContains(t, PlanFor(&s.prev, &s.obs, settings, now).Stop, s.obs.MasterJob)
	assert.Equal(t, map[string]any{"activeDeadlineSeconds": 1, "parallelism": 0}, StopPatch(settings.JobTTL))
}

// TestSuspended_Unseen: an operator that did not run while the Job was suspended and resumed finds another master.
func TestSuspended_Unseen(t *testing.T) {
	s := running(t)
	s.master().Name, s.master().UID = "shop-master-second", types.UID("second")
	s.derive(t0.Add(30 * time.Second))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "suspended", "another master")
	assert.Equal(t, "shop-master-0", s.prev.MasterPod)
	assert.Len(t, PlanFor(&s.prev, &s.obs, settings, t0.Add(30*time.Second)).Stop, 2)

	// A status of an earlier version names no pod, so the present one is that of the run.
	s = running(t)
	s.prev.MasterPod = ""
	s.master().Name = "shop-master-x"
	s.derive(t0.Add(30 * time.Second))
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
	assert.Equal(t, "shop-master-x", s.prev.MasterPod)
}

// TestSuspended_JustStarted: a master that has started is a run, regardless of the phase.
func TestSuspended_JustStarted(t *testing.T) {
	s := created(t)
	s.runPod(s.master(), t0.Add(2*time.Second)) // the Job does not count it as ready yet
	s.derive(t0.Add(2 * time.Second))
	require.Equal(t, v2.PhasePending, s.prev.Phase)
	require.Equal(t, "shop-master-0", s.prev.MasterPod)
	s.suspend(s.obs.MasterJob)
	s.derive(t0.Add(3 * time.Second))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "the master Job was suspended during the run")
}

// TestSuspended_Workers: before the load the test waits, during it all workers are lost.
func TestSuspended_Workers(t *testing.T) {
	s := created(t)
	s.runMaster(t0.Add(10 * time.Second))
	s.suspend(s.obs.WorkerJob)
	for _, at := range []time.Duration{20 * time.Second, time.Hour} {
		s.derive(t0.Add(at))
		require.Equal(t, v2.PhaseRunning, s.prev.Phase)
		requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonSuspended, "The worker Job is suspended")
		assert.Zero(t, PlanFor(&s.prev, &s.obs, settings, t0.Add(at)).WorkerCompletions)
	}

	s = running(t)
	s.suspend(s.obs.WorkerJob)
	s.derive(t0.Add(30 * time.Second))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "the worker Job was suspended during the load")

	// All workers are connected, and Locust reports that no load has started (autostart: false).
	s = polled(t)
	s.answer(t0.Add(20*time.Second), 3, report.StateReady, report.Stats{})
	s.suspend(s.obs.WorkerJob)
	s.answer(t0.Add(25*time.Second), 0, report.StateReady, report.Stats{})
	require.Equal(t, v2.PhaseRunning, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonSuspended)
}
