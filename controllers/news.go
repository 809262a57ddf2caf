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

// News are gathered, so that one look serves a burst of them: the pods of a test are created, scheduled, started and ended
// together. Those of pods that go well decide nothing: tests start and end by their Jobs, and counts are written seldom anyway.
// They wait until nothing more urgent is to be done, unless a look at the test is due anyway: the queue makes one look of
// several, as early and as urgent as any of them.
const (
	gatherTrouble = 200 * time.Millisecond
	gatherOthers  = 5 * time.Second
)

// urgency is how soon a test is looked at because something of it has changed.
type urgency int

const (
	never urgency = iota
	later
	soon
	atOnce
)

// news asks for looks at the test that a changed object belongs to. How soon, compare says of an update, which is given the
// objects as the cache keeps them, and gone of a deletion.
func news(compare func(was, is client.Object) urgency, gone urgency) handler.Funcs {
	type queue = workqueue.TypedRateLimitingInterface[reconcile.Request]
	whenIdle := priorityqueue.AddOpts{After: gatherOthers, Priority: ptr.To(handler.LowPriority)}
	look := func(o client.Object, q queue, when urgency) {
		name := testOf(o)
		if name == "" {
			return
		}
		request := reconcile.Request{NamespacedName: types.NamespacedName{Namespace: o.GetNamespace(), Name: name}}
		switch when {
		case later:
			q.(priorityqueue.PriorityQueue[reconcile.Request]).AddWithOpts(whenIdle, request)
		case soon:
			q.AddAfter(request, gatherTrouble)
		case atOnce:
			q.Add(request)
		}
	}
	return handler.Funcs{
		// What the operator created itself is no news, and what it finds when it starts is looked at with its test. After a watch
		// was broken a pod may come up that is in trouble already.
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) {
			when := later
			if pod, ok := e.Object.(*corev1.Pod); ok && !e.IsInInitialList && !status.IsHealthy(pod) {
				when = soon
			}
			look(e.Object, q, when)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) {
			look(e.ObjectNew, q, compare(e.ObjectOld, e.ObjectNew))
			if testOf(e.ObjectOld) != testOf(e.ObjectNew) {
				look(e.ObjectOld, q, atOnce) // it has lost the object
			}
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q queue) { look(e.Object, q, gone) },
	}
}

// testOf names the test of an object: its owner, or, for pods, which a Job owns, what the label says. Objects of an earlier
// test of that name count too: the new test waits until they are gone.
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
		return never
	case status.EndsRun(a, b):
		return atOnce
	case sameMeta(a, b) && status.IsHealthy(a) && status.IsHealthy(b):
		return later
	}
	return soon
}

// compareJobs: by a Job's conditions, and by its first and its last ready pod, tests start and end. Where the Job controller
// does not report ready pods, active ones count.
func compareJobs(was, is client.Object) urgency {
	a, b := was.(*batchv1.Job), is.(*batchv1.Job)
	switch {
	case sameJob(a, b):
		return never
	case !sameMeta(a, b) || !slices.Equal(a.Status.Conditions, b.Status.Conditions) || !ptr.Equal(a.Spec.Suspend, b.Spec.Suspend) ||
		!ptr.Equal(a.Spec.Parallelism, b.Spec.Parallelism):
		return atOnce
	case ready(b) > ready(a) && (ready(a) == 0 || ready(b) == ptr.Deref(b.Spec.Parallelism, 1)):
		return atOnce
	}
	return later
}

func ready(job *batchv1.Job) int32 { return ptr.Deref(job.Status.Ready, job.Status.Active) }

func compareServices(was, is client.Object) urgency {
	if sameMeta(was, is) {
		return never
	}
	return atOnce
}

// The comparisons know the fields that strip keeps, which is much cheaper than reflection. What belongs to an object for good
// and its resource version are not compared.

func samePod(a, b *corev1.Pod) bool {
	return sameMeta(a, b) &&
		a.Status.Phase == b.Status.Phase && a.Status.Reason == b.Status.Reason && a.Status.Message == b.Status.Message &&
		a.Status.PodIP == b.Status.PodIP &&
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
