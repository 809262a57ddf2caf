package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

const manifest = `
apiVersion: v1
kind: ConfigMap
metadata: {name: files, namespace: locust-demo}
data: {image: locust:1}
---
# only a comment
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: target, namespace: locust-demo}
spec: {template: {spec: {containers: [{name: a, image: "locust:1"}, {name: b, image: "other:1"}]}}}
---
apiVersion: locust.io/v2
kind: LocustTest
metadata: {name: demo, namespace: locust-demo}
spec: {image: "locust:1"}
`

func TestManifest(t *testing.T) {
	objects, err := parseManifest(strings.NewReader(manifest))
	require.NoError(t, err)
	require.Len(t, objects, 3)
	name, err := findTest(objects)
	require.NoError(t, err)
	assert.Equal(t, client.ObjectKey{Namespace: "locust-demo", Name: "demo"}, name)

	_, err = findTest(objects[:2])
	assert.ErrorContains(t, err, "0 LocustTests")
	_, err = parseManifest(strings.NewReader("{"))
	assert.ErrorContains(t, err, "parse the manifest")
}

func TestReplaceImage(t *testing.T) {
	objects, err := parseManifest(strings.NewReader(manifest))
	require.NoError(t, err)
	replaceImage(objects, "mine:2")

	image, _, err := unstructured.NestedString(objects[2].Object, "spec", "image")
	require.NoError(t, err)
	assert.Equal(t, "mine:2", image)
	containers, _, err := unstructured.NestedSlice(objects[1].Object, "spec", "template", "spec", "containers")
	require.NoError(t, err)
	assert.Equal(t, []any{map[string]any{"name": "a", "image": "mine:2"}, map[string]any{"name": "b", "image": "other:1"}}, containers)
}

func newFake(t *testing.T, objects ...client.Object) client.WithWatch {
	t.Helper()
	return fake.NewClientBuilder().WithScheme(framework.NewScheme()).WithObjects(objects...).
		WithStatusSubresource(&v2.LocustTest{}).
		WithInterceptorFuncs(interceptor.Funcs{
			List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
				err := c.List(ctx, list, options...)
				list.SetResourceVersion("1") // a fake client sets none, and a watch needs one
				return err
			},
		}).
		WithIndex(&v2.LocustTest{}, "metadata.name", func(o client.Object) []string { return []string{o.GetName()} }).Build()
}

func demoTest() *v2.LocustTest {
	return &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: "locust-demo", Name: "demo"}}
}

func TestDeleteTestWithoutEarlierRun(t *testing.T) {
	var lines []string
	progress := func(line string) { lines = append(lines, line) }
	require.NoError(t, deleteTest(t.Context(), newFake(t), client.ObjectKeyFromObject(demoTest()), progress))
	assert.Empty(t, lines)

	c := newFake(t, demoTest())
	require.NoError(t, deleteTest(t.Context(), c, client.ObjectKeyFromObject(demoTest()), progress))
	assert.Equal(t, []string{"deleting the earlier run of locust-demo/demo"}, lines)
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

// recorder records the phases that were drawn.
type recorder struct{ phases []string }

func (r *recorder) draw(test *v2.LocustTest, _ time.Time) {
	if test != nil && (len(r.phases) == 0 || r.phases[len(r.phases)-1] != test.Status.Phase) {
		r.phases = append(r.phases, test.Status.Phase)
	}
}

func TestFollowEndsWithTheFinalPhase(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := newFake(t, demoTest())
	go func() {
		for _, phase := range []string{v2.PhasePending, v2.PhaseRunning, v2.PhaseSucceeded} {
			time.Sleep(100 * time.Millisecond)
			test := demoTest()
			if c.Get(ctx, client.ObjectKeyFromObject(test), test) == nil {
				test.Status.Phase = phase
				_ = c.Status().Update(ctx, test)
			}
		}
	}()
	seen := &recorder{}
	test, err := follow(ctx, c, client.ObjectKeyFromObject(demoTest()), seen)
	require.NoError(t, err)
	assert.Equal(t, v2.PhaseSucceeded, test.Status.Phase)
	assert.Equal(t, []string{"", v2.PhasePending, v2.PhaseRunning, v2.PhaseSucceeded}, seen.phases)
}

func TestFollowReturnsErrorOnDeletion(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := newFake(t, demoTest())
	time.AfterFunc(100*time.Millisecond, func() { _ = c.Delete(ctx, demoTest()) })
	test, err := follow(ctx, c, client.ObjectKeyFromObject(demoTest()), &recorder{})
	require.ErrorIs(t, err, errDeleted)
	assert.NotNil(t, test, "the last state is returned for the message")

	_, err = follow(ctx, c, client.ObjectKey{Namespace: "locust-demo", Name: "other"}, &recorder{})
	assert.ErrorIs(t, err, errDeleted)
}
