package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

func (a *app) rerunCommand() *cobra.Command {
	options := startOptions{followOptions: followOptions{onInterrupt: stopTest}}
	command := &cobra.Command{
		Use:   "rerun NAME",
		Short: "Run a test again and follow it to its end",
		Long: `Run a test again, as a new test with the same spec, and follow it to its end as run does.

The new test has the name of the old one with a new random suffix. With --replace the old test is deleted, with its result unless its
report is retained, once a dry run of the new one has succeeded, and the new one has its name.`,
		Example: `  kubectl locust rerun shop-x7k2p
  kubectl locust rerun shop --replace`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTests,
		RunE: func(command *cobra.Command, args []string) error {
			c, namespace, err := a.connect()
			if err != nil {
				return err
			}
			return a.rerun(command.Context(), c, client.ObjectKey{Namespace: namespace, Name: args[0]}, options)
		},
	}
	options.addStartFlags(command)
	command.Flags().BoolVar(&options.replace, "replace", false, "delete the old test, once a dry run of the new one succeeds, and use its name")
	command.Flags().BoolVar(&options.detach, "detach", false, "end when the test has been created")
	return command
}

func (a *app) rerun(ctx context.Context, c client.WithWatch, key client.ObjectKey, options startOptions) error {
	old, err := getTest(ctx, c, key)
	if apierrors.IsNotFound(err) {
		return a.explainMissing(ctx, &reader{Client: c, served: reportsServed}, key, err)
	}
	if err != nil {
		return err
	}
	test, err := again(old)
	if err != nil {
		return err
	}
	if options.replace {
		test.Name = old.Name
	}
	configMap, err := copyFiles(ctx, c, old, test)
	if err != nil {
		return err
	}
	if err := validate(test); err != nil {
		return err
	}
	return a.start(ctx, c, test, configMap, options)
}

// reportsServed is for readers whose errors are not printed.
func reportsServed(context.Context) (bool, error) { return true, nil }

// again returns a new test with the spec and the labels of an old one.
func again(old *v2.LocustTest) (*v2.LocustTest, error) {
	if old.DecodeError != nil {
		return nil, fmt.Errorf("the test %s cannot be run again: %w", client.ObjectKeyFromObject(old), old.DecodeError)
	}
	test := &v2.LocustTest{
		TypeMeta: metav1.TypeMeta{APIVersion: v2.GroupVersion.String(), Kind: "LocustTest"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: old.Namespace, Name: newName(randomSuffix.ReplaceAllString(old.Name, "")), Labels: maps.Clone(old.Labels),
		},
		Spec: *old.Spec.DeepCopy(),
	}
	test.Spec.Stop = false
	// Tools that keep a cluster in sync with a repository delete objects that have their labels and are in no repository.
	maps.DeleteFunc(test.Labels, func(key, _ string) bool {
		domain, _, _ := strings.Cut(key, "/")
		return key == "app.kubernetes.io/instance" || slices.Contains([]string{"argocd.argoproj.io", "kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"}, domain)
	})
	return test, nil
}

// copyFiles returns a copy of the ConfigMap with the files of a test that `run` has made, and changes the new test to it; nil if there
// is none. The original is deleted with its test.
func copyFiles(ctx context.Context, c client.Client, old, test *v2.LocustTest) (*corev1.ConfigMap, error) {
	for _, name := range configMapNames(&test.Spec) {
		// Others need no permission to be read.
		if !strings.HasPrefix(*name, old.Name+filesInfix) {
			continue
		}
		key := client.ObjectKey{Namespace: old.Namespace, Name: *name}
		original := &corev1.ConfigMap{}
		if err := c.Get(ctx, key, original); err != nil {
			return nil, explain("read the ConfigMap "+key.String()+" with the files of the test", editRole, err)
		}
		if !isOwnedBy(original, old.UID) {
			continue
		}
		*name = test.Name + filesInfix + rand.String(suffixLength)
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: *name, Labels: map[string]string{resources.LabelTestName: test.Name}},
			Data:       original.Data, BinaryData: original.BinaryData,
		}, nil
	}
	return nil, nil
}

// configMapNames returns the places in a spec where `run` names a ConfigMap.
func configMapNames(spec *v2.LocustTestSpec) []*string {
	var names []*string
	if spec.TestFiles != nil {
		names = append(names, &spec.TestFiles.ConfigMapRef)
	}
	for i := range spec.Volumes {
		if source := spec.Volumes[i].ConfigMap; source != nil {
			names = append(names, &source.Name)
		}
	}
	return names
}

func isOwnedBy(object client.Object, uid types.UID) bool {
	return slices.ContainsFunc(object.GetOwnerReferences(), func(owner metav1.OwnerReference) bool { return owner.UID == uid })
}

// explainMissing adds to the error for a missing test that its reports, if there are any, do not have its spec.
func (a *app) explainMissing(ctx context.Context, r *reader, key client.ObjectKey, missing error) error {
	found, _, err := r.newestReport(ctx, key)
	if err == nil && found == nil {
		found, err = r.getReport(ctx, key)
	}
	if err != nil {
		return missing // there is no report, an older operator has none, or they cannot be read
	}
	return fmt.Errorf("the test %s/%s was deleted, and its spec with it: the report %s has only its result\n"+
		"Run it from its locustfile or manifest: kubectl locust run%s", key.Namespace, found.Test.Name, found.Name, a.connectionFlags(key.Namespace))
}
