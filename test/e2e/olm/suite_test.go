//go:build olm

// Package olm installs, checks, upgrades and removes the operator with the Operator Lifecycle Manager, from a catalog and
// with operator-sdk, on a real cluster. `make test-olm` prepares its prerequisites.
package olm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

const (
	// operators is the namespace of OLM's own global OperatorGroup.
	operators = "operators"
	pkg       = "locust-k8s-operator"
)

var k8s client.WithWatch

// TestMain removes the remains of an interrupted run.
func TestMain(m *testing.M) {
	ctrl.SetLogger(logr.Discard())
	var err error
	scheme := framework.NewScheme(v1.AddToScheme, apiextensionsv1.AddToScheme, v1alpha1.AddToScheme)
	if k8s, _, err = framework.Connect(scheme, func(*rest.Config) {}); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	for _, args := range [][]string{
		{"-n", operators, "delete", "subscriptions,clusterserviceversions,installplans", "--all"},
		{"-n", operators, "delete", "catalogsources", "--all"},
		{"-n", "olm", "delete", "catalogsource", "locust", "--ignore-not-found"},
	} {
		if out, err := exec.CommandContext(context.Background(), "kubectl", args...).CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "error: kubectl %s: %v: %s", strings.Join(args, " "), err, out)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// setting returns a setting of prepare.sh.
func setting(t *testing.T, name string) string {
	t.Helper()
	value := os.Getenv(name)
	require.NotEmpty(t, value, "%s is not set; run `make test-olm`", name)
	return value
}

func csvOf(version string) string { return pkg + ".v" + version }

// run runs a program and returns its standard output.
func run(t *testing.T, stdin string, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, errs.String())
	}
	return out.String(), nil
}

func kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := run(t, "", "kubectl", args...)
	require.NoError(t, err)
	return out
}

// apply applies a manifest.
func apply(t *testing.T, manifest string) {
	t.Helper()
	_, err := run(t, manifest, "kubectl", "apply", "-f", "-")
	require.NoError(t, err)
}

// read returns an object; it is empty if it does not exist.
func read[T any, P interface {
	*T
	client.Object
}](t *testing.T, namespace, name string) *T {
	t.Helper()
	object := new(T)
	err := k8s.Get(context.Background(), client.ObjectKey{Namespace: namespace, Name: name}, P(object))
	require.NoError(t, client.IgnoreNotFound(err))
	return object
}

func create(t *testing.T, object client.Object) {
	t.Helper()
	require.NoError(t, k8s.Create(context.Background(), object))
}

func list(t *testing.T, into client.ObjectList, options ...client.ListOption) {
	t.Helper()
	require.NoError(t, k8s.List(context.Background(), into, options...))
}

func operatorPods(t *testing.T, namespace string) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	list(t, &pods, client.InNamespace(namespace), framework.OperatorPods)
	return pods.Items
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	began, holds := time.Now(), false
	defer func() {
		if !holds {
			dump(t)
		}
	}()
	framework.Eventually(t, framework.ClusterTimeout, what, is)
	holds = true
	t.Logf("%5.1f s  %s", time.Since(began).Seconds(), what)
}

// dump logs OLM's objects and the operator's logs.
func dump(t *testing.T) {
	for _, args := range [][]string{
		{"get", "catalogsources,subscriptions,installplans,clusterserviceversions,pods,jobs", "-A"},
		{"-n", operators, "get", "subscriptions,clusterserviceversions", "-o", "yaml"},
		{"-n", "olm", "logs", "deployment/catalog-operator", "--tail", "30"},
		{"-n", operators, "logs", "-l", "control-plane=controller-manager", "--tail", "40"},
	} {
		out, err := run(t, "", "kubectl", args...)
		t.Logf("kubectl %s\n%s%v", strings.Join(args, " "), out, err)
	}
}

