package status

import (
	"testing"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestDerivePhaseFromJob_Nil(t *testing.T) {
	assert.Equal(t, v2.PhasePending, derivePhaseFromJob(nil))
}

func TestDerivePhaseFromJob_Active(t *testing.T) {
	zero, one := int32(0), int32(1)
	job := &batchv1.Job{Status: batchv1.JobStatus{Active: 1}}
	assert.Equal(t, v2.PhaseRunning, derivePhaseFromJob(job), "a Job without ready counts as running when active")
	job.Status.Ready = &zero
	assert.Equal(t, v2.PhasePending, derivePhaseFromJob(job), "its pod does not run yet")
	job.Status.Ready = &one
	assert.Equal(t, v2.PhaseRunning, derivePhaseFromJob(job))
	job.Status.Active = 0
	assert.Equal(t, v2.PhasePending, derivePhaseFromJob(job))
}

func TestDerivePhaseFromJob_Complete(t *testing.T) {
	assert.Equal(t, v2.PhaseSucceeded, derivePhaseFromJob(jobWith(batchv1.JobComplete, corev1.ConditionTrue)))
	assert.Equal(t, v2.PhaseRunning, derivePhaseFromJob(jobWith(batchv1.JobComplete, corev1.ConditionFalse)))
}

func TestDerivePhaseFromJob_Failed(t *testing.T) {
	assert.Equal(t, v2.PhaseFailed, derivePhaseFromJob(jobWith(batchv1.JobFailed, corev1.ConditionTrue)))
	assert.Equal(t, v2.PhaseRunning, derivePhaseFromJob(jobWith(batchv1.JobFailed, corev1.ConditionFalse)))
	assert.Equal(t, v2.PhaseRunning, derivePhaseFromJob(jobWith(batchv1.JobFailureTarget, corev1.ConditionTrue)), "not failed yet")
}

func TestCompletedIndexes(t *testing.T) {
	for text, want := range map[string][]int{"": nil, "0": {0}, "0,2-4": {0, 2, 3, 4}, "x,1,3-y": {1}, "5-3": nil} {
		assert.Equal(t, want, completedIndexes(&batchv1.Job{Status: batchv1.JobStatus{CompletedIndexes: text}}), text)
	}
}
