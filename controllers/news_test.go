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

// unnoticed are the fields that no news come from: what an object has for good, its version, and details of its owner.
var unnoticed = map[string]bool{
	".ObjectMeta.Name": true, ".ObjectMeta.Namespace": true, ".ObjectMeta.ResourceVersion": true,
	".ObjectMeta.CreationTimestamp.Time":                true,
	".ObjectMeta.OwnerReferences[0].APIVersion":         true,
	".ObjectMeta.OwnerReferences[0].Kind":               true,
	".ObjectMeta.OwnerReferences[0].Name":               true,
	".ObjectMeta.OwnerReferences[0].BlockOwnerDeletion": true,
}

// full makes an object of which everything is set that the cache keeps.
func full[T client.Object](t *testing.T, o T) T {
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
		func(*metav1.TypeMeta, randfill.Continue) {}, // decoded objects have none
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
	assert.Equal(t, never, compare(was, full.DeepCopyObject().(T)), "the same")
	seen := 0
	leaves("", reflect.ValueOf(full).Elem(), func(path string, change func()) {
		seen++
		change()
		if unnoticed[path] {
			assert.Equal(t, never, compare(was, full), path)
		} else {
			assert.NotEqual(t, never, compare(was, full), "a change of %s is not noticed", path)
		}
		was = full.DeepCopyObject().(T)
	})
	assert.Greater(t, seen, 5, "fields that the cache keeps")
}

// Whatever else strip keeps one day must be compared too.
func TestEveryFieldThatTheCacheKeepsIsNews(t *testing.T) {
	t.Run("pod", func(t *testing.T) { testEveryField(t, full(t, &corev1.Pod{}), comparePods) })
	t.Run("job", func(t *testing.T) { testEveryField(t, full(t, &batchv1.Job{}), compareJobs) })
	t.Run("service", func(t *testing.T) { testEveryField(t, full(t, &corev1.Service{}), compareServices) })
}

func TestJobNewsAreUrgentWhenTheyDecide(t *testing.T) {
	job := func(change func(*batchv1.Job)) *batchv1.Job {
		one := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "test-master", UID: "1"}}
		if change != nil {
			change(one)
		}
		return one
	}
	for name, c := range map[string]struct {
		was, is *batchv1.Job
		want    urgency
	}{
		"nothing":      {job(nil), job(nil), never},
		"version only": {job(nil), job(func(j *batchv1.Job) { j.ResourceVersion = "2" }), never},
		"counters": {
			job(func(j *batchv1.Job) { j.Status.Ready = ptr.To[int32](0) }),
			job(func(j *batchv1.Job) { j.Status.Active, j.Status.Ready = 1, ptr.To[int32](0) }), later,
		},
		"first active pod where ready ones are not told": {job(nil), job(func(j *batchv1.Job) { j.Status.Active = 1 }), atOnce},
		"first ready pod": {job(nil), job(func(j *batchv1.Job) {
			j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](1)
		}), atOnce},
		"another ready pod": {
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](1) }),
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](2) }), later,
		},
		"last ready pod": {
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](2) }),
			job(func(j *batchv1.Job) { j.Spec.Parallelism, j.Status.Ready = ptr.To[int32](3), ptr.To[int32](3) }), atOnce,
		},
		"a pod less": {job(func(j *batchv1.Job) { j.Status.Ready = ptr.To[int32](1) }), job(nil), later},
		"end": {job(nil), job(func(j *batchv1.Job) {
			j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
		}), atOnce},
		"deletion": {job(nil), job(func(j *batchv1.Job) { j.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }), atOnce},
	} {
		assert.Equal(t, c.want, compareJobs(c.was, c.is), name)
	}
}

