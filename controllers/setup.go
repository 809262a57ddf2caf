package controllers

import (
	"context"
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/background"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// podsByService indexes pods by the Service name of their test.
const podsByService = "service"

// SetupWithManager registers the reconciler and its watches.
func (r *LocustTestReconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager) error {
	if err := mgr.GetFieldIndexer().IndexField(ctx, &corev1.Pod{}, podsByService, serviceOf); err != nil {
		return fmt.Errorf("index pods by their test's Service: %w", err)
	}
	r.backOff = newBackOff()
	build := ctrl.NewControllerManagedBy(mgr).
		Named("locusttest").
		For(&v2.LocustTest{}, builder.WithPredicates(specChanged())).
		Watches(&batchv1.Job{}, enqueueTest(changesRun), builder.WithPredicates(changed())).
		Watches(&corev1.Service{}, enqueueTest(always), builder.WithPredicates(changed())).
		Watches(&corev1.Pod{}, enqueueTest(endsRun), builder.WithPredicates(changed())).
		// A report needs no reconcile: the watch starts its cache before the first one.
		WatchesMetadata(&v1alpha1.LocustReport{}, handler.Funcs{}).
		WithOptions(controller.Options{
			MaxConcurrentReconciles: r.Concurrency,
			RateLimiter:             r.backOff,
		})
	if r.Poller != nil {
		if err := mgr.Add(r.Poller); err != nil {
			return fmt.Errorf("add the poller: %w", err)
		}
		build = build.WatchesRawSource(r.Poller.Source())
	}
	r.eventReader = background.NewEventReader(r.APIReader, r.Clock)
	if err := mgr.Add(r.eventReader); err != nil {
		return fmt.Errorf("add the Event reader: %w", err)
	}
	build = build.WatchesRawSource(r.eventReader.Source())
	return build.Complete(r)
}

// serviceOf returns the name of the Service of the pod's test.
func serviceOf(pod client.Object) []string {
	return []string{resources.MasterName(pod.GetLabels()[resources.LabelTestName])}
}
