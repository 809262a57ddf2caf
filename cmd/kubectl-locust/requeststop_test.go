package main

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// storedTest returns a test as the API server has it.
func storedTest(name string, change func(*v2.LocustTest)) *v2.LocustTest {
	test := builder.MakeLocustTest(name).Namespace("load").Stored("11111111-2222-3333-4444-555555555555", 1, time.Unix(1_700_000_000, 0)).Obj()
	if change != nil {
		change(test)
	}
	return test
}

// inPhase returns a change of a test's phase.
func inPhase(phase string) func(*v2.LocustTest) {
	return func(test *v2.LocustTest) { test.Status.Phase = phase }
}

// fakeCluster returns a client of objects with changed requests.
func fakeCluster(funcs interceptor.Funcs, objects ...client.Object) client.WithWatch {
	return fake.NewClientBuilder().WithScheme(newScheme()).WithStatusSubresource(&v2.LocustTest{}).WithObjects(objects...).
		WithInterceptorFuncs(funcs).Build()
}

func TestRequestStop(t *testing.T) {
	test := storedTest("shop", inPhase(v2.PhaseRunning))
	var patch string
	var options client.PatchOptions
	c := fakeCluster(interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, p client.Patch, opts ...client.PatchOption) error {
			data, err := p.Data(object)
			require.NoError(t, err)
			patch = string(data)
			options.ApplyOptions(opts)
			return c.Patch(ctx, object, p, opts...)
		},
	}, test)
	require.NoError(t, requestStop(t.Context(), c, test))
	assert.JSONEq(t, `{"metadata":{"uid":"11111111-2222-3333-4444-555555555555"},"spec":{"stop":true}}`, patch)
	assert.Equal(t, "Strict", options.FieldValidation)
	stored := &v2.LocustTest{}
	require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(test), stored))
	assert.True(t, stored.Spec.Stop)
	assert.True(t, test.Spec.Stop)
	assert.Equal(t, stored.ResourceVersion, test.ResourceVersion)
}

// TestRequestStop_OtherCluster checks that the suggested deletion is one in the same cluster.
func TestRequestStop_OtherCluster(t *testing.T) {
	test := storedTest("shop", nil)
	c := fakeCluster(interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return nil
		},
	}, test)
	err := requestStop(t.Context(), clusterClient{c, prodApp()}, test)
	assert.ErrorContains(t, err, "kubectl delete locusttest -n load --context prod shop")
}

func TestRequestStop_Errors(t *testing.T) {
	resource := schema.GroupResource{Group: "locust.io", Resource: "locusttests"}
	kind := schema.GroupKind{Group: "locust.io", Kind: "LocustTest"}
	for name, row := range map[string]struct {
		err  error
		want []string
	}{
		// As API servers answer a merge patch with an unknown field.
		"an old operator": {apierrors.NewInvalid(kind, "shop", field.ErrorList{
			field.Invalid(field.NewPath("patch"), "…", `strict decoding error: unknown field "spec.stop"`)}),
			[]string{"older than this plugin", "docs/upgrade.md", "kubectl delete locusttest -n load shop"}},
		"an old operator and no validation of fields": {nil, []string{"older than this plugin", "kubectl delete locusttest -n load shop"}},
		"missing rights": {apierrors.NewForbidden(resource, "shop", errors.New("no rule")), []string{"stop the test load/shop", "ClusterRole " + editorRole}},
		"deleted":        {apierrors.NewNotFound(resource, "shop"), []string{"stop the test load/shop: it has been deleted"}},
		"created again":  {apierrors.NewConflict(resource, "shop", errors.New("UID in precondition")), []string{"deleted and created again"}},
		"created again, as Kubernetes 1.37 reports it": {apierrors.NewInvalid(kind, "shop", field.ErrorList{
			field.Invalid(field.NewPath("metadata", "uid"), "nope", "field is immutable")}), []string{"deleted and created again"}},
		"a policy": {apierrors.NewForbidden(resource, "shop", errors.New("ValidatingAdmissionPolicy 'freeze' with binding 'b' denied request: no changes")),
			[]string{"stop the test load/shop", "No role permits this"}},
		"no operator any more": {notServed(resource), []string{"this cluster does not serve LocustTests"}},
		"another problem":      {errors.New("connection refused"), []string{"stop the test load/shop: connection refused"}},
	} {
		t.Run(name, func(t *testing.T) {
			test := storedTest("shop", nil)
			c := fakeCluster(interceptor.Funcs{
				Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
					return row.err
				},
			}, test)
			err := requestStop(t.Context(), c, test)
			for _, text := range row.want {
				assert.ErrorContains(t, err, text)
			}
			assert.NotContains(t, err.Error(), "…", "the error of the API server contains the whole object")
			assert.False(t, test.Spec.Stop)
		})
	}
}
