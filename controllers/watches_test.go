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
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
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

func testEveryField[T client.Object](t *testing.T, full T, same func(was, is T) bool) {
	t.Helper()
	handled := func(was, is T) bool { return changed(same).Update(event.UpdateEvent{ObjectOld: was, ObjectNew: is}) }
	was := full.DeepCopyObject().(T)
	assert.False(t, handled(was, full.DeepCopyObject().(T)), "the same")
	seen := 0
	leaves("", reflect.ValueOf(full).Elem(), func(path string, change func()) {
		seen++
		change()
		if ignoredFields[path] {
			assert.False(t, handled(was, full), path)
		} else {
			assert.True(t, handled(was, full), "a change of %s is not noticed", path)
		}
		was = full.DeepCopyObject().(T)
	})
	assert.Greater(t, seen, 5, "fields that the cache keeps")
}

// TestChanged_EveryCachedField: each field that strip keeps must be compared.
func TestChanged_EveryCachedField(t *testing.T) {
	t.Run("pod", func(t *testing.T) { testEveryField(t, filled(t, &corev1.Pod{}), samePod) })
	t.Run("job", func(t *testing.T) { testEveryField(t, filled(t, &batchv1.Job{}), sameJob) })
	t.Run("service", func(t *testing.T) { testEveryField(t, filled(t, &corev1.Service{}), sameService) })
}

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
		if changed(sameJob).Update(event.UpdateEvent{ObjectOld: c.was, ObjectNew: c.is}) {
			got = batched
			if changesRun(c.was, c.is) {
				got = immediately
			}
		}
		assert.Equal(t, c.want, got, name)
	}
	assert.True(t, changesRun(job(nil), nil), "a deleted Job may have to be recreated")
}

func TestChanged_Pods(t *testing.T) {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "test-worker-0", UID: "1"}}
	running := pod.DeepCopy()
	running.Status.Phase = corev1.PodRunning
	owned := running.DeepCopy()
	owned.OwnerReferences = []metav1.OwnerReference{{UID: "2", Controller: ptr.To(true)}}
	assert.True(t, samePod(pod, pod.DeepCopy()))
	assert.False(t, samePod(pod, running))
	assert.False(t, samePod(owned, running), "an orphan makes unwanted load")
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
