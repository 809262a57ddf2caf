package main

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

const minimalManifest = `
apiVersion: locust.io/v2
kind: LocustTest
metadata: {name: demo, namespace: perf}
spec: {image: "locust:1", master: {command: "-f a.py -t 30s"}, worker: {command: "-f a.py", replicas: 1}}
`

const fullManifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: files}
data: {image: locust:1}
---
# only a comment
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: target, namespace: perf}
spec: {template: {spec: {containers: [{name: a, image: "locust:1"}, {name: b, image: "other:1"}]}}}
---` + minimalManifest

func parsed(t *testing.T, text string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := parseManifest(strings.NewReader(text))
	require.NoError(t, err)
	return objects
}

func TestParseManifest(t *testing.T) {
	test, others, err := splitManifest(parsed(t, fullManifest))
	require.NoError(t, err)
	assert.Equal(t, "demo", test.GetName())
	require.Len(t, others, 2)

	list := parsed(t, `{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "ConfigMap"}, {"apiVersion": "locust.io/v1", "kind": "LocustTest", "metadata": {"generateName": "a-"}}]}`)
	test, others, err = splitManifest(list)
	require.NoError(t, err)
	assert.Equal(t, versionV1, test.GetAPIVersion())
	assert.Len(t, others, 1)
}

func TestManifestErrors(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"no YAML":     {"{", "parse the manifest"},
		"no object":   {"a: b", "object 1 of the manifest has no kind"},
		"no test":     {"apiVersion: v1\nkind: ConfigMap", "the manifest has 0 LocustTests"},
		"two tests":   {minimalManifest + "---" + minimalManifest, "the manifest has 2 LocustTests"},
		"no name":     {"apiVersion: locust.io/v2\nkind: LocustTest", "add metadata.name"},
		"invalid":     {strings.ReplaceAll(minimalManifest, "replicas: 1", "replicas: 0"), "spec.worker.replicas: Invalid value: 0"},
		"wrong type":  {strings.ReplaceAll(minimalManifest, "replicas: 1", "replicas: many"), "spec"},
		"empty":       {"", "0 LocustTests"},
		"old version": {strings.ReplaceAll(minimalManifest, "locust.io/v2", "locust.cloud/v1"), "0 LocustTests of locust.io/v2"},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(folder(t, map[string]string{"m.yaml": test.text}), "m.yaml")
			got := executeWithoutCluster(t, "run", "-f", file)
			assert.Equal(t, exitError, got.code)
			assert.Contains(t, got.errOut, test.want)
		})
	}
}

func TestDryRunOfAManifest(t *testing.T) {
	file := filepath.Join(folder(t, map[string]string{"m.yaml": fullManifest}), "m.yaml")
	got := executeWithoutCluster(t, "run", "-f", file, "--dry-run=client", "--image", "mine:2")
	require.Equal(t, 0, got.code, got.errOut)
	objects := parsed(t, got.out)
	require.Len(t, objects, 3)
	image, _, err := unstructured.NestedString(objects[2].Object, "spec", "image")
	require.NoError(t, err)
	assert.Equal(t, "mine:2", image)
	containers, _, err := unstructured.NestedSlice(objects[1].Object, "spec", "template", "spec", "containers")
	require.NoError(t, err)
	assert.Equal(t, []any{map[string]any{"name": "a", "image": "mine:2"}, map[string]any{"name": "b", "image": "other:1"}}, containers)

	t.Setenv(imageVariable, "company:3")
	got = executeWithoutCluster(t, "run", "-f", file, "--dry-run=client")
	assert.NotContains(t, got.out, "company:3", "the manifest names its image")
}

func TestNamespaceOfAManifest(t *testing.T) {
	assert.ErrorContains(t, checkNamespace("other", parsed(t, fullManifest)), "Deployment perf/target is in another namespace than --namespace other")
	assert.NoError(t, checkNamespace("perf", parsed(t, fullManifest)))
	assert.NoError(t, checkNamespace("", parsed(t, fullManifest)))
}

func TestDryRunOfAManifestWithNamespace(t *testing.T) {
	const manifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: files}
---
apiVersion: v1
kind: Namespace
metadata: {name: perf}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
---
apiVersion: example.com/v1
kind: Unknown
metadata: {name: a}
---
apiVersion: locust.io/v2
kind: LocustTest
metadata: {generateName: demo-}
spec: {image: "locust:1", master: {command: "-f a.py -t 30s"}, worker: {command: "-f a.py", replicas: 1}}
`
	file := filepath.Join(folder(t, map[string]string{"m.yaml": manifest}), "m.yaml")
	got := executeWithoutCluster(t, "run", "-f", file, "--dry-run=client", "-n", "perf")
	require.Equal(t, 0, got.code, got.errOut)
	namespaces := map[string]string{}
	for _, object := range parsed(t, got.out) {
		namespaces[object.GetKind()] = object.GetNamespace()
	}
	assert.Equal(t, map[string]string{"ConfigMap": "perf", "Namespace": "", "ClusterRole": "", "Unknown": "", "LocustTest": "perf"}, namespaces)
	assert.Equal(t, "note: --namespace is not added to Unknown a: only a cluster knows whether the kind has namespaces\n", got.errOut)

	got = executeWithoutCluster(t, "run", "-f", file, "--dry-run=client")
	assert.NotContains(t, got.out, "namespace:")
	assert.Empty(t, got.errOut)

	file = filepath.Join(folder(t, map[string]string{"m.yaml": minimalManifest}), "m.yaml")
	got = executeWithoutCluster(t, "run", "-f", file, "--dry-run=client", "-n", "other")
	assert.Equal(t, exitError, got.code)
	assert.Contains(t, got.errOut, "is in another namespace than --namespace other")
}

