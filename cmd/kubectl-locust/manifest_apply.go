package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// crdTimeout bounds the wait until a CRD that was just applied is served.
const crdTimeout = 30 * time.Second

// manifest has the objects of a manifest.
type manifest struct {
	test   *unstructured.Unstructured
	others []*unstructured.Unstructured
	// namespace is that of objects without one.
	namespace string
}

// applyAndRun applies all other objects, waits until the Deployments are available, and then creates the test and follows it: requests
// to a target that is still starting would make the run fail.
func (a *app) applyAndRun(ctx context.Context, c client.WithWatch, m manifest, options runOptions) error {
	earlier, err := a.checkEarlier(ctx, c, m.test, options.replace)
	if err != nil {
		return err
	}
	if err := a.applyOthers(ctx, c, m, options.startupTimeout); err != nil {
		if ctx.Err() != nil {
			return interruptedError{"the test was not created; other objects of the manifest remain"}
		}
		return err
	}
	if err := a.replaceTest(ctx, c, earlier, m.test, nil); err != nil {
		return err
	}
	return a.started(ctx, c, followedTest(m.test), options.startOptions)
}

// checkEarlier returns the earlier test that a test replaces; nil if there is none. It returns an error, before anything is applied, if
// there is one that must not be replaced, or the new one would be refused.
func (a *app) checkEarlier(ctx context.Context, c client.Client, test *unstructured.Unstructured, replace bool) (*metav1.PartialObjectMetadata, error) {
	if replace {
		return replaceable(ctx, c, test, nil)
	}
	if test.GetName() == "" {
		return nil, nil
	}
	// Errors come again when the test is created.
	if earlier, err := earlierTest(ctx, c, test); err == nil && earlier != nil {
		return nil, explainCreation(test.GetNamespace(), test.GetName(), apierrors.NewAlreadyExists(testResource, test.GetName()))
	}
	return nil, nil
}

// applyOthers applies the objects that the test needs, and waits for them.
func (a *app) applyOthers(ctx context.Context, c client.Client, m manifest, timeout time.Duration) error {
	for _, object := range m.others {
		if err := a.apply(ctx, c, object, m.namespace); err != nil {
			return err
		}
	}
	if timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("timed out after %s", timeout))
		defer cancel()
		ctx = limited
	}
	for _, object := range m.others {
		if object.GetKind() != "Deployment" || object.GroupVersionKind().Group != "apps" {
			continue
		}
		if err := a.waitAvailable(ctx, c, object); err != nil {
			return err
		}
	}
	return nil
}

// apply applies an object server-side.
func (a *app) apply(ctx context.Context, c client.Client, object *unstructured.Unstructured, namespace string) error {
	a.progress("applying " + nameOf(object))
	role := editRole
	var last error
	err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, crdTimeout, true, func(ctx context.Context) (bool, error) {
		namespaced, err := c.IsObjectNamespaced(object)
		if err == nil {
			if namespaced {
				setNamespace(object, namespace)
			} else {
				role = unknownRole
			}
			err = c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), fieldOwner, client.ForceOwnership)
		}
		if meta.IsNoMatchError(err) {
			last = err
			return false, nil
		}
		return err == nil, err
	})
	switch {
	case err != nil && last != nil && wait.Interrupted(err) && ctx.Err() == nil:
		return fmt.Errorf("apply %s: %w\nInstall what serves this kind, or remove the object from the manifest", nameOf(object), last)
	case isMissingNamespace(err):
		return fmt.Errorf("apply %s: %w\nCreate the namespace, add it to the manifest before the objects in it, or choose another one", nameOf(object), err)
	}
	return explain("apply "+nameOf(object), role, err)
}

// waitAvailable waits until the rollout of a Deployment is complete.
func (a *app) waitAvailable(ctx context.Context, c client.Client, deployment *unstructured.Unstructured) error {
	name := nameOf(deployment)
	a.progress("waiting for " + name)
	var last string
	err := wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		now := &unstructured.Unstructured{}
		now.SetGroupVersionKind(deployment.GroupVersionKind())
		if err := c.Get(ctx, client.ObjectKeyFromObject(deployment), now); err != nil {
			return false, err
		}
		var ready bool
		ready, last = rolledOut(now)
		return ready, nil
	})
	switch {
	case err != nil && ctx.Err() != nil:
		return fmt.Errorf("wait for %s: %w: %s\nSee what delays it: %s; or wait longer with --startup-timeout",
			name, context.Cause(ctx), last, a.suggestKubectl("describe deployment", deployment))
	case err != nil:
		return explain("wait for "+name, editRole, err)
	}
	return nil
}

// rolledOut reports whether all pods of a Deployment are updated and available, and how many are.
func rolledOut(deployment *unstructured.Unstructured) (ready bool, state string) {
	number := func(path ...string) int64 {
		n, _, err := unstructured.NestedInt64(deployment.Object, path...)
		if err != nil {
			return 0
		}
		return n
	}
	wanted, total := number("spec", "replicas"), number("status", "replicas")
	updated, available := number("status", "updatedReplicas"), number("status", "availableReplicas")
	observed := number("status", "observedGeneration") >= deployment.GetGeneration()
	return observed && updated == wanted && available == wanted && total == wanted,
		fmt.Sprintf("%d of %d pods available", min(available, updated), wanted)
}

// nameOf returns kind and name of an object for messages.
func nameOf(object *unstructured.Unstructured) string {
	return object.GetKind() + " " + strings.TrimPrefix(client.ObjectKeyFromObject(object).String(), "/")
}
