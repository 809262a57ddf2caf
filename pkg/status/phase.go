package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// outcome is the result of decidePhase.
type outcome struct {
	phase string
	// cause is why the phase is Failed.
	cause string
	// remark qualifies the message of a test that succeeded; usually empty.
	remark string
	// completion is when the test ended; zero while it has not.
	completion time.Time
}

// A check returns why the test fails; empty if it does not.
type check func(*facts) string

// startupChecks apply while there is no master Job, and runChecks while the master runs or may still start. The first cause
// decides.
var (
	startupChecks = []check{(*facts).runLost, (*facts).stoppedBeforeStart, (*facts).startupDeadlineExceeded}
	runChecks     = []check{(*facts).stoppedBeforeStart, (*facts).workerJobFailed, (*facts).startupDeadlineExceeded, (*facts).criteriaUnreachable, (*facts).workersLostForGood}
)

// firstCause returns the cause of the first check that fails the test; empty if none does.
func (f *facts) firstCause(checks []check) string {
	for _, check := range checks {
		if cause := check(f); cause != "" {
			return cause
		}
	}
	return ""
}

// derivePhaseFromJob returns the phase by the master Job alone.
//
// Active counts pods that are still pulling an image, so ready must be positive as well if the Job controller reports it; a Job
// without it counts as running if active.
func derivePhaseFromJob(job *batchv1.Job) string {
	switch {
	case job == nil:
		return v2.PhasePending
	case jobCondition(job, batchv1.JobComplete) != nil:
		return v2.PhaseSucceeded
	case jobCondition(job, batchv1.JobFailed) != nil:
		return v2.PhaseFailed
	case job.Status.Active > 0 && (job.Status.Ready == nil || *job.Status.Ready > 0):
		return v2.PhaseRunning
	}
	return v2.PhasePending
}

// decidePhase returns the phase by all facts. Phases only move forward.
func (f *facts) decidePhase() outcome {
	switch {
	case f.Failure != nil && f.Failure.Final:
		return failed(f.now, f.Failure.Message)
	case f.MasterJob == nil:
		if cause := f.firstCause(startupChecks); cause != "" {
			return failed(f.now, cause)
		}
		return outcome{phase: v2.PhasePending}
	case f.endedMaster != nil && f.endedMaster == f.stoppedMaster():
		return f.describeStop(f.masterEnded())
	case f.endedMaster != nil:
		return f.masterEnded()
	}
	if cause := f.runSuspended(); cause != "" {
		return failed(f.now, cause)
	}
	phase := derivePhaseFromJob(f.MasterJob)
	switch phase {
	case v2.PhaseSucceeded:
		return f.masterSucceeded()
	case v2.PhaseFailed:
		return f.masterFailed()
	}
	if pod := f.lostWithNode(); pod != nil {
		return f.masterLostWithNode(pod)
	}
	if cause := f.firstCause(runChecks); cause != "" {
		return failed(f.now, cause)
	}
	if phase == v2.PhaseRunning || f.runsBesideUnready() {
		return outcome{phase: v2.PhaseRunning}
	}
	// Once Running, a lower ready count of the Job does not change the phase back.
	return f.unchanged()
}

// unchanged returns the outcome of a run whose objects do not show its end yet.
func (f *facts) unchanged() outcome { return outcome{phase: f.prev.Phase} }

// awaitPodStatus returns the outcome of a run whose pods do not show its end yet, and requests another derivation.
func (f *facts) awaitPodStatus() outcome {
	f.requeueIn(podStatusTimeout / 10)
	return f.unchanged()
}

// runsBesideUnready reports whether the master runs in a pod that is not ready only because of other containers.
func (f *facts) runsBesideUnready() bool {
	return slices.ContainsFunc(f.masters, othersUnready)
}

// masterEnded returns the outcome by the exit code of the master's Locust container.
func (f *facts) masterEnded() outcome {
	at := finishedAt(f.endedMaster)
	switch {
	case f.load.undecided && withinPodStatusTimeout(f.nodeTime(f.endedMaster, at), f.now):
		return f.awaitPodStatus()
	case exitedZero(f.endedMaster):
		return f.masterExitedZero(at)
	case f.criteria() != nil && f.failedRequestsOnly():
		// If only failed requests caused the exit code, the success criteria decide.
		return f.masterExitedZero(at)
	}
	return failed(at, "master "+f.exitCause(f.endedMaster))
}

