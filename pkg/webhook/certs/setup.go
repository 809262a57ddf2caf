package certs

import (
	"context"
	"fmt"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"
)

// SetupWithManager registers the Rotator and its watches. It runs on every replica, with or without leadership.
func (r *Rotator) SetupWithManager(mgr ctrl.Manager) error {
	secret := &corev1.Secret{}
	crd := metadata(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	configuration := metadata(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"))
	named := func(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }
	// Use a separate cache: the manager's does not need these objects, and may be limited to other namespaces.
	watched, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			secret:        {Namespaces: map[string]cache.Config{r.Key.Namespace: {}}, Field: named(r.Key.Name)},
			crd:           {Field: named(r.CRD)},
			configuration: {Field: named(r.Configuration)},
		},
	})
	if err != nil {
		return fmt.Errorf("set up the cache for the webhook certificate: %w", err)
	}
	if err := mgr.Add(allReplicasCache{watched}); err != nil {
		return fmt.Errorf("add the cache for the webhook certificate: %w", err)
	}
	c, err := controller.New("webhook-certificate", mgr, controller.Options{
		Reconciler: r, NeedLeaderElection: new(false), MaxConcurrentReconciles: 1,
	})
	if err != nil {
		return fmt.Errorf("set up the controller for the webhook certificate: %w", err)
	}
	for _, object := range []client.Object{secret, crd, configuration} {
		if err := c.Watch(source.Kind(watched, object, handler.TypedEnqueueRequestsFromMapFunc(r.singleRequest))); err != nil {
			return fmt.Errorf("watch for the webhook certificate: %w", err)
		}
	}
	return nil
}

// allReplicasCache makes the manager start this cache without leader election, because every replica needs a certificate.
type allReplicasCache struct{ cache.Cache }

// GetCache implements the interface by which the manager recognizes a cache (hasCache).
func (e allReplicasCache) GetCache() cache.Cache { return e }

// singleRequest maps every event to the same request.
func (r *Rotator) singleRequest(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: r.Key}}
}

// metadata returns an object for a metadata-only watch.
func metadata(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}
