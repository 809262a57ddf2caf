package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

var (
	testsResource   = schema.GroupResource{Group: "locust.io", Resource: "locusttests"}
	reportsResource = schema.GroupResource{Group: "locust.io", Resource: "locustreports"}
)

// notServed is the error of client-go for a kind that the API server does not serve.
func notServed(resource schema.GroupResource) error {
	return apierrors.NewGenericServerResponse(404, "GET", resource, "shop", "404 page not found", 0, true)
}

// refusing returns an interceptor that returns errors for reads of LocustTests and LocustReports; nil for none.
func refusing(tests, reports error) interceptor.Funcs {
	refusal := func(object any) error {
		switch object.(type) {
		case *v2.LocustTest, *v2.LocustTestList:
			return tests
		case *v1alpha1.LocustReport, *v1alpha1.LocustReportList, *metav1.PartialObjectMetadataList:
			return reports
		}
		return nil
	}
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			if err := refusal(object); err != nil {
				return err
			}
			return c.Get(ctx, key, object, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if err := refusal(list); err != nil {
				return err
			}
			return c.List(ctx, list, opts...)
		},
	}
}

func TestGetTest(t *testing.T) {
	key := client.ObjectKey{Namespace: "load", Name: "shop"}
	got, err := getTest(t.Context(), fakeCluster(interceptor.Funcs{}, storedTest("shop", inPhase(v2.PhaseRunning))), key)
	require.NoError(t, err)
	assert.Equal(t, v2.PhaseRunning, got.Status.Phase)

	for name, row := range map[string]struct {
		err      error
		want     string
		notFound bool
	}{
		"no such test": {nil, "the test load/shop does not exist\nThe tests of the namespace: kubectl locust list -n load; with -A, those of all namespaces", true},
		"no operator": {notServed(testsResource), "this cluster does not serve LocustTests (locust.io/v2): the operator is not installed, or is older than this plugin\n" +
			"Install it, see docs/install.md, or select another cluster with --context; kubectl locust version, with the same flags, shows what is installed", false},
		"no such kind": {&meta.NoKindMatchError{GroupKind: v2.GroupVersion.WithKind("LocustTest").GroupKind()}, "this cluster does not serve LocustTests", false},
		"no permission": {apierrors.NewForbidden(testsResource, "shop", errors.New("eve cannot")),
			"read the test load/shop: locusttests.locust.io \"shop\" is forbidden: eve cannot\nAsk an administrator for the ClusterRole locust-k8s-operator-locusttest-viewer-role", false},
		"no connection": {errors.New("connection refused"), "read the test load/shop: connection refused", false},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := getTest(t.Context(), fakeCluster(refusing(row.err, nil)), key)
			assert.Nil(t, got)
			require.ErrorContains(t, err, row.want)
			assert.Equal(t, row.notFound, apierrors.IsNotFound(err), "only a test that does not exist is not found")
		})
	}
}

// TestGetTest_OtherCluster checks that the suggested command selects the same cluster.
func TestGetTest_OtherCluster(t *testing.T) {
	c := clusterClient{fakeCluster(interceptor.Funcs{}), prodApp()}
	key := client.ObjectKey{Namespace: "load", Name: "shop"}
	_, err := getTest(t.Context(), c, key)
	assert.ErrorContains(t, err, "kubectl locust list -n load --context prod; with -A")
	_, err = getTest(t.Context(), &reader{Client: c}, key)
	assert.ErrorContains(t, err, "kubectl locust list -n load --context prod; with -A")
}

