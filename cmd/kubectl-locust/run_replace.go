package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// deletionTimeout bounds the wait for the deletion of an earlier test. Its pods get the time to end.
	deletionTimeout  = 2 * time.Minute
	deletionInterval = 200 * time.Millisecond
)

// createReplacing creates a test in place of an earlier one of its name: a test runs once, so a new run needs a new object.
func (a *app) createReplacing(ctx context.Context, c client.Client, test client.Object, configMap *corev1.ConfigMap) error {
	earlier, err := replaceable(ctx, c, test, configMap)
	if err != nil {
		return err
	}
	return a.replaceTest(ctx, c, earlier, test, configMap)
}

// replaceable returns the earlier test that has the name of a new one; nil if there is none. It returns an error if the API server would
// not create the new one.
func replaceable(ctx context.Context, c client.Client, test client.Object, configMap *corev1.ConfigMap) (*metav1.PartialObjectMetadata, error) {
	earlier, err := earlierTest(ctx, c, test)
	if err != nil || earlier == nil {
		return nil, err
	}
	if err := rehearse(ctx, c, test, configMap); err != nil {
		return nil, fmt.Errorf("%w\nThe earlier test %s was not deleted", err, client.ObjectKeyFromObject(test))
	}
	return earlier, nil
}

// earlierTest returns the test that has the name of a new one; nil if there is none.
func earlierTest(ctx context.Context, c client.Client, test client.Object) (*metav1.PartialObjectMetadata, error) {
	key := client.ObjectKeyFromObject(test)
	found := &metav1.PartialObjectMetadata{}
	found.SetGroupVersionKind(test.GetObjectKind().GroupVersionKind())
	err := c.Get(ctx, key, found)
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil, nil
	case err != nil:
		return nil, explain("read the earlier test "+key.String(), editorRole, err)
	}
	return found, nil
}

// rehearse creates the objects of a test in a dry run, under another name: its own is still in use.
func rehearse(ctx context.Context, c client.Client, test client.Object, configMap *corev1.ConfigMap) error {
	ctx, cancel := context.WithTimeout(ctx, creationTimeout)
	defer cancel()
	trial := test.DeepCopyObject().(client.Object)
	trial.SetName(newName(test.GetName()))
	err := c.Create(ctx, trial, client.DryRunAll, fieldOwner, client.FieldValidation(metav1.FieldValidationStrict))
	if ignoreUnsupportedDryRun(err) != nil {
		return explainCreation(test.GetNamespace(), test.GetName(), err)
	}
	if configMap == nil {
		return nil
	}
	files := configMap.DeepCopy()
	files.Namespace = test.GetNamespace()
	return tryConfigMap(ctx, c, files)
}

// replaceTest deletes an earlier test with all its objects, if there is one, and creates a new one. If that fails, the new objects are
// saved: the deleted ones may have been the only copy of the locustfiles.
func (a *app) replaceTest(ctx context.Context, c client.Client, earlier *metav1.PartialObjectMetadata, test client.Object, configMap *corev1.ConfigMap) error {
	if earlier == nil {
		return a.createUninterrupted(ctx, c, test, configMap)
	}
	manifest, err := manifestText(test, configMap)
	if err != nil {
		return err
	}
	if err := requestDeletion(ctx, c, earlier); err != nil {
		return err
	}
	a.progress("deleting the earlier test " + client.ObjectKeyFromObject(earlier).String())
	err = awaitDeletion(ctx, c, earlier, deletionTimeout)
	if err == nil {
		err = a.createUninterrupted(ctx, c, test, configMap)
	}
	if err != nil {
		return a.saveManifest(test, manifest, err)
	}
	return nil
}

// requestDeletion deletes an earlier test, and returns an error if it was not deleted. An interrupt waits for the response.
func requestDeletion(ctx context.Context, c client.Client, earlier *metav1.PartialObjectMetadata) error {
	key := client.ObjectKeyFromObject(earlier)
	if ctx.Err() != nil {
		return interruptedError{"the earlier test " + key.String() + " was not deleted"}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), creationTimeout)
	defer cancel()
	err := c.Delete(ctx, earlier, client.Preconditions{UID: &earlier.UID}, client.PropagationPolicy(metav1.DeletePropagationForeground))
	switch {
	case apierrors.IsNotFound(err), isUnknownResult(err): // awaitDeletion finds out
		return nil
	case apierrors.IsConflict(err):
		return fmt.Errorf("the earlier test %s has been deleted and created again by another command; try again", key)
	}
	return explain("delete the earlier test "+key.String(), editorRole, err)
}

// awaitDeletion waits until a test is deleted. Its requests may fail for a while.
func awaitDeletion(ctx context.Context, c client.Client, earlier *metav1.PartialObjectMetadata, timeout time.Duration) error {
	key := client.ObjectKeyFromObject(earlier)
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	obstacle := "no response of the API server"
	err := wait.PollUntilContextCancel(limited, deletionInterval, true, func(ctx context.Context) (bool, error) {
		now := &metav1.PartialObjectMetadata{TypeMeta: earlier.TypeMeta}
		err := c.Get(ctx, key, now)
		switch {
		case apierrors.IsNotFound(err), err == nil && now.UID != earlier.UID:
			return true, nil
		case err == nil:
			obstacle = deletionObstacle(now)
		case ctx.Err() == nil:
			obstacle = err.Error()
		}
		return false, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return interruptedError{"the earlier test " + key.String() + " is deleted, and no new one was created"}
	}
	return fmt.Errorf("the earlier test %s was not deleted within %s, and no new one was created: %s", key, timeout, obstacle)
}

// deletionObstacle returns what an object that is being deleted waits for.
func deletionObstacle(object *metav1.PartialObjectMetadata) string {
	switch {
	case object.DeletionTimestamp == nil:
		return "the API server has not confirmed the deletion"
	case len(object.Finalizers) == 0:
		return "it has no finalizers"
	case len(object.Finalizers) == 1 && object.Finalizers[0] == metav1.FinalizerDeleteDependents:
		return "its pods and other objects are still being deleted (finalizer " + metav1.FinalizerDeleteDependents + ")"
	}
	return "it waits for whoever set its finalizers: " + strings.Join(object.Finalizers, ", ")
}

// manifestText returns the objects of a test as a manifest.
func manifestText(test client.Object, configMap *corev1.ConfigMap) (string, error) {
	var text bytes.Buffer
	err := writeObjects(&text, "yaml", objectsOf(test, configMap)...)
	return text.String(), err
}

// saveManifest saves the manifest of a test that could not be created, and adds to the error where it is.
func (a *app) saveManifest(test client.Object, manifest string, err error) error {
	path, failed := writeTemporary(test.GetName()+"-*.yaml", manifest)
	remedy := "The new test is saved; run it with: kubectl locust run" + a.connectionFlags(test.GetNamespace()) + " --filename " + quote(path)
	if failed != nil {
		fmt.Fprint(a.ErrOut, manifest)
		remedy = "The new test is printed above, because it could not be saved: " + failed.Error()
	}
	if interrupted := (interruptedError{}); errors.As(err, &interrupted) {
		return interruptedError{interrupted.state + "\n" + remedy}
	}
	return fmt.Errorf("%w\n%s", err, remedy)
}

// writeTemporary writes a new file, which only the user may read.
func writeTemporary(pattern, text string) (path string, err error) {
	file, err := os.CreateTemp("", pattern)
	if err != nil {
		return "", err
	}
	_, err = file.WriteString(text)
	return file.Name(), errors.Join(err, file.Close())
}
