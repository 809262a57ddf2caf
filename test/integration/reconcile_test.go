//go:build integration

package integration

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

func TestReconcile_InitialStatus(t *testing.T) {
	op, test := startWithTest(t, "initial")
	s := op.UntilPhase(test, v2.PhasePending)
	assert.EqualValues(t, 2, s.ExpectedWorkers)
	assert.EqualValues(t, 0, s.ConnectedWorkers)
	assert.EqualValues(t, 1, s.ObservedGeneration)
	assert.Nil(t, s.StartTime)
	assert.Equal(t, v2.ReasonResourcesCreating, condition(s, v2.ConditionTypeReady).Reason)
	assert.Equal(t, v2.ReasonWaitingForWorkers, condition(s, v2.ConditionTypeWorkersConnected).Reason)
	assert.Equal(t, v2.ReasonTestInProgress, condition(s, v2.ConditionTypeTestCompleted).Reason)
	assert.Equal(t, v2.ReasonPodsStarting, condition(s, v2.ConditionTypePodsHealthy).Reason)
	assert.Equal(t, v2.ReasonSpecInSync, condition(s, v2.ConditionTypeSpecDrifted).Reason)
}

func TestReconcile_StatusAfterCreate(t *testing.T) {
	op, test := startWithTest(t, "after-create")
	s := op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	assert.Equal(t, v2.PhasePending, s.Phase, "the objects exist, and nothing runs yet")

	for _, object := range []client.Object{&corev1.Service{}, &batchv1.Job{}} {
		key := client.ObjectKey{Namespace: test.Namespace, Name: "after-create-master"}
		require.NoError(t, k8s.Get(t.Context(), key, object))
		owner := metav1.GetControllerOf(object)
		require.NotNil(t, owner)
		assert.Equal(t, test.UID, owner.UID)
	}
	runAll(t, test)
	s = op.UntilPhase(test, v2.PhaseRunning)
	require.NotNil(t, s.StartTime)
	s = op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	assert.Equal(t, "2/2", s.Workers)
}

func TestReconcile_JobComplete(t *testing.T) {
	op, test := startWithTest(t, "complete", withTTL)
	master, workers := runAll(t, test)
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	assert.Nil(t, job(t, test, resources.RoleMaster).Spec.TTLSecondsAfterFinished, "the master Job must not expire before its outcome is recorded")

	for i := range workers {
		endPod(t, &workers[i], 0, "")
	}
	endMaster(t, &master)
	s := op.UntilPhase(test, v2.PhaseSucceeded)
	assert.Equal(t, locustEnded(t, &master), s.CompletionTime.Unix(), "when Locust ended")
	assert.Equal(t, "2/2", s.Workers, "last observed value during the run")
	assert.True(t, meta.IsStatusConditionTrue(s.Conditions, v2.ConditionTypeReady))
	assert.Equal(t, []string{"", v2.PhasePending, v2.PhaseRunning, v2.PhaseSucceeded}, op.Watcher.Phases(test.UID))
	assert.Equal(t, []string{v2.ReasonWaitingForWorkers, v2.ReasonAllWorkersConnected}, op.Watcher.Reasons(test.UID, v2.ConditionTypeWorkersConnected))
	for _, role := range []resources.Role{resources.RoleMaster, resources.RoleWorker} {
		eventually(t, "the Job's time to live is set", func() bool {
			ttl := job(t, test, role).Spec.TTLSecondsAfterFinished
			return ttl != nil && *ttl == 3600
		})
	}
}

func TestReconcile_JobFailed(t *testing.T) {
	op, test := startWithTest(t, "failed")
	master, workers := runAll(t, test)
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)

	endPod(t, &master, 1, "ModuleNotFoundError: no module named shop")
	s := op.UntilPhase(test, v2.PhaseFailed)
	for _, conditionType := range []string{v2.ConditionTypeTestCompleted, v2.ConditionTypeReady, v2.ConditionTypeStalled} {
		message := condition(s, conditionType).Message
		assert.Contains(t, message, "exited with code 1: ModuleNotFoundError: no module named shop", conditionType)
	}
	for i := range workers {
		untilDeleted(t, "no pod of a failed test continues", &workers[i])
	}
}

