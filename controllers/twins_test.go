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
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/background"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// TestTwins: "te-st" and "te.st" are two tests with the same object names. While both exist the objects belong to the test that
// created them. After the deletion of one, the other waits for its leftover objects and terminating workers.
func TestTwins(t *testing.T) {
	newTwin := func(f *fixture) *v2.LocustTest {
		twin := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "te.st", UID: "2", Generation: 1}, Spec: f.test.Spec}
		f.test.Name = "te-st"
		f.test.ResourceVersion = ""
		f.reconciler.RefreshInterval = 0
		require.NoError(f.t, f.client.Create(f.t.Context(), f.test))
		return twin
	}
	createService := func(f *fixture, twin *v2.LocustTest, finalizers ...string) *corev1.Service {
		service := resources.BuildService(twin)
		service.Finalizers = finalizers
		require.NoError(f.t, f.client.Create(f.t.Context(), service))
		return service
	}
	workerOf := func(f *fixture, twin *v2.LocustTest) *corev1.Pod {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "te-st-worker-0-x", Finalizers: []string{"x/y"}, Labels: map[string]string{
			resources.LabelTestName: twin.Name, resources.LabelTestUID: string(twin.UID), resources.LabelPodName: "te-st-worker",
		}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "te-st-worker", UID: "j", Controller: ptr.To(true)}}}}
		require.NoError(f.t, f.client.Create(f.t.Context(), pod))
		return pod
	}
	reconcile := func(f *fixture) ([]string, ctrl.Result) {
		written, result, err := f.reconcile()
		require.NoError(f.t, err)
		return written, result
	}

	t.Run("both exist", func(t *testing.T) {
		f := newFixture(t)
		twin := newTwin(f)
		require.NoError(t, f.client.Create(t.Context(), twin))
		createService(f, twin)
		workerOf(f, twin)
		reconcile(f)
		written, result := reconcile(f)
		assert.Equal(t, []string{"status"}, written)
		assert.Contains(t, f.ready().Message, "not owned by this test: Service te-st-master")
		assert.Equal(t, nameRetryInterval, result.RequeueAfter)
	})
	t.Run("its Service is being deleted", func(t *testing.T) {
		f := newFixture(t)
		twin := newTwin(f)
		require.NoError(t, f.client.Create(t.Context(), twin))
		service := createService(f, twin, "x/y")
		require.NoError(t, f.client.Delete(t.Context(), service))
		reconcile(f)
		written, result := reconcile(f)
		assert.Equal(t, []string{"status"}, written)
		assert.Contains(t, f.ready().Message, "Waiting for terminating objects with the same names: Service te-st-master (of test te.st)")
		assert.Equal(t, twinRetryInterval, result.RequeueAfter, "its events do not reconcile this test")
	})
	t.Run("it is deleted", func(t *testing.T) {
		f := newFixture(t)
		twin := newTwin(f)
		service, pod := createService(f, twin), workerOf(f, twin)
		reconcile(f)
		reconcile(f)
		assert.Contains(t, f.ready().Message, "Service te-st-master (of test te.st), pod te-st-worker-0-x")
		require.NoError(t, f.client.Delete(t.Context(), service))
		written, result := reconcile(f)
		assert.Equal(t, []string{"status"}, written, "the remaining worker would connect to the new master")
		assert.Contains(t, f.ready().Message, "pod te-st-worker-0-x")
		assert.Equal(t, twinRetryInterval, result.RequeueAfter)

		pod.Finalizers = nil
		require.NoError(t, f.client.Update(t.Context(), pod))
		require.NoError(t, f.client.Delete(t.Context(), pod))
		written, result = reconcile(f)
		assert.Equal(t, []string{"status"}, written)
		assert.Contains(t, f.ready().Message, "DNS")
		assert.InDelta(t, dnsTTL.Seconds(), result.RequeueAfter.Seconds(), 1)
		f.reconciler.states.getOrCreate(f.test).creation.predecessorsSeenAt = time.Now().Add(-dnsTTL)
		written, _ = reconcile(f)
		assert.Equal(t, []string{"te-st-master", "te-st-master", "te-st-worker"}, written[:3])
	})
}

// refusingClient refuses deletions and patches of objects.
type refusingClient struct {
	client.Client
	deletes, patches bool
	patched          []string
}

