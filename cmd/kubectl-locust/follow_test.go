package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// newFakeClient returns a client that knows the tests by their names.
func newFakeClient(t *testing.T, funcs interceptor.Funcs, objects ...client.Object) client.WithWatch {
	t.Helper()
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []schema.GroupVersionKind{
		v2.GroupVersion.WithKind("LocustTest"), v1alpha1.GroupVersion.WithKind("LocustReport"),
		corev1.SchemeGroupVersion.WithKind("ConfigMap"), {Group: "apps", Version: "v1", Kind: "Deployment"},
	} {
		mapper.Add(kind, meta.RESTScopeNamespace)
	}
	return fake.NewClientBuilder().WithScheme(newScheme()).WithRESTMapper(mapper).WithObjects(objects...).WithStatusSubresource(&v2.LocustTest{}).
		WithIndex(&v2.LocustTest{}, "metadata.name", func(o client.Object) []string { return []string{o.GetName()} }).
		WithInterceptorFuncs(funcs).Build()
}

// recorder records what is drawn.
type recorder struct {
	mu     sync.Mutex
	phases []string
	notes  []string
}

func (r *recorder) Draw(state terminal.State) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if phase := state.Test.Status.Phase; len(r.phases) == 0 || r.phases[len(r.phases)-1] != phase {
		r.phases = append(r.phases, phase)
	}
	if note := state.Note; note != "" && (len(r.notes) == 0 || r.notes[len(r.notes)-1] != note) {
		r.notes = append(r.notes, note)
	}
}

func (r *recorder) Close() {}

// untilNote waits until a note is shown.
func (r *recorder) untilNote(t *testing.T, text string) {
	t.Helper()
	require.Eventually(t, func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return strings.Contains(strings.Join(r.notes, "\n"), text)
	}, 10*time.Second, time.Millisecond)
}

// followed is a test in a fake cluster that is followed.
type followed struct {
	*follower
	*recorder
	t *testing.T
	c client.WithWatch
	// watched counts the watches.
	watched atomic.Int32
	// refused is the error of all reads; empty for none.
	refused atomic.Pointer[error]
	clock   atomic.Int64
	next    context.CancelFunc
}

func newFollowed(t *testing.T, options followOptions, changes ...func(*v2.LocustTest)) *followed {
	f := &followed{t: t, recorder: &recorder{}}
	test := newRunTest()
	test.UID = "uid-1"
	for _, change := range changes {
		change(test)
	}
	f.c = newFakeClient(t, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if refused := f.refused.Load(); refused != nil {
				return *refused
			}
			return c.List(ctx, list, options...)
		},
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
			stream, err := c.Watch(ctx, list, options...)
			f.watched.Add(1)
			return stream, err
		},
	}, test)
	next, cancel := context.WithCancel(t.Context())
	f.next = cancel
	f.follower = &follower{
		followOptions: options, client: f.c, test: test, view: f.recorder,
		now:           func() time.Time { return time.Unix(0, 0).Add(time.Duration(f.clock.Load())) },
		nextInterrupt: func() (context.Context, context.CancelFunc) { return next, func() {} },
		interval:      time.Millisecond, watchPause: time.Millisecond, watchPatience: time.Minute, stopPatience: time.Minute, watchCommand: "WATCH", deleteCommand: "DELETE",
	}
	return f
}

// pass lets time pass.
func (f *followed) pass(d time.Duration) { f.clock.Add(int64(d)) }

// untilWatched waits until the test is watched: a fake client does not remember changes between a list and a watch.
func (f *followed) untilWatched() {
	f.t.Helper()
	require.Eventually(f.t, func() bool { return f.watched.Load() > 0 }, 10*time.Second, time.Millisecond)
}

// setStatus changes the status as the operator does.
func (f *followed) setStatus(change func(*v2.LocustTestStatus)) {
	f.t.Helper()
	test := &v2.LocustTest{}
	require.NoError(f.t, f.c.Get(f.t.Context(), client.ObjectKey{Namespace: "perf", Name: "shop"}, test))
	change(&test.Status)
	require.NoError(f.t, f.c.Status().Update(f.t.Context(), test))
}

func phase(phase string) func(*v2.LocustTestStatus) {
	return func(s *v2.LocustTestStatus) { s.Phase = phase }
}

// start follows the test in the background.
func (f *followed) start(ctx context.Context) <-chan error {
	result := make(chan error, 1)
	go func() { result <- f.run(ctx) }()
	return result
}

