package controllers

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// jobOf returns a Job of the test.
func (f *fixture) jobOf(name string) *batchv1.Job {
	f.t.Helper()
	job := &batchv1.Job{}
	require.NoError(f.t, f.client.Get(f.t.Context(), client.ObjectKey{Namespace: "ns", Name: name}, job))
	return job
}

// requestStop sets spec.stop.
func (f *fixture) requestStop() {
	f.t.Helper()
	f.ready()
	f.test.Spec.Stop = true
	require.NoError(f.t, f.client.Update(f.t.Context(), f.test))
}

// TestStop_Running: only the master's Job is stopped, once, and without a TTL: its pod has the outcome.
func TestStop_Running(t *testing.T) {
	f := newCreatedFixture(t)
	f.runMaster()
	f.requireWrites("status")
	require.Equal(t, v2.PhaseRunning, f.phase())
	f.requestStop()
	f.requireWrites()
	f.reconciler.RefreshInterval = 0
	master, worker := f.jobOf("test-master"), f.jobOf("test-worker")
	assert.Equal(t, ptr.To[int64](1), master.Spec.ActiveDeadlineSeconds)
	assert.Nil(t, master.Spec.TTLSecondsAfterFinished)
	assert.Equal(t, ptr.To[int32](1), master.Spec.Parallelism)
	assert.Nil(t, worker.Spec.ActiveDeadlineSeconds, "the master ends the workers")

	f.requireWrites("status") // "Stopping the load"
	assert.Equal(t, v2.PhaseRunning, f.phase())
	f.requireWrites()
	assert.Equal(t, master.ResourceVersion, f.jobOf("test-master").ResourceVersion, "once")
}

// TestStop_BeforeStart: no object is created.
func TestStop_BeforeStart(t *testing.T) {
	f := newFixture(t)
	f.requestStop()
	f.requireWrites("status")             // Pending
	f.requireWrites("status", reportName) // Failed
	assert.Equal(t, v2.PhaseFailed, f.phase())
	err := f.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "test-master"}, &batchv1.Job{})
	require.NoError(t, client.IgnoreNotFound(err))
	require.Error(t, err)
}
