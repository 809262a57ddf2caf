package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// stopMaster does what follows spec.stop: the operator's patch, and the Job controller's deletion of the pod.
func (s *fixture) stopMaster(at time.Time) {
	s.obs.Test.Spec.Stop = true
	s.obs.Test.Generation++
	s.obs.MasterJob.Spec.ActiveDeadlineSeconds = ptr.To[int64](1)
	s.master().DeletionTimestamp, s.master().DeletionGracePeriodSeconds = ptr.To(metav1.NewTime(at.Add(30*time.Second))), ptr.To[int64](30)
}

// deadlineExceeded is the end of a stopped Job.
func (s *fixture) deadlineExceeded(at time.Time) {
	s.endJob(s.obs.MasterJob, batchv1.JobFailed, at)
	s.obs.MasterJob.Status.Conditions[0].Reason = batchv1.JobReasonDeadlineExceeded
}

// TestStop_BeforeStart: nothing is created, and what exists is stopped.
func TestStop_BeforeStart(t *testing.T) {
	stopped := func(t *testing.T, s *fixture, at time.Time) Plan {
		t.Helper()
		s.obs.Test.Spec.Stop = true
		plan := PlanFor(&s.prev, &s.obs, settings, at)
		assert.False(t, plan.Creates())
		assert.Nil(t, plan.EndLoad)
		s.derive(at)
		require.Equal(t, v2.PhaseFailed, s.prev.Phase)
		requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "stopped before it started, as spec.stop requests")
		assert.Nil(t, s.prev.StartTime)
		return PlanFor(&s.prev, &s.obs, settings, at)
	}
	t.Run("from the beginning", func(t *testing.T) {
		s := newFixture(t)
		s.obs.Test.Spec.Stop = true
		s.derive(t0)
		require.Equal(t, v2.PhasePending, s.prev.Phase, "the first status")
		plan := stopped(t, s, t0.Add(time.Second))
		assert.False(t, plan.Creates())
	})
	t.Run("waiting for an earlier test's objects", func(t *testing.T) {
		s := newFixture(t)
		s.derive(t0)
		s.obs.Predecessors = []string{"master Job shop-master (being deleted)"}
		stopped(t, s, t0.Add(time.Second))
	})
	t.Run("pods that do not run", func(t *testing.T) {
		s := created(t)
		s.obs.MasterJob.Spec.Parallelism = ptr.To[int32](1)
		assert.Len(t, stopped(t, s, t0.Add(2*time.Second)).Stop, 2)
	})
	t.Run("pods that cannot run", func(t *testing.T) {
		s := created(t)
		s.waitPod(s.master(), "ErrImagePull", "no such image")
		s.derive(t0.Add(2 * time.Second))
		stopped(t, s, t0.Add(3*time.Second))
		requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "; until then ImagePullError: ", "no such image")
	})
	t.Run("suspended", func(t *testing.T) {
		s := created(t)
		s.suspend(s.obs.MasterJob)
		assert.Len(t, stopped(t, s, t0.Add(2*time.Second)).Stop, 2)
	})
	t.Run("after the deletion of the master Job", func(t *testing.T) {
		s := running(t)
		s.obs.Test.Spec.Stop = true
		s.obs.MasterJob, s.obs.Pods = nil, nil
		s.derive(t0.Add(20 * time.Second))
		requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "the master Job was deleted during the run")
	})
}

// TestStop_Running: the master gets a signal, once, and its final report and exit code decide.
func TestStop_Running(t *testing.T) {
	for name, row := range map[string]struct {
		code     int32
		message  string
		criteria *v2.SuccessCriteria
		phase    string
		because  []string
		load     string
	}{
		"good": {message: finalMessage(true, 3, 100, 0, delivered("signal")), phase: v2.PhaseSucceeded,
			because: []string{"Test completed successfully; stopped after 35s, as spec.stop requests"}, load: v2.ReasonLoadAsPlanned},
		"the load had ended": {message: finalMessage(true, 3, 100, 0, delivered("run-time")), phase: v2.PhaseSucceeded,
			because: []string{"stopped after"}, load: v2.ReasonLoadAsPlanned},
		"failed requests": {code: 1, message: finalMessage(true, 3, 100, 5, delivered("signal")), phase: v2.PhaseFailed,
			because: []string{"stopped after 35s, as spec.stop requests: master exited with code 1", "5 of 100 requests failed"}, load: v2.ReasonLoadAsPlanned},
		"failed requests within the criteria": {code: 1, message: finalMessage(true, 3, 100, 5, delivered("signal")), phase: v2.PhaseSucceeded,
			criteria: &v2.SuccessCriteria{MaxFailureRatio: "0.1"}, because: []string{"stopped after"}, load: v2.ReasonLoadAsPlanned},
		"failed requests beyond the criteria": {code: 1, message: finalMessage(true, 3, 100, 5, delivered("signal")), phase: v2.PhaseFailed,
			criteria: &v2.SuccessCriteria{MaxFailureRatio: "0.01"}, because: []string{"maxFailureRatio is 0.01"}, load: v2.ReasonLoadAsPlanned},
		"no requests": {message: finalMessage(true, 3, 0, 0, delivered("signal")), phase: v2.PhaseFailed,
			because: []string{"stopped after 35s", "NoRequests"}, load: v2.ReasonNoRequests},
		"killed after the grace period": {code: 137, message: finalMessage(false, 3, 100, 0, delivered("")), phase: v2.PhaseFailed,
			because: []string{"stopped after", "exited with code 137"}, load: v2.ReasonLoadCutShort},
	} {
		t.Run(name, func(t *testing.T) {
			s := running(t)
			s.obs.Run.Spec.SuccessCriteria, s.obs.Test.Spec.SuccessCriteria = row.criteria, row.criteria
			at := t0.Add(50 * time.Second)
			s.obs.Test.Spec.Stop = true
			s.obs.Test.Generation++
			require.Equal(t, Plan{EndLoad: s.obs.MasterJob}, PlanFor(&s.prev, &s.obs, settings, at), "nothing else")
			s.stopMaster(at)
			assert.Nil(t, PlanFor(&s.prev, &s.obs, settings, at).EndLoad, "once")
			s.derive(at)
			require.Equal(t, v2.PhaseRunning, s.prev.Phase)
			requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionFalse, v2.ReasonTestInProgress, "Stopping the load, as spec.stop requests")
			requireCondition(t, &s.prev, v2.ConditionTypeSpecDrifted, metav1.ConditionFalse, v2.ReasonSpecInSync)

			s.endPod(s.master(), at.Add(2*time.Second), row.code, row.message)
			s.obs.FirstObservation = true // the operator has restarted
			s.derive(at.Add(3 * time.Second))
			require.Equal(t, row.phase, s.prev.Phase)
			require.True(t, HasOutcome(&s.obs), "also of a Job that is deleted")
			reason := map[string]string{v2.PhaseSucceeded: v2.ReasonTestSucceeded, v2.PhaseFailed: v2.ReasonTestFailed}[row.phase]
			requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, reason, row.because...)
			assert.Equal(t, row.load, loadReason(&s.prev))
			assert.Equal(t, v2.ResultSourceReporter, s.prev.TestResult.Source)
			assert.Equal(t, at.Add(2*time.Second), s.prev.CompletionTime.Time)
			assert.Equal(t, resources.ReportName(s.obs.Test), s.prev.Report)
		})
	}
}

