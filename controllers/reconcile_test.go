package controllers

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// fixture is a reconciler with one test. It records writes, and fails those that refuses selects with the error refusal.
type fixture struct {
	t          *testing.T
	test       *v2.LocustTest
	client     client.Client
	reconciler *LocustTestReconciler
	written    []string
	refuses    func(what string) bool
	refusal    error
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	require.NoError(t, v2.AddToScheme(scheme))
	require.NoError(t, v1alpha1.AddToScheme(scheme))
	f := &fixture{t: t, refuses: func(string) bool { return false }, refusal: errors.New("unavailable")}
	f.test = builder.MakeLocustTest("test").Namespace("ns").Stored("1", 1, time.Time{}).
		Image("locust:2").Locustfile("/lotest/src/t.py").Args("--run-time 10s").Obj()
	intercept := func(what string) error {
		f.written = append(f.written, what)
		if f.refuses(what) {
			return f.refusal
		}
		return nil
	}
	f.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(f.test).WithStatusSubresource(f.test).
		WithIndex(&corev1.Pod{}, podsByService, serviceOf).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if err := intercept(o.GetName()); err != nil {
					return err
				}
				return c.Create(ctx, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				if err := intercept(sub); err != nil {
					return err
				}
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	f.restart()
	return f
}

// newCreatedFixture returns a fixture whose objects have been created.
func newCreatedFixture(t *testing.T) *fixture {
	t.Helper()
	f := newFixture(t)
	f.requireWrites("status")
	f.requireWrites("test-master", "test-master", "test-worker", "status")
	return f
}

// restart replaces the reconciler by a new one without state.
func (f *fixture) restart() {
	f.reconciler = &LocustTestReconciler{
		Client: f.client, APIReader: f.client, Recorder: events.NewFakeRecorder(100), Clock: clock.RealClock{},
		RefreshInterval: 10 * time.Second,
	}
}

// reconcile reconciles once. It returns what was written and the result.
func (f *fixture) reconcile() (written []string, result ctrl.Result, err error) {
	f.written = nil
	result, err = f.reconciler.Reconcile(f.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.test)})
	return f.written, result, err
}

func (f *fixture) ready() *metav1.Condition {
	f.t.Helper()
	require.NoError(f.t, f.client.Get(f.t.Context(), client.ObjectKeyFromObject(f.test), f.test))
	return meta.FindStatusCondition(f.test.Status.Conditions, v2.ConditionTypeReady)
}

func (f *fixture) phase() string {
	f.t.Helper()
	f.ready()
	return f.test.Status.Phase
}

func (f *fixture) requireWrites(want ...string) ctrl.Result {
	f.t.Helper()
	written, result, err := f.reconcile()
	require.NoError(f.t, err)
	require.Equal(f.t, want, written)
	return result
}

// The queue keeps the priority of a request that sets none.
var defaultPriority = ptr.To(0)

// TestReconcile_ReportsCreationInTheSamePass: once the objects exist, the status says so, so that lost objects can be distinguished from
// those that were never created.
func TestReconcile_ReportsCreationInTheSamePass(t *testing.T) {
	f := newFixture(t)
	assert.Equal(t, ctrl.Result{RequeueAfter: time.Nanosecond, Priority: defaultPriority}, f.requireWrites("status"))
	assert.Equal(t, defaultPriority, f.requireWrites("test-master", "test-master", "test-worker", "status").Priority)
	assert.Equal(t, v2.ReasonResourcesCreated, f.ready().Reason)
}

func TestReconcile_ReportsFailedCreationImmediately(t *testing.T) {
	f := newFixture(t)
	f.requireWrites("status")
	f.refuses = func(what string) bool { return what == "test-worker" }
	result := f.requireWrites("test-master", "test-master", "test-worker", "status")
	assert.Equal(t, ctrl.Result{RequeueAfter: retryInterval, Priority: defaultPriority}, result)
	assert.Equal(t, v2.ReasonResourcesFailed, f.ready().Reason)
	written, result, err := f.reconcile()
	require.NoError(t, err)
	assert.Empty(t, written, "the retry is not due yet")
	assert.LessOrEqual(t, result.RequeueAfter, retryInterval)
	f.reconciler.states.getOrCreate(f.test).creation.retryAt = time.Time{}
	assert.Equal(t, 2*retryInterval, f.requireWrites("test-worker").RequeueAfter, "the back-off grows")

	f.refuses = func(string) bool { return false }
	f.reconciler.states.getOrCreate(f.test).creation.retryAt = time.Time{}
	f.requireWrites("test-worker", "status")
	assert.Equal(t, v2.ReasonResourcesCreated, f.ready().Reason)
}

