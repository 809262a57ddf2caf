package status

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestSetCondition_New(t *testing.T) {
	s := v2.LocustTestStatus{ObservedGeneration: 7}
	setCondition(&s, t0, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating, "Creating resources")
	require.Len(t, s.Conditions, 1)
	assert.Equal(t, metav1.Condition{Type: "Ready", Status: "False", Reason: "ResourcesCreating", Message: "Creating resources",
		LastTransitionTime: metav1.NewTime(t0), ObservedGeneration: 7}, s.Conditions[0])
}

func TestSetCondition_Update(t *testing.T) {
	s := v2.LocustTestStatus{ObservedGeneration: 1}
	setCondition(&s, t0, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating, "Creating resources")
	setCondition(&s, t0.Add(time.Minute), v2.ConditionTypeReady, metav1.ConditionTrue, v2.ReasonResourcesCreated, "done")
	require.Len(t, s.Conditions, 1)
	assert.Equal(t, v2.ReasonResourcesCreated, s.Conditions[0].Reason)
	assert.Equal(t, metav1.NewTime(t0.Add(time.Minute)), s.Conditions[0].LastTransitionTime, "the status flipped")
}

func TestSetCondition_NoChange(t *testing.T) {
	s := v2.LocustTestStatus{ObservedGeneration: 1}
	setCondition(&s, t0, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating, "Creating resources")
	before := s.DeepCopy()
	setCondition(&s, t0.Add(time.Minute), v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating, "Creating resources")
	assert.Equal(t, *before, s)

	setCondition(&s, t0.Add(time.Minute), v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed, "another message")
	assert.Equal(t, metav1.NewTime(t0), s.Conditions[0].LastTransitionTime, "a new reason does not move the time while the status stays")
}

func TestSetCondition_BoundsTheMessage(t *testing.T) {
	var s v2.LocustTestStatus
	setCondition(&s, t0, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed, strings.Repeat("ü", 40000))
	assert.LessOrEqual(t, len(s.Conditions[0].Message), maxMessage)
	assert.True(t, strings.HasSuffix(s.Conditions[0].Message, "…"))
}

func TestInitializeStatus(t *testing.T) {
	test := newFixture(t).obs.Test
	s := InitializeStatus(test, t0.Add(300*time.Millisecond))
	assert.Equal(t, v2.PhasePending, s.Phase)
	assert.EqualValues(t, 3, s.ExpectedWorkers)
	assert.EqualValues(t, 0, s.ConnectedWorkers)
	assert.Equal(t, "0/3", s.Workers)
	assert.EqualValues(t, 1, s.ObservedGeneration)
	require.NoError(t, CheckStatus(&s))
	requireCondition(t, &s, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating)
	requireCondition(t, &s, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers)
	requireCondition(t, &s, v2.ConditionTypeTestCompleted, metav1.ConditionFalse, v2.ReasonTestInProgress, "Test has not started")
	for _, c := range s.Conditions {
		assert.Zero(t, c.LastTransitionTime.Nanosecond(), "what is written must equal what is read back")
	}
}

func TestSpecDrifted(t *testing.T) {
	s := running(t)
	s.obs.Test.Generation = 2
	s.obs.Test.Spec.Worker.Replicas = 5
	d := s.derive(t0.Add(20 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeSpecDrifted, metav1.ConditionTrue, v2.ReasonSpecChangeIgnored)
	assert.EqualValues(t, 3, s.prev.ExpectedWorkers, "the running spec counts")
	assert.EqualValues(t, 2, s.prev.ObservedGeneration)
	require.Len(t, d.Events, 1)
	assert.Equal(t, v2.ReasonSpecChangeIgnored, d.Events[0].Reason)

	assert.Empty(t, s.derive(t0.Add(21*time.Second)).Events, "one Event only")

	s.obs.Test.Generation = 3
	s.obs.Test.Spec.Worker.Replicas = 3
	s.derive(t0.Add(30 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeSpecDrifted, metav1.ConditionFalse, v2.ReasonSpecInSync)
}

func TestReady_NamesConflictingObjects(t *testing.T) {
	s := newFixture(t)
	s.prev = InitializeStatus(s.obs.Test, t0)
	s.obs.Predecessors = []string{"pod shop-worker-0-x"}
	s.derive(t0.Add(time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating, "objects with the same names", "shop-worker-0-x")
	plan := PlanFor(&s.prev, &s.obs, settings, t0)
	assert.False(t, plan.Creates(), "no new master while old workers could connect to it")

	s.obs.Predecessors, s.obs.DNSCacheWait = nil, 4*time.Second
	s.derive(t0.Add(time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating, "DNS")
	assert.Equal(t, Plan{RequeueAfter: 4 * time.Second}, PlanFor(&s.prev, &s.obs, settings, t0))

	s.obs.DNSCacheWait, s.obs.Foreign = 0, []string{"Service shop-master"}
	d := s.derive(t0.Add(2 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed, "Service shop-master", "delete them, or")
	assert.Equal(t, v2.PhasePending, s.prev.Phase)
	assert.Equal(t, foreignRecheckInterval, d.RequeueAfter)

	s.obs.Foreign = nil
	s.obs.Failure = &Failure{Message: "Service shop-master could not be created: exceeded quota"}
	s.derive(t0.Add(3 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed, "exceeded quota")
	assert.Equal(t, v2.PhasePending, s.prev.Phase, "a quota can be raised")

	s.obs.Failure = &Failure{Message: "spec.master.command: unbalanced quote", Final: true}
	s.derive(t0.Add(4 * time.Second))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed, "spec.master.command")
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "spec.master.command")
	assert.NotNil(t, meta.FindStatusCondition(s.prev.Conditions, v2.ConditionTypeStalled))
}
