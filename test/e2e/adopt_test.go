//go:build e2e

package e2e

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/operator2"
)

// createByOperator2 creates a test with a phase as the 2.x operator does.
func (s *fixture) createByOperator2(name, phase string, seconds int) *v2.LocustTest {
	s.t.Helper()
	test := s.test(name, seconds)
	test.Finalizers = []string{operator2.Finalizer}
	s.create(test)
	test.Status = operator2.Status(test, phase)
	require.NoError(s.t, k8s.Status().Update(s.t.Context(), test))
	return test
}

// TestAdopted checks that a test that runs during the upgrade from the 2.x operator continues: Locust runs once, is polled,
// and its workers are counted until the end. This test and a finished one can be deleted although they have the finalizer
// of that operator. Before this operator starts, its own tests and their namespace can be deleted too.
func TestAdopted(t *testing.T) {
	disturbed.add(t)
	own := newFixture(t)
	one := own.create(own.test("one", 60))
	own.create(own.test("two", 60))
	own.UntilPhase(one, v2.PhaseRunning)
	s := newFixture(t)
	watcher.FromOperator2(s.namespace)
	stopOperator(t)
	t.Cleanup(func() { startOperator(t) })
	done := s.createByOperator2("done", v2.PhaseSucceeded, 5)
	running := s.createByOperator2("running", v2.PhaseRunning, 40)
	// The pods of the 2.x operator do not pass the restricted Pod Security Standard.
	relax := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"baseline"}}}`))
	require.NoError(t, k8s.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}, relax))
	for _, object := range operator2.Objects(running) {
		require.NoError(t, k8s.Create(t.Context(), object))
	}
	own.requireDeletable(one)
	s.untilLoad(running)
	startOperator(t)

	live := s.Until(running, "it has live numbers", func(status *v2.LocustTestStatus) bool {
		return status.TestResult != nil && status.TestResult.TotalRequests > 0 && status.Progress != nil && status.Progress.CurrentUsers == 6
	})
	assert.Equal(t, v2.PhaseRunning, live.Phase)
	assert.Equal(t, v2.ResultSourceWebAPI, live.TestResult.Source)
	assert.Equal(t, "2/2 workers connected", condition(live, v2.ConditionTypeWorkersConnected).Message)
	assert.Equal(t, running.Status.StartTime.UTC(), live.StartTime.UTC())
	final := s.UntilPhase(running, v2.PhaseSucceeded)
	assert.Equal(t, "2/2", final.Workers)
	assert.Equal(t, v2.ReasonAllWorkersConnected, condition(final, v2.ConditionTypeWorkersConnected).Reason)
	assert.Positive(t, final.TestResult.TotalRequests)
	assert.Equal(t, 1, count(t, "started", s.key("running")), "Locust ran once")
	var pods corev1.PodList
	require.NoError(t, k8s.List(t.Context(), &pods, client.InNamespace(s.namespace)))
	assert.Len(t, pods.Items, 3, "no pod was added")
	var jobs batchv1.JobList
	require.NoError(t, k8s.List(t.Context(), &jobs, client.InNamespace(s.namespace)))
	assert.Len(t, jobs.Items, 2, "the finished test gets no Jobs")

	for _, test := range []*v2.LocustTest{done, running} {
		require.NoError(t, k8s.Delete(t.Context(), test, background))
		eventually(t, "test "+test.Name+" is gone", func() bool {
			return apierrors.IsNotFound(k8s.Get(context.Background(), client.ObjectKeyFromObject(test), &v2.LocustTest{}))
		})
	}
}

// requireDeletable checks that a test and its namespace can be deleted while no operator runs.
func (s *fixture) requireDeletable(test *v2.LocustTest) {
	s.t.Helper()
	require.NoError(s.t, k8s.Delete(s.t.Context(), test))
	err := k8s.Get(s.t.Context(), client.ObjectKeyFromObject(test), test)
	require.True(s.t, apierrors.IsNotFound(err), "the test is deleted at once: %v", err)
	require.NoError(s.t, k8s.Delete(s.t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}))
	eventually(s.t, "the namespace is deleted", func() bool {
		return apierrors.IsNotFound(k8s.Get(s.t.Context(), client.ObjectKey{Name: s.namespace}, &corev1.Namespace{}))
	})
}
