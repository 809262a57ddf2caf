package controllers

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// cleanupFinalizer is set on every test by the 2.x operator. No other controller removes it.
const cleanupFinalizer = "locust.io/cleanup"

// removeCleanupFinalizer lets the deletion of a test from the 2.x operator complete. The test's objects are garbage-collected.
func (r *LocustTestReconciler) removeCleanupFinalizer(ctx context.Context, test *v2.LocustTest) error {
	if !slices.Contains(test.Finalizers, cleanupFinalizer) {
		return nil
	}
	// The cache does not keep all finalizers, and the patch needs the index of this one.
	live := &metav1.PartialObjectMetadata{}
	live.SetGroupVersionKind(v2.GroupVersion.WithKind(testKind))
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(test), live); err != nil {
		return client.IgnoreNotFound(err)
	}
	index := slices.Index(live.Finalizers, cleanupFinalizer)
	if index < 0 || live.UID != test.UID {
		return nil
	}
	path := fmt.Sprintf("/metadata/finalizers/%d", index)
	patch, err := json.Marshal([]map[string]string{
		{"op": "test", "path": path, "value": cleanupFinalizer},
		{"op": "remove", "path": path},
	})
	if err != nil {
		return fmt.Errorf("encode the patch of test %s/%s: %w", test.Namespace, test.Name, err)
	}
	if err := r.Patch(ctx, live, client.RawPatch(types.JSONPatchType, patch)); err != nil {
		return client.IgnoreNotFound(fmt.Errorf("remove finalizer %s from test %s/%s: %w", cleanupFinalizer, test.Namespace, test.Name, err))
	}
	logf.FromContext(ctx).Info("removed the finalizer of the 2.x operator", "finalizer", cleanupFinalizer)
	return nil
}
