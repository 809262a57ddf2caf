package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// testResource is the resource of LocustTests in errors.
var testResource = v2.GroupVersion.WithResource("locusttests").GroupResource()

const (
	// fieldOwner is the field manager of the objects that the plugin writes.
	fieldOwner = client.FieldOwner("kubectl-locust")
	// editRole is Kubernetes' role with the permission for ConfigMaps.
	editRole = "edit"
)

// createUninterrupted creates a test. It waits for the responses although the user interrupts the command, so that nothing is left
// behind.
func createUninterrupted(ctx context.Context, c client.Client, test client.Object, configMap *corev1.ConfigMap) error {
	if ctx.Err() != nil {
		return interruptedError{"the test was not created"}
	}
	creating, cancel := context.WithTimeout(context.WithoutCancel(ctx), creationTimeout)
	defer cancel()
	if err := createTest(creating, c, test, configMap); err != nil {
		return err
	}
	if ctx.Err() == nil {
		return nil
	}
	if err := removeTest(ctx, c, test); err != nil {
		return interruptedError{err.Error()}
	}
	return interruptedError{"the test " + client.ObjectKeyFromObject(test).String() + " was deleted before it started"}
}

// createTest creates a test and the ConfigMap that it owns, if there is one. After an error neither of them is left.
//
// The test comes first: then the ConfigMap has an owner from the beginning, and is deleted with it. Its pods wait for it.
func createTest(ctx context.Context, c client.Client, test client.Object, configMap *corev1.ConfigMap) error {
	if configMap != nil {
		configMap.Namespace = test.GetNamespace()
		// The permission and the quota are better known before the test begins.
		if err := createConfigMap(ctx, c, configMap.DeepCopy(), client.DryRunAll); err != nil {
			return err
		}
	}
	// Strict: the API server would otherwise drop what the operator of this cluster does not know.
	err := c.Create(ctx, test, fieldOwner, client.FieldValidation(metav1.FieldValidationStrict))
	if err != nil {
		return explainCreation(test.GetNamespace(), test.GetName(), err)
	}
	if configMap == nil {
		return nil
	}
	configMap.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v2.GroupVersion.String(), Kind: "LocustTest", Name: test.GetName(), UID: test.GetUID(),
	}}
	if err := createConfigMap(ctx, c, configMap); err != nil {
		return errors.Join(err, removeTest(ctx, c, test))
	}
	return nil
}

func createConfigMap(ctx context.Context, c client.Client, configMap *corev1.ConfigMap, options ...client.CreateOption) error {
	return explain("create the ConfigMap "+client.ObjectKeyFromObject(configMap).String()+" with the files of the test", editRole,
		c.Create(ctx, configMap, append(options, fieldOwner)...))
}

// removeTest deletes a test that was just created.
func removeTest(ctx context.Context, c client.Client, test client.Object) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), creationTimeout)
	defer cancel()
	uid := test.GetUID()
	err := c.Delete(ctx, test, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("the test %s was created and could not be deleted: %w\nDelete it: kubectl delete locusttest -n %s %s",
			client.ObjectKeyFromObject(test), err, test.GetNamespace(), test.GetName())
	}
	return nil
}

// explainCreation adds the remedy to an error of the creation of a test.
func explainCreation(namespace, name string, err error) error {
	action := "create the test " + namespace + "/" + name
	switch {
	case apierrors.IsAlreadyExists(err):
		return fmt.Errorf("the test %s/%s already exists, and a test runs only once\nDelete it first with --replace, or choose another name", namespace, name)
	case isUnknownField(err):
		return fmt.Errorf("%s: %w\nIf the field is spelled correctly, the operator in this cluster is older than this plugin: upgrade it with its CRDs, "+
			"see docs/upgrade.md, or leave the field out", action, err)
	case isMissingNamespace(err):
		return fmt.Errorf("%s: %w\nCreate the namespace, or choose another one with --namespace", action, err)
	case meta.IsNoMatchError(err), apierrors.IsNotFound(err):
		return fmt.Errorf("%s: %w\nThe operator is not installed in this cluster, or its CRDs are older than v2; see docs/install.md", action, err)
	case apierrors.IsInvalid(err), isDenial(err):
		return fmt.Errorf("%s: %w", action, err) // it has the field and the remedy, or is about another reason than a role
	}
	return explain(action, editorRole, err)
}

func isUnknownField(err error) bool {
	return apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "unknown field")
}

func isMissingNamespace(err error) bool {
	status := apierrors.APIStatus(nil)
	if !apierrors.IsNotFound(err) || !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && details.Kind == "namespaces"
}

// isDenial reports whether an admission webhook, a policy or a quota has refused an object, which no role changes.
func isDenial(err error) bool {
	if !apierrors.IsForbidden(err) {
		return false
	}
	for _, text := range []string{"denied the request", "denied request", "exceeded quota", "is being terminated"} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// deleteTest deletes an earlier test with all its objects, and waits for it: a test runs once, so a new run needs a new object.
func deleteTest(ctx context.Context, c client.Client, key client.ObjectKey, progress func(string)) error {
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	err := c.Delete(ctx, test, client.PropagationPolicy(metav1.DeletePropagationForeground))
	switch {
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return nil
	case err != nil:
		return explain("delete the earlier test "+key.String(), editorRole, err)
	}
	progress("deleting the earlier test " + key.String())
	err = wait.PollUntilContextCancel(ctx, 200*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, key, test)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	switch {
	case ctx.Err() != nil:
		return interruptedError{"the earlier test " + key.String() + " is deleted, and no new one was created"}
	case err != nil:
		return explain("wait for the deletion of the earlier test "+key.String(), editorRole, err)
	}
	return nil
}
