package status

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// byStop ends the messages about a test that was stopped.
const byStop = ", as spec.stop requests"

// EndLoadPatch returns the patch of the master Job's spec that ends the load of a running test: the Job controller deletes the pod, so that
// Locust gets SIGTERM, ends its workers and writes its final report (locust/main.py, sig_term_handler). The Job has no TTL
// before the outcome is recorded.
func EndLoadPatch() map[string]any { return map[string]any{"activeDeadlineSeconds": stopDeadline} }

// planStop ends the load of a running test. A test that has not started gets no objects, and its next status is Failed.
func (f *facts) planStop(plan *Plan) {
	if job := f.MasterJob; job != nil && f.runningMaster != nil && !isFinished(job) && !isStopped(job) {
		plan.EndLoad = job
	}
}

// stopRequested reports whether the user has requested the end of the load.
func (o *Observation) stopRequested() bool { return o.Test.Spec.Stop }

// isStopping reports whether the operator has stopped the master of a test that has not ended. It stops no master for another reason; the
// spec does not count: an update in v1 may drop the field.
func (o *Observation) isStopping() bool { return o.MasterJob != nil && isStopped(o.MasterJob) }

// stoppedMaster returns the master pod whose Locust container has ended because of spec.stop; nil if there is none.
func (o *Observation) stoppedMaster() *corev1.Pod {
	pod := terminatedMaster(o.podsOf(o.MasterJob))
	if pod == nil || !o.isStopping() || endedByItself(pod) || wasDisrupted(pod) {
		return nil
	}
	return pod
}

// stoppedBeforeStart returns why a test that was stopped before its master had started fails; empty if it was not.
func (f *facts) stoppedBeforeStart() string {
	if !f.stopRequested() || f.prev.Phase == v2.PhaseRunning || f.prev.MasterPod != "" || f.masterStarted() {
		return ""
	}
	cause := "stopped before it started" + byStop
	if problem := f.problem; problem != nil {
		cause += "; until then " + problem.reason + ": " + problem.message
	}
	return cause
}

// describeStop adds to an outcome that the test was stopped, and after how long.
func (f *facts) describeStop(decided outcome) outcome {
	stopped := "stopped after " + f.stoppedAfter().Truncate(time.Second).String() + byStop
	switch decided.phase {
	case v2.PhaseSucceeded:
		decided.remark = "; " + stopped + decided.remark
	case v2.PhaseFailed:
		decided.cause = stopped + ": " + decided.cause
	}
	return decided
}

// stoppedAfter returns how long the load, or else the master, had run when it was stopped.
func (f *facts) stoppedAfter() time.Duration {
	end, start := f.masterFinish(), f.masterStart()
	if pod := f.terminatedMaster; pod != nil && pod.DeletionTimestamp != nil {
		// Locust waits for its users.
		if requested := f.serverTime(deletionRequestedAt(pod)); requested.Before(end) {
			end = requested
		}
	}
	switch p := f.prev.Progress; {
	case f.final != nil && !f.final.LoadStart.IsZero():
		start = f.nodeTime(f.terminatedMaster, f.final.LoadStart)
	case p != nil && p.StartTime != nil:
		start = p.StartTime.Time
	case start.IsZero() && f.prev.StartTime != nil:
		start = f.prev.StartTime.Time
	}
	if start.IsZero() {
		return 0
	}
	return max(end.Sub(start), 0)
}

// masterStopFailed returns the outcome of a stopped master whose Job has failed and whose pod does not show how it ended. Until
// Kubernetes 1.30 a Job fails while its pods still terminate.
func (f *facts) masterStopFailed(at time.Time) outcome {
	for _, pod := range f.masters {
		if pod.DeletionTimestamp != nil && !isFinishedPod(pod) {
			return f.masterLostWithNode(pod)
		}
	}
	return f.describeStop(failed(at, "the master's pod was gone before its result could be read; testResult is the last known one"))
}