func (f *followed) wait(result <-chan error) error {
	f.t.Helper()
	select {
	case err := <-result:
		return err
	case <-time.After(20 * time.Second):
		f.t.Fatal("it is still followed")
		return nil
	}
}

// isStopped reports whether the stop of the test was requested.
func (f *followed) isStopped() bool {
	test := &v2.LocustTest{}
	require.NoError(f.t, f.c.Get(f.t.Context(), client.ObjectKey{Namespace: "perf", Name: "shop"}, test))
	return test.Spec.Stop
}

func TestFollowToTheEnd(t *testing.T) {
	f := newFollowed(t, followOptions{})
	result := f.start(t.Context())
	f.untilWatched()
	for _, p := range []string{v2.PhasePending, v2.PhaseRunning} {
		f.setStatus(phase(p))
		require.Eventually(t, func() bool {
			f.mu.Lock()
			defer f.mu.Unlock()
			return f.phases[len(f.phases)-1] == p
		}, 10*time.Second, time.Millisecond)
	}
	f.setStatus(phase(v2.PhaseSucceeded))
	require.NoError(t, f.wait(result))
	assert.Equal(t, []string{"", v2.PhasePending, v2.PhaseRunning}, f.phases)
	assert.Equal(t, v2.PhaseSucceeded, f.test.Status.Phase)
	assert.Empty(t, f.notes)
}

func TestFollowAFinishedTest(t *testing.T) {
	f := newFollowed(t, followOptions{}, func(test *v2.LocustTest) { test.Status.Phase = v2.PhaseFailed })
	require.NoError(t, f.wait(f.start(t.Context())))
	assert.Empty(t, f.phases, "its outcome is printed at once")
}

func TestFollowADeletedTest(t *testing.T) {
	for name, remove := range map[string]func(*followed){
		"deleted": func(f *followed) {
			require.NoError(f.t, f.c.Delete(f.t.Context(), newRunTest()))
		},
		"deleted and created again": func(f *followed) {
			require.NoError(f.t, f.c.Delete(f.t.Context(), newRunTest()))
			again := newRunTest()
			again.UID = "uid-2"
			require.NoError(f.t, f.c.Create(f.t.Context(), again))
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFollowed(t, followOptions{})
			result := f.start(t.Context())
			f.untilWatched()
			remove(f)
			err := f.wait(result)
			assert.ErrorContains(t, err, "the test perf/shop has been deleted while it was followed")
			assert.Equal(t, exitError, plainApp(&strings.Builder{}).report(err))
		})
	}
}

func TestFollowThroughARestartOfTheAPIServer(t *testing.T) {
	f := newFollowed(t, followOptions{})
	// Each watch ends at once, and the next lists fail for a while.
	away := error(apierrors.NewForbidden(schema.GroupResource{Resource: "locusttests"}, "", errors.New("RBAC: not found")))
	var lists atomic.Int32
	var held atomic.Bool
	f.client = interceptor.NewClient(f.c, interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) error {
			if n := lists.Add(1); n > 1 && n < 20 {
				return away
			}
			return c.List(ctx, list, options...)
		},
		Watch: func(ctx context.Context, c client.WithWatch, list client.ObjectList, options ...client.ListOption) (watch.Interface, error) {
			stream, err := c.Watch(ctx, list, options...)
			if err == nil && lists.Load() < 30 {
				stream.Stop()
				return stream, nil
			}
			held.Store(true)
			return stream, err
		},
	})
	f.setStatus(phase(v2.PhaseRunning))
	result := f.start(t.Context())
	f.untilNote(t, "trying again: read the test perf/shop")
	require.Eventually(t, held.Load, 10*time.Second, time.Millisecond)
	f.setStatus(phase(v2.PhaseSucceeded))
	require.NoError(t, f.wait(result))
}

func TestFollowGivesUpWithoutConnection(t *testing.T) {
	f := newFollowed(t, followOptions{})
	gone := errors.New("connection refused")
	f.refused.Store(&gone)
	result := f.start(t.Context())
	f.untilNote(t, "connection refused")
	f.pass(2 * time.Minute)
	err := f.wait(result)
	assert.ErrorContains(t, err, "no connection for 2m0s")
	assert.ErrorContains(t, err, "The test may continue in the cluster; follow it with: WATCH")
}

