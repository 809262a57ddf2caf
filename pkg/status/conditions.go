package status

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// maxMessage bounds a condition's message in bytes, far below the API's limit of 32768, so that a status stays small whatever
// a pod prints.
const maxMessage = 4096

// setCondition sets a condition; lastTransitionTime changes only with the status (API conventions, "Typical status properties").
func setCondition(s *v2.LocustTestStatus, now time.Time, conditionType string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(&s.Conditions, metav1.Condition{
		Type:    conditionType,
		Status:  status,
		Reason:  reason,
		Message: Clip(message, maxMessage),
		// metav1.Time is serialized with whole seconds.
		LastTransitionTime: metav1.NewTime(now.Truncate(time.Second)),
		ObservedGeneration: s.ObservedGeneration,
	})
}

// InitializeStatus returns the first status of a test: Pending, with no objects created.
func InitializeStatus(test *v2.LocustTest, now time.Time) v2.LocustTestStatus {
	s := v2.LocustTestStatus{
		ObservedGeneration: test.Generation,
		Phase:              v2.PhasePending,
		ExpectedWorkers:    resources.ExpectedWorkers(&test.Spec),
	}
	s.Workers = workersColumn(0, s.ExpectedWorkers)
	setCondition(&s, now, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesCreating, "Creating resources")
	setCondition(&s, now, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers, "Waiting for workers to connect")
	setCondition(&s, now, v2.ConditionTypeLoadDelivered, metav1.ConditionUnknown, v2.ReasonLoadNotStarted, "No load has started yet")
	setCondition(&s, now, v2.ConditionTypeTestCompleted, metav1.ConditionFalse, v2.ReasonTestInProgress, "Test has not started")
	setCondition(&s, now, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting, "Pods have not been created yet")
	setCondition(&s, now, v2.ConditionTypeSpecDrifted, metav1.ConditionFalse, v2.ReasonSpecInSync, "The run uses the current spec")
	setCondition(&s, now, v2.ConditionTypeReconciling, metav1.ConditionTrue, v2.ReasonResourcesCreating, "Creating resources")
	return s
}

// setConditions sets all conditions, and the number of workers.
func (f *facts) setConditions(next *v2.LocustTestStatus, decided outcome) {
	f.setSpecDrifted(next)
	f.setReady(next, decided.cause)
	setCondition(next, f.now, v2.ConditionTypeLoadDelivered, f.load.status, f.load.reason, f.load.message)
	f.setTestCompleted(next, decided)
	f.setPodsHealthy(next)
	f.setWorkers(next)
	f.setKstatus(next, decided.cause)
}

func (f *facts) setReady(s *v2.LocustTestStatus, cause string) {
	status, reason, message := metav1.ConditionTrue, v2.ReasonResourcesCreated, "Service, master Job and worker Job exist"
	switch {
	case s.Phase == v2.PhaseFailed:
		status, reason, message = metav1.ConditionFalse, v2.ReasonResourcesFailed, cause
	case s.Phase == v2.PhaseSucceeded:
		// The run no longer needs its objects.
	case f.Failure != nil:
		status, reason, message = metav1.ConditionFalse, v2.ReasonResourcesFailed, f.Failure.Message
	case len(f.Foreign) > 0:
		status, reason, message = metav1.ConditionFalse, v2.ReasonResourcesFailed, f.problem.message
	case f.complete():
	case len(f.Predecessors) > 0:
		status, reason, message = metav1.ConditionFalse, v2.ReasonResourcesCreating,
			"Waiting for terminating objects with the same names: "+joinSome(f.Predecessors, 5)
	case f.DNSCacheWait > 0 && f.Service == nil:
		status, reason, message = metav1.ConditionFalse, v2.ReasonResourcesCreating,
			"Waiting for DNS caches to expire after a previous test of the same name"
	default:
		status, reason, message = metav1.ConditionFalse, v2.ReasonResourcesCreating, "Creating resources"
	}
	setCondition(s, f.now, v2.ConditionTypeReady, status, reason, headline(message))
}

func (f *facts) setTestCompleted(s *v2.LocustTestStatus, decided outcome) {
	status, reason, message := metav1.ConditionFalse, v2.ReasonTestInProgress, "Test has not started"
	switch s.Phase {
	case v2.PhaseRunning:
		message = "Test is running"
		switch {
		case f.isStopping():
			message = "Stopping the load" + byStop
		case f.load.ended:
			message = "The load has ended; the master is still running"
		}
	case v2.PhaseSucceeded:
		status, reason, message = metav1.ConditionTrue, v2.ReasonTestSucceeded, "Test completed successfully"+decided.remark
	case v2.PhaseFailed:
		status, reason, message = metav1.ConditionTrue, v2.ReasonTestFailed, fullMessage(decided.cause)
	}
	setCondition(s, f.now, v2.ConditionTypeTestCompleted, status, reason, message)
}

func (f *facts) setSpecDrifted(s *v2.LocustTestStatus) {
	if f.Run == nil || f.Run.InSync(f.Test) {
		setCondition(s, f.now, v2.ConditionTypeSpecDrifted, metav1.ConditionFalse, v2.ReasonSpecInSync, "The run uses the current spec")
		return
	}
	setCondition(s, f.now, v2.ConditionTypeSpecDrifted, metav1.ConditionTrue, v2.ReasonSpecChangeIgnored,
		"The spec was changed after the run's Jobs were created; the run continues with the spec it was started from. "+
			"Revert the change, or delete the test and create it again to run the new spec")
}

