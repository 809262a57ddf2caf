//go:build integration

package integration

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// locustEnded returns the end of a pod's Locust container as Unix time.
func locustEnded(t *testing.T, pod *corev1.Pod) int64 {
	t.Helper()
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(pod), pod))
	return pod.Status.ContainerStatuses[0].State.Terminated.FinishedAt.Unix()
}

func setSuspend(t *testing.T, test *v2.LocustTest, role resources.Role, suspend bool) {
	t.Helper()
	patch := fmt.Sprintf(`{"spec":{"suspend":%t}}`, suspend)
	require.NoError(t, k8s.Patch(t.Context(), job(t, test, role), client.RawPatch("application/merge-patch+json", []byte(patch))))
}

// TestSuspended_Unseen checks that a second master, which the Job controller starts when a Job is suspended and resumed while
// no operator runs, is detected by its name and stopped.
func TestSuspended_Unseen(t *testing.T) {
	t.Parallel()
	op, test := startWithTest(t, "twice")
	first, _ := runAll(t, test)
	running := op.UntilPhase(test, v2.PhaseRunning)
	op.Until(test, "the master pod is recorded", func(s *v2.LocustTestStatus) bool { return s.MasterPod == first.Name })
	assert.Contains(t, []string{"", first.Name}, running.MasterPod)
	op.stop()
	setSuspend(t, test, resources.RoleMaster, true)
	pods(t, test, resources.RoleMaster, 0)
	setSuspend(t, test, resources.RoleMaster, false)
	second := pods(t, test, resources.RoleMaster, 1)[0]
	require.NotEqual(t, first.Name, second.Name)
	runPod(t, &second)

	op = startOperator(t, test.Namespace)
	s := op.UntilPhase(test, v2.PhaseFailed)
	assert.Contains(t, condition(s, v2.ConditionTypeTestCompleted).Message, "the master Job was suspended during the run")
	assert.Equal(t, first.Name, s.MasterPod)
	pods(t, test, resources.RoleMaster, 0)
	pods(t, test, resources.RoleWorker, 0)
}

// TestSuspended_Stopped checks that a run that failed by suspension starts no pod when its Job is resumed.
func TestSuspended_Stopped(t *testing.T) {
	t.Parallel()
	op, test := startWithTest(t, "stopped")
	runAll(t, test)
	op.Until(test, "the master pod is recorded", func(s *v2.LocustTestStatus) bool { return s.MasterPod != "" })
	setSuspend(t, test, resources.RoleMaster, true)
	op.UntilPhase(test, v2.PhaseFailed)
	eventually(t, "the Job is stopped", func() bool { return ptr.Deref(job(t, test, resources.RoleMaster).Spec.Parallelism, 1) == 0 })
	setSuspend(t, test, resources.RoleMaster, false)
	eventually(t, "the Job has failed", func() bool {
		return framework.FinishedAs(job(t, test, resources.RoleMaster)) == batchv1.JobFailed
	})
	var events corev1.EventList
	require.NoError(t, k8s.List(t.Context(), &events, client.InNamespace(test.Namespace)))
	made := 0
	for _, e := range events.Items {
		if e.Reason == "SuccessfulCreate" && e.InvolvedObject.Name == resources.MasterName(test.Name) {
			made += int(max(e.Count, 1))
		}
	}
	assert.LessOrEqual(t, made, 1, "one master pod was created")
}

// TestSuspended_NoDeadline checks that the startup deadline does not apply to a suspended test.
func TestSuspended_NoDeadline(t *testing.T) {
	t.Parallel()
	op, test := startWithTest(t, "queued", withDeadline(2*time.Second))
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	setSuspend(t, test, resources.RoleMaster, true)
	setSuspend(t, test, resources.RoleWorker, true)
	op.UntilReason(test, v2.ConditionTypePodsHealthy, v2.ReasonSuspended)
	pods(t, test, resources.RoleMaster, 0)
	before := op.requests.total("")
	time.Sleep(5 * time.Second)
	assert.LessOrEqual(t, op.requests.total("")-before, 2, "no repeated requests: %v", op.requests.snapshot())
	setSuspend(t, test, resources.RoleMaster, false)
	setSuspend(t, test, resources.RoleWorker, false)
	runAll(t, test)
	op.UntilPhase(test, v2.PhaseRunning)
}

// TestFinalizerOfOperator2 checks that the finalizer of the 2.x operator is removed from a deleted test, also after many
// others, and that other finalizers are kept.
func TestFinalizerOfOperator2(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	op := startOperator(t, ns)
	op.Watcher.FromOperator2(ns)
	finalizers := []string{"locust.io/cleanup"}
	gone := newTest(ns, "gone")
	gone.Finalizers = finalizers
	create(t, gone)
	held := newTest(ns, "held")
	for i := range 12 {
		held.Finalizers = append(held.Finalizers, fmt.Sprintf("example.com/held-%d", i))
	}
	held.Finalizers = append(held.Finalizers, finalizers...)
	create(t, held)
	op.UntilReason(gone, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	op.UntilReason(held, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	for _, test := range []*v2.LocustTest{gone, held} {
		require.NoError(t, k8s.Delete(t.Context(), test))
	}
	eventually(t, "the test is gone", func() bool {
		return apierrors.IsNotFound(k8s.Get(t.Context(), client.ObjectKeyFromObject(gone), &v2.LocustTest{}))
	})
	eventually(t, "the finalizer is removed", func() bool {
		var test v2.LocustTest
		require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(held), &test))
		return len(test.Finalizers) == 12
	})
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
	require.NoError(t, k8s.Patch(context.Background(), held, patch))
}