func TestFollowWithoutPermission(t *testing.T) {
	f := newFollowed(t, followOptions{})
	forbidden := error(apierrors.NewForbidden(schema.GroupResource{Resource: "locusttests"}, "", nil))
	f.refused.Store(&forbidden)
	assert.ErrorContains(t, f.wait(f.start(t.Context())), viewerRole, "it does not wait for permissions")
}

func TestFollowWithoutOperator(t *testing.T) {
	f := newFollowed(t, followOptions{startupTimeout: time.Minute, onInterrupt: stopTest})
	result := f.start(t.Context())
	f.untilWatched()
	f.pass(operatorPatience)
	f.untilNote(t, "no reaction of the operator yet")
	f.pass(time.Minute)
	f.untilNote(t, "stopping the test, because it cannot start")
	require.Eventually(t, f.isStopped, 10*time.Second, time.Millisecond, "an operator that comes later does not start it")
	f.pass(2 * time.Minute)
	err := f.wait(result)
	assert.ErrorContains(t, err, "the test perf/shop could not start within 1m0s: no reaction of the operator")
	assert.ErrorContains(t, err, "The test has not ended within 1m0s after the request to stop it, and remains; delete it: DELETE")
	assert.Equal(t, exitError, plainApp(&strings.Builder{}).report(err))
}

func unhealthy(reason string) func(*v2.LocustTestStatus) {
	return func(s *v2.LocustTestStatus) {
		s.Phase = v2.PhasePending
		s.Conditions = []metav1.Condition{{Type: v2.ConditionTypePodsHealthy, Status: metav1.ConditionFalse, Reason: reason, Message: "pod x: not found"}}
	}
}

func TestStartupTimeout(t *testing.T) {
	f := newFollowed(t, followOptions{startupTimeout: time.Minute}, func(test *v2.LocustTest) { unhealthy(v2.ReasonImagePullError)(&test.Status) })
	result := f.start(t.Context())
	f.untilWatched()
	f.pass(time.Minute)
	require.Eventually(t, f.isStopped, 10*time.Second, time.Millisecond)
	f.setStatus(phase(v2.PhaseFailed))
	err := f.wait(result)
	assert.ErrorContains(t, err, "the test perf/shop could not start within 1m0s: ImagePullError: pod x: not found")
	assert.Equal(t, exitError, plainApp(&strings.Builder{}).report(err))
	assert.Equal(t, v2.PhaseFailed, f.test.Status.Phase, "it was followed to its end")
}

func TestStartupTimeoutBeginsAgainAfterAProblem(t *testing.T) {
	f := newFollowed(t, followOptions{startupTimeout: time.Minute})
	f.test.Status.Phase = v2.PhasePending
	steps := []struct {
		change func(*v2.LocustTestStatus)
		after  time.Duration
	}{
		{unhealthy(v2.ReasonImagePullError), 50 * time.Second},
		{func(s *v2.LocustTestStatus) { s.Conditions = nil }, 50 * time.Second},
		{unhealthy(v2.ReasonSchedulingError), 50 * time.Second},
	}
	for _, step := range steps {
		step.change(&f.test.Status)
		require.NoError(t, f.expired())
		f.pass(step.after)
		require.NoError(t, f.expired())
		assert.NoError(t, f.stopping.reason)
	}
	f.pass(10 * time.Second)
	require.NoError(t, f.expired())
	assert.ErrorContains(t, f.stopping.reason, "SchedulingError")
}