func TestReconcile_PriorityAfterFailedStatusWrite(t *testing.T) {
	f := newFixture(t)
	f.refuses = func(string) bool { return true }
	_, result, err := f.reconcile()
	require.Error(t, err)
	assert.Equal(t, defaultPriority, result.Priority)
}

func TestReconcile_RecreatesLostWorkerJob(t *testing.T) {
	f := newCreatedFixture(t)
	require.NoError(t, f.client.Delete(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test-worker"}}))
	f.restart() // drop the expected writes
	f.requireWrites("test-worker")
	assert.Equal(t, v2.ReasonResourcesCreated, f.ready().Reason)
}

func TestMasterJobLostBeforeReady(t *testing.T) {
	for name, tc := range map[string]struct{ started, restarted bool }{
		"has not run": {}, "may have run": {started: true}, "is not known to another operator": {restarted: true},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.requireWrites("status")
			f.refuses = func(what string) bool { return what == "status" }
			_, _, err := f.reconcile()
			require.Error(t, err, "the operator is killed before it reports that the objects exist")
			f.refuses = func(string) bool { return false }
			require.NoError(t, f.client.Delete(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test-master"}}))
			f.reconciler.states.getOrCreate(f.test).written = nil // 5 s later
			if tc.restarted {
				f.restart()
			}
			if tc.started {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "master", Labels: map[string]string{
					resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-master",
					resources.LabelComponent: string(resources.RoleMaster),
				}}}
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
					Name: "test-master", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
				}}
				require.NoError(t, f.client.Create(t.Context(), pod))
			}
			written, _, err := f.reconcile()
			require.NoError(t, err)
			if tc.started || tc.restarted {
				assert.NotContains(t, written, "test-master", "a load test is never started a second time")
				assert.Equal(t, v2.ReasonResourcesFailed, f.ready().Reason)
				return
			}
			// The operator has observed the Job all the time, so it knows that nothing ran.
			assert.Equal(t, []string{"test-master", "status"}, written)
			assert.Equal(t, v2.ReasonResourcesCreated, f.ready().Reason)
		})
	}
}

// TestMasterJobDeletedAfterItFinished: a master Job that is being deleted still shows the outcome of the run.
func TestMasterJobDeletedAfterItFinished(t *testing.T) {
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
	const report = `{"locust.io/report":1,"complete":true,"state":"running","users":1,"workers":1,"start":1700000000,"end":1700000009,"requests":9,"failures":0,` +
		`"avg":1,"rps":1,"endpoints":[],"errors":[],"exceptions":[],"log":[]}`
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{StartedAt: metav1.Now(), FinishedAt: metav1.Now(), Message: report}}
	for name, row := range map[string]struct {
		state    corev1.ContainerState
		complete bool
		phase    string
	}{
		"the Job is complete": {running, true, v2.PhaseSucceeded},
		"its pod has ended":   {ended, false, v2.PhaseSucceeded},
		"neither is the case": {running, false, v2.PhaseFailed},
	} {
		t.Run(name, func(t *testing.T) {
			f := newCreatedFixture(t)
			job := &batchv1.Job{}
			require.NoError(t, f.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "test-master"}, job))
			job.UID = "master-job"
			job.Finalizers = []string{metav1.FinalizerDeleteDependents}
			require.NoError(t, f.client.Update(t.Context(), job))
			if row.complete {
				long := metav1.NewTime(time.Now().Add(-time.Minute))
				job.Status.CompletionTime = &long
				job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: long}}
				require.NoError(t, f.client.Status().Update(t.Context(), job))
			}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "master", Labels: map[string]string{
				resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-master",
				resources.LabelComponent: string(resources.RoleMaster),
			}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "test-master", UID: "master-job", Controller: ptr.To(true)}}}}
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "test-master", State: row.state}}
			require.NoError(t, f.client.Create(t.Context(), pod))
			require.NoError(t, f.client.Delete(t.Context(), job))
			f.restart() // drop the expected writes

			written, _, err := f.reconcile()
			require.NoError(t, err)
			assert.Equal(t, []string{"status", "test-1"}, written, "the status, and then the report")
			assert.Equal(t, row.phase, f.phase())
			written, _, err = f.reconcile()
			require.NoError(t, err)
			assert.Empty(t, written)
		})
	}
}
