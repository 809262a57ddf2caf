package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilnet "k8s.io/apimachinery/pkg/util/net"
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
func (a *app) createUninterrupted(ctx context.Context, c client.Client, test client.Object, configMap *corev1.ConfigMap) error {
	if ctx.Err() != nil {
		return interruptedError{"the test was not created"}
	}
	creating, cancel := context.WithTimeout(context.WithoutCancel(ctx), creationTimeout)
	defer cancel()
	if err := a.createTest(creating, c, test, configMap); err != nil {
		return err
	}
	if ctx.Err() == nil {
		return nil
	}
	if err := a.removeTest(ctx, c, test); err != nil {
		return interruptedError{err.Error()}
	}
	return interruptedError{"the test " + client.ObjectKeyFromObject(test).String() + " was deleted before it started"}
}

// createTest creates a test and the ConfigMap that it owns, if there is one. After an error neither of them is left.
//
// The test comes first: then the ConfigMap has an owner from the beginning, and is deleted with it. Its pods wait for it.
func (a *app) createTest(ctx context.Context, c client.Client, test client.Object, configMap *corev1.ConfigMap) error {
	if configMap != nil {
		configMap.Namespace = test.GetNamespace()
		// The permission and the quota are better known before the test begins.
		if err := tryConfigMap(ctx, c, configMap); err != nil {
			return err
		}
	}
	// Strict: the API server would otherwise drop what the operator of this cluster does not know.
	err := c.Create(ctx, test, fieldOwner, client.FieldValidation(metav1.FieldValidationStrict))
	switch {
	case isUnknownResult(err):
		return a.explainUnknownResult(test, err)
	case err != nil:
		return explainCreation(test.GetNamespace(), test.GetName(), err)
	case configMap == nil:
		return nil
	}
	configMap.OwnerReferences = []metav1.OwnerReference{{
		APIVersion: v2.GroupVersion.String(), Kind: "LocustTest", Name: test.GetName(), UID: test.GetUID(),
	}}
	if err := createConfigMap(ctx, c, configMap); err != nil {
		return errors.Join(err, a.removeTest(ctx, c, test))
	}
	return nil
}

func createConfigMap(ctx context.Context, c client.Client, configMap *corev1.ConfigMap, options ...client.CreateOption) error {
	return explain("create the ConfigMap "+client.ObjectKeyFromObject(configMap).String()+" with the files of the test", editRole,
		c.Create(ctx, configMap, append(options, fieldOwner)...))
}

// tryConfigMap creates a ConfigMap in a dry run.
func tryConfigMap(ctx context.Context, c client.Client, configMap *corev1.ConfigMap) error {
	return ignoreUnsupportedDryRun(createConfigMap(ctx, c, configMap.DeepCopy(), client.DryRunAll))
}

// ignoreUnsupportedDryRun returns nil if an admission webhook cannot check an object in a dry run: then nothing is known against it.
func ignoreUnsupportedDryRun(err error) error {
	if apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run") {
		return nil
	}
	return err
}

// removeTest deletes a test that was just created.
func (a *app) removeTest(ctx context.Context, c client.Client, test client.Object) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), creationTimeout)
	defer cancel()
	uid := test.GetUID()
	err := c.Delete(ctx, test, client.Preconditions{UID: &uid}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("the test %s was created and could not be deleted: %w\nDelete it: %s",
			client.ObjectKeyFromObject(test), err, a.suggestKubectl("delete locusttest", test))
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
		return errNotInstalled
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

// isUnknownResult reports whether the API server may have done what a request asked for, although it was not confirmed.
func isUnknownResult(err error) bool {
	var network *net.OpError
	if errors.As(err, &network) && network.Op == "dial" {
		return false // there was no connection
	}
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout() ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || utilnet.IsConnectionReset(err) ||
		apierrors.IsTimeout(err) || apierrors.IsServerTimeout(err)
}

// explainUnknownResult adds to an error of the creation of a test how to find out whether it exists. It is not deleted: another command
// may have created a test of the same name.
func (a *app) explainUnknownResult(test client.Object, err error) error {
	namespace, name := test.GetNamespace(), test.GetName()
	if name == "" {
		return fmt.Errorf("create the test %s/%s: %w\nThe API server may have created it nevertheless; see: kubectl locust list%s",
			namespace, test.GetGenerateName(), err, a.connectionFlags(namespace))
	}
	return fmt.Errorf("create the test %s/%s: %w\nThe API server may have created it nevertheless; follow it with: %s; or delete it: %s",
		namespace, name, err, a.suggest("watch", test), a.suggestKubectl("delete locusttest", test))
}
