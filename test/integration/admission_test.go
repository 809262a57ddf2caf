//go:build integration

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// namespaceWithAdmission creates a namespace in which the admission webhook is called. It is not called in other
// namespaces, so that the suites can test the checks of the reconciler.
func namespaceWithAdmission(t testing.TB) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "config", "webhook", "manifests.yaml"))
	require.NoError(t, err)
	configuration := &admissionregistrationv1.ValidatingWebhookConfiguration{}
	require.NoError(t, yaml.Unmarshal(raw, configuration))
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "it-"}}
	require.NoError(t, k8s.Create(t.Context(), ns))
	configuration.Name = ns.Name
	for i := range configuration.Webhooks {
		hook := &configuration.Webhooks[i]
		hook.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns.Name}}
		url := fmt.Sprintf("https://%s:%d%s", webhooks.LocalServingHost, webhooks.LocalServingPort, *hook.ClientConfig.Service.Path)
		hook.ClientConfig = admissionregistrationv1.WebhookClientConfig{URL: &url, CABundle: webhooks.LocalServingCAData}
	}
	require.NoError(t, k8s.Create(t.Context(), configuration))
	t.Cleanup(func() {
		assert.NoError(t, k8s.Delete(context.Background(), configuration))
		assert.NoError(t, k8s.Delete(context.Background(), ns))
	})
	// The API server starts to call the webhook with a delay.
	bad := newTest(ns.Name, "probe")
	bad.Spec.Master.Labels = map[string]string{"managed-by": "me"}
	require.Eventually(t, func() bool { return k8s.Create(t.Context(), bad.DeepCopy(), client.DryRunAll) != nil },
		timeout, 50*time.Millisecond, "the webhook is called")
	return ns.Name
}

func TestAdmission_AllErrorsAtOnce(t *testing.T) {
	ns := namespaceWithAdmission(t)
	test := newTest(ns, "bad")
	test.Spec.Master.Labels = map[string]string{"managed-by": "me"}
	test.Spec.Env = &v2.EnvConfig{SecretMounts: []v2.SecretMount{{Name: "a", MountPath: "/data"}, {Name: "b", MountPath: "/data/"}}}
	err := k8s.Create(t.Context(), test)
	require.Error(t, err)
	for _, part := range []string{"spec.master.labels[managed-by]", `"me"`, "spec.env.secretMounts[1].mountPath", `"/data/"`} {
		assert.ErrorContains(t, err, part)
	}
}

// TestAdmission_V1 shows the fields of the version that was used.
func TestAdmission_V1(t *testing.T) {
	ns := namespaceWithAdmission(t)
	test := &v1.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bad"}, Spec: v1.LocustTestSpec{
		Image: "locustio/locust:2.47.0", MasterCommandSeed: "--locustfile a.py", WorkerCommandSeed: "--locustfile a.py", WorkerReplicas: 1,
		Labels: &v1.PodMaps{Master: map[string]string{"managed-by": "me"}},
	}}
	err := k8s.Create(t.Context(), test)
	require.Error(t, err)
	assert.ErrorContains(t, err, "spec.labels.master[managed-by]")
}

// TestAdmission_Operator2 applies manifests with the fields of the samples of the 2.x operator, in both versions, and runs them.
func TestAdmission_Operator2(t *testing.T) {
	ns := namespaceWithAdmission(t)
	op := startOperator(t, ns)
	files, err := filepath.Glob(filepath.Join("..", "samples", "operator2x", "*.yaml"))
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(files), 9)
	for _, file := range files {
		raw, err := os.ReadFile(file)
		require.NoError(t, err)
		object := &unstructured.Unstructured{}
		require.NoError(t, yaml.UnmarshalStrict(raw, &object.Object), file)
		object.SetNamespace(ns)
		require.NoError(t, k8s.Create(t.Context(), object, client.FieldValidation(metav1.FieldValidationStrict)), file)
		test := &v2.LocustTest{}
		require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(object), test))
		op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	}
}

