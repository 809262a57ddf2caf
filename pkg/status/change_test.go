package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

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