func failed(at time.Time, cause string) outcome {
	return outcome{phase: v2.PhaseFailed, cause: cause, completion: at}
}

// runLost returns why a test without a master Job must not get another one: a load test never runs twice without a request of the
// user. Empty if the test has not started yet, so that the Job may be created.
func (f *facts) runLost() string {
	name := "the master Job"
	switch {
	case f.prev.Phase == v2.PhaseRunning:
		return name + " was deleted during the run"
	case f.masterStarted() || f.prev.MasterPod != "":
		return name + " was deleted after its pod had started"
	case f.FirstObservation && (f.WorkerJob != nil || meta.IsStatusConditionTrue(f.prev.Conditions, v2.ConditionTypeReady)):
		// The worker Job is created after the master Job: if it exists, or Ready was True, the master Job existed, and its
		// outcome is unknown.
		return name + " was deleted while the operator was not running; the test may have run already"
	case f.FirstObservation && f.serviceIsOld() && !creationRefused(f.prev):
		return name + " is missing although the Service exists, and the operator was not running meanwhile; the test may have run already"
	}
	return ""
}

// serviceIsOld reports whether the Service is so old that the master Job, which is created right after it, must have existed. An
// operator that stopped between the two creations has been replaced by then.
func (f *facts) serviceIsOld() bool {
	return f.Service != nil && f.now.Sub(f.serverTime(f.Service.CreationTimestamp.Time)) >= failoverTimeout
}

// masterSucceeded returns the outcome of a master whose Job is complete and whose pod does not show how it ended.
func (f *facts) masterSucceeded() outcome {
	at := finishTime(f.MasterJob, f.now)
	if withinPodStatusTimeout(f.jobControllerTime(at), f.now) && slices.ContainsFunc(f.masters, isLive) {
		return f.awaitPodStatus()
	}
	return f.masterExitedZero(at)
}

// masterExitedZero returns the outcome of a master with exit code 0, by the load and the success criteria.
func (f *facts) masterExitedZero(at time.Time) outcome {
	causes := slices.DeleteFunc([]string{f.load.failure, f.criteriaViolated()}, func(cause string) bool { return cause == "" })
	if len(causes) > 0 {
		return failed(at, strings.Join(causes, "; "))
	}
	return outcome{phase: v2.PhaseSucceeded, completion: at, remark: f.load.remark}
}

// masterFailed returns the outcome of a master whose Job failed and whose Locust container did not end by itself.
func (f *facts) masterFailed() outcome {
	at := finishTime(f.MasterJob, f.now)
	switch {
	case jobReason(f.MasterJob) == batchv1.JobReasonDeadlineExceeded && f.isStopping():
		return f.masterStopFailed(at)
	case jobReason(f.MasterJob) == batchv1.JobReasonDeadlineExceeded:
		return failed(at, "the master Job exceeded an activeDeadlineSeconds that the operator did not set; remove the deadline, for example from the policy that sets it")
	}
	for _, pod := range f.masters {
		if cause := f.exitCause(pod); cause != "" {
			return failed(at, "master "+cause)
		}
	}
	if withinPodStatusTimeout(f.jobControllerTime(at), f.now) && awaitsExitStatus(f.masters) {
		return f.awaitPodStatus()
	}
	for _, pod := range f.masters {
		if pod.DeletionTimestamp != nil {
			return failed(at, fmt.Sprintf("master pod %s was deleted", pod.Name))
		}
	}
	if len(f.masters) == 0 && jobReason(f.MasterJob) == batchv1.JobReasonBackoffLimitExceeded {
		return failed(at, "the master pod was deleted")
	}
	return failed(at, "master Job failed: "+jobMessage(f.MasterJob))
}

// lostWithNode returns the master pod that was deleted and whose node may have been lost; nil if there is none. The Job controller
// marks the Job as Failed only after no pod is terminating, which a lost node may never report; until then the Job has the
// condition FailureTarget.
func (f *facts) lostWithNode() *corev1.Pod {
	if jobCondition(f.MasterJob, batchv1.JobFailureTarget) == nil {
		return nil
	}
	var last *corev1.Pod
	for _, pod := range f.masters {
		switch {
		case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		case pod.DeletionTimestamp == nil:
			return nil
		case last == nil || last.DeletionTimestamp.Before(pod.DeletionTimestamp):
			last = pod
		}
	}
	return last
}

