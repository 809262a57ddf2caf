package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	written := func(w *writes) { w.expect(kindMasterJob, job("a", "9"), now) }
	deleted := func(w *writes) { written(w); w.expectDeletion(kindMasterJob, job("a", "9"), now) }
	for name, row := range map[string]struct {
		write  func(*writes)
		cached client.Object
		age    time.Duration
		want   bool
	}{
		"nothing written":               {func(*writes) {}, nil, 0, false},
		"another kind written":          {func(w *writes) { w.expect(kindWorkerJob, job("a", "9"), now) }, job("a", "8"), 0, false},
		"not there yet":                 {written, nil, time.Second, true},
		"not there for long":            {written, nil, staleTimeout, false},
		"older":                         {written, job("a", "8"), time.Second, true},
		"older, of an earlier object":   {written, job("b", "8"), time.Second, true},
		"older for long":                {written, job("a", "8"), staleTimeout, false},
		"equal":                         {written, job("a", "9"), 0, false},
		"newer":                         {written, job("a", "10"), 0, false},
		"not comparable":                {written, job("a", "x"), 0, false},
		"deleted, still there":          {deleted, job("a", "9"), time.Second, true},
		"deleted, terminating":          {deleted, terminating, 0, false},
		"deleted, gone":                 {deleted, nil, 0, false},
		"deleted, another in its place": {deleted, job("b", "10"), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			var w writes
			row.write(&w)
			assert.Equal(t, row.want, w.isStale(kindMasterJob, row.cached, now.Add(row.age)))
		})
	}
}

// TestReconcile_StaleCache: while the cache is behind the operator's own writes, nothing is decided.
func TestReconcile_StaleCache(t *testing.T) {
	for _, kind := range []string{testKind, kindService, kindMasterJob, kindWorkerJob} {
		t.Run(kind, func(t *testing.T) {
			f := newFixture(t)
			f.requireWrites("status")
			f.requireWrites("test-master", "test-master", "test-worker", "status")
			state := f.reconciler.states.getOrCreate(f.test)
			behind := state.written[kind]
			state.written.expect(kind, &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "1000000"}}, time.Now())
			assert.Equal(t, staleInterval, f.requireWrites().RequeueAfter)
			state.written[kind] = behind
			require.NotEqual(t, staleInterval, f.requireWrites().RequeueAfter)
		})
	}
}
