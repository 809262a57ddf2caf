//go:build integration

package integration

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/webhook"
)

// The cluster of the suite is upgraded: a test was stored while the CRD had only v1.

// storedAsV1 is the key of that test.
var storedAsV1 = client.ObjectKey{Namespace: "before-the-upgrade", Name: "old"}

// webhooks has the address and the certificates of the webhook server.
var webhooks envtest.WebhookInstallOptions

// upgradeFromV1 installs the CRD of an older operator, stores tests, and upgrades to the current CRD and webhooks.
func upgradeFromV1() (stop func(), err error) {
	crds := envtest.CRDInstallOptions{Paths: []string{filepath.Join("..", "..", "config", "crd", "bases")}, Scheme: scheme, ErrorIfPathMissing: true}
	if err := envtest.ReadCRDFiles(&crds); err != nil {
		return nil, err
	}
	before := testCRD(crds).DeepCopy()
	before.Spec.Versions = []apiextensionsv1.CustomResourceDefinitionVersion{{
		Name: "v1", Served: true, Storage: true,
		Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
			Type: "object", XPreserveUnknownFields: new(true)}},
	}}
	if _, err := envtest.InstallCRDs(apiServer, envtest.CRDInstallOptions{CRDs: []*apiextensionsv1.CustomResourceDefinition{before}}); err != nil {
		return nil, fmt.Errorf("install the CRD of v1: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer func() {
		if err != nil {
			cancel()
		}
	}()
	if err := k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: storedAsV1.Namespace}}); err != nil {
		return nil, err
	}
	if err := k8s.Create(ctx, oldTest()); err != nil {
		return nil, fmt.Errorf("store a test as v1: %w", err)
	}
	if err := storePoisonAsV1(ctx); err != nil {
		return nil, err
	}

	if err := webhooks.PrepWithoutInstalling(); err != nil {
		return nil, err
	}
	done, err := serveWebhooks(ctx)
	if err != nil {
		return nil, err
	}
	crds.WebhookOptions = webhooks
	crds.Paths = nil
	if err := storePoison(ctx, crds); err != nil {
		return nil, err
	}
	if _, err := envtest.InstallCRDs(apiServer, crds); err != nil {
		return nil, fmt.Errorf("install the CRD: %w", err)
	}
	return func() {
		cancel()
		<-done
		_ = webhooks.Cleanup()
	}, nil
}

// testCRD returns the CRD of LocustTest.
func testCRD(crds envtest.CRDInstallOptions) *apiextensionsv1.CustomResourceDefinition {
	return crds.CRDs[slices.IndexFunc(crds.CRDs, func(crd *apiextensionsv1.CustomResourceDefinition) bool { return crd.Name == "locusttests.locust.io" })]
}

func oldTest() *unstructured.Unstructured {
	test := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"image":             "locustio/locust:2.47.0",
		"masterCommandSeed": "--locustfile /lotest/src/t.py --host http://shop --users 4 --run-time 10s",
		"workerCommandSeed": "--locustfile /lotest/src/t.py",
		"workerReplicas":    int64(2),
		"configMap":         "files",
		"labels":            map[string]any{"worker": map[string]any{"team": "shop"}},
		"affinity": map[string]any{"nodeAffinity": map[string]any{
			"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{"pool": "load"}}},
		"tolerations": []any{map[string]any{"key": "dedicated", "operator": "Equal", "value": "load", "effect": "NoSchedule"}},
	}}}
	test.SetAPIVersion("locust.io/v1")
	test.SetKind("LocustTest")
	test.SetNamespace(storedAsV1.Namespace)
	test.SetName(storedAsV1.Name)
	return test
}

// serveWebhooks serves the webhooks of cmd/manager with envtest's certificate.
func serveWebhooks(ctx context.Context) (<-chan struct{}, error) {
	mgr, err := ctrl.NewManager(apiServer, ctrl.Options{
		Scheme: scheme, Metrics: metricsserver.Options{BindAddress: "0"},
		WebhookServer: webhook.NewServer(ctrlwebhook.Options{
			Host: webhooks.LocalServingHost, Port: webhooks.LocalServingPort, CertDir: webhooks.LocalServingCertDir}),
	})
	if err != nil {
		return nil, err
	}
	if err := webhook.SetupWithManager(mgr); err != nil {
		return nil, err
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := mgr.Start(ctx); err != nil {
			fmt.Println("the webhooks stopped:", err)
		}
	}()
	address := net.JoinHostPort(webhooks.LocalServingHost, strconv.Itoa(webhooks.LocalServingPort))
	for deadline := time.Now().Add(timeout); ; {
		// Check only that the server accepts connections.
		connection, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // see above
		if err == nil {
			return done, connection.Close()
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the webhooks do not respond: %w", err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// TestUpgrade checks that a test that an older operator stored as v1 is readable in both versions, runs, and is stored as v2
// after the next write, as described in docs/versions.md.
func TestUpgrade(t *testing.T) {
	var inV1 v1.LocustTest
	require.NoError(t, k8s.Get(t.Context(), storedAsV1, &inV1))
	inV1.TypeMeta = metav1.TypeMeta{}
	var want v1.LocustTest
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(oldTest().Object, &want))
	assert.Equal(t, want.Spec.Affinity, inV1.Spec.Affinity)
	assert.Equal(t, want.Spec.Tolerations, inV1.Spec.Tolerations)
	assert.Equal(t, want.Spec.MasterCommandSeed, inV1.Spec.MasterCommandSeed)

	test := &v2.LocustTest{}
	require.NoError(t, k8s.Get(t.Context(), storedAsV1, test))
	assert.Equal(t, "files", test.Spec.TestFiles.ConfigMapRef)
	assert.EqualValues(t, 2, test.Spec.Worker.Replicas)
	require.Len(t, test.Spec.Scheduling.Tolerations, 1)
	assert.EqualValues(t, 1, test.Generation)

	op := startOperator(t, storedAsV1.Namespace)
	master, _ := runAll(t, test)
	assert.Equal(t, "load", pods(t, test, resources.RoleWorker, 2)[0].Spec.Tolerations[0].Value)
	op.UntilPhase(test, v2.PhaseRunning)

	// Storage migration, in the middle of the run.
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	crd.SetName("locusttests.locust.io")
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(crd), crd))
	stored, _, err := unstructured.NestedStringSlice(crd.Object, "status", "storedVersions")
	require.NoError(t, err)
	assert.Equal(t, []string{"v1", "v2"}, stored)
	require.NoError(t, k8s.Get(t.Context(), storedAsV1, test))
	require.NoError(t, k8s.Update(t.Context(), test))
	assert.EqualValues(t, 1, test.Generation, "the spec is unchanged")
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"status":{"storedVersions":["v2"]}}`))
	require.NoError(t, k8s.Status().Patch(t.Context(), crd, patch))

	endMaster(t, &master)
	s := op.UntilPhase(test, v2.PhaseSucceeded)
	assert.Equal(t, v2.ReasonSpecInSync, condition(s, v2.ConditionTypeSpecDrifted).Reason)
	require.NoError(t, k8s.Get(t.Context(), storedAsV1, &inV1))
	assert.Equal(t, v2.PhaseSucceeded, inV1.Status.Phase, "v1 shows the same status")
}
