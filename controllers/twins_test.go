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
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// TestTwins: "te-st" and "te.st" are two tests with the same names of objects. While both exist the objects are those of the
// one that has them; what is left of one that is gone is waited for, with its terminating workers.
func TestTwins(t *testing.T) {
	newTwin := func(w *world) *v2.LocustTest {
		twin := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "te.st", UID: "2", Generation: 1}, Spec: w.test.Spec}
		w.test.Name = "te-st"
		w.test.ResourceVersion = ""
		w.subject.RefreshInterval = 0
		require.NoError(w.t, w.client.Create(w.t.Context(), w.test))
		return twin
	}
	createService := func(w *world, twin *v2.LocustTest, finalizers ...string) *corev1.Service {
		service := resources.BuildService(twin)
		service.Finalizers = finalizers
		require.NoError(w.t, w.client.Create(w.t.Context(), service))
		return service
	}
	workerOf := func(w *world, twin *v2.LocustTest) *corev1.Pod {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "te-st-worker-0-x", Finalizers: []string{"x/y"}, Labels: map[string]string{
			resources.LabelTestName: twin.Name, resources.LabelTestUID: string(twin.UID), resources.LabelPodName: "te-st-worker",
		}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "te-st-worker", UID: "j", Controller: ptr.To(true)}}}}
		require.NoError(w.t, w.client.Create(w.t.Context(), pod))
		return pod
	}
	look := func(w *world) ([]string, ctrl.Result) {
		written, again, err := w.look()
		require.NoError(w.t, err)
		return written, again
	}

	t.Run("both exist", func(t *testing.T) {
		w := newWorld(t)
		twin := newTwin(w)
		require.NoError(t, w.client.Create(t.Context(), twin))
		createService(w, twin)
		workerOf(w, twin)
		look(w)
		written, again := look(w)
		assert.Equal(t, []string{"status"}, written)
		assert.Contains(t, w.ready().Message, "taken by others: Service te-st-master")
		assert.Equal(t, retryName, again.RequeueAfter)
	})
	t.Run("its Service is being deleted", func(t *testing.T) {
		w := newWorld(t)
		twin := newTwin(w)
		require.NoError(t, w.client.Create(t.Context(), twin))
		service := createService(w, twin, "x/y")
		require.NoError(t, w.client.Delete(t.Context(), service))
		look(w)
		written, again := look(w)
		assert.Equal(t, []string{"status"}, written)
		assert.Contains(t, w.ready().Message, "Waiting until objects of the same names are gone: Service te-st-master (of test te.st)")
		assert.Equal(t, twinRetry, again.RequeueAfter, "no event of it is this test's")
	})
	t.Run("it is gone", func(t *testing.T) {
		w := newWorld(t)
		twin := newTwin(w)
		service, pod := createService(w, twin), workerOf(w, twin)
		look(w)
		look(w)
		assert.Contains(t, w.ready().Message, "Service te-st-master (of test te.st), pod te-st-worker-0-x")
		require.NoError(t, w.client.Delete(t.Context(), service))
		written, again := look(w)
		assert.Equal(t, []string{"status"}, written, "a worker is left, which would join the new master")
		assert.Contains(t, w.ready().Message, "pod te-st-worker-0-x")
		assert.Equal(t, twinRetry, again.RequeueAfter)

		pod.Finalizers = nil
		require.NoError(t, w.client.Update(t.Context(), pod))
		require.NoError(t, w.client.Delete(t.Context(), pod))
		written, again = look(w)
		assert.Equal(t, []string{"status"}, written)
		assert.Contains(t, w.ready().Message, "DNS")
		assert.InDelta(t, dnsRest.Seconds(), again.RequeueAfter.Seconds(), 1)
		w.subject.memories.of(w.test).blocked = time.Now().Add(-dnsRest)
		written, _ = look(w)
		assert.Equal(t, []string{"te-st-master", "te-st-master", "te-st-worker"}, written[:3])
	})
}

// refusing refuses deletions and patches of objects.
type refusing struct {
	client.Client
	deletes, patches bool
	patched          []string
}

