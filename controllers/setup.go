package controllers

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

const (
	// podsByTest is the index of pods by their test's name.
	podsByTest = "test"

	// Back-off of a test whose objects cannot be created or read now.
	retryFirst = time.Second
	retryMost  = time.Minute
)

// SetupWithManager registers the reconciler and its watches.
func (r *LocustTestReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &corev1.Pod{}, podsByTest, func(pod client.Object) []string {
		return []string{pod.GetLabels()[resources.LabelTestName]}
	})
	if err != nil {
		return fmt.Errorf("index pods by test: %w", err)
	}
	build := ctrl.NewControllerManagedBy(mgr).
		Named("locusttest").
		// The test's own status writes are no news.
		For(&v2.LocustTest{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Owns(&batchv1.Job{}, builder.WithPredicates(changed())).
		Owns(&corev1.Service{}, builder.WithPredicates(changed())).
		Watches(&corev1.Pod{}, handler.EnqueueRequestsFromMapFunc(testOfPod), builder.WithPredicates(changed())).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Concurrency,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryFirst, retryMost),
		})
	if r.Poller != nil {
		if err := mgr.Add(r.Poller); err != nil {
			return fmt.Errorf("add the poller of Locust's masters: %w", err)
		}
		build = build.WatchesRawSource(source.Channel(r.Poller.answers, &handler.TypedEnqueueRequestForObject[*v2.LocustTest]{}))
	}
	return build.Complete(r)
}

// testOfPod is the test whose name a pod carries. Pods of an earlier test of that name matter too: the new
// test waits until they are gone.
func testOfPod(_ context.Context, pod client.Object) []reconcile.Request {
	name := pod.GetLabels()[resources.LabelTestName]
	if name == "" {
		return nil
	}
	return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: pod.GetNamespace(), Name: name}}}
}

// changed lets updates through only when what the cache keeps of the object differs.
func changed() predicate.Funcs {
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		return !equality.Semantic.DeepEqual(unversioned(e.ObjectOld), unversioned(e.ObjectNew))
	}}
}

func unversioned(o client.Object) client.Object {
	o = o.DeepCopyObject().(client.Object)
	o.SetResourceVersion("")
	return o
}

// CacheOptions keep in memory only the operator's own objects, reduced to what is used of them.
func CacheOptions(namespaces []string) cache.Options {
	ours := labels.SelectorFromSet(labels.Set{resources.LabelManagedBy: resources.ManagedBy})
	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&batchv1.Job{}:    {Label: ours, Transform: strip},
			&corev1.Service{}: {Label: ours, Transform: strip},
			&corev1.Pod{}:     {Label: ours, Transform: strip},
			&v2.LocustTest{}:  {Transform: stripTest},
		},
	}
	for _, name := range namespaces {
		if options.DefaultNamespaces == nil {
			options.DefaultNamespaces = map[string]cache.Config{}
		}
		options.DefaultNamespaces[name] = cache.Config{}
	}
	return options
}

// strip reduces an object to what the observation uses.
func strip(o any) (any, error) {
	switch object := o.(type) {
	case *corev1.Pod:
		return stripPod(object), nil
	case *batchv1.Job:
		object.ObjectMeta = stripMeta(&object.ObjectMeta)
		object.Spec = batchv1.JobSpec{
			Completions:             object.Spec.Completions,
			Parallelism:             object.Spec.Parallelism,
			ActiveDeadlineSeconds:   object.Spec.ActiveDeadlineSeconds,
			TTLSecondsAfterFinished: object.Spec.TTLSecondsAfterFinished,
		}
		object.Status.UncountedTerminatedPods = nil
	case *corev1.Service:
		object.ObjectMeta = stripMeta(&object.ObjectMeta)
		object.Spec, object.Status = corev1.ServiceSpec{}, corev1.ServiceStatus{}
	}
	return o, nil
}

func stripTest(o any) (any, error) {
	if test, ok := o.(*v2.LocustTest); ok {
		test.ManagedFields = nil
		// kubectl's copy of the whole manifest.
		delete(test.Annotations, corev1.LastAppliedConfigAnnotation)
	}
	return o, nil
}

func stripPod(pod *corev1.Pod) *corev1.Pod {
	slim := &corev1.Pod{ObjectMeta: stripMeta(&pod.ObjectMeta)}
	slim.Annotations = nil
	slim.Status = corev1.PodStatus{Phase: pod.Status.Phase, Reason: pod.Status.Reason, Message: pod.Status.Message}
	for _, c := range pod.Status.Conditions {
		switch c.Type {
		case corev1.PodScheduled, corev1.PodReady, corev1.DisruptionTarget:
			c.LastProbeTime = metav1.Time{}
			slim.Status.Conditions = append(slim.Status.Conditions, c)
		}
	}
	slim.Status.InitContainerStatuses = stripContainers(pod.Status.InitContainerStatuses)
	slim.Status.ContainerStatuses = stripContainers(pod.Status.ContainerStatuses)
	return slim
}

func stripContainers(full []corev1.ContainerStatus) []corev1.ContainerStatus {
	var slim []corev1.ContainerStatus
	for _, c := range full {
		slim = append(slim, corev1.ContainerStatus{Name: c.Name, State: c.State, LastTerminationState: c.LastTerminationState})
	}
	return slim
}

// keptLabels are the labels that are used.
var keptLabels = []string{
	resources.LabelTestName, resources.LabelTestUID, resources.LabelPodName, resources.LabelManagedBy,
	resources.LabelComponent, batchv1.JobCompletionIndexAnnotation,
}

func stripMeta(full *metav1.ObjectMeta) metav1.ObjectMeta {
	slim := metav1.ObjectMeta{
		Name: full.Name, Namespace: full.Namespace, UID: full.UID, ResourceVersion: full.ResourceVersion,
		CreationTimestamp: full.CreationTimestamp, DeletionTimestamp: full.DeletionTimestamp,
		OwnerReferences: full.OwnerReferences,
	}
	keep := func(from map[string]string, into *map[string]string, keys ...string) {
		for _, key := range keys {
			if value, ok := from[key]; ok {
				if *into == nil {
					*into = map[string]string{}
				}
				(*into)[key] = value
			}
		}
	}
	keep(full.Labels, &slim.Labels, keptLabels...)
	keep(full.Annotations, &slim.Annotations, resources.AnnotationRunSpec, resources.AnnotationRunGeneration)
	return slim
}