func TestStatus_NoReconcileLoop(t *testing.T) {
	t.Parallel()
	op, test := startWithTest(t, "idle")
	master, workers := runAll(t, test)
	op.UntilReason(test, v2.ConditionTypePodsHealthy, v2.ReasonPodsHealthy)
	time.Sleep(5 * time.Second) // wait for pending writes
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(test), test))
	before, requests := test.ResourceVersion, op.requests.total("")
	time.Sleep(15 * time.Second)
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(test), test))
	assert.Equal(t, before, test.ResourceVersion, "an idle test is not written")
	assert.Equal(t, requests, op.requests.total(""), "an idle test costs no request: %v", op.requests.snapshot())

	for i := range workers {
		endPod(t, &workers[i], 0, "")
	}
	endMaster(t, &master)
	op.UntilPhase(test, v2.PhaseSucceeded)
	time.Sleep(2 * time.Second)
	assert.Equal(t, 3, op.requests.total("POST services")+op.requests.total("POST jobs"), "three creates: %v", op.requests.snapshot())
	assert.Equal(t, 1, op.requests.total("POST locustreports"), "one report: %v", op.requests.snapshot())
	assert.Zero(t, op.requests.total("GET locustreports")+op.requests.total("DELETE locustreports"), "%v", op.requests.snapshot())
	assert.LessOrEqual(t, op.requests.total("PATCH locusttests/status"), 8, "%v", op.requests.snapshot())
	assert.Equal(t, op.requests.total("PATCH locusttests/status"), op.requests.total("PATCH locusttests/status 200"), "no write is refused")
	assert.Equal(t, op.requests.total("PATCH locusttests/status"), len(op.Watcher.History(test.UID))-1, "every write changed something")
	assert.Zero(t, op.requests.total("PATCH locusttests ")+op.requests.total("PUT locusttests"), "the main object is never written")
	assert.LessOrEqual(t, op.requests.total(""), 19+startupRequests, "requests of one good run: %v", op.requests.snapshot())
}

// startupRequests bounds the requests of an operator at its start: API discovery and one list per cache.
const startupRequests = 12

// TestPendingTests_ShareEventLists checks that many tests that wait for their pods share the lists of Events, and that a
// problem of one test is reported.
func TestPendingTests_ShareEventLists(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	op := startOperator(t, ns)
	var tests []*v2.LocustTest
	for i := range 20 {
		tests = append(tests, create(t, newTest(ns, fmt.Sprintf("pending-%d", i))))
	}
	for _, test := range tests {
		op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	}
	// No scheduler runs here, so the test sets the PodScheduled condition of the pods.
	pods := &corev1.PodList{}
	eventually(t, "all have their pods", func() bool {
		return k8s.List(t.Context(), pods, client.InNamespace(ns)) == nil && len(pods.Items) == 3*len(tests)
	})
	for i := range pods.Items {
		scheduled := corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(time.Now().Add(-10 * time.Second))}
		pods.Items[i].Status.Conditions = []corev1.PodCondition{scheduled}
		require.NoError(t, k8s.Status().Update(t.Context(), &pods.Items[i]))
	}
	lists := func() int { return op.requests.total("GET events") }
	before := lists()
	time.Sleep(13 * time.Second)
	listed := lists() - before
	t.Logf("%d tests were pending for 13 s: %d lists of Events", len(tests), listed)
	assert.Positive(t, listed, "Events must be listed: %v", op.requests.snapshot())
	assert.LessOrEqual(t, listed, 5, "one list every 4 s is shared by all tests: %v", op.requests.snapshot())

	affected := tests[7]
	pod := &pods.Items[slices.IndexFunc(pods.Items, func(p corev1.Pod) bool {
		return p.Labels[resources.LabelPodName] == resources.MasterName(affected.Name)
	})]
	now := metav1.Now()
	require.NoError(t, k8s.Create(t.Context(), &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "mount"}, Type: corev1.EventTypeWarning, Reason: "FailedMount", Message: `configmap "none" not found`,
		InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: pod.Name, UID: pod.UID}, FirstTimestamp: now, LastTimestamp: now,
	}))
	s := op.UntilReason(affected, v2.ConditionTypePodsHealthy, v2.ReasonConfigurationError)
	assert.Contains(t, condition(s, v2.ConditionTypePodsHealthy).Message, `configmap "none" not found`)
	for _, other := range []*v2.LocustTest{tests[0], tests[19]} {
		require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(other), other))
		healthy := condition(&other.Status, v2.ConditionTypePodsHealthy)
		assert.Equal(t, v2.ReasonPodsStarting, healthy.Reason, "other tests are not affected")
	}

	op.stop()
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(affected), affected))
	written := affected.ResourceVersion
	next := startOperator(t, ns)
	eventually(t, "the next operator has read them too", func() bool { return next.requests.total("GET events") >= 2 })
	time.Sleep(3 * time.Second)
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(affected), affected))
	assert.Equal(t, v2.ReasonConfigurationError, condition(&affected.Status, v2.ConditionTypePodsHealthy).Reason)
	assert.Equal(t, written, affected.ResourceVersion, "the condition is not reset and set again")
}
