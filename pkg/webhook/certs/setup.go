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

// SetupWithManager registers the keeper and its watches. It runs on every replica, leader or not.
func (k *Keeper) SetupWithManager(mgr ctrl.Manager) error {
	secret := &corev1.Secret{}
	crd := metadata(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
	configuration := metadata(admissionregistrationv1.SchemeGroupVersion.WithKind("ValidatingWebhookConfiguration"))
	named := func(name string) fields.Selector { return fields.OneTermEqualSelector("metadata.name", name) }
	// A cache of its own: the operator's own one has no need for these, and may be limited to other namespaces.
	watched, err := cache.New(mgr.GetConfig(), cache.Options{
		Scheme: mgr.GetScheme(), Mapper: mgr.GetRESTMapper(), HTTPClient: mgr.GetHTTPClient(),
		DefaultTransform: cache.TransformStripManagedFields(),
		ByObject: map[client.Object]cache.ByObject{
			secret:        {Namespaces: map[string]cache.Config{k.Key.Namespace: {}}, Field: named(k.Key.Name)},
			crd:           {Field: named(k.CRD)},
			configuration: {Field: named(k.Configuration)},
		},
	})
	if err != nil {
		return fmt.Errorf("set up the cache of the webhooks' certificate: %w", err)
	}
	if err := mgr.Add(everywhere{watched}); err != nil {
		return fmt.Errorf("add the cache of the webhooks' certificate: %w", err)
	}
	keeper, err := controller.New("webhook-certificate", mgr, controller.Options{
		Reconciler: k, NeedLeaderElection: new(false), MaxConcurrentReconciles: 1,
	})
	if err != nil {
		return fmt.Errorf("set up the controller of the webhooks' certificate: %w", err)
	}
	for _, object := range []client.Object{secret, crd, configuration} {
		if err := keeper.Watch(source.Kind(watched, object, handler.TypedEnqueueRequestsFromMapFunc(k.always))); err != nil {
			return fmt.Errorf("watch for the webhooks' certificate: %w", err)
		}
	}
	return nil
}

// everywhere tells the manager that this is a cache. Anything else that it is given starts on the leader only, and a
// replica that waits for the lead would have no certificate.
type everywhere struct{ cache.Cache }

// GetCache is what a manager knows a cache by.
func (e everywhere) GetCache() cache.Cache { return e }

// always maps whatever happened to the one request there is.
func (k *Keeper) always(context.Context, client.Object) []reconcile.Request {
	return []reconcile.Request{{NamespacedName: k.Key}}
}

// metadata is watched where content is not needed.
func metadata(kind schema.GroupVersionKind) *metav1.PartialObjectMetadata {
	object := &metav1.PartialObjectMetadata{}
	object.SetGroupVersionKind(kind)
	return object
}
