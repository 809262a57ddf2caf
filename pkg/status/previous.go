package status

import (
	"maps"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// allConnectedOnce reports whether all workers were connected at the same time before.
func allConnectedOnce(prev *v2.LocustTestStatus) bool {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypeWorkersConnected)
	return c != nil && c.Reason != v2.ReasonWaitingForWorkers
}

// isStartupOver reports whether the startup is over: all workers have been connected once, and not all of them are gone. Workers
// that fail slowly may have counted as connected before.
func isStartupOver(s *v2.LocustTestStatus, connected int32) bool {
	return allConnectedOnce(s) && connected > 0
}

// unhealthySince returns when PodsHealthy became False; zero if it is not.
func unhealthySince(prev *v2.LocustTestStatus) time.Time {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypePodsHealthy)
	if c == nil || c.Status != metav1.ConditionFalse {
		return time.Time{}
	}
	return c.LastTransitionTime.Time
}

// creationRefused reports whether the previous status shows that an object could not be created: the Service then has no master
// Job.
func creationRefused(prev *v2.LocustTestStatus) bool {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypePodsHealthy)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == v2.ReasonCreationError
}

// problemBeforeRestart returns the problem that the previous status reports by Events, which applies until this operator has read
// them; nil if there is none.
func problemBeforeRestart(prev *v2.LocustTestStatus) *podProblem {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypePodsHealthy)
	if c == nil || c.Status != metav1.ConditionFalse || !slices.Contains(slices.Collect(maps.Values(eventReasons)), c.Reason) {
		return nil
	}
	return &podProblem{reason: c.Reason, message: c.Message, carriedOver: true}
}

// previousLoad returns the assessment in the previous status.
func previousLoad(prev *v2.LocustTestStatus) loadAssessment {
	if c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypeLoadDelivered); c != nil {
		return loadAssessment{status: c.Status, reason: c.Reason, message: c.Message, ended: prev.TestResult != nil && prev.TestResult.Final}
	}
	return loadAssessment{status: metav1.ConditionUnknown, reason: v2.ReasonLoadNotStarted, message: "No load has started yet"}
}

// isLoadKnown reports whether the load has been observed before.
func isLoadKnown(prev *v2.LocustTestStatus) bool {
	return previousLoad(prev).status != metav1.ConditionUnknown
}

// loadReason returns the reason of the condition LoadDelivered; empty if it is absent.
func loadReason(s *v2.LocustTestStatus) string {
	if c := meta.FindStatusCondition(s.Conditions, v2.ConditionTypeLoadDelivered); c != nil {
		return c.Reason
	}
	return ""
}

// fromReporter reports whether a result comes from the reporter. No other source overrides it.
func fromReporter(r *v2.TestResult) bool { return r != nil && r.Source == v2.ResultSourceReporter }
