//go:build integration

package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	kjson "sigs.k8s.io/json"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	crdschema "github.com/AbdelrhmanHamouda/locust-k8s-operator/test/schema"
)

// poisoned is a namespace with tests that an older schema admitted and the current one refuses. They exist during the whole
// suite.
const poisoned = "poisoned"

// poison are changes that make a spec impossible or very expensive to decode or compare, by name.
var poison = map[string]func(spec map[string]any){
	"slow-to-decode":  limit("1111111111111111111e20000000"),
	"slow-to-compare": limit("1e1000000000"),
	"refused-by-go":   limit("1e1.5"),
	"refused-and-slow": func(spec map[string]any) {
		limit("1111111111111111111e40000000")(spec)
		spec["volumes"] = []any{map[string]any{"name": "v", "emptyDir": map[string]any{"sizeLimit": "1e1.5"}}}
	},
	"many-values": func(spec map[string]any) {
		tolerations := make([]any, 2*v2.MaxValues)
		for i := range tolerations {
			tolerations[i] = map[string]any{}
		}
		spec["scheduling"] = map[string]any{"tolerations": tolerations}
	},
}

func limit(cpu string) func(spec map[string]any) {
	return func(spec map[string]any) {
		spec["master"].(map[string]any)["resources"] = map[string]any{"limits": map[string]any{"cpu": cpu}}
	}
}

func poisonedTest(namespace, name string, change func(spec map[string]any)) *unstructured.Unstructured {
	test := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{
		"image":  "locustio/locust:2.47.0",
		"master": map[string]any{"command": "--locustfile /lotest/src/t.py"},
		"worker": map[string]any{"command": "--locustfile /lotest/src/t.py", "replicas": int64(2)},
	}}}
	change(test.Object["spec"].(map[string]any))
	test.SetAPIVersion("locust.io/v2")
	test.SetKind("LocustTest")
	test.SetNamespace(namespace)
	test.SetName(name)
	return test
}

// storePoisonAsV1 stores a test with an unchecked annotation while v1 is the CRD's only version.
func storePoisonAsV1(ctx context.Context) error {
	if err := k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: poisoned}}); err != nil {
		return err
	}
	test := oldTest()
	test.SetNamespace(poisoned)
	test.SetName("annotation")
	test.SetAnnotations(map[string]string{v1.AnnotationV2Spec: `{"master":{"resources":{"limits":{"cpu":"1111111111111111111e20000000"}}}}`})
	if err := k8s.Create(ctx, test); err != nil {
		return fmt.Errorf("store a poisoned test as v1: %w", err)
	}
	return nil
}

// storePoison stores tests under a CRD with the pattern of quantities that earlier releases had.
func storePoison(ctx context.Context, crds envtest.CRDInstallOptions) error {
	loose := crds
	loose.CRDs = []*apiextensionsv1.CustomResourceDefinition{testCRD(crds).DeepCopy()}
	for i := range loose.CRDs[0].Spec.Versions {
		loosen(loose.CRDs[0].Spec.Versions[i].Schema.OpenAPIV3Schema)
	}
	if _, err := envtest.InstallCRDs(apiServer, loose); err != nil {
		return fmt.Errorf("install the CRD with loose patterns: %w", err)
	}
	for name, change := range poison {
		if err := untilStored(ctx, poisonedTest(poisoned, name, change)); err != nil {
			return fmt.Errorf("store the poisoned test %s: %w", name, err)
		}
	}
	return nil
}

