package status

import (
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Change classifies the difference between two statuses.
type Change int

const (
	// NoChange needs no write.
	NoChange Change = iota
	// Refresh is written at a limited rate: counters, messages, and the reason PodsHealthy.
	Refresh
	// Transition is written immediately: the phase, a condition, the generation.
	Transition
)

// Compare returns the kind of change from prev to next.
func Compare(prev, next *v2.LocustTestStatus) Change {
	if equality.Semantic.DeepEqual(prev, next) {
		return NoChange
	}
	if equality.Semantic.DeepEqual(withoutVolatileFields(prev), withoutVolatileFields(next)) {
		return Refresh
	}
	return Transition
}

// withoutVolatileFields returns a copy of the status without the fields whose change is only a Refresh.
func withoutVolatileFields(s *v2.LocustTestStatus) *v2.LocustTestStatus {
	e := s.DeepCopy()
	e.ConnectedWorkers, e.ConnectedWorkersSource, e.Workers, e.MasterPod = 0, "", "", ""
	e.Progress = nil
	if fromReporter(e.TestResult) {
		// The final report must not be lost: its pod may be gone soon.
		e.TestResult = &v2.TestResult{Source: e.TestResult.Source, Final: e.TestResult.Final}
	} else {
		e.TestResult = nil
	}
	conditions := make([]metav1.Condition, len(e.Conditions))
	for i, c := range e.Conditions {
		c.Message = ""
		if c.Reason == v2.ReasonPodsHealthy {
			// Equal to PodsStarting: AllWorkersConnected, which is written immediately, follows within seconds.
			c.Reason = v2.ReasonPodsStarting
		}
		conditions[i] = c
	}
	e.Conditions = conditions
	return e
}