// setKstatus sets or removes the two abnormal-true conditions of the kstatus convention (sigs.k8s.io/cli-utils/pkg/kstatus):
// Reconciling and Stalled are absent unless they are True.
func (f *facts) setKstatus(s *v2.LocustTestStatus, cause string) {
	switch s.Phase {
	case v2.PhasePending:
		reason, message := v2.ReasonResourcesCreating, "Creating resources"
		switch {
		case f.suspended != "":
			reason, message = v2.ReasonSuspended, f.suspendedMessage(nil)
		case f.complete():
			reason, message = v2.ReasonPodsStarting, "The master is not running yet"
		}
		setCondition(s, f.now, v2.ConditionTypeReconciling, metav1.ConditionTrue, reason, message)
	case v2.PhaseFailed:
		meta.RemoveStatusCondition(&s.Conditions, v2.ConditionTypeReconciling)
		setCondition(s, f.now, v2.ConditionTypeStalled, metav1.ConditionTrue, v2.ReasonTestFailed, headline(cause))
	default:
		meta.RemoveStatusCondition(&s.Conditions, v2.ConditionTypeReconciling)
	}
}

// setPodsHealthy sets the condition PodsHealthy.
func (f *facts) setPodsHealthy(next *v2.LocustTestStatus) {
	status, reason, message := metav1.ConditionTrue, v2.ReasonPodsStarting, "Waiting for pods to start"
	switch {
	case next.Phase == v2.PhaseSucceeded:
		reason, message = v2.ReasonPodsHealthy, "All pods have run"
	case !next.IsTerminal() && f.suspended != "":
		reason, message = v2.ReasonSuspended, f.suspendedMessage(f.problem)
	case f.problem != nil:
		status, reason, message = metav1.ConditionFalse, f.problem.reason, f.problem.message
	case next.Phase == v2.PhaseFailed:
		// Keep the condition from before the end: pods that terminate because the test ended are no problem.
		if c := meta.FindStatusCondition(next.Conditions, v2.ConditionTypePodsHealthy); c != nil {
			c.ObservedGeneration = next.ObservedGeneration
		}
		return
	case f.allPodsRun(next.Phase):
		reason, message = v2.ReasonPodsHealthy, "All pods are running"
	}
	setCondition(next, f.now, v2.ConditionTypePodsHealthy, status, reason, headline(message))
}

// suspendedMessage names the suspended Jobs, and the problem of the pods if there is one.
func (f *facts) suspendedMessage(problem *podProblem) string {
	jobs := f.suspended
	message := strings.ToUpper(jobs[:1]) + jobs[1:] + "; the test waits for a resume, for example by a queue"
	if problem != nil {
		message += ". " + problem.reason + ": " + problem.message
	}
	return message
}

// setWorkers sets the workers' counters and the condition WorkersConnected.
func (f *facts) setWorkers(next *v2.LocustTestStatus) {
	var count workerCount
	switch next.Phase {
	case v2.PhaseRunning:
		count = f.connected
	case v2.PhaseSucceeded, v2.PhaseFailed:
		count = f.frozenWorkers(next)
	}
	next.ExpectedWorkers = f.expectedWorkers()
	next.ConnectedWorkers, next.ConnectedWorkersSource = count.workers, count.source
	next.Workers = workersColumn(next.ConnectedWorkers, next.ExpectedWorkers)

	status, reason := metav1.ConditionFalse, v2.ReasonWaitingForWorkers
	switch {
	case next.ConnectedWorkers >= next.ExpectedWorkers:
		status, reason = metav1.ConditionTrue, v2.ReasonAllWorkersConnected
	case allConnectedOnce(f.prev):
		reason = v2.ReasonWorkersMissing
	}
	setCondition(next, f.now, v2.ConditionTypeWorkersConnected, status, reason, f.workersMessage(next))
}

// workersMessage returns the number of connected workers, and what qualifies it.
func (f *facts) workersMessage(next *v2.LocustTestStatus) string {
	if next.StartTime.IsZero() && next.ConnectedWorkers == 0 {
		return "Waiting for workers to connect"
	}
	message := next.Workers + " workers connected"
	switch {
	case next.ConnectedWorkersSource == v2.WorkersSourceReadyPods && !next.IsTerminal() && f.report == nil && f.Locust != nil && f.isUnreachable():
		message += " (counted from the worker Job's ready pods, because Locust's web API cannot be reached: " + f.Locust.lastError() + ")"
	case next.ConnectedWorkersSource == v2.WorkersSourceReadyPods:
		message += " (counted from the worker Job's ready pods)"
	case next.ConnectedWorkersSource == "" && next.ConnectedWorkers > 0:
		// The number is that of an operator that did not record the source.
	case next.ConnectedWorkersSource == "" && next.IsTerminal():
		message += " (Locust's web API never answered)"
	case next.ConnectedWorkersSource == "":
		message += " (Locust's web API has not answered yet)"
	}
	if next.Phase == v2.PhaseRunning && next.ConnectedWorkers < next.ExpectedWorkers && f.isAtCompletionsLimit() {
		message += fmt.Sprintf("; lost workers are not replaced any more, because %d have ended or been deleted; their logs show why",
			f.completionsLimit()-f.expectedPods())
	}
	return message
}

func workersColumn(connected, expected int32) string {
	return fmt.Sprintf("%d/%d", connected, expected)
}

// allPodsRun reports whether the master and all expected workers run.
func (f *facts) allPodsRun(phase string) bool {
	return f.WorkerJob != nil && phase == v2.PhaseRunning && f.likelyConnectedPods >= f.expectedPods()
}