// TestStop_LiveReport: a poll that shows the end of the load before the master has ended is no load that was cut short.
func TestStop_LiveReport(t *testing.T) {
	s := running(t)
	s.obs.Locust = &Locust{}
	s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{Requests: 100})
	s.stopMaster(t0.Add(50 * time.Second))
	s.answerWithDelivery(t0.Add(51*time.Second), report.StateStopped, 150, report.Delivery{EndedBy: report.EndedBySignal})
	assert.Equal(t, v2.ReasonLoadAsPlanned, loadReason(&s.prev))
	assert.Equal(t, "3/3", s.prev.Workers)
}

// TestStop_WithoutReporter: the last known result counts, and the load is no load that was cut short.
func TestStop_WithoutReporter(t *testing.T) {
	s := running(t)
	s.obs.Locust = &Locust{}
	s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{Requests: 100})
	s.stopMaster(t0.Add(50 * time.Second))
	s.endPod(s.master(), t0.Add(52*time.Second), 0, "")
	s.derive(t0.Add(53 * time.Second))
	require.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestSucceeded, "stopped after ", "s, as spec.stop requests")
	assert.Equal(t, v2.ReasonLoadAsPlanned, loadReason(&s.prev))
	assert.False(t, s.prev.TestResult.Final)
}

// TestStop_EndedByItself: a master that ends before the signal was not stopped.
func TestStop_EndedByItself(t *testing.T) {
	s := running(t)
	at := t0.Add(50 * time.Second)
	s.endPod(s.master(), at.Add(-2*time.Second), 0, finalMessage(true, 3, 100, 0, delivered("run-time")))
	s.stopMaster(at)
	s.derive(at)
	require.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestSucceeded)
	assert.NotContains(t, meta.FindStatusCondition(s.prev.Conditions, v2.ConditionTypeTestCompleted).Message, "stopped")
}

// TestStop_Withdrawn: an update in v1 drops the field; the master has been stopped all the same.
func TestStop_Withdrawn(t *testing.T) {
	s := running(t)
	at := t0.Add(50 * time.Second)
	s.stopMaster(at)
	s.obs.Test.Spec.Stop = false
	s.endPod(s.master(), at.Add(2*time.Second), 0, finalMessage(true, 3, 100, 0, delivered("signal")))
	s.derive(at.Add(3 * time.Second))
	require.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	assert.Equal(t, v2.ReasonLoadAsPlanned, loadReason(&s.prev))
}

// TestStop_PodGone: with the operator away until the pod was gone the result is lost, which the message reports.
func TestStop_PodGone(t *testing.T) {
	s := running(t)
	at := t0.Add(50 * time.Second)
	s.stopMaster(at)
	s.deadlineExceeded(at.Add(time.Second))
	s.derive(at.Add(2 * time.Second))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase, "until Kubernetes 1.30 the pod still terminates")
	s.dropPod(s.master())
	s.derive(at.Add(3 * time.Second))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "stopped after", "gone before its result could be read")
}

// TestStop_Disrupted: an eviction is not the stop.
func TestStop_Disrupted(t *testing.T) {
	s := running(t)
	at := t0.Add(50 * time.Second)
	s.stopMaster(at)
	s.endPod(s.master(), at.Add(time.Second), 143, "")
	s.master().Status.Conditions = append(s.master().Status.Conditions, corev1.PodCondition{
		Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(at.Add(-time.Second)),
	})
	assert.Nil(t, newFacts(&s.prev, &s.obs, settings, at.Add(time.Second)).stoppedMaster())
}
