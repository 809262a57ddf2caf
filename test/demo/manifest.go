package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// fieldOwner is the demo's field manager for server-side apply.
const fieldOwner = "locust-demo"

// crdTimeout bounds the wait until a CRD that was just applied is served.
const crdTimeout = 30 * time.Second

// readManifest reads the objects of a YAML file, or of standard input for "-".
func readManifest(path string) ([]*unstructured.Unstructured, error) {
	var in io.Reader = os.Stdin
	if path != "-" {
		file, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read the manifest: %w", err)
		}
		defer file.Close() //nolint:errcheck // only read
		in = file
	}
	return parseManifest(in)
}

func parseManifest(in io.Reader) ([]*unstructured.Unstructured, error) {
	decoder := yaml.NewYAMLOrJSONDecoder(bufio.NewReader(in), 4096)
	var objects []*unstructured.Unstructured
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		switch {
		case errors.Is(err, io.EOF):
			return objects, nil
		case err != nil:
			return nil, fmt.Errorf("parse the manifest: %w", err)
		case len(object.Object) > 0:
			objects = append(objects, object)
		}
	}
}

// findTest returns the name of the manifest's only LocustTest.
func findTest(objects []*unstructured.Unstructured) (client.ObjectKey, error) {
	var found []client.ObjectKey
	for _, object := range objects {
		if isTest(object) {
			found = append(found, client.ObjectKeyFromObject(object))
		}
	}
	if len(found) != 1 {
		return client.ObjectKey{}, fmt.Errorf("the manifest has %d LocustTests of %s; exactly one is required", len(found), v2.GroupVersion)
	}
	return found[0], nil
}

func isTest(object *unstructured.Unstructured) bool {
	return object.GetKind() == "LocustTest" && object.GetAPIVersion() == v2.GroupVersion.String()
}

// replaceImage replaces the LocustTest's image in all objects, because the target of the load may use the same image.
func replaceImage(objects []*unstructured.Unstructured, image string) {
	var old string
	for _, object := range objects {
		if isTest(object) {
			old, _, _ = unstructured.NestedString(object.Object, "spec", "image")
		}
	}
	for _, object := range objects {
		replaceField(object.Object, "image", old, image)
	}
}

// replaceField replaces one value of a field, at all depths.
func replaceField(value any, field, from, to string) {
	switch value := value.(type) {
	case map[string]any:
		if value[field] == from {
			value[field] = to
		}
		for _, child := range value {
			replaceField(child, field, from, to)
		}
	case []any:
		for _, child := range value {
			replaceField(child, field, from, to)
		}
	}
}

// deleteTest deletes an earlier run with all its objects and waits for the deletion: a test runs once, and its final
// status never changes, so a new run needs a new object.
func deleteTest(ctx context.Context, c client.Client, name client.ObjectKey, progress func(string)) error {
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: name.Namespace, Name: name.Name}}
	err := c.Delete(ctx, test, client.PropagationPolicy(metav1.DeletePropagationForeground))
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil
	case err != nil:
		return fmt.Errorf("delete the earlier run of %s: %w", name, err)
	}
	progress("deleting the earlier run of " + name.String())
	err = wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, name, test)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		return fmt.Errorf("wait for the deletion of the earlier run of %s: %w", name, err)
	}
	return nil
}

// applyAll applies all other objects, waits until the Deployments are available, and then applies the test: requests to
// a target that is still starting would make the run fail.
func applyAll(ctx context.Context, c client.Client, objects []*unstructured.Unstructured, progress func(string)) error {
	var needed, test []*unstructured.Unstructured
	for _, object := range objects {
		if isTest(object) {
			test = append(test, object)
		} else {
			needed = append(needed, object)
		}
	}
	if err := apply(ctx, c, needed, progress); err != nil {
		return err
	}
	for _, object := range needed {
		if object.GetKind() == "Deployment" {
			if err := waitAvailable(ctx, c, object, progress); err != nil {
				return err
			}
		}
	}
	return apply(ctx, c, test, progress)
}

// waitAvailable waits until the rollout of a Deployment is complete.
func waitAvailable(ctx context.Context, c client.Client, deployment *unstructured.Unstructured, progress func(string)) error {
	name := nameOf(deployment)
	progress("waiting for " + name)
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
	if err != nil {
		return fmt.Errorf("wait for %s (%s): %w", name, last, err)
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

// apply applies the objects server-side, in their order.
func apply(ctx context.Context, c client.Client, objects []*unstructured.Unstructured, progress func(string)) error {
	for _, object := range objects {
		name := nameOf(object)
		progress("applying " + name)
		err := wait.PollUntilContextTimeout(ctx, 500*time.Millisecond, crdTimeout, true, func(ctx context.Context) (bool, error) {
			err := c.Apply(ctx, client.ApplyConfigurationFromUnstructured(object), client.FieldOwner(fieldOwner), client.ForceOwnership)
			if meta.IsNoMatchError(err) {
				return false, nil
			}
			return err == nil, err
		})
		switch {
		case wait.Interrupted(err) && ctx.Err() == nil:
			return fmt.Errorf("apply %s: the cluster does not serve the kind %s; is the operator deployed?", name, object.GetKind())
		case err != nil:
			return fmt.Errorf("apply %s: %w", name, err)
		}
	}
	return nil
}
