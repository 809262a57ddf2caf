package status

import (
	"go/build"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestCompare(t *testing.T) {
	s := running(t)
	prev := s.prev.DeepCopy()
	assert.Equal(t, NoChange, Compare(prev, prev.DeepCopy()))

	s.derive(t0.Add(time.Hour))
	assert.Equal(t, NoChange, Compare(prev, &s.prev), "time alone is no change")

	next := prev.DeepCopy()
	next.ConnectedWorkers, next.Workers, next.Conditions[0].Message = 4, "4/3", "another message"
	assert.Equal(t, Refresh, Compare(prev, next))

	next = prev.DeepCopy()
	next.Conditions[0].Reason = v2.ReasonResourcesFailed
	assert.Equal(t, Transition, Compare(prev, next))
	next = prev.DeepCopy()
	for i := range next.Conditions {
		if c := &next.Conditions[i]; c.Type == v2.ConditionTypePodsHealthy {
			assert.Equal(t, v2.ReasonPodsHealthy, c.Reason)
			c.Reason = v2.ReasonPodsStarting
		}
	}
	assert.Equal(t, Refresh, Compare(next, prev), "that all pods run")
	next = prev.DeepCopy()
	next.Phase = v2.PhaseFailed
	assert.Equal(t, Transition, Compare(prev, next))
	next = prev.DeepCopy()
	next.ObservedGeneration++
	assert.Equal(t, Transition, Compare(prev, next))
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

// TestPurity checks that the derivation imports no client, no controller-runtime and no logger.
func TestPurity(t *testing.T) {
	for _, dir := range []string{".", "../resources"} {
		pkg, err := build.ImportDir(dir, 0)
		require.NoError(t, err)
		for _, path := range pkg.Imports {
			assert.NotRegexp(t, `controller-runtime|client-go|logr|klog|log/slog|^log$|^os$|^net|clock`, path, "%s", dir)
		}
	}
}
