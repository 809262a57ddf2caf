package main

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// oldTest returns the earlier test of the name of newRunTest.
func oldTest() *v2.LocustTest {
	test := newRunTest()
	test.UID = "uid-old"
	return test
}

// refusingClient returns a client that refuses to create objects, in dry runs or otherwise.
func refusingClient(t *testing.T, refuse func(object client.Object, dryRun bool) error, objects ...client.Object) client.WithWatch {
	return newFakeClient(t, interceptor.Funcs{Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
		if err := refuse(object, len((&client.CreateOptions{}).ApplyOptions(options).DryRun) > 0); err != nil {
			return err
		}
		return c.Create(ctx, object, options...)
	}}, objects...)
}

func isConfigMap(object client.Object) bool {
	_, is := object.(*corev1.ConfigMap)
	return is
}

func quotaExceeded(object client.Object) error {
	return apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, object.GetName(), assert.AnError)
}

func TestReplace(t *testing.T) {
	var order []string
	c := newFakeClient(t, interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
			all := (&client.CreateOptions{}).ApplyOptions(options)
			if len(all.DryRun) > 0 {
				order = append(order, "try "+strings.SplitN(object.GetName(), "-", 2)[0])
			} else {
				order = append(order, "create "+object.GetName())
			}
			if !isConfigMap(object) {
				assert.Equal(t, metav1.FieldValidationStrict, all.FieldValidation)
			}
			return c.Create(ctx, object, options...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			all := (&client.DeleteOptions{}).ApplyOptions(options)
			order = append(order, "delete "+string(*all.Preconditions.UID))
			assert.Equal(t, metav1.DeletePropagationForeground, *all.PropagationPolicy)
			return c.Delete(ctx, object, options...)
		},
	}, oldTest())
	var out strings.Builder
	require.NoError(t, plainApp(&out).createReplacing(t.Context(), c, newRunTest(), newConfigMap()))
	assert.Equal(t, []string{"try shop", "try shop", "delete uid-old", "try shop", "create shop", "create shop-files-abcde"}, order)
	assert.Equal(t, "deleting the earlier test perf/shop\n", out.String())
	assert.Equal(t, []string{"LocustTest shop", "ConfigMap shop-files-abcde"}, objectsIn(t, c))

	order = nil
	c = newFakeClient(t, interceptor.Funcs{})
	require.NoError(t, plainApp(&out).createReplacing(t.Context(), c, newRunTest(), nil))
	assert.Len(t, objectsIn(t, c), 1, "there is no earlier one")
}

// TestReplaceDeletesNothing checks that an earlier test stays if the new one would be refused.
func TestReplaceDeletesNothing(t *testing.T) {
	for name, row := range map[string]struct {
		refuse func(object client.Object, dryRun bool) error
		want   string
	}{
		"quota of ConfigMaps": {func(object client.Object, _ bool) error {
			if isConfigMap(object) {
				return quotaExceeded(object)
			}
			return nil
		}, "create the ConfigMap perf/shop-files-abcde"},
		"denial": {func(object client.Object, _ bool) error {
			if isConfigMap(object) {
				return nil
			}
			return apierrors.NewForbidden(testResource, object.GetName(), assert.AnError)
		}, "create the test perf/shop"},
		"older CRD": {func(client.Object, bool) error {
			return apierrors.NewBadRequest(`strict decoding error: unknown field "spec.report"`)
		}, "older than this plugin"},
	} {
		t.Run(name, func(t *testing.T) {
			c := refusingClient(t, row.refuse, oldTest())
			err := plainApp(io.Discard).createReplacing(t.Context(), c, newRunTest(), newConfigMap())
			assert.ErrorContains(t, err, row.want)
			assert.ErrorContains(t, err, "The earlier test perf/shop was not deleted")
			assert.Equal(t, []string{"LocustTest shop"}, objectsIn(t, c))
		})
	}
}

// TestReplaceWithoutDryRun checks that webhooks that cannot take part in a dry run do not prevent a run.
func TestReplaceWithoutDryRun(t *testing.T) {
	c := refusingClient(t, func(_ client.Object, dryRun bool) error {
		if dryRun {
			return apierrors.NewBadRequest(`admission webhook "x" does not support dry run`)
		}
		return nil
	}, oldTest())
	require.NoError(t, plainApp(io.Discard).createReplacing(t.Context(), c, newRunTest(), newConfigMap()))
	assert.Len(t, objectsIn(t, c), 2)
}

// savedManifest returns the only file in the folder of temporary files.
func savedManifest(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(os.TempDir(), "shop-*.yaml"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	return files[0]
}

// TestReplaceSavesWhatItCannotCreate checks that the files of a deleted test are not lost, and can be run again.
func TestReplaceSavesWhatItCannotCreate(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	c := refusingClient(t, func(object client.Object, dryRun bool) error {
		if isConfigMap(object) && !dryRun {
			return quotaExceeded(object)
		}
		return nil
	}, oldTest())
	test := newRunTest()
	test.Spec.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "shop-files-abcde"}
	a := plainApp(io.Discard)
	*a.flags.Context = "prod"
	err := a.createReplacing(t.Context(), c, test, newConfigMap())
	assert.ErrorContains(t, err, "create the ConfigMap perf/shop-files-abcde")
	assert.ErrorContains(t, err, "The new test is saved; run it with: kubectl locust run -n perf --context prod --filename "+savedManifest(t))
	assert.Empty(t, objectsIn(t, c))

	got := executeWithoutCluster(t, "run", "--filename", savedManifest(t), "--dry-run=client", "-n", "perf")
	require.Equal(t, 0, got.code, got.errOut)
	objects := parsed(t, got.out)
	require.Len(t, objects, 2)
	assert.Equal(t, map[string]any{"a.py": "a"}, objects[0].Object["data"])
	assert.Empty(t, objects[0].GetOwnerReferences())
	assert.Equal(t, "shop", objects[1].GetName())
	assert.Empty(t, objects[1].GetResourceVersion())
}

