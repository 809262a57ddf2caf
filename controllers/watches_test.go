package controllers

import (
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/randfill"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// ignoredFields are the fields whose changes enqueue nothing: immutable ones, the version, and details of the owner.
var ignoredFields = map[string]bool{
	".ObjectMeta.Name": true, ".ObjectMeta.Namespace": true, ".ObjectMeta.ResourceVersion": true,
	".ObjectMeta.CreationTimestamp.Time":                true,
	".ObjectMeta.OwnerReferences[0].APIVersion":         true,
	".ObjectMeta.OwnerReferences[0].Kind":               true,
	".ObjectMeta.OwnerReferences[0].Name":               true,
	".ObjectMeta.OwnerReferences[0].BlockOwnerDeletion": true,
}

// filled returns an object with all fields set that the cache keeps.
func filled[T client.Object](t *testing.T, o T) T {
	t.Helper()
	randfill.NewWithSeed(1).NilChance(0).NumElements(1, 1).Funcs(
		func(at *metav1.Time, c randfill.Continue) { at.Time = time.Unix(c.Int63n(1e9), 0) },
		func(c *corev1.PodCondition, r randfill.Continue) {
			r.FillNoCustom(c)
			c.Type = corev1.PodReady
		},
		func(m *metav1.ObjectMeta, r randfill.Continue) {
			r.FillNoCustom(m)
			m.Labels = map[string]string{resources.LabelTestName: "a", resources.LabelTestUID: "b", resources.LabelPodName: "a-master"}
			m.Annotations = map[string]string{resources.AnnotationRunSpec: "{}", resources.AnnotationRunGeneration: "1"}
		},
		func(*metav1.FieldsV1, randfill.Continue) {},
		func(*metav1.TypeMeta, randfill.Continue) {}, // empty in decoded objects
	).Fill(o)
	kept, err := strip(o)
	require.NoError(t, err)
	return kept.(T)
}

// leaves calls visit with each field of a value and a function that changes it.
func leaves(path string, v reflect.Value, visit func(path string, change func())) {
	switch {
	case v.IsZero():
		return // the cache does not keep it
	case v.Type() == reflect.TypeFor[time.Time]():
		visit(path, func() { v.Set(reflect.ValueOf(v.Interface().(time.Time).Add(time.Hour))) })
		return
	case v.Kind() == reflect.Struct:
		for i := range v.NumField() {
			leaves(path+"."+v.Type().Field(i).Name, v.Field(i), visit)
		}
		return
	case v.Kind() == reflect.Pointer && !v.IsNil():
		leaves(path, v.Elem(), visit)
		return
	case v.Kind() == reflect.Slice && v.Len() > 0:
		for i := range v.Len() {
			leaves(fmt.Sprintf("%s[%d]", path, i), v.Index(i), visit)
		}
		return
	}
	visit(path, func() {
		switch v.Kind() {
		case reflect.String:
			v.SetString(v.String() + "x")
		case reflect.Bool:
			v.SetBool(!v.Bool())
		case reflect.Int32, reflect.Int64:
			v.SetInt(v.Int() + 1)
		case reflect.Map:
			v.SetMapIndex(v.MapKeys()[0], reflect.ValueOf("changed"))
		default:
			panic(fmt.Sprintf("%s: unexpected %s", path, v.Type()))
		}
	})
}

func testEveryField[T client.Object](t *testing.T, full T, compare func(was, is client.Object) urgency) {
	t.Helper()
	was := full.DeepCopyObject().(T)
	assert.Equal(t, enqueueNever, compare(was, full.DeepCopyObject().(T)), "the same")
	seen := 0
	leaves("", reflect.ValueOf(full).Elem(), func(path string, change func()) {
		seen++
		change()
		if ignoredFields[path] {
			assert.Equal(t, enqueueNever, compare(was, full), path)
		} else {
			assert.NotEqual(t, enqueueNever, compare(was, full), "a change of %s is not noticed", path)
		}
		was = full.DeepCopyObject().(T)
	})
	assert.Greater(t, seen, 5, "fields that the cache keeps")
}

// TestCompare_EveryCachedField: each field that strip keeps must be compared.
func TestCompare_EveryCachedField(t *testing.T) {
	t.Run("pod", func(t *testing.T) { testEveryField(t, filled(t, &corev1.Pod{}), comparePods) })
	t.Run("job", func(t *testing.T) { testEveryField(t, filled(t, &batchv1.Job{}), compareJobs) })
	t.Run("service", func(t *testing.T) { testEveryField(t, filled(t, &corev1.Service{}), compareServices) })
}

func TestCompareJobs(t *testing.T) {
	job := func(change func(*batchv1.Job)) *batchv1.Job {
		j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "test-master", UID: "1"}}
		if change != nil {
			change(j)
		}
		return j
	}
	for name, c := range map[string]struct {
		was, is *batchv1.Job
		want    urgency
	}{
		"nothing":      {job(nil), job(nil), enqueueNever},
		"version only": {job(nil), job(func(j *batchv1.Job) { j.ResourceVersion = "2" }), enqueueNever},
		"counters": {
			job(func(j *batchv1.Job) { j.Status.Ready = ptr.To[int32](0) }),
			job(func(j *batchv1.Job) { j.Status.Active, j.Status.Ready = 1, ptr.To[int32](0) }), enqueueWhenIdle,
		},
		"first active pod without reported ready pods": {job(nil), job(func(j *batchv1.Job) { j.Status.Active = 1 }), enqueueImmediately},
		"first ready pod": {job(nil), job(func(j *batchv1.Job) {
			j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](1)
		}), enqueueImmediately},
		"another ready pod": {
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](1) }),
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](2) }), enqueueWhenIdle,
		},
		"last ready pod": {
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](2) }),
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](3) }), enqueueImmediately,
		},
		"one ready pod less": {job(func(j *batchv1.Job) { j.Status.Ready = ptr.To[int32](1) }), job(nil), enqueueWhenIdle},
		"end": {job(nil), job(func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		}), enqueueImmediately},
		"deletion": {job(nil), job(func(j *batchv1.Job) { j.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }), enqueueImmediately},
	} {
		assert.Equal(t, c.want, compareJobs(c.was, c.is), name)
	}
}

