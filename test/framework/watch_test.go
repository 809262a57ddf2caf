package framework

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// TestWatcher checks that a watcher has the versions from before and after its start, and reports those that break the contract.
func TestWatcher(t *testing.T) {
	test := &v2.LocustTest{}
	test.Namespace, test.Name, test.UID = "load", "shop", "uid"
	test.Finalizers = []string{"locust.io/cleanup"}
	c := fake.NewClientBuilder().WithScheme(NewScheme()).WithObjects(test).WithStatusSubresource(test).WithInterceptorFuncs(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			err := c.List(ctx, list, options...)
			list.SetResourceVersion("1") // a fake client sets none, and a watch needs one
			return err
		},
	}).Build()
	watcher, err := Watch(t.Context(), c, client.InNamespace("load"))
	require.NoError(t, err)
	require.Len(t, watcher.Breaches(), 1)
	assert.Contains(t, watcher.Breaches()[0], "load/shop has the finalizer locust.io/cleanup")

	go func() {
		time.Sleep(100 * time.Millisecond) // the watch of a fake client has no past
		test.Status.Phase = v2.PhaseRunning
		_ = c.Status().Update(context.Background(), test)
	}()
	wait := Waiter{T: t, Watcher: watcher, Timeout: time.Minute}
	assert.Equal(t, v2.PhaseRunning, wait.UntilPhase(test, v2.PhaseRunning).Phase)
	assert.Equal(t, []string{"", v2.PhaseRunning}, watcher.Phases("uid"))
	assert.Greater(t, len(watcher.Breaches()), 1, "a Running status without conditions")
}
