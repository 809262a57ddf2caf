package framework

import (
	"context"
	"fmt"
	"runtime"
	"strings"
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

	update := func(phase string) {
		next := &v2.LocustTest{}
		assert.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(test), next))
		next.Status.Phase = phase
		assert.NoError(t, c.Status().Update(t.Context(), next))
	}
	go func() {
		time.Sleep(100 * time.Millisecond) // the watch of a fake client has no past
		update(v2.PhaseRunning)
	}()
	wait := Waiter{T: t, Watcher: watcher, Timeout: time.Minute}
	assert.Equal(t, v2.PhaseRunning, wait.UntilPhase(test, v2.PhaseRunning).Phase)
	assert.Equal(t, []string{"", v2.PhaseRunning}, watcher.Phases("uid"))
	assert.Contains(t, strings.Join(watcher.Breaches(), "\n"), "condition Ready is absent")

	update(v2.PhaseSucceeded)
	failure := failureOf(func(t T) { Waiter{T: t, Watcher: watcher, Timeout: time.Minute}.UntilPhase(test, v2.PhaseFailed) })
	assert.Contains(t, failure, "the test ended in another phase: phase Succeeded")
	failure = failureOf(func(t T) {
		Waiter{T: t, Watcher: watcher, Timeout: time.Millisecond}.UntilReason(test, v2.ConditionTypeReady, "X")
	})
	assert.Regexp(t, "waiting until Ready is X: .*deadline exceeded; last status: phase Succeeded", failure)
	failure = failureOf(func(t T) { Waiter{T: t, Watcher: watcher, Timeout: time.Millisecond}.UntilPhase(&v2.LocustTest{}, "X") })
	assert.Contains(t, failure, "the test was never observed")
}

// TestEventually: a condition that never holds and one that hangs fail the test.
func TestEventually(t *testing.T) {
	polled := 0
	Eventually(t, time.Minute, "the third poll", func() bool { polled++; return polled == 3 })
	for _, condition := range []func() bool{func() bool { return false }, func() bool { select {} }} {
		failure := failureOf(func(t T) { Eventually(t, 50*time.Millisecond, "it holds", condition) })
		assert.Equal(t, "timed out after 50ms waiting until it holds", failure)
	}
}

// failing is a T that keeps the message of a failure.
type failing struct{ message string }

func (*failing) Helper() {}

func (f *failing) Fatalf(format string, args ...any) {
	f.message = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failureOf returns the message with which a function fails the test; empty if it does not.
func failureOf(wait func(T)) string {
	var f failing
	done := make(chan struct{})
	go func() {
		defer close(done)
		wait(&f)
	}()
	<-done
	return f.message
}