func (c *refusingClient) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	if c.deletes {
		return errors.New("refused by a policy")
	}
	return c.Client.Delete(ctx, o, opts...)
}

func (c *refusingClient) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	c.patched = append(c.patched, o.GetName())
	if c.patches {
		return errors.New("refused by a policy")
	}
	return c.Client.Patch(ctx, o, p, opts...)
}

// TestEnd_DespiteOtherFailures: orphaned pods that cannot be deleted, and a Job that cannot be stopped, do not prevent stopping
// the other load.
func TestEnd_DespiteOtherFailures(t *testing.T) {
	f := newCreatedFixture(t)
	for _, name := range []string{"a", "b"} {
		require.NoError(t, f.client.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{
			resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-worker",
		}}}))
	}
	f.phase()
	f.test.Status.Phase = v2.PhaseFailed
	f.test.Status.CompletionTime = ptr.To(metav1.Now())
	require.NoError(t, f.client.Status().Update(t.Context(), f.test))
	f.restart()
	c := &refusingClient{Client: f.client, deletes: true, patches: true}
	f.reconciler.Client = c
	_, _, err := f.reconcile()
	for _, part := range []string{"pod ns/a: refused", "pod ns/b: refused", "master Job ns/test-master: refused", "worker Job ns/test-worker: refused"} {
		require.ErrorContains(t, err, part)
	}
	assert.Equal(t, []string{"test-master", "test-worker"}, c.patched)

	c.patches, c.patched = false, nil
	_, _, err = f.reconcile()
	require.ErrorContains(t, err, "pod ns/a: refused")
	for _, name := range []string{"test-master", "test-worker"} {
		job := &batchv1.Job{}
		require.NoError(t, f.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: name}, job))
		assert.EqualValues(t, 1, ptr.Deref(job.Spec.ActiveDeadlineSeconds, 0), name)
	}
}

// runMaster lets the master's pod run.
func (f *fixture) runMaster() {
	f.t.Helper()
	job := f.jobOf("test-master")
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "master", Labels: map[string]string{
		resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-master", resources.LabelComponent: "master",
	}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "test-master", UID: job.UID, Controller: ptr.To(true)}}}}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", ContainerStatuses: []corev1.ContainerStatus{{
		Name: "test-master", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}}
	require.NoError(f.t, f.client.Create(f.t.Context(), pod))
	job.Status.Active, job.Status.Ready = 1, ptr.To[int32](1)
	require.NoError(f.t, f.client.Status().Update(f.t.Context(), job))
}

// TestApplyFails_PollsContinue: an object that cannot be changed delays neither polls nor refreshes.
func TestApplyFails_PollsContinue(t *testing.T) {
	f := newCreatedFixture(t)
	f.runMaster()
	require.NoError(t, f.client.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "orphan", Labels: map[string]string{
		resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-worker",
	}}}))
	f.restart()
	f.reconciler.Client = &refusingClient{Client: f.client, deletes: true}
	f.reconciler.Settings.PollInterval = 5 * time.Second
	response := &report.Report{State: report.StateRunning, Workers: 2, Exact: true, Stats: report.Stats{Requests: 1}}
	now := clocktesting.NewFakeClock(time.Now())
	f.reconciler.Clock = now
	f.reconciler.Poller = background.NewPoller(statsClient{response}, 5*time.Second, 1, now, nil)
	f.reconciler.backOff = newBackOff()
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(f.test)}
	for range 5 {
		_, _, err := f.reconcile()
		require.ErrorContains(t, err, "orphan")
		require.Eventually(t, func() bool { return f.reconciler.Poller.Latest(f.test).PolledAt.Equal(now.Now()) }, time.Minute, time.Millisecond)
		_, _, err = f.reconcile()
		require.ErrorContains(t, err, "orphan")
		wait := f.reconciler.backOff.When(request)
		assert.LessOrEqual(t, wait, 5500*time.Millisecond)
		now.Step(6 * time.Second)
	}
	require.Equal(t, v2.PhaseRunning, f.phase())
	assert.EqualValues(t, 1, f.test.Status.TestResult.TotalRequests)
}

// statsClient is a master that always gives the same response.
type statsClient struct{ response *report.Report }

func (c statsClient) Stats(context.Context, locust.Target) (*report.Report, error) {
	return c.response, nil
}