func TestStartupProblem(t *testing.T) {
	condition := func(conditionType string, status metav1.ConditionStatus, reason string) metav1.Condition {
		return metav1.Condition{Type: conditionType, Status: status, Reason: reason, Message: "m"}
	}
	unhealthyPods := condition(v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonConfigurationError)
	for name, test := range map[string]struct {
		status v2.LocustTestStatus
		want   string
	}{
		"no status":         {v2.LocustTestStatus{}, "no reaction of the operator; " + noOperator},
		"starting":          {v2.LocustTestStatus{Phase: v2.PhasePending, Conditions: []metav1.Condition{condition(v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)}}, ""},
		"pods":              {v2.LocustTestStatus{Phase: v2.PhasePending, Conditions: []metav1.Condition{unhealthyPods}}, "ConfigurationError: m"},
		"objects":           {v2.LocustTestStatus{Phase: v2.PhasePending, Conditions: []metav1.Condition{condition(v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed)}}, "ResourcesFailed: m"},
		"being created":     {v2.LocustTestStatus{Phase: v2.PhasePending, Conditions: []metav1.Condition{condition(v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating)}}, ""},
		"suspended":         {v2.LocustTestStatus{Phase: v2.PhasePending, Conditions: []metav1.Condition{condition(v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonSuspended)}}, ""},
		"no workers":        {v2.LocustTestStatus{Phase: v2.PhaseRunning, Conditions: []metav1.Condition{unhealthyPods, condition(v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers)}}, "ConfigurationError: m"},
		"workers lost":      {v2.LocustTestStatus{Phase: v2.PhaseRunning, Conditions: []metav1.Condition{unhealthyPods, condition(v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing)}}, ""},
		"running unhealthy": {v2.LocustTestStatus{Phase: v2.PhaseRunning, Conditions: []metav1.Condition{unhealthyPods}}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, startupProblem(&v2.LocustTest{Status: test.status}))
		})
	}
}

func TestTimeout(t *testing.T) {
	f := newFollowed(t, followOptions{timeout: 10 * time.Minute, onInterrupt: stopTest})
	f.test.Status.Phase = v2.PhaseRunning
	f.setStatus(phase(v2.PhaseRunning))
	result := f.start(t.Context())
	f.untilWatched()
	f.pass(10 * time.Minute)
	err := f.wait(result)
	assert.ErrorContains(t, err, "timed out after 10m0s: the test perf/shop continues in the cluster; follow it with: WATCH")
	assert.False(t, f.isStopped())
}

func TestInterruptStopsTheTest(t *testing.T) {
	f := newFollowed(t, followOptions{onInterrupt: stopTest})
	ctx, interrupt := context.WithCancel(t.Context())
	result := f.start(ctx)
	f.untilWatched()
	f.setStatus(phase(v2.PhaseRunning))
	interrupt()
	f.untilNote(t, "stopping the load; press Ctrl-C again to leave")
	require.Eventually(t, f.isStopped, 10*time.Second, time.Millisecond)
	f.setStatus(phase(v2.PhaseSucceeded))
	err := f.wait(result)
	assert.Equal(t, interruptedError{"the test perf/shop was stopped"}, err)
	assert.Equal(t, v2.PhaseSucceeded, f.test.Status.Phase)
	assert.Equal(t, exitInterrupted, plainApp(&strings.Builder{}).report(err))
}

func TestSecondInterruptLeaves(t *testing.T) {
	f := newFollowed(t, followOptions{onInterrupt: stopTest})
	ctx, interrupt := context.WithCancel(t.Context())
	result := f.start(ctx)
	f.untilWatched()
	interrupt()
	require.Eventually(t, f.isStopped, 10*time.Second, time.Millisecond)
	time.Sleep(50 * time.Millisecond) // the response arrives
	f.next()
	assert.Equal(t, interruptedError{"the test perf/shop stops in the cluster; follow it with: WATCH"}, f.wait(result))
}

func TestStopThatTakesTooLong(t *testing.T) {
	f := newFollowed(t, followOptions{onInterrupt: stopTest})
	ctx, interrupt := context.WithCancel(t.Context())
	result := f.start(ctx)
	f.untilWatched()
	interrupt()
	f.untilNote(t, "stopping the load")
	f.pass(2 * time.Minute)
	err := f.wait(result)
	assert.ErrorAs(t, err, &interruptedError{})
	assert.ErrorContains(t, err, "has not ended within 1m0s; follow it with: WATCH")
}

func TestInterruptWithoutPermission(t *testing.T) {
	f := newFollowed(t, followOptions{onInterrupt: stopTest})
	f.client = interceptor.NewClient(f.c, interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "locusttests"}, "shop", nil)
		},
	})
	ctx, interrupt := context.WithCancel(t.Context())
	result := f.start(ctx)
	f.untilWatched()
	interrupt()
	err := f.wait(result)
	assert.Equal(t, exitInterrupted, plainApp(&strings.Builder{}).report(err))
	assert.ErrorContains(t, err, "the test perf/shop continues in the cluster")
	assert.ErrorContains(t, err, editorRole)
}