func TestAdmission_Warnings(t *testing.T) {
	ns := namespaceWithAdmission(t)
	received := &warnings{}
	config := rest.CopyConfig(apiServer)
	config.WarningHandler = received
	user, err := client.New(config, client.Options{Scheme: scheme})
	require.NoError(t, err)

	test := newTest(ns, "odd")
	test.Spec.Image = "locustio/locust:latest"
	test.Spec.Worker.ExtraArgs = []string{"--master-host", "elsewhere"}
	require.NoError(t, user.Create(t.Context(), test))
	assert.Len(t, received.containing("spec.image"), 1)
	assert.Len(t, received.containing("spec.worker.extraArgs"), 1)

	op := startOperator(t, ns)
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	received.reset()
	before := test.DeepCopy()
	test.Spec.Worker.Replicas = 7
	require.NoError(t, user.Patch(t.Context(), test, client.MergeFrom(before)))
	assert.NotEmpty(t, received.containing("ignored"), "%v", received)
	received.reset()
	before = test.DeepCopy()
	test.Labels = map[string]string{"a": "b"}
	require.NoError(t, user.Patch(t.Context(), test, client.MergeFrom(before)))
	assert.Empty(t, received.containing(""), "no warnings on updates of other fields")

	var inV1 v1.LocustTest
	require.NoError(t, user.Get(t.Context(), client.ObjectKeyFromObject(test), &inV1))
	assert.NotEmpty(t, received.containing("deprecated"))
}

// TestAdmission_OldTests checks that a test that was created while the webhook was unavailable can be labeled, finished and
// deleted.
func TestAdmission_OldTests(t *testing.T) {
	ns := namespaceWithAdmission(t)
	var configuration admissionregistrationv1.ValidatingWebhookConfiguration
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKey{Name: ns}, &configuration))
	unavailable := configuration.DeepCopy()
	url := "https://127.0.0.1:1/unavailable"
	unavailable.Webhooks[0].ClientConfig.URL = &url
	require.NoError(t, k8s.Patch(t.Context(), unavailable, client.MergeFrom(&configuration)))
	test := newTest(ns, "unchecked")
	test.Spec.Master.Labels = map[string]string{"managed-by": "me"}
	eventually(t, "tests can be created while the webhook is down", func() bool { return k8s.Create(t.Context(), test) == nil })
	restored := unavailable.DeepCopy()
	restored.Webhooks[0].ClientConfig.URL = configuration.Webhooks[0].ClientConfig.URL
	require.NoError(t, k8s.Patch(t.Context(), restored, client.MergeFrom(unavailable)))
	eventually(t, "the webhook is called again", func() bool {
		bad := newTest(ns, "probe")
		bad.Spec.Master.Labels = test.Spec.Master.Labels
		return k8s.Create(t.Context(), bad, client.DryRunAll) != nil
	})

	op := startOperator(t, ns)
	s := op.UntilPhase(test, v2.PhaseFailed)
	ready := condition(s, v2.ConditionTypeReady)
	assert.Contains(t, ready.Message, "spec.master.labels[managed-by]", "the operator reports the same")
	before := test.DeepCopy()
	test.Annotations = map[string]string{"seen": "yes"}
	require.NoError(t, k8s.Patch(t.Context(), test, client.MergeFrom(before)))
	require.NoError(t, k8s.Delete(t.Context(), test))
}

// TestVersions_ReadCanBeApplied checks that v2 accepts a spec that was written in v1, although Go normalizes durations.
func TestVersions_ReadCanBeApplied(t *testing.T) {
	ns := namespaceWithAdmission(t)
	test := newTest(ns, "first")
	limit := func(text string) *metav1.Duration {
		d, err := time.ParseDuration(text)
		require.NoError(t, err)
		return &metav1.Duration{Duration: d}
	}
	test.Spec.SuccessCriteria = &v2.SuccessCriteria{
		MaxFailureRatio: "0.5", AbortOnViolation: true, AbortGracePeriod: limit("2h"), MaxAverageResponseTime: limit("1h30m0.5s"),
		MaxResponseTime: &v2.ResponseTimeLimits{P50: limit("500us"), P90: limit("20ns"), P95: limit("1.5ms"), P99: limit("1.000000001s")},
	}
	test.Spec.Worker.Resources.Limits = corev1.ResourceList{corev1.ResourceMemory: apiresource.MustParse("1.5Gi")}
	require.NoError(t, k8s.Create(t.Context(), test))
	var inV1 v1.LocustTest
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(test), &inV1))
	inV1.Labels = map[string]string{"seen": "in-v1"}
	require.NoError(t, k8s.Update(t.Context(), &inV1))

	var read v2.LocustTest
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(test), &read))
	assert.Equal(t, test.Spec, read.Spec)
	assert.Equal(t, test.Generation, read.Generation)
	again := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "again"}, Spec: read.Spec}
	require.NoError(t, k8s.Create(t.Context(), again))
}