// catalog creates or updates a CatalogSource with an image.
func catalog(t *testing.T, image string) {
	t.Helper()
	source := &v1alpha1.CatalogSource{ObjectMeta: metav1.ObjectMeta{Namespace: "olm", Name: "locust"}}
	_, err := controllerutil.CreateOrPatch(context.Background(), k8s, source, func() error {
		source.Spec.SourceType, source.Spec.Image, source.Spec.DisplayName = v1alpha1.SourceTypeGrpc, image, "Locust"
		source.Spec.GrpcPodConfig = &v1alpha1.GrpcPodConfig{SecurityContextConfig: v1alpha1.Restricted,
			ExtractContent: &v1alpha1.ExtractContentConfig{CatalogDir: "/configs"}}
		return nil
	})
	require.NoError(t, err)
	eventually(t, "the catalog is served", func() bool {
		state := read[v1alpha1.CatalogSource](t, "olm", "locust").Status.GRPCConnectionState
		var pods corev1.PodList
		list(t, &pods, client.InNamespace("olm"), client.MatchingLabels{"olm.catalogSource": "locust"})
		return state != nil && state.LastObservedState == "READY" && slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool {
			return slices.ContainsFunc(pod.Spec.InitContainers, func(c corev1.Container) bool {
				return strings.Contains(c.Image, image)
			})
		})
	})
}

func subscribe(t *testing.T, approval v1alpha1.Approval, startingVersion string) {
	t.Helper()
	create(t, &v1alpha1.Subscription{
		ObjectMeta: metav1.ObjectMeta{Namespace: operators, Name: "locust"},
		Spec: &v1alpha1.SubscriptionSpec{Channel: "stable", Package: pkg, CatalogSource: "locust", CatalogSourceNamespace: "olm",
			InstallPlanApproval: approval, StartingCSV: csvOf(startingVersion)},
	})
}

// approve waits for the InstallPlan of a version and approves it.
func approve(t *testing.T, version string) {
	t.Helper()
	eventually(t, "an InstallPlan for "+version+" waits for approval", func() bool {
		var plans v1alpha1.InstallPlanList
		list(t, &plans, client.InNamespace(operators))
		for i := range plans.Items {
			plan := &plans.Items[i]
			if plan.Status.Phase == v1alpha1.InstallPlanPhaseRequiresApproval &&
				slices.Equal(plan.Spec.ClusterServiceVersionNames, []string{csvOf(version)}) {
				approved := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"approved":true}}`))
				require.NoError(t, k8s.Patch(context.Background(), plan, approved))
				return true
			}
		}
		return false
	})
}

// installed waits until only the given version runs.
func installed(t *testing.T, version, image string) {
	t.Helper()
	eventually(t, csvOf(version)+" is installed", func() bool {
		return read[v1alpha1.ClusterServiceVersion](t, operators, csvOf(version)).Status.Phase == v1alpha1.CSVPhaseSucceeded
	})
	eventually(t, "only the operator "+version+" runs", func() bool {
		pods := operatorPods(t, operators)
		return len(pods) == framework.OperatorReplicas && !slices.ContainsFunc(pods, func(pod corev1.Pod) bool {
			return pod.Spec.Containers[0].Image != image ||
				!strings.Contains(kubectl(t, "-n", operators, "logs", pod.Name), `"version":"v`+version+`"`)
		})
	})
}

// uninstall removes the operator as described in the documentation, and keeps the CRD and the tests.
func uninstall(t *testing.T) {
	t.Helper()
	kubectl(t, "-n", operators, "delete", "subscription", "locust", "--ignore-not-found")
	kubectl(t, "-n", operators, "delete", "clusterserviceversions", "-l", "operators.coreos.com/"+pkg+"."+operators, "--ignore-not-found")
	eventually(t, "the operator is removed", func() bool {
		return len(operatorPods(t, operators)) == 0
	})
	kubectl(t, "-n", operators, "delete", "installplans", "--all")
	kubectl(t, "-n", "olm", "delete", "catalogsource", "locust", "--ignore-not-found")
}