func TestReplaceNeedsAName(t *testing.T) {
	generated := strings.ReplaceAll(minimalManifest, "name: demo", "generateName: demo-")
	file := filepath.Join(folder(t, map[string]string{"m.yaml": generated}), "m.yaml")
	got := executeWithoutCluster(t, "run", "-f", file, "--replace")
	assert.Equal(t, exitError, got.code)
	assert.Contains(t, got.errOut, "--replace needs metadata.name in the LocustTest")
}

// applied runs a manifest against a fake cluster that finishes the test, and returns the objects in the order of their requests.
func applied(t *testing.T, text string, options runOptions, existing ...client.Object) (order []string, out string, err error) {
	t.Helper()
	test, others, err := splitManifest(parsed(t, text))
	require.NoError(t, err)
	setNamespace(test, "perf")
	c := newFakeClient(t, interceptor.Funcs{
		Apply: func(_ context.Context, _ client.WithWatch, object runtime.ApplyConfiguration, _ ...client.ApplyOption) error {
			u := object.(interface{ GetKind() string })
			order = append(order, "apply "+u.GetKind())
			return nil
		},
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if u, ok := object.(*unstructured.Unstructured); ok && u.GetKind() == "Deployment" {
				order = append(order, "wait Deployment")
				u.Object["spec"] = map[string]any{"replicas": int64(1)}
				u.Object["status"] = map[string]any{"replicas": int64(1), "updatedReplicas": int64(1), "availableReplicas": int64(1)}
				return nil
			}
			return c.Get(ctx, key, object, options...)
		},
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			action := "create "
			if len((&client.CreateOptions{}).ApplyOptions(options).DryRun) > 0 {
				action = "try "
			}
			order = append(order, action+object.GetObjectKind().GroupVersionKind().Kind)
			return c.Create(ctx, object, options...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			order = append(order, "delete "+object.GetName())
			return c.Delete(ctx, object, options...)
		},
	}, existing...)
	var printed strings.Builder
	err = plainApp(&printed).applyAndRun(t.Context(), c, manifest{test: test, others: others, namespace: "perf"}, options)
	return order, printed.String(), err
}