func TestPodNewsAreUrgentWhenSomethingIsWrong(t *testing.T) {
	fine := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "test-worker-0", UID: "1"}}
	runs, failed := fine.DeepCopy(), fine.DeepCopy()
	runs.Status.Phase, failed.Status.Phase = corev1.PodRunning, corev1.PodFailed
	assert.Equal(t, never, comparePods(fine, fine.DeepCopy()))
	assert.Equal(t, later, comparePods(fine, runs))
	assert.Equal(t, soon, comparePods(runs, failed))
	assert.Equal(t, soon, comparePods(failed, runs), "what is mended has to be told too")
	owned := runs.DeepCopy()
	owned.OwnerReferences = []metav1.OwnerReference{{UID: "2", Controller: ptr.To(true)}}
	assert.Equal(t, soon, comparePods(owned, runs), "an orphan makes load that nobody asked for")
}

// looks are what a handler asked the queue for.
type looks struct {
	priorityqueue.PriorityQueue[reconcile.Request]
	asked    map[string]time.Duration
	whenIdle map[string]bool
}

func (q *looks) Add(r reconcile.Request) { q.asked[r.Name] = 0 }

func (q *looks) AddAfter(r reconcile.Request, wait time.Duration) { q.asked[r.Name] = wait }

func (q *looks) AddWithOpts(o priorityqueue.AddOpts, requests ...reconcile.Request) {
	for _, r := range requests {
		q.asked[r.Name] = o.After
		q.whenIdle[r.Name] = ptr.Deref(o.Priority, 0) < 0
	}
}

func TestNewsReachTheTestThatHasLostAnObject(t *testing.T) {
	job := func(owner string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{
			{Kind: testKind, Name: owner, UID: types.UID(owner), Controller: ptr.To(true)},
		}}}
	}
	q := &looks{asked: map[string]time.Duration{}, whenIdle: map[string]bool{}}
	handle := news(compareJobs, atOnce)
	handle.UpdateFunc(t.Context(), event.UpdateEvent{ObjectOld: job("a"), ObjectNew: job("b")}, q)
	assert.Equal(t, map[string]time.Duration{"a": 0, "b": 0}, q.asked)

	clear(q.asked)
	handle.UpdateFunc(t.Context(), event.UpdateEvent{ObjectOld: job("a"), ObjectNew: job("a")}, q)
	assert.Empty(t, q.asked, "nothing has changed")

	handle.CreateFunc(t.Context(), event.CreateEvent{Object: job("a")}, q)
	handle.DeleteFunc(t.Context(), event.DeleteEvent{Object: job("b")}, q)
	assert.Equal(t, map[string]time.Duration{"a": gatherOthers, "b": 0}, q.asked)
	assert.Equal(t, map[string]bool{"a": true}, q.whenIdle, "what decides nothing waits for what does")

	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{resources.LabelTestName: "c"}}}
	news(comparePods, soon).DeleteFunc(t.Context(), event.DeleteEvent{Object: pod}, q)
	assert.Equal(t, gatherTrouble, q.asked["c"])

	created := func(e event.CreateEvent) time.Duration {
		news(comparePods, soon).CreateFunc(t.Context(), e, q)
		return q.asked["c"]
	}
	assert.Equal(t, gatherOthers, created(event.CreateEvent{Object: pod}))
	pod.Status.Phase = corev1.PodFailed
	assert.Equal(t, gatherTrouble, created(event.CreateEvent{Object: pod}), "the watch was broken when it failed")
	assert.Equal(t, gatherOthers, created(event.CreateEvent{Object: pod, IsInInitialList: true}), "its test is looked at anyway")
}

func TestTestOf(t *testing.T) {
	owned := func(kind, name string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{
			Labels:          map[string]string{resources.LabelTestName: "labelled"},
			OwnerReferences: []metav1.OwnerReference{{Kind: kind, Name: name, Controller: ptr.To(true)}},
		}}
	}
	assert.Equal(t, "owner", testOf(owned("LocustTest", "owner")))
	assert.Equal(t, "labelled", testOf(owned("Job", "owner")), "a pod's owner is the Job")
	assert.Empty(t, testOf(&corev1.Pod{}))
}
