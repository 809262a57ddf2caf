package status

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

var phaseOrder = map[string]int{"": 0, v2.PhasePending: 1, v2.PhaseRunning: 2, v2.PhaseSucceeded: 3, v2.PhaseFailed: 3}

// CheckTransition checks the invariants of two statuses that were observed one after the other, and returns all violations.
// Unit tests, the watcher of the test suites and the scorecard use it.
func CheckTransition(prev, next *v2.LocustTestStatus) error {
	if prev.IsTerminal() {
		if !equality.Semantic.DeepEqual(prev, next) {
			return fmt.Errorf("the status changed after the test was %s", prev.Phase)
		}
		return nil
	}
	errs := []error{CheckStatus(next)}
	breach := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	breach(phaseOrder[next.Phase] < phaseOrder[prev.Phase], "phase went back from %q to %q", prev.Phase, next.Phase)
	breach(prev.ObservedGeneration > next.ObservedGeneration, "observedGeneration went back from %d to %d", prev.ObservedGeneration, next.ObservedGeneration)
	breach(prev.StartTime != nil && !prev.StartTime.Equal(next.StartTime), "startTime changed from %v to %v", prev.StartTime, next.StartTime)
	breach(prev.MasterPod != "" && prev.MasterPod != next.MasterPod, "masterPod changed from %q to %q", prev.MasterPod, next.MasterPod)
	breach(prev.TestResult != nil && next.TestResult == nil, "testResult was lost")
	breach(prev.Progress != nil && next.Progress == nil, "progress was lost")
	breach(loadReason(prev) != "" && loadReason(next) == "", "condition %s was lost", v2.ConditionTypeLoadDelivered)
	for _, is := range next.Conditions {
		was := meta.FindStatusCondition(prev.Conditions, is.Type)
		if was == nil {
			continue
		}
		flipped := was.Status != is.Status
		moved := !was.LastTransitionTime.Equal(&is.LastTransitionTime)
		breach(moved && !flipped, "condition %s: lastTransitionTime moved from %v to %v although its status stayed %s", is.Type, was.LastTransitionTime, is.LastTransitionTime, is.Status)
		kept := slices.Contains([]string{v2.ReasonUsersMissing, v2.ReasonWorkersLost, v2.ReasonGeneratorSaturated}, was.Reason)
		breach(is.Type == v2.ConditionTypeLoadDelivered && kept && is.Status != was.Status, "condition %s: %s was lost", is.Type, was.Reason)
		breach(flipped && is.LastTransitionTime.Before(&was.LastTransitionTime), "condition %s: lastTransitionTime went back", is.Type)
	}
	return errors.Join(errs...)
}

// CheckGuarantee reports whether the phase obeys the guarantee of the spec that the run was started from. It returns nil for a
// test without the condition LoadDelivered.
func CheckGuarantee(guarantee v2.LoadGuarantee, s *v2.LocustTestStatus) error {
	if reason := loadReason(s); s.Phase == v2.PhaseSucceeded && FailsRun(guarantee, reason) {
		return fmt.Errorf("the phase is %s, although LoadDelivered is %s and loadGuarantee is %q", s.Phase, reason, guarantee)
	}
	return nil
}

