package controllers

import (
	"context"
	"maps"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// Requests are delayed, so that one reconcile serves a burst of changes: the pods of a test are created, scheduled, started and
// ended together. Changes of healthy pods decide nothing, because tests start and end with their Jobs, and counters are written
// rarely. They are queued at low priority unless the test is due anyway: the queue deduplicates requests and keeps the earliest
// time and the highest priority.
const (
	batchDelay = 200 * time.Millisecond
	idleDelay  = 5 * time.Second
)

// urgency is how soon a change of an object reconciles its test.
type urgency int

const (
	enqueueNever urgency = iota
	enqueueWhenIdle
	enqueueBatched
	enqueueImmediately
)

// enqueueTest enqueues the LocustTest that owns the object. compare decides the delay on updates, gone on deletions. The
// objects are passed to compare as the cache keeps them.
func enqueueTest(compare func(was, is client.Object) urgency, gone urgency) handler.Funcs {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	whenIdle := priorityqueue.AddOpts{After: idleDelay, Priority: ptr.To(handler.LowPriority)}
	enqueue := func(o client.Object, q queue, when urgency) {
		name := testOf(o)
		if name == "" {
			return
		}
		request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}
		switch when {
		case enqueueWhenIdle:
			q.(priorityqueue.PriorityQueue[reconcile.Request]).AddWithOpts(whenIdle, request)
		case enqueueBatched:
			q.AddAfter(request, batchDelay)
		case enqueueImmediately:
			q.Add(request)
		}
	}
	return handler.Funcs{
		// Objects that the operator created itself, and those of the initial list, need no immediate reconcile. A pod that
		// appears after a broken watch may have failed already.
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			when := enqueueWhenIdle
			if pod, ok := e.Object.(*corev1.Pod); ok && !e.IsInInitialList && !status.IsHealthy(pod) {
				when = enqueueBatched
			}
			enqueue(e.Object, q, when)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			enqueue(e.ObjectNew, q, compare(e.ObjectOld, e.ObjectNew))
			if testOf(e.ObjectOld) != testOf(e.ObjectNew) {
				enqueue(e.ObjectOld, q, enqueueImmediately) // the previous owner
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { enqueue(e.Object, q, gone) },
	}
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

func comparePods(was, is client.Object) urgency {
	a, b := was.(*corev1.Pod), is.(*corev1.Pod)
	switch {
	case samePod(a, b):
		return enqueueNever
	case status.EndsRun(a, b):
		return enqueueImmediately
	case sameMeta(a, b) && status.IsHealthy(a) && status.IsHealthy(b):
		return enqueueWhenIdle
	}
	return enqueueBatched
}

// compareJobs enqueues immediately on changes that start or end a test: conditions, and the first and the last ready pod. If
// the Job controller does not report ready pods, active pods count.
func compareJobs(was, is client.Object) urgency {
	a, b := was.(*batchv1.Job), is.(*batchv1.Job)
	switch {
	case sameJob(a, b):
		return enqueueNever
	case !sameMeta(a, b) || !slices.Equal(a.Status.Conditions, b.Status.Conditions) || !ptr.Equal(a.Spec.Suspend, b.Spec.Suspend) ||
		!ptr.Equal(a.Spec.Parallelism, b.Spec.Parallelism):
		return enqueueImmediately
	case ready(b) > ready(a) && (ready(a) == 0 || ready(b) == ptr.Deref(b.Spec.Parallelism, 1)):
		return enqueueImmediately
	}
	return enqueueWhenIdle
}

func ready(job *batchv1.Job) int32 { return ptr.Deref(job.Status.Ready, job.Status.Active) }

func compareServices(was, is client.Object) urgency {
	if sameMeta(was, is) {
		return enqueueNever
	}
	return enqueueImmediately
}

// The comparisons list the fields that strip keeps, which is much cheaper than reflection. Immutable fields and the resource
// version are not compared.

func samePod(a, b *corev1.Pod) bool {
	return sameMeta(a, b) &&
		a.Status.Phase == b.Status.Phase && a.Status.Reason == b.Status.Reason && a.Status.Message == b.Status.Message &&
		a.Status.PodIP == b.Status.PodIP && a.Spec.NodeName == b.Spec.NodeName &&
		slices.Equal(a.Status.Conditions, b.Status.Conditions) &&
		slices.EqualFunc(a.Status.InitContainerStatuses, b.Status.InitContainerStatuses, sameContainer) &&
		slices.EqualFunc(a.Status.ContainerStatuses, b.Status.ContainerStatuses, sameContainer)
}

func sameContainer(a, b corev1.ContainerStatus) bool {
	return a.Name == b.Name && sameState(&a.State, &b.State) && sameState(&a.LastTerminationState, &b.LastTerminationState)
}

func sameState(a, b *corev1.ContainerState) bool {
	return ptr.Equal(a.Waiting, b.Waiting) && ptr.Equal(a.Running, b.Running) && ptr.Equal(a.Terminated, b.Terminated)
}

func sameJob(a, b *batchv1.Job) bool {
	return sameMeta(a, b) &&
		ptr.Equal(a.Spec.Completions, b.Spec.Completions) && ptr.Equal(a.Spec.Parallelism, b.Spec.Parallelism) &&
		ptr.Equal(a.Spec.Suspend, b.Spec.Suspend) &&
		ptr.Equal(a.Spec.ActiveDeadlineSeconds, b.Spec.ActiveDeadlineSeconds) &&
		ptr.Equal(a.Spec.TTLSecondsAfterFinished, b.Spec.TTLSecondsAfterFinished) &&
		a.Status.Active == b.Status.Active && ptr.Equal(a.Status.Ready, b.Status.Ready) && a.Status.Succeeded == b.Status.Succeeded &&
		a.Status.CompletedIndexes == b.Status.CompletedIndexes &&
		ptr.Equal(a.Status.StartTime, b.Status.StartTime) && ptr.Equal(a.Status.CompletionTime, b.Status.CompletionTime) &&
		slices.Equal(a.Status.Conditions, b.Status.Conditions)
}

func sameMeta(a, b client.Object) bool {
	return a.GetUID() == b.GetUID() && ptr.Equal(a.GetDeletionTimestamp(), b.GetDeletionTimestamp()) &&
		ptr.Equal(a.GetDeletionGracePeriodSeconds(), b.GetDeletionGracePeriodSeconds()) &&
		maps.Equal(a.GetLabels(), b.GetLabels()) && maps.Equal(a.GetAnnotations(), b.GetAnnotations()) &&
		slices.EqualFunc(a.GetOwnerReferences(), b.GetOwnerReferences(), sameOwner)
}

func sameOwner(a, b metav1.OwnerReference) bool {
	return a.UID == b.UID && ptr.Equal(a.Controller, b.Controller)
}
