package controllers

import (
	"slices"
	"unique"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// maxFinalizers is the number of finalizers of a test that the cache keeps.
const maxFinalizers = 8

// CacheOptions returns options for a cache of the given namespaces, all if empty. It keeps only the operator's own objects,
// reduced to the fields that are used.
func CacheOptions(namespaces []string) cache.Options {
	ours := labels.SelectorFromSet(labels.Set{resources.LabelManagedBy: resources.ManagedBy})
	options := cache.Options{
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			&batchv1.Job{}:    {Label: ours, Transform: strip},
			&corev1.Service{}: {Label: ours, Transform: strip},
			&corev1.Pod{}:     {Label: ours, Transform: strip},
			&v2.LocustTest{}:  {Transform: stripTest},
			// Only its metadata is cached.
			&v1alpha1.LocustReport{}: {Label: ours, Transform: strip},
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

func strip(o any) (any, error) { return reduce(o), nil }

// reduce drops the fields of an object that the observation does not use. It modifies the object.
func reduce(o any) any {
	switch object := o.(type) {
	case *corev1.Pod:
		return stripPod(object)
	case *batchv1.Job:
		object.ObjectMeta = stripMeta(&object.ObjectMeta)
		object.Spec = batchv1.JobSpec{
			Completions:             object.Spec.Completions,
			Parallelism:             object.Spec.Parallelism,
			Suspend:                 object.Spec.Suspend,
			ActiveDeadlineSeconds:   object.Spec.ActiveDeadlineSeconds,
			TTLSecondsAfterFinished: object.Spec.TTLSecondsAfterFinished,
		}
		object.Status = batchv1.JobStatus{
			Active: object.Status.Active, Ready: object.Status.Ready, Succeeded: object.Status.Succeeded,
			CompletedIndexes: object.Status.CompletedIndexes,
			StartTime:        object.Status.StartTime,
			CompletionTime:   object.Status.CompletionTime,
			Conditions:       object.Status.Conditions,
		}
	case *metav1.PartialObjectMetadata:
		object.ObjectMeta = stripMeta(&object.ObjectMeta)
	case *corev1.Service:
		object.ObjectMeta = stripMeta(&object.ObjectMeta)
		object.Spec, object.Status = corev1.ServiceSpec{}, corev1.ServiceStatus{}
	}
	return o
}

// stripTest drops unused metadata: labels and annotations may be as large as the spec.
func stripTest(o any) (any, error) {
	test, ok := o.(*v2.LocustTest)
	if !ok {
		return o, nil
	}
	v1.CheckAnnotation(test)
	test.ObjectMeta = metav1.ObjectMeta{
		Name: test.Name, Namespace: test.Namespace, UID: test.UID, ResourceVersion: test.ResourceVersion, Generation: test.Generation,
		CreationTimestamp: test.CreationTimestamp, DeletionTimestamp: test.DeletionTimestamp,
		Finalizers: keptFinalizers(test.Finalizers),
	}
	return test, nil
}

// keptFinalizers returns the finalizer of the 2.x operator, which is removed, and a few others. That is enough to know whether
// there is one besides the garbage collector's two (hasOtherFinalizer).
func keptFinalizers(all []string) []string {
	kept := slices.Clone(all[:min(len(all), maxFinalizers)])
	if slices.Contains(all, cleanupFinalizer) && !slices.Contains(kept, cleanupFinalizer) {
		kept = append(kept, cleanupFinalizer)
	}
	return kept
}

func stripPod(pod *corev1.Pod) *corev1.Pod {
	slim := &corev1.Pod{ObjectMeta: stripMeta(&pod.ObjectMeta)}
	slim.Annotations = nil
	slim.Spec.NodeName = intern(pod.Spec.NodeName) // whose clock its times come from
	slim.Status = corev1.PodStatus{Phase: corev1.PodPhase(intern(string(pod.Status.Phase))), Reason: pod.Status.Reason, Message: pod.Status.Message}
	if isMaster(pod) {
		slim.Status.PodIP = pod.Status.PodIP // polled at this address
	}
	for _, c := range pod.Status.Conditions {
		switch c.Type {
		case corev1.PodScheduled, corev1.PodReady, corev1.DisruptionTarget:
			c.LastProbeTime = metav1.Time{}
			c.Type, c.Reason = corev1.PodConditionType(intern(string(c.Type))), intern(c.Reason)
			slim.Status.Conditions = append(slim.Status.Conditions, c)
		}
	}
	slim.Status.InitContainerStatuses = stripContainers(pod.Status.InitContainerStatuses)
	slim.Status.ContainerStatuses = stripContainers(pod.Status.ContainerStatuses)
	return slim
}

// isMaster reports whether a pod is a master, by labels that all versions of the operator set.
func isMaster(pod *corev1.Pod) bool {
	return pod.Labels[resources.LabelPodName] == resources.MasterName(pod.Labels[resources.LabelTestName])
}

func stripContainers(full []corev1.ContainerStatus) []corev1.ContainerStatus {
	var slim []corev1.ContainerStatus
	for _, c := range full {
		slim = append(slim, corev1.ContainerStatus{Name: intern(c.Name), State: c.State, LastTerminationState: c.LastTerminationState})
	}
	return slim
}

// keptLabels are the labels that the cache keeps.
var keptLabels = []string{
	resources.LabelTestName, resources.LabelTestUID, resources.LabelPodName, resources.LabelManagedBy,
	resources.LabelComponent, batchv1.JobCompletionIndexAnnotation,
}

// intern deduplicates strings that many cached objects share.
func intern(s string) string { return unique.Make(s).Value() }

func stripMeta(full *metav1.ObjectMeta) metav1.ObjectMeta {
	slim := metav1.ObjectMeta{
		Name: full.Name, Namespace: intern(full.Namespace), UID: full.UID, ResourceVersion: full.ResourceVersion,
		CreationTimestamp: full.CreationTimestamp, DeletionTimestamp: full.DeletionTimestamp,
		DeletionGracePeriodSeconds: full.DeletionGracePeriodSeconds,
	}
	for _, owner := range full.OwnerReferences {
		owner.APIVersion, owner.Kind, owner.Name, owner.UID = intern(owner.APIVersion), intern(owner.Kind), intern(owner.Name), types.UID(intern(string(owner.UID)))
		slim.OwnerReferences = append(slim.OwnerReferences, owner)
	}
	keep := func(from map[string]string, into *map[string]string, keys ...string) {
		for _, key := range keys {
			if value, ok := from[key]; ok {
				if *into == nil {
					*into = map[string]string{}
				}
				(*into)[key] = intern(value)
			}
		}
	}
	keep(full.Labels, &slim.Labels, keptLabels...)
	keep(full.Annotations, &slim.Annotations, resources.AnnotationRunGeneration)
	return slim
}
