package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestCheckGuarantee(t *testing.T) {
	for _, tc := range []struct {
		phase, reason string
		guarantee     v2.LoadGuarantee
		breach        bool
	}{
		{v2.PhaseSucceeded, v2.ReasonLoadAsPlanned, v2.LoadGuaranteeStrict, false},
		{v2.PhaseSucceeded, v2.ReasonNoRequests, "", true},
		{v2.PhaseSucceeded, v2.ReasonLoadCutShort, v2.LoadGuaranteeBasic, true},
		{v2.PhaseFailed, v2.ReasonNoRequests, v2.LoadGuaranteeBasic, false},
		{v2.PhaseSucceeded, v2.ReasonWorkersLost, v2.LoadGuaranteeBasic, false},
		{v2.PhaseSucceeded, v2.ReasonWorkersLost, v2.LoadGuaranteeStrict, true},
		{v2.PhaseSucceeded, v2.ReasonNotObserved, v2.LoadGuaranteeStrict, true},
		{v2.PhaseSucceeded, v2.ReasonNoRequests, v2.LoadGuaranteeNone, false},
		{v2.PhaseSucceeded, "", v2.LoadGuaranteeStrict, false},
	} {
		s := &v2.LocustTestStatus{Phase: tc.phase}
		if tc.reason != "" {
			s.Conditions = []metav1.Condition{{Type: v2.ConditionTypeLoadDelivered, Reason: tc.reason}}
		}
		assert.Equal(t, tc.breach, CheckGuarantee(tc.guarantee, s) != nil, "%+v", tc)
	}
}

func TestCheckTransition_Catches(t *testing.T) {
	s := running(t)
	for name, change := range map[string]func(next *v2.LocustTestStatus){
		"phase back":                func(n *v2.LocustTestStatus) { n.Phase = v2.PhasePending },
		"unknown reason":            func(n *v2.LocustTestStatus) { n.Conditions[0].Reason = "Whatever" },
		"moved lastTransitionTime":  func(n *v2.LocustTestStatus) { n.Conditions[0].LastTransitionTime.Time = t0.Add(time.Hour) },
		"dropped condition":         func(n *v2.LocustTestStatus) { n.Conditions = n.Conditions[1:] },
		"double condition":          func(n *v2.LocustTestStatus) { n.Conditions = append(n.Conditions, n.Conditions[0]) },
		"stale observedGeneration":  func(n *v2.LocustTestStatus) { n.Conditions[0].ObservedGeneration = 0 },
		"end without a time":        func(n *v2.LocustTestStatus) { n.Phase = v2.PhaseSucceeded },
		"count against a condition": func(n *v2.LocustTestStatus) { n.ConnectedWorkers = 1 },
		"no requests, and requests": func(n *v2.LocustTestStatus) {
			n.TestResult = &v2.TestResult{TotalRequests: 1, FailureRatio: "0"}
			setCondition(n, t0, v2.ConditionTypeLoadDelivered, metav1.ConditionFalse, v2.ReasonNoRequests, "x")
		},
		"LoadDelivered lost": func(n *v2.LocustTestStatus) { remove(n, v2.ConditionTypeLoadDelivered) },
		"start moved":        func(n *v2.LocustTestStatus) { n.StartTime.Time = t0 },
	} {
		t.Run(name, func(t *testing.T) {
			next := s.prev.DeepCopy()
			change(next)
			assert.Error(t, CheckTransition(&s.prev, next))
		})
	}
	require.NoError(t, CheckTransition(&s.prev, s.prev.DeepCopy()))
}