func TestApplyAndRun(t *testing.T) {
	order, out, err := applied(t, fullManifest, runOptions{startOptions: startOptions{detach: true}})
	require.NoError(t, err)
	assert.Equal(t, []string{"apply ConfigMap", "apply Deployment", "wait Deployment", "create LocustTest"}, order, "the test comes last")
	assert.Equal(t, "applying ConfigMap files\napplying Deployment perf/target\nwaiting for Deployment perf/target\n"+
		"created LocustTest perf/demo\nfollow it with: kubectl locust watch -n perf demo\n", out)
}

func TestApplyAndRunWithAnEarlierTest(t *testing.T) {
	earlier := newRunTest()
	earlier.Name = "demo"
	order, _, err := applied(t, fullManifest, runOptions{startOptions: startOptions{detach: true}}, earlier)
	assert.ErrorContains(t, err, "the test perf/demo already exists")
	assert.ErrorContains(t, err, "--replace")
	assert.Empty(t, order, "nothing is applied")

	order, out, err := applied(t, fullManifest, runOptions{startOptions: startOptions{detach: true, replace: true}}, earlier)
	require.NoError(t, err)
	assert.Equal(t, []string{"try LocustTest", "apply ConfigMap", "apply Deployment", "wait Deployment", "delete demo", "create LocustTest"}, order,
		"the earlier test and its result stay until the new one can start")
	assert.Contains(t, out, "deleting the earlier test perf/demo")
}

func TestFollowedTest(t *testing.T) {
	object := parsed(t, minimalManifest)[0]
	object.SetUID("uid-1")
	test := followedTest(object)
	assert.Equal(t, []string{"perf", "demo", "uid-1"}, []string{test.Namespace, test.Name, string(test.UID)})
}

func TestRolledOut(t *testing.T) {
	for name, test := range map[string]struct {
		status map[string]any
		want   bool
	}{
		"no status":     {map[string]any{}, false},
		"all available": {map[string]any{"observedGeneration": int64(2), "replicas": int64(1), "updatedReplicas": int64(1), "availableReplicas": int64(1)}, true},
		"old pod":       {map[string]any{"observedGeneration": int64(1), "replicas": int64(1), "updatedReplicas": int64(1), "availableReplicas": int64(1)}, false},
		"surplus pod":   {map[string]any{"observedGeneration": int64(2), "replicas": int64(2), "updatedReplicas": int64(1), "availableReplicas": int64(1)}, false},
		"not available": {map[string]any{"observedGeneration": int64(2), "replicas": int64(1), "updatedReplicas": int64(1)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			deployment := &unstructured.Unstructured{Object: map[string]any{"spec": map[string]any{"replicas": int64(1)}, "status": test.status}}
			deployment.SetGeneration(2)
			ready, state := rolledOut(deployment)
			assert.Equal(t, test.want, ready, state)
		})
	}
}

func TestDeploymentThatIsNeverAvailable(t *testing.T) {
	_, others, err := splitManifest(parsed(t, fullManifest))
	require.NoError(t, err)
	c := newFakeClient(t, interceptor.Funcs{
		Apply: func(context.Context, client.WithWatch, runtime.ApplyConfiguration, ...client.ApplyOption) error {
			return nil
		},
		Get: func(_ context.Context, _ client.WithWatch, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
			object.(*unstructured.Unstructured).Object["spec"] = map[string]any{"replicas": int64(2)}
			return nil
		},
	})
	err = plainApp(&strings.Builder{}).applyOthers(t.Context(), c, manifest{others: others, namespace: "perf"}, 300*time.Millisecond)
	assert.ErrorContains(t, err, "wait for Deployment perf/target: timed out after 300ms: 0 of 2 pods available")
	assert.ErrorContains(t, err, "kubectl describe deployment -n perf target")
}