func (c *refusing) Delete(ctx context.Context, o client.Object, opts ...client.DeleteOption) error {
	if c.deletes {
		return errors.New("refused by a policy")
	}
	return c.Client.Delete(ctx, o, opts...)
}

func (c *refusing) Patch(ctx context.Context, o client.Object, p client.Patch, opts ...client.PatchOption) error {
	c.patched = append(c.patched, o.GetName())
	if c.patches {
		return errors.New("refused by a policy")
	}
	return c.Client.Patch(ctx, o, p, opts...)
}

// TestEnd_WhateverElseFails: orphaned pods that cannot be deleted, and a Job that cannot be stopped, do not keep other load going.
func TestEnd_WhateverElseFails(t *testing.T) {
	w := newWorld(t)
	w.requireLook("status")
	w.requireLook("test-master", "test-master", "test-worker")
	w.requireLook("status")
	for _, name := range []string{"a", "b"} {
		require.NoError(t, w.client.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{
			resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-worker",
		}}}))
	}
	w.phase()
	w.test.Status.Phase = v2.PhaseFailed
	w.test.Status.CompletionTime = ptr.To(metav1.Now())
	require.NoError(t, w.client.Status().Update(t.Context(), w.test))
	w.restart()
	c := &refusing{Client: w.client, deletes: true, patches: true}
	w.subject.Client = c
	_, _, err := w.look()
	for _, part := range []string{"pod ns/a: refused", "pod ns/b: refused", "master Job ns/test-master: refused", "worker Job ns/test-worker: refused"} {
		require.ErrorContains(t, err, part)
	}
	assert.Equal(t, []string{"test-master", "test-worker"}, c.patched)

	c.patches, c.patched = false, nil
	_, _, err = w.look()
	require.ErrorContains(t, err, "pod ns/a: refused")
	for _, name := range []string{"test-master", "test-worker"} {
		job := &batchv1.Job{}
		require.NoError(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: name}, job))
		assert.EqualValues(t, 1, ptr.Deref(job.Spec.ActiveDeadlineSeconds, 0), name)
	}
}

// TestEnsureFails_PollsGoOn: an object that cannot be changed for long delays neither polls nor refreshes.
func TestEnsureFails_PollsGoOn(t *testing.T) {
	w := newWorld(t)
	w.requireLook("status")
	w.requireLook("test-master", "test-master", "test-worker")
	w.requireLook("status")
	job := &batchv1.Job{}
	require.NoError(t, w.client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "test-master"}, job))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "master", Labels: map[string]string{
		resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-master", resources.LabelComponent: "master",
	}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "test-master", UID: job.UID, Controller: ptr.To(true)}}}}
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", ContainerStatuses: []corev1.ContainerStatus{{
		Name: "test-master", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}},
	}}}
	require.NoError(t, w.client.Create(t.Context(), pod))
	job.Status.Active, job.Status.Ready = 1, ptr.To[int32](1)
	require.NoError(t, w.client.Status().Update(t.Context(), job))
	require.NoError(t, w.client.Create(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "orphan", Labels: map[string]string{
		resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-worker",
	}}}))
	w.restart()
	w.subject.Client = &refusing{Client: w.client, deletes: true}
	w.subject.Settings.PollInterval = 5 * time.Second
	answer := &report.Report{State: report.StateRunning, Workers: 2, Exact: true, Stats: report.Stats{Requests: 1}}
	w.subject.Poller = NewPoller(answers(func() (*report.Report, error) { return answer, nil }), 5*time.Second, 1, clock.RealClock{}, nil)
	w.subject.backOff = newBackOff()
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(w.test)}
	for range 5 {
		_, _, err := w.look()
		require.ErrorContains(t, err, "orphan")
		<-w.subject.Poller.tests
		_, _, err = w.look()
		require.ErrorContains(t, err, "orphan")
		wait := w.subject.backOff.When(request)
		assert.LessOrEqual(t, wait, 5500*time.Millisecond)
		w.subject.memories.of(w.test).poll.known.PolledAt = time.Time{} // as if that had passed
	}
	require.Equal(t, v2.PhaseRunning, w.phase())
	assert.EqualValues(t, 1, w.test.Status.TestResult.TotalRequests)
}