// CheckStatus checks the invariants of a single status, and returns all violations.
func CheckStatus(s *v2.LocustTestStatus) error {
	if s.Phase == "" {
		if !equality.Semantic.DeepEqual(s, &v2.LocustTestStatus{}) {
			return errors.New("the status has fields but no phase")
		}
		return nil
	}
	var errs []error
	breach := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	seen := map[string]bool{}
	for _, c := range s.Conditions {
		breach(seen[c.Type], "condition %s appears twice", c.Type)
		seen[c.Type] = true
		breach(!Known(c), "condition %s=%s with reason %s is not in the table", c.Type, c.Status, c.Reason)
		breach(c.ObservedGeneration != s.ObservedGeneration, "condition %s was observed at generation %d, the status at %d", c.Type, c.ObservedGeneration, s.ObservedGeneration)
		breach(c.LastTransitionTime.IsZero(), "condition %s has no lastTransitionTime", c.Type)
		breach(c.Message == "", "condition %s has no message", c.Type)
	}
	for _, conditionType := range PermanentTypes {
		// A test that was terminal before the upgrade to this version never gets the condition.
		old := conditionType == v2.ConditionTypeLoadDelivered && s.IsTerminal()
		breach(!seen[conditionType] && !old, "condition %s is absent", conditionType)
	}
	is := func(conditionType string, reason string) bool {
		c := meta.FindStatusCondition(s.Conditions, conditionType)
		return c != nil && c.Reason == reason
	}
	breach(s.ObservedGeneration == 0, "observedGeneration is absent")
	breach(s.ConnectedWorkers < 0 || s.ExpectedWorkers < 1, "workers %d/%d", s.ConnectedWorkers, s.ExpectedWorkers)
	breach(s.Workers != workersColumn(s.ConnectedWorkers, s.ExpectedWorkers), "workers is %q, but connectedWorkers/expectedWorkers is %d/%d", s.Workers, s.ConnectedWorkers, s.ExpectedWorkers)
	sources := []string{"", v2.WorkersSourceWebAPI, v2.WorkersSourceReporter, v2.WorkersSourceReadyPods}
	breach(!slices.Contains(sources, s.ConnectedWorkersSource), "connectedWorkersSource is %q", s.ConnectedWorkersSource)
	breach(is(v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected) != (s.ConnectedWorkers >= s.ExpectedWorkers), "WorkersConnected contradicts %s", s.Workers)
	if p := s.Progress; p != nil {
		breach(p.CurrentUsers < 0, "progress: %d users", p.CurrentUsers)
		breach(p.Percent != nil && (*p.Percent < 0 || *p.Percent > 100), "progress: percent is not between 0 and 100")
		breach(p.Elapsed != nil && p.StartTime == nil, "progress: elapsed without startTime")
	}
	if r := s.TestResult; r != nil {
		breach(r.Final && s.Phase == v2.PhasePending, "a final testResult before the test ran")
		breach(r.TotalRequests < 0 || r.FailedRequests < 0, "testResult: %d of %d requests failed", r.FailedRequests, r.TotalRequests)
		breach(r.FailureRatio != ratio(r.FailedRequests, r.TotalRequests), "testResult: failureRatio is %s, but %d of %d requests failed", r.FailureRatio, r.FailedRequests, r.TotalRequests)
	}
	breach(seen[v2.ConditionTypeReconciling] != (s.Phase == v2.PhasePending), "Reconciling present: %t, phase: %s", seen[v2.ConditionTypeReconciling], s.Phase)
	breach(seen[v2.ConditionTypeStalled] != (s.Phase == v2.PhaseFailed), "Stalled present: %t, phase: %s", seen[v2.ConditionTypeStalled], s.Phase)
	breach(s.IsTerminal() != (s.CompletionTime != nil), "phase is %s, completionTime is %v", s.Phase, s.CompletionTime)
	breach((s.Phase == v2.PhaseRunning || s.Phase == v2.PhaseSucceeded) && s.StartTime == nil, "phase is %s without startTime", s.Phase)
	breach(s.StartTime != nil && s.CompletionTime != nil && s.CompletionTime.Before(s.StartTime), "completionTime %v is before startTime %v", s.CompletionTime, s.StartTime)
	requests := s.TestResult != nil && s.TestResult.TotalRequests > 0
	breach(is(v2.ConditionTypeLoadDelivered, v2.ReasonNoRequests) && requests, "LoadDelivered is %s, but requests have finished", v2.ReasonNoRequests)
	breach(is(v2.ConditionTypeLoadDelivered, v2.ReasonLoadAsPlanned) && s.Phase == v2.PhaseSucceeded && !requests, "LoadDelivered is %s, but no request has finished", v2.ReasonLoadAsPlanned)
	breach(is(v2.ConditionTypeLoadDelivered, v2.ReasonLoadNotStarted) && s.Phase == v2.PhaseSucceeded, "LoadDelivered is %s, but the phase is %s", v2.ReasonLoadNotStarted, s.Phase)
	breach(s.Phase == v2.PhaseSucceeded != is(v2.ConditionTypeTestCompleted, v2.ReasonTestSucceeded), "TestCompleted contradicts phase %s", s.Phase)
	breach(s.Phase == v2.PhaseFailed != is(v2.ConditionTypeTestCompleted, v2.ReasonTestFailed), "TestCompleted contradicts phase %s", s.Phase)
	breach(s.Phase == v2.PhaseFailed && !is(v2.ConditionTypeReady, v2.ReasonResourcesFailed), "Ready contradicts phase %s", s.Phase)
	breach(s.Phase == v2.PhaseSucceeded && !meta.IsStatusConditionTrue(s.Conditions, v2.ConditionTypeReady), "Ready contradicts phase %s", s.Phase)
	return errors.Join(errs...)
}
