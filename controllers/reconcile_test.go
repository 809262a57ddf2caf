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
	"sigs.k8s.io/controller-runtime/pkg/handler"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// world is a reconciler with one test. What it writes is noted, and refused while broken says so, with the error refusal.
type world struct {
	t       *testing.T
	test    *v2.LocustTest
	client  client.Client
	subject *LocustTestReconciler
	written []string
	broken  func(what string) bool
	refusal error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	require.NoError(t, v2.AddToScheme(scheme))
	w := &world{t: t, broken: func(string) bool { return false }, refusal: errors.New("out of order"), test: &v2.LocustTest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test", UID: "1", Generation: 1},
		Spec: v2.LocustTestSpec{
			Image:  "locust:2",
			Master: v2.MasterSpec{Command: "--locustfile /lotest/src/t.py --run-time 10s"},
			Worker: v2.WorkerSpec{Command: "--locustfile /lotest/src/t.py", Replicas: 2},
		},
	}}
	note := func(what string) error {
		w.written = append(w.written, what)
		if w.broken(what) {
			return w.refusal
		}
		return nil
	}
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(w.test).WithStatusSubresource(w.test).
		WithIndex(&corev1.Pod{}, podsByService, serviceOf).
		WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
				if err := note(o.GetName()); err != nil {
					return err
				}
				return c.Create(ctx, o, opts...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, sub string, o client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
				if err := note(sub); err != nil {
					return err
				}
				return c.SubResource(sub).Patch(ctx, o, p, opts...)
			},
		}).Build()
	w.restart()
	return w
}

// restart makes an operator that remembers nothing.
func (w *world) restart() {
	w.subject = &LocustTestReconciler{
		Client: w.client, Live: w.client, Recorder: events.NewFakeRecorder(100), Clock: clock.RealClock{},
		RefreshInterval: 10 * time.Second,
	}
}

// look reconciles once; it tells what was written, and what the queue is asked for.
func (w *world) look() (written []string, again ctrl.Result, err error) {
	w.written = nil
	again, err = w.subject.Reconcile(w.t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.test)})
	return w.written, again, err
}

func (w *world) ready() *metav1.Condition {
	w.t.Helper()
	require.NoError(w.t, w.client.Get(w.t.Context(), client.ObjectKeyFromObject(w.test), w.test))
	return meta.FindStatusCondition(w.test.Status.Conditions, v2.ConditionTypeReady)
}

func (w *world) phase() string {
	w.t.Helper()
	w.ready()
	return w.test.Status.Phase
}

func (w *world) requireLook(want ...string) ctrl.Result {
	w.t.Helper()
	written, again, err := w.look()
	require.NoError(w.t, err)
	require.Equal(w.t, want, written)
	return again
}

// The queue keeps the priority of a request that asks for none.
var urgent, idle = ptr.To(0), ptr.To(handler.LowPriority)

func TestWordOfMadeObjectsWaitsForItsTurn(t *testing.T) {
	w := newWorld(t)
	assert.Equal(t, ctrl.Result{RequeueAfter: atOnceAgain, Priority: urgent}, w.requireLook("status"))
	made := w.requireLook("test-master", "test-master", "test-worker")
	assert.Equal(t, ctrl.Result{RequeueAfter: atOnceAgain, Priority: idle}, made, "other tests may wait for their objects")
	assert.Equal(t, v2.ReasonResourcesCreating, w.ready().Reason)
	assert.Equal(t, urgent, w.requireLook("status").Priority)
	assert.Equal(t, v2.ReasonResourcesCreated, w.ready().Reason)
}