func TestComparePods(t *testing.T) {
	fine := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "test-worker-0", UID: "1"}}
	runs, failed := fine.DeepCopy(), fine.DeepCopy()
	runs.Status.Phase, failed.Status.Phase = corev1.PodRunning, corev1.PodFailed
	assert.Equal(t, enqueueNever, comparePods(fine, fine.DeepCopy()))
	assert.Equal(t, enqueueWhenIdle, comparePods(fine, runs))
	assert.Equal(t, enqueueBatched, comparePods(runs, failed))
	assert.Equal(t, enqueueBatched, comparePods(failed, runs), "a recovered pod is reported too")
	owned := runs.DeepCopy()
	owned.OwnerReferences = []metav1.OwnerReference{{UID: "2", Controller: ptr.To(true)}}
	assert.Equal(t, enqueueBatched, comparePods(owned, runs), "an orphan makes unwanted load")
}

// fakeQueue records the requests of a handler.
type fakeQueue struct {
	priorityqueue.PriorityQueue[reconcile.Request]
	delays   map[string]time.Duration
	whenIdle map[string]bool
}

func (q *fakeQueue) Add(r reconcile.Request) { q.delays[r.Name] = 0 }

func (q *fakeQueue) AddAfter(r reconcile.Request, wait time.Duration) { q.delays[r.Name] = wait }

func (q *fakeQueue) AddWithOpts(o priorityqueue.AddOpts, requests ...reconcile.Request) {
	for _, r := range requests {
		q.delays[r.Name] = o.After
		q.whenIdle[r.Name] = ptr.Deref(o.Priority, 0) < 0
	}
}

func TestEnqueueTest(t *testing.T) {
	job := func(owner string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{
			{Kind: testKind, Name: owner, UID: types.UID(owner), Controller: ptr.To(true)},
		}}}
	}
	q := &fakeQueue{delays: map[string]time.Duration{}, whenIdle: map[string]bool{}}
	handle := enqueueTest(compareJobs, enqueueImmediately)
	handle.UpdateFunc(t.Context(), event.UpdateEvent{ObjectOld: job("a"), ObjectNew: job("b")}, q)
	assert.Equal(t, map[string]time.Duration{"a": 0, "b": 0}, q.delays)

	clear(q.delays)
	handle.UpdateFunc(t.Context(), event.UpdateEvent{ObjectOld: job("a"), ObjectNew: job("a")}, q)
	assert.Empty(t, q.delays, "nothing has changed")

	handle.CreateFunc(t.Context(), event.CreateEvent{Object: job("a")}, q)
	handle.DeleteFunc(t.Context(), event.DeleteEvent{Object: job("b")}, q)
	assert.Equal(t, map[string]time.Duration{"a": idleDelay, "b": 0}, q.delays)
	assert.Equal(t, map[string]bool{"a": true}, q.whenIdle, "Jobs that decide nothing have low priority")

	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{resources.LabelTestName: "c"}}}
	enqueueTest(comparePods, enqueueBatched).DeleteFunc(t.Context(), event.DeleteEvent{Object: pod}, q)
	assert.Equal(t, batchDelay, q.delays["c"])

	created := func(e event.CreateEvent) time.Duration {
		enqueueTest(comparePods, enqueueBatched).CreateFunc(t.Context(), e, q)
		return q.delays["c"]
	}
	assert.Equal(t, idleDelay, created(event.CreateEvent{Object: pod}))
	pod.Status.Phase = corev1.PodFailed
	assert.Equal(t, batchDelay, created(event.CreateEvent{Object: pod}), "the watch was broken when it failed")
	assert.Equal(t, idleDelay, created(event.CreateEvent{Object: pod, IsInInitialList: true}), "its test is reconciled anyway")
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