func TestReplaceInterrupted(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	held := oldTest()
	held.Finalizers = []string{"example.com/hold"}
	ctx, interrupt := context.WithCancel(t.Context())
	c := newFakeClient(t, interceptor.Funcs{Delete: func(deleting context.Context, c client.WithWatch, object client.Object, options ...client.DeleteOption) error {
		interrupt()
		require.NoError(t, deleting.Err(), "the response is awaited")
		return c.Delete(deleting, object, options...)
	}}, held)
	err := plainApp(io.Discard).createReplacing(ctx, c, newRunTest(), newConfigMap())
	assert.ErrorAs(t, err, &interruptedError{})
	assert.ErrorContains(t, err, "the earlier test perf/shop is deleted, and no new one was created")
	assert.ErrorContains(t, err, "--filename "+savedManifest(t))
}

func TestManifestThatCannotBeSaved(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "missing"))
	var out strings.Builder
	err := plainApp(&out).saveManifest(newRunTest(), "MANIFEST", assert.AnError)
	require.ErrorIs(t, err, assert.AnError)
	assert.ErrorContains(t, err, "The new test is printed above, because it could not be saved")
	assert.Equal(t, "MANIFEST", out.String())
}

func TestRequestDeletion(t *testing.T) {
	for name, row := range map[string]struct {
		err  error
		want string
	}{
		"deleted meanwhile":       {apierrors.NewNotFound(testResource, "shop"), ""},
		"no response":             {context.DeadlineExceeded, ""},
		"created again meanwhile": {apierrors.NewConflict(testResource, "shop", assert.AnError), "deleted and created again by another command"},
		"no permission":           {apierrors.NewForbidden(testResource, "shop", nil), editorRole},
	} {
		t.Run(name, func(t *testing.T) {
			c := newFakeClient(t, interceptor.Funcs{Delete: func(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error { return row.err }}, oldTest())
			earlier, err := earlierTest(t.Context(), c, newRunTest())
			require.NoError(t, err)
			err = requestDeletion(t.Context(), c, earlier)
			if row.want == "" {
				require.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, row.want)
		})
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	err := requestDeletion(ended, nil, &metav1.PartialObjectMetadata{})
	assert.ErrorAs(t, err, &interruptedError{})
}

func TestAwaitDeletion(t *testing.T) {
	const timeout = 500 * time.Millisecond
	deleting := func(finalizers ...string) *v2.LocustTest {
		test := oldTest()
		test.Finalizers = finalizers
		test.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
		return test
	}
	await := func(object client.Object, get error) error {
		c := newFakeClient(t, interceptor.Funcs{}, object)
		earlier, err := earlierTest(t.Context(), c, newRunTest())
		require.NoError(t, err)
		failing := interceptor.NewClient(c, interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
			if get != nil {
				return get
			}
			return c.Get(ctx, key, object, options...)
		}})
		return awaitDeletion(t.Context(), failing, earlier, timeout)
	}
	err := await(deleting("example.com/hold", "example.com/more"), nil)
	assert.ErrorContains(t, err, "the earlier test perf/shop was not deleted within 500ms, and no new one was created: it waits for whoever set its finalizers: "+
		"example.com/hold, example.com/more")
	assert.ErrorContains(t, await(deleting(metav1.FinalizerDeleteDependents), nil), "its pods and other objects are still being deleted")
	assert.ErrorContains(t, await(oldTest(), nil), "the API server has not confirmed the deletion")
	assert.ErrorContains(t, await(oldTest(), assert.AnError), assert.AnError.Error())
	assert.NoError(t, await(deleting("example.com/hold"), apierrors.NewNotFound(testResource, "shop")))
}

func TestAwaitDeletionThroughErrors(t *testing.T) {
	attempts := 0
	c := newFakeClient(t, interceptor.Funcs{Get: func(context.Context, client.WithWatch, client.ObjectKey, client.Object, ...client.GetOption) error {
		if attempts++; attempts < 3 {
			return apierrors.NewForbidden(testResource, "shop", assert.AnError)
		}
		return apierrors.NewNotFound(testResource, "shop")
	}})
	require.NoError(t, awaitDeletion(t.Context(), c, &metav1.PartialObjectMetadata{}, time.Minute))
	assert.Equal(t, 3, attempts)
}

func TestAwaitDeletionOfAReplacedTest(t *testing.T) {
	c := newFakeClient(t, interceptor.Funcs{}, oldTest())
	earlier, err := earlierTest(t.Context(), c, newRunTest())
	require.NoError(t, err)
	earlier.UID = "uid-older"
	require.NoError(t, awaitDeletion(t.Context(), c, earlier, time.Minute))
}