func TestWordOfObjectsThatCouldNotBeMadeDoesNotWait(t *testing.T) {
	w := newWorld(t)
	w.requireLook("status")
	w.broken = func(what string) bool { return what == "test-worker" }
	again := w.requireLook("test-master", "test-master", "test-worker", "status")
	assert.Equal(t, ctrl.Result{RequeueAfter: retryFirst, Priority: urgent}, again)
	assert.Equal(t, v2.ReasonResourcesFailed, w.ready().Reason)
	written, again, err := w.look()
	require.NoError(t, err)
	assert.Empty(t, written, "it is too early for another try")
	assert.LessOrEqual(t, again.RequeueAfter, retryFirst)
	w.subject.memories.of(w.test).retryAt = time.Time{}
	assert.Equal(t, 2*retryFirst, w.requireLook("test-worker").RequeueAfter, "tries get rarer")

	w.broken = func(string) bool { return false }
	w.subject.memories.of(w.test).retryAt = time.Time{}
	w.requireLook("test-worker", "status")
	assert.Equal(t, v2.ReasonResourcesCreated, w.ready().Reason)
}

func TestStatusThatWasNotWrittenIsUrgent(t *testing.T) {
	w := newWorld(t)
	w.broken = func(string) bool { return true }
	_, again, err := w.look()
	require.Error(t, err)
	assert.Equal(t, urgent, again.Priority)
}

func TestWordOfAnObjectMadeAgainDoesNotWait(t *testing.T) {
	w := newWorld(t)
	w.requireLook("status")
	w.requireLook("test-master", "test-master", "test-worker")
	require.NoError(t, w.client.Delete(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test-worker"}}))
	w.restart() // it would believe its own write
	w.requireLook("test-worker", "status")
	assert.Equal(t, v2.ReasonResourcesCreated, w.ready().Reason)
}

func TestMasterJobLostBeforeItIsTold(t *testing.T) {
	for name, started := range map[string]bool{"has not run": false, "may have run": true} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.requireLook("status")
			w.restart()
			w.requireLook("test-master", "test-master", "test-worker")
			require.NoError(t, w.client.Delete(t.Context(), &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test-master"}}))
			w.subject.memories.of(w.test).objects = nil // 5 s later
			if started {
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "master", Labels: map[string]string{
					resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-master",
					resources.LabelComponent: string(resources.RoleMaster),
				}}}
				pod.Status.ContainerStatuses = []corev1.ContainerStatus{{
					Name: "test-master", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
				}}
				require.NoError(t, w.client.Create(t.Context(), pod))
			}
			written, _, err := w.look()
			require.NoError(t, err)
			if started {
				assert.NotContains(t, written, "test-master", "a load test is never started a second time")
				assert.Equal(t, v2.ReasonResourcesFailed, w.ready().Reason)
				return
			}
			// The operator was there: it knows that nothing ran.
			assert.Equal(t, []string{"test-master", "status"}, written)
			assert.Equal(t, v2.ReasonResourcesCreated, w.ready().Reason)
		})
	}
}

// TestMasterJobDeletedAfterItsEnd: a master Job that is being deleted still shows how the run ended.
func TestMasterJobDeletedAfterItsEnd(t *testing.T) {
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
			w := newWorld(t)
			w.requireLook("status")
			w.requireLook("test-master", "test-master", "test-worker")
			w.requireLook("status")
			job := &batchv1.Job{}
			require.NoError(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "test-master"}, job))
			job.UID = "master-job"
			job.Finalizers = []string{metav1.FinalizerDeleteDependents}
			require.NoError(t, w.client.Update(t.Context(), job))
			if row.complete {
				long := metav1.NewTime(time.Now().Add(-time.Minute))
				job.Status.CompletionTime = &long
				job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: long}}
				require.NoError(t, w.client.Status().Update(t.Context(), job))
			}
			pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "master", Labels: map[string]string{
				resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-master",
				resources.LabelComponent: string(resources.RoleMaster),
			}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "test-master", UID: "master-job", Controller: ptr.To(true)}}}}
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "test-master", State: row.state}}
			require.NoError(t, w.client.Create(t.Context(), pod))
			require.NoError(t, w.client.Delete(t.Context(), job))
			w.restart() // it would believe its own write

			written, _, err := w.look()
			require.NoError(t, err)
			assert.Equal(t, []string{"status"}, written)
			assert.Equal(t, row.phase, w.phase())
			written, _, err = w.look()
			require.NoError(t, err)
			assert.Empty(t, written)
		})
	}
}
