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
		Message: clip(message, maxMessage),
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

// setConditions sets all conditions but WorkersConnected.
func (f *facts) setConditions(next *v2.LocustTestStatus, decided outcome) {
	f.setSpecDrifted(next)
	f.setReady(next, decided.cause)
	setCondition(next, f.now, v2.ConditionTypeLoadDelivered, f.load.status, f.load.reason, f.load.message)
	f.setTestCompleted(next, decided)
	f.setPodsHealthy(next)
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
		status, reason, message = metav1.ConditionFalse, v2.ReasonResourcesFailed, f.foreignMessage()
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
		if f.load.ended {
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
		case f.suspendedJobs() != "":
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

// clip shortens text to at most limit bytes. It keeps the start and marks the cut.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const mark = " …"
	return strings.ToValidUTF8(text[:limit-len(mark)], "") + mark
}

// joinSome lists at most limit items and the number of the others.
func joinSome(items []string, limit int) string {
	if len(items) <= limit {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:limit], ", "), len(items)-limit)
}