func TestInterruptOfWatchLeavesTheTestAlone(t *testing.T) {
	f := newFollowed(t, followOptions{onInterrupt: leaveTest})
	ctx, interrupt := context.WithCancel(t.Context())
	result := f.start(ctx)
	f.untilWatched()
	interrupt()
	err := f.wait(result)
	assert.Equal(t, interruptedError{"the test perf/shop continues in the cluster; follow it with: WATCH"}, err)
	assert.False(t, f.isStopped())
}

func TestOutcomeError(t *testing.T) {
	at := &metav1.Time{Time: time.Unix(1, 0)}
	load := &v2.Progress{StartTime: at}
	message := []metav1.Condition{{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionTrue, Message: "unhealthy past the startup deadline\nTraceback"}}
	for name, test := range map[string]struct {
		status v2.LocustTestStatus
		want   string
		code   int
	}{
		"succeeded":     {v2.LocustTestStatus{Phase: v2.PhaseSucceeded, StartTime: at}, "", 0},
		"failed":        {v2.LocustTestStatus{Phase: v2.PhaseFailed, StartTime: at, Progress: load, Conditions: message}, errTestFailed.Error(), exitFailed},
		"no load":       {v2.LocustTestStatus{Phase: v2.PhaseFailed, StartTime: at, Progress: &v2.Progress{}, Conditions: message}, "could not run", exitError},
		"requests":      {v2.LocustTestStatus{Phase: v2.PhaseFailed, TestResult: &v2.TestResult{TotalRequests: 1}}, errTestFailed.Error(), exitFailed},
		"no requests":   {v2.LocustTestStatus{Phase: v2.PhaseFailed, TestResult: &v2.TestResult{}, Conditions: message}, "could not run", exitError},
		"never running": {v2.LocustTestStatus{Phase: v2.PhaseFailed, Conditions: message}, "the test perf/shop could not run: unhealthy past the startup deadline", exitError},
		"no cause":      {v2.LocustTestStatus{Phase: v2.PhaseFailed}, "the cause is not known; see: kubectl describe locusttest -n perf shop", exitError},
	} {
		t.Run(name, func(t *testing.T) {
			err := plainApp(&strings.Builder{}).outcomeError(&v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: "perf", Name: "shop"}, Status: test.status})
			assert.Equal(t, test.code, plainApp(&strings.Builder{}).report(err))
			if test.want != "" {
				assert.ErrorContains(t, err, test.want)
				assert.NotContains(t, err.Error(), "Traceback", "it is part of the outcome")
			}
		})
	}
}

func TestStartupTimeoutWithoutPermissionToStop(t *testing.T) {
	f := newFollowed(t, followOptions{startupTimeout: time.Minute}, func(test *v2.LocustTest) { unhealthy(v2.ReasonImagePullError)(&test.Status) })
	f.client = interceptor.NewClient(f.c, interceptor.Funcs{
		Patch: func(context.Context, client.WithWatch, client.Object, client.Patch, ...client.PatchOption) error {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "locusttests"}, "shop", nil)
		},
	})
	result := f.start(t.Context())
	f.untilWatched()
	f.pass(time.Minute)
	err := f.wait(result)
	assert.ErrorContains(t, err, editorRole)
	assert.ErrorContains(t, err, "The test remains; delete it: DELETE")
}

func TestWatchPrintsTheOutcomeOfAFinishedTest(t *testing.T) {
	test := newRunTest()
	test.UID = "uid-1"
	test.Status = v2.LocustTestStatus{Phase: v2.PhaseFailed, Progress: &v2.Progress{StartTime: &metav1.Time{Time: time.Unix(0, 0)}}, Report: "shop-1",
		Conditions: []metav1.Condition{{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionTrue, Reason: v2.ReasonTestFailed, Message: "exit code \x1b[31m1"}}}
	var out strings.Builder
	err := plainApp(&out).watch(t.Context(), newFakeClient(t, interceptor.Funcs{}, test), client.ObjectKeyFromObject(test), followOptions{})
	assert.ErrorIs(t, err, errTestFailed)
	assert.Equal(t, `
perf/shop: Failed
  cause     exit code `+"\uFFFD"+`[31m1
  requests  no result
  workers   0/0
  report    shop-1

Next
  kubectl locust report -n perf shop
  kubectl locust logs -n perf shop
  kubectl locust rerun -n perf shop
  kubectl delete locusttest -n perf shop
`, out.String())

	err = plainApp(&out).watch(t.Context(), newFakeClient(t, interceptor.Funcs{}), client.ObjectKeyFromObject(test), followOptions{})
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
}
