package status

import (
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Change is how much two statuses differ.
type Change int

const (
	// NoChange is not worth a write.
	NoChange Change = iota
	// Refresh is worth a write now and then: counters, messages, and that all pods run.
	Refresh
	// Transition is worth a write at once: the phase, a condition, the generation.
	Transition
)

// Compare tells how much next differs from prev.
func Compare(prev, next *v2.LocustTestStatus) Change {
	if equality.Semantic.DeepEqual(prev, next) {
		return NoChange
	}
	if equality.Semantic.DeepEqual(withoutVolatileFields(prev), withoutVolatileFields(next)) {
		return Refresh
	}
	return Transition
}

// withoutVolatileFields is the status without what only needs a refresh now and then.
func withoutVolatileFields(s *v2.LocustTestStatus) *v2.LocustTestStatus {
	e := s.DeepCopy()
	e.ConnectedWorkers, e.Workers, e.MasterPod = 0, "", ""
	e.Progress = nil
	if fromReporter(e.TestResult) {
		// It comes once, and its pod may be gone a moment later.
		e.TestResult = &v2.TestResult{Source: e.TestResult.Source, Final: e.TestResult.Final}
	} else {
		e.TestResult = nil
	}
	conditions := make([]metav1.Condition, len(e.Conditions))
	for i, c := range e.Conditions {
		c.Message = ""
		if c.Reason == v2.ReasonPodsHealthy {
			// As good as PodsStarting, and the connection of the workers, which is written at once, follows in a moment.
			c.Reason = v2.ReasonPodsStarting
		}
		conditions[i] = c
	}
	e.Conditions = conditions
	return e
}