func TestOffer(t *testing.T) {
	second := storedTest("shop-2", nil)
	second.Status.Phase = "Run\x1b[31m\tning"
	kept := storedReport("shop-0f", "shop", "old", time.Unix(1_600_000_000, 0))
	elsewhere := storedTest("shop-3", nil)
	elsewhere.Namespace = "other"
	c := fakeCluster(interceptor.Funcs{}, storedTest("shop", inPhase(v2.PhaseFailed)), second, elsewhere, storedTest("api", nil), kept)
	assert.Equal(t, []string{"api\t", "shop\tFailed", "shop-2\tRun\ufffd[31m ning"}, offer(t.Context(), c, "load", nil, "", testNames))
	assert.Equal(t, []string{"shop-2\tRun\ufffd[31m ning"}, offer(t.Context(), c, "load", []string{"shop"}, "sh", testNames))
	assert.Equal(t, []string{"shop\tFailed", "shop-2\tRun\ufffd[31m ning", "shop-0f\treport of shop"}, offer(t.Context(), c, "load", nil, "shop", testNames, reportNames))

	broken := errors.New("broken")
	assert.Empty(t, offer(t.Context(), fakeCluster(refusing(broken, broken)), "load", nil, "", testNames, reportNames))
}

// TestCompleteNames checks what shells run, and that a completion is silent and fast whatever happens.
func TestCompleteNames(t *testing.T) {
	tests := `{"apiVersion":"locust.io/v2","kind":"LocustTestList","items":[{"metadata":{"name":"shop","namespace":"load"},"status":{"phase":"Running"}}]}`
	reports := `{"apiVersion":"meta.k8s.io/v1","kind":"PartialObjectMetadataList","items":[{"metadata":{"name":"shop-0f","labels":{"performance-test-name":"shop"}}}]}`
	const testsPath, reportsPath = "/apis/locust.io/v2/namespaces/load/locusttests", "/apis/locust.io/v1alpha1/namespaces/load/locustreports"
	for name, row := range map[string]struct {
		responses map[string]string
		args      []string
		want      string
	}{
		"a test":                  {map[string]string{testsPath: tests}, []string{"watch", ""}, "shop\tRunning\n:4\n"},
		"another one":             {map[string]string{testsPath: tests}, []string{"watch", "x"}, ":4\n"},
		"one is enough":           {map[string]string{testsPath: tests}, []string{"report", "shop", ""}, ":4\n"},
		"one is given already":    {map[string]string{testsPath: tests}, []string{"stop", "shop", ""}, ":4\n"},
		"tests and reports":       {map[string]string{testsPath: tests, reportsPath: reports}, []string{"report", ""}, "shop\tRunning\nshop-0f\treport of shop\n:4\n"},
		"an old operator":         {map[string]string{testsPath: tests}, []string{"report", ""}, "shop\tRunning\n:4\n"},
		"no permission":           {map[string]string{testsPath: forbidden, reportsPath: forbidden}, []string{"report", ""}, ":4\n"},
		"the format of a report":  {nil, []string{"report", "-o", ""}, "table\njson\nyaml\ncsv\nmarkdown\njunit\n:4\n"},
		"the format of the lists": {nil, []string{"list", "-o", ""}, "table\nwide\nname\njson\nyaml\n:4\n"},
	} {
		t.Run(name, func(t *testing.T) {
			url := serveAPI(t, row.responses)
			stdout, stderr, code := runCommand(t, append([]string{"__complete", row.args[0], "-n", "load", "--server", url}, row.args[1:]...)...)
			assert.Zero(t, code)
			assert.Equal(t, row.want, stdout)
			assert.NotContains(t, stderr, "rror")
		})
	}

	t.Run("no kubeconfig", func(t *testing.T) {
		stdout, _, code := runCommand(t, "__complete", "report", "")
		assert.Zero(t, code)
		assert.Equal(t, ":4\n", stdout)
	})
	t.Run("an API server that does not respond", func(t *testing.T) {
		a := (&outputs{}).app()
		a.flags = genericclioptions.NewConfigFlags(true)
		command := &cobra.Command{}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		command.SetContext(ctx)
		names, directive := a.completeTests(command, nil, "")
		assert.Empty(t, names)
		assert.Equal(t, cobra.ShellCompDirectiveNoFileComp, directive)
	})
}