// TestVersions_TooLarge checks that a test that is too large for v1 does not break lists in v1, and cannot be written in v1.
func TestVersions_TooLarge(t *testing.T) {
	ns := namespaceWithAdmission(t)
	test := newTest(ns, "large")
	test.Spec.Master.ExtraArgs = []string{strings.Repeat("x", v1.MaxV2SpecBytes)}
	require.NoError(t, k8s.Create(t.Context(), test))
	var all v1.LocustTestList
	require.NoError(t, k8s.List(t.Context(), &all, client.InNamespace(ns)))
	require.Len(t, all.Items, 1)
	all.Items[0].Labels = map[string]string{"a": "b"}
	assert.ErrorContains(t, k8s.Update(t.Context(), &all.Items[0]), "edit it in locust.io/v2")
}

// TestVersions_LongName checks that the status of a test reports a name that only an older operator accepted.
func TestVersions_LongName(t *testing.T) {
	test := newTest(namespace(t), strings.Repeat("n", 52))
	require.ErrorContains(t, k8s.Create(t.Context(), test.DeepCopy()), "choose a shorter name")

	// An older CRD did not have the rule.
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	key := client.ObjectKey{Name: "locusttests.locust.io"}
	require.NoError(t, k8s.Get(t.Context(), key, crd))
	strict := crd.DeepCopy()
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	require.NoError(t, err)
	for _, version := range versions {
		unstructured.RemoveNestedField(version.(map[string]any), "schema", "openAPIV3Schema", "x-kubernetes-validations")
	}
	require.NoError(t, unstructured.SetNestedSlice(crd.Object, versions, "spec", "versions"))
	require.NoError(t, k8s.Patch(t.Context(), crd, client.MergeFrom(strict)))
	eventually(t, "the name is accepted", func() bool { return k8s.Create(t.Context(), test) == nil })
	lax := crd.DeepCopy()
	crd.Object["spec"].(map[string]any)["versions"] = strict.Object["spec"].(map[string]any)["versions"]
	require.NoError(t, k8s.Patch(t.Context(), crd, client.MergeFrom(lax)))
	eventually(t, "the rule is back", func() bool {
		other := newTest(test.Namespace, strings.Repeat("m", 52))
		return k8s.Create(t.Context(), other, client.DryRunAll) != nil
	})

	s := startOperator(t, test.Namespace).UntilPhase(test, v2.PhaseFailed)
	assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, "choose a shorter name")
}

// warnings records the warnings of the API server.
type warnings struct {
	mu    sync.Mutex
	texts []string
}

func (w *warnings) HandleWarningHeader(_ int, _, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = append(w.texts, text)
}

func (w *warnings) containing(part string) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.texts), func(text string) bool { return !strings.Contains(text, part) })
}

func (w *warnings) reset() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.texts = nil
}

// BenchmarkWebhooks reports the latency of requests with and without webhooks, under the load of 16 clients.
func BenchmarkWebhooks(b *testing.B) {
	ns := namespaceWithAdmission(b)
	config := rest.CopyConfig(apiServer)
	config.QPS, config.WarningHandler = -1, rest.NoWarnings{}
	user, err := client.New(config, client.Options{Scheme: scheme})
	require.NoError(b, err)
	test := newTest(ns, "stored")
	test.Spec.Worker.ExtraArgs = []string{"--loglevel", "INFO"}
	require.NoError(b, user.Create(b.Context(), test))
	key := client.ObjectKeyFromObject(test)
	for _, request := range []struct {
		name string
		send func() error
	}{
		{"GetV2", func() error { return user.Get(b.Context(), key, &v2.LocustTest{}) }},
		{"GetV1_conversion", func() error { return user.Get(b.Context(), key, &v1.LocustTest{}) }},
		{"CreateV2_admission", func() error { return user.Create(b.Context(), newTest(ns, "new"), client.DryRunAll) }},
		{"CreateV1_conversion_admission", func() error {
			return user.Create(b.Context(), &v1.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "new"}, Spec: v1.LocustTestSpec{
				Image: "locustio/locust:2.47.0", MasterCommandSeed: "--locustfile a.py", WorkerCommandSeed: "--locustfile a.py"}}, client.DryRunAll)
		}},
	} {
		b.Run(request.name, func(b *testing.B) {
			var mu sync.Mutex
			var took []time.Duration
			b.SetParallelism(8) // of 2 processors
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					begin := time.Now()
					err := request.send()
					d := time.Since(begin)
					mu.Lock()
					took = append(took, d)
					if err != nil {
						b.Error(err)
					}
					mu.Unlock()
				}
			})
			slices.Sort(took)
			at := func(share float64) float64 {
				return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
			}
			b.ReportMetric(at(0.5), "p50-ms")
			b.ReportMetric(at(0.99), "p99-ms")
		})
	}
}
