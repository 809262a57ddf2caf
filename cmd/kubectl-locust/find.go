package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// errNotInstalled is the error if the API server does not serve LocustTests.
var errNotInstalled = errors.New("this cluster does not serve LocustTests (locust.io/v2): the operator is not installed, or is older than this " +
	"plugin\n" +
	"Install it, see docs/install.md, or select another cluster with --context; kubectl locust version, with the same flags, shows what is installed")

// notFoundError is the error for a test that does not exist.
type notFoundError struct {
	key client.ObjectKey
	// flags select the namespace of the test.
	flags string
	err   error
}

func (e notFoundError) Error() string {
	return fmt.Sprintf("the test %s does not exist\nThe tests of the namespace: kubectl locust list%s; with -A, those of all namespaces", e.key, e.flags)
}

func (e notFoundError) Unwrap() error { return e.err }

// getTest returns a test of the cluster. The error names the remedy, and apierrors.IsNotFound recognises a test that does not exist.
func getTest(ctx context.Context, c client.Client, key client.ObjectKey) (*v2.LocustTest, error) {
	test := &v2.LocustTest{}
	switch err := c.Get(ctx, key, test); {
	case err == nil:
		return test, nil
	case apierrors.IsNotFound(err) && !isNotServed(err):
		return nil, notFoundError{key, flagsFor(c, key.Namespace), err}
	default:
		return nil, explain("read the test "+key.String(), viewerRole, err)
	}
}

// maxNames bounds the names that a completion offers.
const maxNames = 500

// completeTests returns the names of the tests for the shell's completion, with their phases.
func (a *app) completeTests(command *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return a.completeNames(command, args, toComplete, testNames)
}

// completeReports returns the names of the tests and reports for the shell's completion.
func (a *app) completeReports(command *cobra.Command, args []string, toComplete string) ([]string, cobra.ShellCompDirective) {
	return a.completeNames(command, args, toComplete, testNames, reportNames)
}

// completeNames returns the names of all sources that begin as toComplete. Errors are not reported: a completion has no place for them.
func (a *app) completeNames(command *cobra.Command, args []string, toComplete string,
	sources ...func(context.Context, client.Client, string) []string,
) ([]string, cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp
	if command.ValidateArgs(append(slices.Clone(args), toComplete)) != nil { // the command takes no more names
		return nil, directive
	}
	c, namespace, err := a.connect()
	if err != nil {
		return nil, directive
	}
	ctx, cancel := context.WithTimeout(command.Context(), completionTimeout)
	defer cancel()
	return offer(ctx, c, namespace, args, toComplete, sources...), directive
}

// offer returns the names that begin as toComplete and have not been given.
func offer(ctx context.Context, c client.Client, namespace string, given []string, toComplete string,
	sources ...func(context.Context, client.Client, string) []string,
) []string {
	var names []string
	for _, source := range sources {
		for _, described := range source(ctx, c, namespace) {
			name, _, _ := strings.Cut(described, "\t")
			if strings.HasPrefix(name, toComplete) && !slices.Contains(given, name) {
				names = append(names, described)
			}
		}
	}
	return names
}

// testNames returns the names of tests and their phases.
func testNames(ctx context.Context, c client.Client, namespace string) []string {
	var list v2.LocustTestList
	if c.List(ctx, &list, client.InNamespace(namespace), client.Limit(maxNames)) != nil {
		return nil
	}
	var names []string
	for i := range list.Items {
		names = append(names, terminal.Safe(list.Items[i].Name)+"\t"+terminal.Safe(list.Items[i].Status.Phase))
	}
	return names
}

// reportNames returns the names of reports. It reads only their metadata: reports are large.
func reportNames(ctx context.Context, c client.Client, namespace string) []string {
	var list metav1.PartialObjectMetadataList
	list.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("LocustReportList"))
	if c.List(ctx, &list, client.InNamespace(namespace), client.Limit(maxNames)) != nil {
		return nil
	}
	var names []string
	for i := range list.Items {
		names = append(names, terminal.Safe(list.Items[i].Name)+"\treport of "+terminal.Safe(list.Items[i].Labels[resources.LabelTestName]))
	}
	return names
}
