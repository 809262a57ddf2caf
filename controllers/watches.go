package controllers

import (
	"context"
	"reflect"
	"slices"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// enqueueTest enqueues the LocustTest that owns the object: immediately if the change may start or end a run, else batched.
// On deletion, immediate is called with nil instead of the new object. New objects are batched: the operator has created them
// itself, or their test is reconciled anyway.
func enqueueTest(immediate func(was, is client.Object) bool) handler.EventHandler {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	enqueue := func(o client.Object, q queue, immediately bool) {
		name := testOf(o)
		if name == "" {
			return
		}
		request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}
		if immediately {
			q.Add(request)
		} else {
			q.AddAfter(request, batchPeriod)
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { enqueue(e.Object, q, false) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			enqueue(e.ObjectNew, q, immediate(e.ObjectOld, e.ObjectNew))
			if testOf(e.ObjectOld) != testOf(e.ObjectNew) {
				enqueue(e.ObjectOld, q, true) // the previous owner
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueue(e.Object, q, immediate(e.Object, nil)) },
	}
}

// specChanged ignores status updates. A delete and create during a broken watch arrives as an update with a new UID.
func specChanged() predicate.Predicate {
	return predicate.Or(predicate.GenerationChangedPredicate{}, predicate.Funcs{
		UpdateFunc: func(e event.UpdateEvent) bool { return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() },
	})
}

// changed ignores updates of fields that the cache does not keep.
func changed() predicate.Predicate {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		was := e.ObjectOld.DeepCopyObject().(client.Object)
		was.SetResourceVersion(e.ObjectNew.GetResourceVersion())
		return !reflect.DeepEqual(was, e.ObjectNew)
	}}
}

// testOf returns the name of the object's test: its owner or, for pods, which a Job owns, that of the label. Objects of an
// earlier test of the same name count too, because the new test waits for their deletion.
func testOf(o client.Object) string {
	owner := metav1.GetControllerOfNoCopy(o)
	if owner != nil && owner.Kind == testKind {
		return owner.Name
	}
	return o.GetLabels()[resources.LabelTestName]
}

// endsRun reports whether a change of a pod ends a run. Pods are deleted in bursts.
func endsRun(was, is client.Object) bool {
	return is != nil && status.EndsRun(was.(*corev1.Pod), is.(*corev1.Pod))
}

// changesRun reports whether a change of a Job may start or end a run: its conditions, its deletion or suspension, and the first
// and the last ready pod. If the Job controller does not report ready pods, active pods count.
func changesRun(was, is client.Object) bool {
	if is == nil {
		return true
	}
	a, b := was.(*batchv1.Job), is.(*batchv1.Job)
	meta := a.ObjectMeta
	meta.ResourceVersion = b.ResourceVersion
	return !reflect.DeepEqual(meta, b.ObjectMeta) || !slices.Equal(a.Status.Conditions, b.Status.Conditions) ||
		!ptr.Equal(a.Spec.Suspend, b.Spec.Suspend) || !ptr.Equal(a.Spec.Parallelism, b.Spec.Parallelism) ||
		ready(b) > ready(a) && (ready(a) == 0 || ready(b) == ptr.Deref(b.Spec.Parallelism, 1))
}

func ready(job *batchv1.Job) int32 { return ptr.Deref(job.Status.Ready, job.Status.Active) }

// always is for Services, which change only if another client changes them.
func always(_, _ client.Object) bool { return true }
