package controllers

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// How soon a change is reconciled.
const ignored, batched, immediately = "ignored", "batched", "immediately"

func TestChangesRun(t *testing.T) {
	job := func(change func(*batchv1.Job)) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "test-master", UID: "1"}}
		if change != nil {
			change(j)
		}
		return j
	}
	for name, c := range map[string]struct {
		was, is *batchv1.Job
		want    string
	}{
		"nothing":      {job(nil), job(nil), ignored},
		"version only": {job(nil), job(func(j *batchv1.Job) { j.ResourceVersion = "2" }), ignored},
		"counters": {
			job(func(j *batchv1.Job) { j.Status.Ready = ptr.To[int32](0) }),
			job(func(j *batchv1.Job) { j.Status.Active, j.Status.Ready = 1, ptr.To[int32](0) }), batched,
		},
		"first active pod without reported ready pods": {job(nil), job(func(j *batchv1.Job) { j.Status.Active = 1 }), immediately},
		"first ready pod": {job(nil), job(func(j *batchv1.Job) {
			j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](1)
		}), immediately},
		"another ready pod": {
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](1) }),
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](2) }), batched,
		},
		"last ready pod": {
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](2) }),
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](3) }), immediately,
		},
		"one ready pod less": {job(func(j *batchv1.Job) { j.Status.Ready = ptr.To[int32](1) }), job(nil), batched},
		"end": {job(nil), job(func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		}), immediately},
		"deletion": {job(nil), job(func(j *batchv1.Job) { j.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }), immediately},
	} {
		got := ignored
		if changed().Update(event.UpdateEvent{ObjectOld: c.was, ObjectNew: c.is}) {
			got = batched
			if changesRun(c.was, c.is) {
				got = immediately
			}
		}
		assert.Equal(t, c.want, got, name)
	}
	assert.True(t, changesRun(job(nil), nil), "a deleted Job may have to be recreated")
}

// TestChanged checks that only the version of an object may change unnoticed.
func TestChanged(t *testing.T) {
	noticed := func(was, is client.Object) bool {
		return changed().Update(event.UpdateEvent{ObjectOld: was, ObjectNew: is})
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "test-worker-0", UID: "1"}}
	running := pod.DeepCopy()
	running.Status.Phase = corev1.PodRunning
	owned := running.DeepCopy()
	owned.OwnerReferences = []metav1.OwnerReference{{UID: "2", Controller: ptr.To(true)}}
	newer := pod.DeepCopy()
	newer.ResourceVersion = "2"
	assert.False(t, noticed(pod, newer))
	assert.Empty(t, pod.ResourceVersion, "objects of the cache are not modified")
	assert.True(t, noticed(pod, running))
	assert.True(t, noticed(owned, running), "an orphan makes unwanted load")
	assert.False(t, endsRun(pod, running))
	assert.False(t, endsRun(running, nil), "pods are deleted in bursts")
}

// fakeQueue records the delays of a handler's requests.
type fakeQueue struct {
	workqueue.TypedRateLimitingInterface[reconcile.Request]
	delays map[string]time.Duration
}

func (q *fakeQueue) Add(r reconcile.Request) { q.delays[r.Name] = 0 }

func (q *fakeQueue) AddAfter(r reconcile.Request, wait time.Duration) { q.delays[r.Name] = wait }

func TestEnqueueTest(t *testing.T) {
	job := func(owner string, parallelism int32) *batchv1.Job {
		return &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{Kind: testKind, Name: owner, UID: types.UID(owner), Controller: ptr.To(true)}}},
			Spec:       batchv1.JobSpec{Parallelism: &parallelism},
		}
	}
	q := &fakeQueue{delays: map[string]time.Duration{}}
	handle := enqueueTest(changesRun)
	handle.Update(t.Context(), event.UpdateEvent{ObjectOld: job("a", 1), ObjectNew: job("b", 1)}, q)
	assert.Equal(t, map[string]time.Duration{"a": 0, "b": 0}, q.delays)

	clear(q.delays)
	handle.Update(t.Context(), event.UpdateEvent{ObjectOld: job("a", 1), ObjectNew: job("a", 1)}, q)
	handle.Create(t.Context(), event.CreateEvent{Object: job("b", 1)}, q)
	handle.Delete(t.Context(), event.DeleteEvent{Object: job("c", 1)}, q)
	handle.Update(t.Context(), event.UpdateEvent{ObjectOld: job("d", 1), ObjectNew: job("d", 0)}, q)
	assert.Equal(t, map[string]time.Duration{"a": batchPeriod, "b": batchPeriod, "c": 0, "d": 0}, q.delays)

	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{resources.LabelTestName: "e"}}}
	enqueueTest(endsRun).Delete(t.Context(), event.DeleteEvent{Object: pod}, q)
	assert.Equal(t, batchPeriod, q.delays["e"])
}

func TestTestOf(t *testing.T) {
	owned := func(kind, name string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
			Labels:          map[string]string{resources.LabelTestName: "labeled"},
			OwnerReferences: []metav1.OwnerReference{{Kind: kind, Name: name, Controller: ptr.To(true)}},
		}}
	}
	assert.Equal(t, "owner", testOf(owned("LocustTest", "owner")))
	assert.Equal(t, "labeled", testOf(owned("Job", "owner")), "a pod's owner is the Job")
	assert.Empty(t, testOf(&corev1.Pod{}))
}
