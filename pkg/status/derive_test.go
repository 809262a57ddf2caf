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
)

func TestGoodRun(t *testing.T) {
	s := newFixture(t)
	d := s.derive(t0)
	assert.Equal(t, v2.PhasePending, s.prev.Phase)
	assert.Positive(t, d.RequeueAfter, "the objects are created once the first status is written")

	s = created(t)
	assert.Equal(t, v2.PhasePending, s.prev.Phase)
	assert.Nil(t, s.prev.StartTime)
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionTrue, v2.ReasonResourcesCreated)
	requireCondition(t, &s.prev, v2.ConditionTypeReconciling, metav1.ConditionTrue, v2.ReasonPodsStarting)

	s = running(t)
	assert.Equal(t, t0.Add(10*time.Second), s.prev.StartTime.Time, "the kubelet's own time")
	assert.Equal(t, "3/3", s.prev.Workers)
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "3/3 workers connected", "ready pods")
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionFalse, v2.ReasonTestInProgress, "Test is running")
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy)

	// The master ends its workers shortly before itself.
	end := t0.Add(60 * time.Second)
	for i := range 3 {
		s.endPod(s.worker(i), end.Add(-time.Second), 0, "")
	}
	for _, phase := range []corev1.PodPhase{corev1.PodRunning, corev1.PodSucceeded} {
		// The kubelet reports the container's end before the pod's.
		for i := range 3 {
			s.worker(i).Status.Phase = phase
		}
		before := s.prev.DeepCopy()
		d = s.derive(end)
		assert.Equal(t, NoChange, Compare(before, &d.Status), "workers that leave because the test ends are not missing")
		assert.Empty(t, newFacts(before, &s.obs, settings, end).findStuckObjects(), "and no Events have to be read for them")
	}
	zero := int32(0)
	s.obs.MasterJob.Status.Ready = &zero
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy)

	s.endPod(s.master(), end, 0, "")
	s.endJob(s.obs.MasterJob, batchv1.JobComplete, end.Add(time.Second))
	d = s.derive(end.Add(3 * time.Second))
	assert.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	assert.Equal(t, end, s.prev.CompletionTime.Time, "when Locust's container ended")
	assert.Equal(t, "3/3", s.prev.Workers)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestSucceeded)
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionTrue, v2.ReasonResourcesCreated)
	require.Len(t, d.Events, 1)
	assert.Equal(t, v2.ReasonTestSucceeded, d.Events[0].Reason)
}

func TestMissedRun_GivesTheSameEnd(t *testing.T) {
	end := t0.Add(60 * time.Second)
	finish := func(s *fixture) {
		for i := range 3 {
			s.endPod(s.worker(i), end, 0, "")
		}
		s.endPod(s.master(), end, 0, "")
		s.endJob(s.obs.MasterJob, batchv1.JobComplete, end.Add(time.Second))
		s.obs.FirstObservation = true
		s.derive(end.Add(10 * time.Minute))
	}
	seen := running(t)
	finish(seen)

	missed := created(t)
	missed.runMaster(t0.Add(10 * time.Second))
	for i := range 3 {
		missed.runPod(missed.worker(i), t0.Add(10*time.Second))
	}
	finish(missed)

	for _, s := range []*fixture{seen, missed} {
		for i := range s.prev.Conditions {
			s.prev.Conditions[i].LastTransitionTime = metav1.Time{}
		}
	}
	assert.Equal(t, seen.prev, missed.prev, "the end does not depend on the operator having been there")
}

func TestTerminal_Absorbs(t *testing.T) {
	s := running(t)
	s.endPod(s.master(), t0.Add(60*time.Second), 0, "")
	s.endJob(s.obs.MasterJob, batchv1.JobComplete, t0.Add(60*time.Second))
	s.derive(t0.Add(61 * time.Second))
	final := s.prev.DeepCopy()

	s.obs.MasterJob, s.obs.WorkerJob, s.obs.Service, s.obs.Pods = nil, nil, nil, nil
	s.obs.Test.Generation, s.obs.Test.Spec.Image = 9, "other"
	s.obs.Failure = &Failure{Message: "x", Final: true}
	d := s.derive(t0.Add(time.Hour))
	assert.Equal(t, *final, d.Status)
	assert.Empty(t, d.Events)
	plan := PlanFor(final, &s.obs, settings, t0.Add(time.Hour))
	assert.False(t, plan.Creates(), "a terminal test never gets its objects again")
}

func TestStartTime_ComesWithRunning(t *testing.T) {
	s := created(t)
	s.runPod(s.master(), t0.Add(9*time.Second))
	s.derive(t0.Add(10 * time.Second))
	assert.Equal(t, v2.PhasePending, s.prev.Phase, "the Job does not report its pod ready yet")
	assert.Nil(t, s.prev.StartTime)
}

func TestTimes_NeverEndBeforeTheyStart(t *testing.T) {
	s := running(t)
	s.prev.StartTime = &metav1.Time{Time: t0.Add(time.Hour)}
	s.obs.MasterJob = nil
	s.derive(t0.Add(time.Minute))
	assert.Equal(t, *s.prev.StartTime, *s.prev.CompletionTime)
}
