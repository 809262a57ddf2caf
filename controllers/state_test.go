package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// TestWrites checks when a cache counts as stale.
func TestWrites(t *testing.T) {
	now := time.Now()
	job := func(uid types.UID, version string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{UID: uid, ResourceVersion: version}}
	}
	terminating := job("a", "8")
	terminating.DeletionTimestamp = &metav1.Time{Time: now}
	written := func(w *writes) { w.expect(kindMasterJob, job("a", "9"), true, now) }
	patched := func(w *writes) { w.expect(kindMasterJob, job("a", "9"), false, now) }
	deleted := func(w *writes) { written(w); w.expectDeletion(kindMasterJob, job("a", "9"), now) }
	for name, row := range map[string]struct {
		write  func(*writes)
		cached client.Object
		age    time.Duration
		want   time.Duration
	}{
		"nothing written":               {func(*writes) {}, nil, 0, 0},
		"another kind written":          {func(w *writes) { w.expect(kindWorkerJob, job("a", "9"), true, now) }, job("a", "8"), 0, 0},
		"not there yet":                 {written, nil, 10 * time.Millisecond, staleInterval},
		"not there for half a second":   {written, nil, 500 * time.Millisecond, 500 * time.Millisecond},
		"not there for two seconds":     {written, nil, 2 * time.Second, maxStaleInterval},
		"patched, and deleted since":    {patched, nil, time.Second, 0},
		"patched, older":                {patched, job("a", "8"), 0, staleInterval},
		"not there for long":            {written, nil, staleTimeout, 0},
		"older":                         {written, job("a", "8"), 10 * time.Millisecond, staleInterval},
		"older, of an earlier object":   {written, job("b", "8"), 10 * time.Millisecond, staleInterval},
		"older for long":                {written, job("a", "8"), staleTimeout, 0},
		"equal":                         {written, job("a", "9"), 0, 0},
		"newer":                         {written, job("a", "10"), 0, 0},
		"not comparable":                {written, job("a", "x"), 0, 0},
		"deleted, still there":          {deleted, job("a", "9"), 10 * time.Millisecond, staleInterval},
		"deleted, terminating":          {deleted, terminating, 0, 0},
		"deleted, gone":                 {deleted, nil, 0, 0},
		"deleted, another in its place": {deleted, job("b", "10"), 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			var w writes
			row.write(&w)
			assert.Equal(t, row.want, w.wait(kindMasterJob, row.cached, now.Add(row.age)))
		})
	}
}

// TestReconcile_StaleCache: while the cache is behind the operator's own writes, nothing is decided.
func TestReconcile_StaleCache(t *testing.T) {
	for _, kind := range []string{testKind, kindService, kindMasterJob, kindWorkerJob} {
		t.Run(kind, func(t *testing.T) {
			f, now := newCreatedFixture(t), time.Now()
			f.reconciler.Clock = clocktesting.NewFakePassiveClock(now)
			state := f.reconciler.states.getOrCreate(f.test)
			behind := state.written[kind]
			state.written.expect(kind, &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1000000"}}, false, now)
			assert.Equal(t, staleInterval, f.requireWrites().RequeueAfter)
			state.written[kind] = behind
			require.NotEqual(t, staleInterval, f.requireWrites().RequeueAfter)
		})
	}
}

// TestReconcile_StaleStatus: a run whose recorded start the cache does not show for long is not started again.
func TestReconcile_StaleStatus(t *testing.T) {
	f := newFixture(t)
	now := clocktesting.NewFakePassiveClock(time.Now())
	f.reconciler.Clock = now
	f.requireWrites("status")
	f.requireWrites("test-master", "test-master", "test-worker", "status")
	for _, name := range []string{"test-master", "test-worker"} {
		require.NoError(t, f.client.Delete(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name}}))
	}
	f.reconciler.states.getOrCreate(f.test).written.expect(testKind, &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1000000"}}, false, now.Now())
	now.SetTime(now.Now().Add(2 * staleTimeout))
	assert.Equal(t, maxStaleInterval, f.requireWrites().RequeueAfter)
	now.SetTime(now.Now().Add(staleStatusTimeout))
	assert.NotEqual(t, maxStaleInterval, f.requireWrites("test-master", "test-worker").RequeueAfter)
}
