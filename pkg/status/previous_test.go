package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// TestPodsHealthy_CarriedOverUntilEventsAreRead: a new operator has not read any Events.
func TestPodsHealthy_CarriedOverUntilEventsAreRead(t *testing.T) {
	addFailure := func(s *fixture, at time.Time) {
		s.obs.Events = []corev1.Event{warning("shop-master-0", "FailedMount", `configmap "x" not found`, at)}
	}
	restarted := func(t *testing.T) *fixture {
		s := created(t)
		addFailure(s, t0.Add(10*time.Second))
		s.derive(t0.Add(10 * time.Second))
		s.obs.Events, s.obs.EventsUnread = nil, true
		return s
	}
	t.Run("unread", func(t *testing.T) {
		s := restarted(t)
		before := s.prev.DeepCopy()
		d := s.derive(t0.Add(20 * time.Second))
		assert.Equal(t, before, &s.prev)
		assert.Empty(t, d.Events)
		assert.Equal(t, recheckInterval, d.RequeueAfter, "missing Events do not requeue")
	})
	t.Run("read again", func(t *testing.T) {
		s := restarted(t)
		s.derive(t0.Add(20 * time.Second))
		s.obs.EventsUnread = false
		addFailure(s, t0.Add(10*time.Second))
		assert.Empty(t, s.derive(t0.Add(25*time.Second)).Events)
		s.derive(t0.Add(11*time.Second + settings.StartupDeadline))
		assert.Equal(t, v2.PhaseFailed, s.prev.Phase, "the deadline counts from the first failure Event")
	})
	t.Run("fixed meanwhile", func(t *testing.T) {
		s := restarted(t)
		s.derive(t0.Add(20 * time.Second))
		s.obs.EventsUnread = false
		s.derive(t0.Add(25 * time.Second))
		requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
	})
	t.Run("nothing is stuck any longer", func(t *testing.T) {
		s := restarted(t)
		s.runMaster(t0.Add(20 * time.Second))
		for i := range 3 {
			s.runPod(s.worker(i), t0.Add(20*time.Second))
		}
		s.derive(t0.Add(21 * time.Second))
		assert.True(t, meta.IsStatusConditionTrue(s.prev.Conditions, v2.ConditionTypePodsHealthy))
	})
	t.Run("the deadline passed meanwhile", func(t *testing.T) {
		s := restarted(t)
		s.derive(t0.Add(time.Hour))
		assert.Equal(t, v2.PhasePending, s.prev.Phase, "it is not known whether the problem persists")
	})
	t.Run("what is milder does not take its place", func(t *testing.T) {
		s := restarted(t)
		before := s.prev.DeepCopy()
		s.waitPod(s.worker(0), "CrashLoopBackOff", "back-off")
		s.derive(t0.Add(time.Hour))
		assert.Equal(t, before, &s.prev)
	})
	t.Run("what is worse does", func(t *testing.T) {
		s := created(t)
		s.obs.Events = []corev1.Event{warning("shop-master-0", "FailedCreatePodSandBox", "no network", t0.Add(10*time.Second))}
		s.derive(t0.Add(10 * time.Second))
		s.obs.Events, s.obs.EventsUnread = nil, true
		s.waitPod(s.worker(0), "CreateContainerConfigError", `secret "s" not found`)
		s.derive(t0.Add(20 * time.Second))
		requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonConfigurationError, "secret")
	})
	t.Run("only until this operator knows better", func(t *testing.T) {
		s := created(t)
		s.waitPod(s.master(), "CreateContainerConfigError", `secret "s" not found`)
		s.derive(t0.Add(10 * time.Second))
		s.keepEventsAt, s.obs.EventsAt = true, time.Time{}
		s.master().Status.ContainerStatuses = nil
		s.derive(t0.Add(20 * time.Second))
		requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
	})
	t.Run("of a pod's own status", func(t *testing.T) {
		s := created(t)
		s.waitPod(s.master(), "ErrImagePull", "manifest unknown")
		s.derive(t0.Add(10 * time.Second))
		s.obs.EventsUnread = true
		s.master().Status.ContainerStatuses = nil
		s.derive(t0.Add(20 * time.Second))
		requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
	})
}

// TestLoad_BeforeTheUpgrade: a test that was terminal before never gets the condition, others get it at once.
func TestLoad_BeforeTheUpgrade(t *testing.T) {
	s := running(t)
	old := s.prev.DeepCopy()
	remove(old, v2.ConditionTypeLoadDelivered)
	s.prev = *old
	s.derive(t0.Add(20 * time.Second))
	requireLoad(t, s, v2.ReasonNotObserved)

	s.endMaster(t0.Add(40*time.Second), 0, finalMessage(true, 3, 100, 0, delivered("run-time")))
	s.derive(t0.Add(41 * time.Second))
	remove(&s.prev, v2.ConditionTypeLoadDelivered)
	require.NoError(t, CheckStatus(&s.prev))
	s.derive(t0.Add(50 * time.Second))
	assert.Empty(t, loadReason(&s.prev))
}

func remove(s *v2.LocustTestStatus, conditionType string) {
	var kept []metav1.Condition
	for _, c := range s.Conditions {
		if c.Type != conditionType {
			kept = append(kept, c)
		}
	}
	s.Conditions = kept
}