// untilStored creates an object as soon as the API server uses the CRD's new schema.
func untilStored(ctx context.Context, object *unstructured.Unstructured) error {
	for deadline := time.Now().Add(timeout); ; {
		err := k8s.Create(ctx, object.DeepCopy())
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// loosen replaces the pattern of quantities in a schema with that of controller-gen.
func loosen(schema *apiextensionsv1.JSONSchemaProps) {
	const before = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$`
	if schema.Pattern == v2.QuantityPattern {
		schema.Pattern, schema.MaxLength = before, nil
	}
	for name, property := range schema.Properties {
		loosen(&property)
		schema.Properties[name] = property
	}
	if schema.Items != nil {
		loosen(schema.Items.Schema)
	}
	if schema.AdditionalProperties != nil && schema.AdditionalProperties.Schema != nil {
		loosen(schema.AdditionalProperties.Schema)
	}
}

// createTimed creates a valid test, and returns the time until its Jobs exist.
func createTimed(t *testing.T, namespace, name string) (*v2.LocustTest, time.Duration) {
	t.Helper()
	started := time.Now()
	test := create(t, newTest(namespace, name))
	worker := client.ObjectKey{Namespace: namespace, Name: resources.WorkerName(name)} // the last object that is created
	require.Eventually(t, func() bool { return k8s.Get(t.Context(), worker, &batchv1.Job{}) == nil }, timeout, 10*time.Millisecond, "the worker Job exists")
	return test, time.Since(started)
}

// bystander creates an unrelated valid test, returns the time until its Jobs exist, and deletes it.
func bystander(t *testing.T, op *operator, namespace, name string) time.Duration {
	t.Helper()
	test, took := createTimed(t, namespace, name)
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	require.NoError(t, k8s.Delete(t.Context(), test))
	return took
}

// undisturbed is how long the Jobs of a test may take while another tenant attacks the operator.
const undisturbed = 2 * time.Second

// requireUndisturbed checks that the Jobs of a test of another tenant take at most as long as given, or three times as long
// as without the attack, in one of four attempts: a slow machine delays some of them, an operator that is held up delays all.
func requireUndisturbed(t *testing.T, most, alone time.Duration, attack func(attempt int) time.Duration) { //nolint:unparam // slowdown is 5 with the race detector
	t.Helper()
	var attacked time.Duration
	for attempt := range 4 {
		attacked = attack(attempt)
		t.Logf("the Jobs of an unrelated test take %s, under attack %s", alone, attacked)
		if attacked <= max(most, 3*alone) {
			return
		}
	}
	require.LessOrEqual(t, attacked, max(most, 3*alone))
}

// TestPoison_Stored checks that stored tests that cannot be decoded fail with a message when an operator starts, that other
// tests run, and that lists work in both versions.
func TestPoison_Stored(t *testing.T) {
	quiet := namespace(t)
	alone := bystander(t, startOperator(t, quiet), quiet, "alone")

	for i, name := range []string{"at the start", "after a restart"} {
		t.Run(name, func(t *testing.T) {
			op := startOperator(t, poisoned)
			requireUndisturbed(t, slowdown*undisturbed, alone, func(attempt int) time.Duration {
				return bystander(t, op, poisoned, fmt.Sprintf("bystander-%d-%d", i, attempt))
			})
			for name := range poison {
				test := &v2.LocustTest{}
				require.NoError(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: poisoned, Name: name}, test))
				require.NotNil(t, test.DecodeError, name)
				s := op.UntilPhase(test, v2.PhaseFailed)
				assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, test.DecodeError.Field+": Invalid value", name)
			}
			test := &v2.LocustTest{}
			require.NoError(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: poisoned, Name: "annotation"}, test))
			s := op.UntilPhase(test, v2.PhaseFailed)
			assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, "metadata.annotations[locust.io/v2-spec]")
			assert.Contains(t, condition(s, v2.ConditionTypeTestCompleted).Message, "spec.master.resources.limits[cpu]")
			op.stop()
		})
	}

	var inV2 v2.LocustTestList
	require.NoError(t, k8s.List(t.Context(), &inV2))
	assert.Greater(t, len(inV2.Items), len(poison))
	var inV1 v1.LocustTestList
	require.NoError(t, k8s.List(t.Context(), &inV1), "lists in v1 work as well")
	shown := map[string]v1.LocustTest{}
	for _, test := range inV1.Items {
		shown[test.Namespace+"/"+test.Name] = test
	}
	bad := shown[poisoned+"/refused-by-go"]
	assert.Equal(t, v2.PhaseFailed, bad.Status.Phase)
	bad.Labels = map[string]string{"a": "b"}
	assert.ErrorContains(t, k8s.Update(t.Context(), &bad), "correct it in locust.io/v2", "a write in v1 would lose the spec")

	// They can be labelled, corrected and deleted in v2.
	repaired := &unstructured.Unstructured{}
	repaired.SetAPIVersion("locust.io/v2")
	repaired.SetKind("LocustTest")
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: poisoned, Name: "refused-by-go"}, repaired))
	require.NoError(t, k8s.Patch(t.Context(), repaired, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"a":"b"}}}`))))
	require.NoError(t, k8s.Patch(t.Context(), repaired, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"master":{"resources":null}}}`))))
	test := &v2.LocustTest{}
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(repaired), test))
	assert.Nil(t, test.DecodeError)
}

// TestPoison_Refused checks that the API server refuses such quantities with and without the webhook.
func TestPoison_Refused(t *testing.T) {
	for name, ns := range map[string]string{"webhook up": namespaceWithAdmission(t), "webhook away": namespace(t)} {
		t.Run(name, func(t *testing.T) {
			for name, change := range poison {
				err := k8s.Create(t.Context(), poisonedTest(ns, name, change))
				if name == "many-values" && err == nil {
					require.Contains(t, t.Name(), "away", "the webhook refuses what the schema cannot count")
					continue
				}
				require.True(t, apierrors.IsInvalid(err), "%s: %v", name, err)
			}
			err := k8s.Create(t.Context(), poisonedTest(ns, "cpu", limit("1e1.5")))
			assert.ErrorContains(t, err, "spec.master.resources.limits.cpu")
			assert.ErrorContains(t, err, "1e1.5")
		})
	}
}

// TestPoison_Annotation checks that an invalid annotation is refused in v1 and in v2.
func TestPoison_Annotation(t *testing.T) {
	ns := namespaceWithAdmission(t)
	inV2 := newTest(ns, "v2")
	inV2.Annotations = map[string]string{v1.AnnotationV2Spec: `{"master":{"resources":{"limits":{"cpu":1e-1000000000,"memory":"1e1.5"}}}}`}
	err := k8s.Create(t.Context(), inV2)
	require.True(t, apierrors.IsInvalid(err), "%v", err)
	assert.ErrorContains(t, err, "metadata.annotations[locust.io/v2-spec]")

	away := namespace(t)
	op := startOperator(t, away)
	inV2.Namespace, inV2.ResourceVersion = away, ""
	s := op.UntilPhase(create(t, inV2), v2.PhaseFailed)
	assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, "metadata.annotations[locust.io/v2-spec]")

	test := oldTest()
	test.SetNamespace(ns)
	for name, text := range map[string]string{
		"slow":    `{"master":{"resources":{"limits":{"cpu":"1111111111111111111e1000000000"}}}}`,
		"refused": `{"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1e1.5"}}]}`,
		"unknown": `{"imag":"x"}`,
	} {
		test.SetName(name)
		test.SetAnnotations(map[string]string{v1.AnnotationV2Spec: text})
		err := k8s.Create(t.Context(), test.DeepCopy())
		require.True(t, apierrors.IsInvalid(err), "%s: %v", name, err)
		assert.ErrorContains(t, err, "metadata.annotations[locust.io/v2-spec]")
		assert.ErrorContains(t, err, "correct it, or remove it")
	}
}

// TestPoison_Expansion checks that 17 KiB that expand to hundreds of megabytes are refused, and do not delay other tests.
func TestPoison_Expansion(t *testing.T) {
	bomb := func(test *v2.LocustTest) *v2.LocustTest {
		test.Spec.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "A", Value: strings.Repeat("x", 1000)}}}
		for name := 'B'; name <= 'H'; name++ {
			before := fmt.Sprintf("$(%c)", name-1)
			test.Spec.Env.Variables = append(test.Spec.Env.Variables, corev1.EnvVar{Name: string(name), Value: before + before})
		}
		test.Spec.Master.Command = strings.Repeat("$(H) ", 3200)
		return test
	}
	quiet := namespace(t)
	alone := bystander(t, startOperator(t, quiet), quiet, "alone")
	t.Run("the webhook is up", func(t *testing.T) {
		ns := namespaceWithAdmission(t)
		op := startOperator(t, ns)
		requireUndisturbed(t, slowdown*undisturbed, alone, func(attempt int) time.Duration {
			var group sync.WaitGroup
			defer group.Wait()
			for i := range 8 {
				group.Go(func() {
					err := k8s.Create(context.Background(), bomb(newTest(ns, fmt.Sprintf("bomb-%d-%d", attempt, i))))
					assert.True(t, apierrors.IsInvalid(err), "%v", err)
					assert.ErrorContains(t, err, "spec.master.command")
				})
			}
			return bystander(t, op, ns, fmt.Sprintf("bystander-%d", attempt))
		})
	})
	for name, before := range map[string]bool{"the operator runs": false, "the operator starts after them": true} {
		t.Run(name, func(t *testing.T) {
			requireUndisturbed(t, slowdown*undisturbed, alone, func(int) time.Duration {
				ns := namespace(t)
				var op *operator
				if !before {
					op = startOperator(t, ns)
				}
				var tests []*v2.LocustTest
				for i := range 8 {
					tests = append(tests, create(t, bomb(newTest(ns, fmt.Sprintf("bomb-%d", i)))))
				}
				if before {
					op = startOperator(t, ns)
				}
				defer op.stop()
				attacked := bystander(t, op, ns, "bystander")
				for _, test := range tests {
					s := op.UntilPhase(test, v2.PhaseFailed)
					assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, "Linux does not start the container")
				}
				return attacked
			})
		})
	}
}

// TestPoison_Webhooks checks that a flood of requests to the webhook server does not delay tests.
func TestPoison_Webhooks(t *testing.T) {
	ns := namespaceWithAdmission(t)
	op := startOperator(t, ns)
	alone := bystander(t, op, ns, "alone")

	address := net.JoinHostPort(webhooks.LocalServingHost, strconv.Itoa(webhooks.LocalServingPort))
	attacker := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // an attacker does not verify the server
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	large := bytes.Repeat([]byte("x"), 6<<20)
	review := []byte(`{"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","request":{"uid":"u","desiredAPIVersion":"locust.io/v2","objects":[{"kind":"LocustTest","apiVersion":"locust.io/v1","metadata":{"name":"` +
		string(large) + `"}}]}}`)
	codes := map[int]int{}
	var mu sync.Mutex
	for i := range 8 {
		path := []string{"/convert", "/validate-locust-io-v2-locusttest"}[i%2]
		body := review
		if i >= 6 {
			body = bytes.Repeat(large, 8)
		}
		group.Go(func() {
			for ctx.Err() == nil {
				request, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+address+path, bytes.NewReader(body))
				require.NoError(t, err)
				request.Header.Set("Content-Type", "application/json")
				response, err := attacker.Do(request)
				if err != nil {
					continue // the server closes the connection if the request is too large
				}
				_ = response.Body.Close()
				mu.Lock()
				codes[response.StatusCode]++
				mu.Unlock()
			}
		})
	}
	answered := func() bool { mu.Lock(); defer mu.Unlock(); return codes[http.StatusOK] > 0 }
	eventually(t, "a large request gets a response", answered)
	requireUndisturbed(t, slowdown*undisturbed, alone, func(attempt int) time.Duration {
		var attacked time.Duration
		for i := range 3 {
			attacked = max(attacked, bystander(t, op, ns, fmt.Sprintf("bystander-%d-%d", attempt, i)))
		}
		return attacked
	})
	mu.Lock()
	defer mu.Unlock()
	t.Logf("responses to the attacker: %v", codes)
}

// TestPoison_Walk checks that the API server admits the same generated objects as package test/schema, and that these can
// be decoded.
func TestPoison_Walk(t *testing.T) {
	ns := namespace(t)
	versions, err := crdschema.Read(filepath.Join("..", "..", "config", "crd", "bases", "locust.io_locusttests.yaml"))
	require.NoError(t, err)
	for name, version := range versions {
		generator := crdschema.NewGenerator(version, 7)
		admitted := 0
		for range 500 {
			object := &unstructured.Unstructured{Object: generator.Object()}
			object.SetNamespace(ns)
			delete(object.Object, "status") // the API server drops it
			raw, err := object.MarshalJSON()
			require.NoError(t, err)
			var decoded map[string]any
			require.NoError(t, kjson.UnmarshalCaseSensitivePreserveInts(raw, &decoded))
			refused := version.Admit(t.Context(), decoded)
			err = k8s.Create(t.Context(), object, client.DryRunAll)
			require.Equal(t, refused == nil, err == nil, "test/schema returns %v, the API server %v: %.500s", refused, err, raw)
			if err != nil {
				continue
			}
			admitted++
			if name != "v2" {
				continue
			}
			stored, err := object.MarshalJSON()
			require.NoError(t, err)
			var test v2.LocustTest
			require.NoError(t, json.Unmarshal(stored, &test))
			if test.DecodeError != nil {
				require.Equal(t, "spec", test.DecodeError.Field, "%v", test.DecodeError)
			}
		}
		t.Logf("%s: %d of 500 admitted", name, admitted)
		assert.Greater(t, admitted, 100)
	}
}

// TestPoison_Drifted checks that a run continues with the spec in its Jobs after a change of the test's spec.
func TestPoison_Drifted(t *testing.T) {
	op, test := startWithTest(t, "edited")
	runAll(t, test)
	op.UntilPhase(test, v2.PhaseRunning)
	before := test.DeepCopy()
	test.Spec.Worker.Replicas = 9
	require.NoError(t, k8s.Patch(t.Context(), test, client.MergeFrom(before)))
	op.UntilReason(test, v2.ConditionTypeSpecDrifted, v2.ReasonSpecChangeIgnored)
	lost := job(t, test, resources.RoleWorker)
	require.NoError(t, k8s.Delete(t.Context(), lost, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	var recreated batchv1.Job
	eventually(t, "the worker Job is recreated", func() bool {
		err := k8s.Get(t.Context(), client.ObjectKeyFromObject(lost), &recreated)
		return err == nil && recreated.UID != lost.UID
	})
	assert.EqualValues(t, 2, *recreated.Spec.Parallelism)
	assert.LessOrEqual(t, op.requests.total("GET jobs"), 4, "the run's spec is read once: %v", op.requests.snapshot())
}