// masterLostWithNode returns the outcome of a master whose pod was deleted, once its node had time to report the pod's end.
func (f *facts) masterLostWithNode(pod *corev1.Pod) outcome {
	requested := deletionRequestedAt(pod)
	due := f.serverTime(requested).Add(pod.DeletionTimestamp.Sub(requested))
	if wait := nodeReportTimeout - f.now.Sub(due); wait > 0 {
		f.requeueIn(wait)
		return f.unchanged()
	}
	return failed(pod.DeletionTimestamp.Time, fmt.Sprintf("master pod %s was deleted, and its node does not report that it ended", pod.Name))
}

// withinPodStatusTimeout reports whether a Job has finished so recently that the status of its pods may not have been observed.
func withinPodStatusTimeout(finished, now time.Time) bool {
	return now.Sub(finished) < podStatusTimeout
}

// awaitsExitStatus reports whether the master's pod may still show why it ended. A deleted pod may do so while it terminates: its
// reporter may write the final report.
func awaitsExitStatus(pods []*corev1.Pod) bool {
	return !slices.ContainsFunc(pods, func(pod *corev1.Pod) bool {
		return pod.DeletionTimestamp != nil && (isFinishedPod(pod) || startedAt(pod).IsZero())
	})
}

// runSuspended returns why a run is lost because one of its Jobs was suspended; empty if none was. A suspended Job has no pods,
// and a resumed Job starts a second run.
func (f *facts) runSuspended() string {
	switch {
	case f.prev.Phase != v2.PhaseRunning && f.prev.MasterPod == "" && !f.masterStarted():
		return ""
	case isSuspended(f.MasterJob):
		return "the master Job was suspended during the run"
	case f.hasOtherMaster():
		return "the master Job was suspended during the run, and started another master when it was resumed"
	case isSuspended(f.WorkerJob) && f.loadStarted():
		return "the worker Job was suspended during the load, so that all workers were lost"
	}
	return ""
}

// hasOtherMaster reports whether the master Job has a live pod other than the run's.
func (f *facts) hasOtherMaster() bool {
	return f.prev.MasterPod != "" && slices.ContainsFunc(f.masters, func(pod *corev1.Pod) bool {
		return pod.Name != f.prev.MasterPod && isLive(pod)
	})
}

// loadStarted reports whether the load of a running test has started, by Locust's report. Without a report the load counts as
// started once all workers have been connected, because Locust waits for them.
func (f *facts) loadStarted() bool {
	if f.Locust != nil && f.Locust.Report != nil {
		return f.prev.Progress != nil && f.prev.Progress.StartTime != nil || f.Locust.Report.State.Loading()
	}
	return f.prev.Progress != nil && f.prev.Progress.StartTime != nil || allConnectedOnce(f.prev)
}

// waitsForMaster reports whether the workers have no master yet because its Job is suspended: they give up after some minutes,
// which is not a failure of the test.
func (f *facts) waitsForMaster() bool {
	return f.prev.Phase == v2.PhasePending && isSuspended(f.MasterJob)
}

// workerJobFailed returns why the worker Job failed; empty if it has not.
func (f *facts) workerJobFailed() string {
	if f.WorkerJob == nil || jobCondition(f.WorkerJob, batchv1.JobFailed) == nil || f.waitsForMaster() {
		return ""
	}
	for _, pod := range f.workers {
		if cause := f.exitCause(pod); cause != "" {
			return fmt.Sprintf("worker pod %s %s\nthe worker Job failed: %s", pod.Name, cause, jobMessage(f.WorkerJob))
		}
	}
	return "the worker Job failed: " + jobMessage(f.WorkerJob)
}

// startupDeadlineExceeded returns why the startup failed: pods were unhealthy for the whole startup deadline, and the startup is not over.
// Empty if it has not failed.
func (f *facts) startupDeadlineExceeded() string {
	problem := f.problem
	if problem == nil || problem.carriedOver || f.settings.StartupDeadline <= 0 || f.suspended != "" || isStartupOver(f.prev, f.connected.workers) {
		return ""
	}
	since := unhealthySince(f.prev)
	if since.IsZero() || f.now.Sub(since) < f.settings.StartupDeadline {
		return ""
	}
	return fmt.Sprintf("unhealthy past the startup deadline of %s: %s: %s", f.settings.StartupDeadline, problem.reason, problem.message)
}

// workersLostForGood returns why a run that lost all its workers fails; empty if it lost none, or a load may still start again.
func (f *facts) workersLostForGood() string {
	if !f.load.workersGone {
		return ""
	}
	return f.load.failure
}
