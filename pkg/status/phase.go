package status

import (
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// podStatusTimeout is how long a finished Job waits for the status of its pod: Jobs and pods have separate watches, and the
// cause and the result are in the pod.
const podStatusTimeout = 5 * time.Second

// nodeReportTimeout is how long after the grace period of a deleted master pod its node may take to report the pod's end.
const nodeReportTimeout = 30 * time.Second

// failoverTimeout bounds how long the replacement of a killed operator takes: its Lease must expire first.
const failoverTimeout = time.Minute

// outcome is the result of decidePhase.
type outcome struct {
	phase string
	// cause is why the phase is Failed.
	cause string
	// remark qualifies the message of a test that succeeded; usually empty.
	remark string
	// completion is when the test ended; zero while it has not.
	completion time.Time
	// requeueAfter is when to decide again because the objects do not show the outcome yet; zero means no requeue.
	requeueAfter time.Duration
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

// decidePhase returns the phase by the whole observation. Phases only move forward.
func decidePhase(prev *v2.LocustTestStatus, obs *Observation, settings Settings, problem *podProblem, load *loadAssessment, now time.Time) outcome {
	if obs.Failure != nil && obs.Failure.Final {
		return failed(now, obs.Failure.Message)
	}
	if obs.MasterJob == nil {
		if cause := lostRun(prev, obs, now); cause != "" {
			return failed(now, cause)
		}
		if cause := startupFailed(prev, obs, settings, problem, now); cause != "" {
			return failed(now, cause)
		}
		return outcome{phase: v2.PhasePending}
	}
	if pod := endedMaster(obs); pod != nil {
		return masterEnded(prev, obs, pod, load, now)
	}
	if cause := suspendedRun(prev, obs); cause != "" {
		return failed(now, cause)
	}
	phase := derivePhaseFromJob(obs.MasterJob)
	switch phase {
	case v2.PhaseSucceeded:
		return masterSucceeded(prev, obs, load, now)
	case v2.PhaseFailed:
		return masterFailed(prev, obs, now)
	}
	if lost := lostWithNode(prev, obs, now); lost != nil {
		return *lost
	}
	for _, check := range []func() string{
		func() string { return workersFailed(prev, obs) },
		func() string { return startupFailed(prev, obs, settings, problem, now) },
		func() string { return criteriaUnreachable(prev, obs, settings, now) },
		func() string { return workersLostForGood(obs, load, now) },
	} {
		if cause := check(); cause != "" {
			return failed(now, cause)
		}
	}
	if phase == v2.PhaseRunning || runsBesideUnready(obs) {
		return outcome{phase: v2.PhaseRunning}
	}
	// Once Running, a lower ready count of the Job does not change the phase back.
	return outcome{phase: prev.Phase}
}

// runsBesideUnready reports whether the master runs in a pod that is not ready only because of other containers.
func runsBesideUnready(obs *Observation) bool {
	return slices.ContainsFunc(obs.podsOf(obs.MasterJob), othersUnready)
}

// endedMaster returns the master pod whose Locust container has ended by itself; nil while none has. That container decides the
// run: the Job keeps running with a sidecar that does not end, and fails with a sidecar's exit code.
func endedMaster(obs *Observation) *corev1.Pod {
	for _, pod := range obs.podsOf(obs.MasterJob) {
		if endedByItself(pod) {
			return pod
		}
	}
	return nil
}

// HasOutcome reports whether the master Job or its pod shows how the run ended.
func HasOutcome(obs *Observation) bool {
	return obs.MasterJob != nil && (isFinished(obs.MasterJob) || endedMaster(obs) != nil)
}

// masterEnded returns the outcome by the exit code of the master's Locust container.
func masterEnded(prev *v2.LocustTestStatus, obs *Observation, pod *corev1.Pod, load *loadAssessment, now time.Time) outcome {
	at := finishedAt(pod)
	switch {
	case load.undecided && withinPodStatusTimeout(obs.nodeTime(pod, at), now):
		return outcome{phase: prev.Phase, requeueAfter: podStatusTimeout / 10}
	case exitedZero(pod):
		return masterExitedZero(prev, obs, load, at)
	}
	return masterExitedNonZero(prev, obs, pod, load, at)
}

// EndsRun reports whether the update of a pod from was to is shows that a master's Locust container has ended.
func EndsRun(was, is *corev1.Pod) bool {
	return IsMaster(is) && finishedAt(was).IsZero() && !finishedAt(is).IsZero()
}

func failed(at time.Time, cause string) outcome {
	return outcome{phase: v2.PhaseFailed, cause: cause, completion: at}
}

// lostRun returns why a test without a master Job must not get another one: a load test never runs twice without a request of the
// user. Empty if the test has not started yet, so that the Job may be created.
func lostRun(prev *v2.LocustTestStatus, obs *Observation, now time.Time) string {
	name := "the master Job"
	switch {
	case prev.Phase == v2.PhaseRunning:
		return name + " was deleted during the run"
	case masterStarted(obs) || prev.MasterPod != "":
		return name + " was deleted after its pod had started"
	case obs.FirstObservation && (obs.WorkerJob != nil || meta.IsStatusConditionTrue(prev.Conditions, v2.ConditionTypeReady)):
		// The worker Job is created after the master Job: if it exists, or Ready was True, the master Job existed, and its
		// outcome is unknown.
		return name + " was deleted while the operator was not running; the test may have run already"
	case obs.FirstObservation && serviceIsOld(obs, now) && !creationRefused(prev):
		return name + " is missing although the Service exists, and the operator was not running meanwhile; the test may have run already"
	}
	return ""
}

// serviceIsOld reports whether the Service is so old that the master Job, which is created right after it, must have existed. An
// operator that stopped between the two creations has been replaced by then.
func serviceIsOld(obs *Observation, now time.Time) bool {
	return obs.Service != nil && now.Sub(obs.serverTime(obs.Service.CreationTimestamp.Time)) >= failoverTimeout
}

// creationRefused reports whether the previous status shows that an object could not be created: the Service then has no master
// Job.
func creationRefused(prev *v2.LocustTestStatus) bool {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypePodsHealthy)
	return c != nil && c.Status == metav1.ConditionFalse && c.Reason == v2.ReasonCreationError
}

// masterStarted reports whether a master pod of the run is known to have started.
func masterStarted(obs *Observation) bool {
	return startedMaster(obs) != nil
}

// startedMaster returns a master pod whose Locust container has started; nil if there is none. Pods of an earlier master Job of
// the same test do not count, because that Job was lost before it started; without a master Job any master pod counts.
func startedMaster(obs *Observation) *corev1.Pod {
	for i := range obs.Pods {
		pod := &obs.Pods[i]
		if IsMaster(pod) && !startedAt(pod).IsZero() && (obs.MasterJob == nil || ownedBy(pod, obs.MasterJob)) {
			return pod
		}
	}
	return nil
}

// masterSucceeded returns the outcome of a master whose Job is complete and whose pod does not show how it ended.
func masterSucceeded(prev *v2.LocustTestStatus, obs *Observation, load *loadAssessment, now time.Time) outcome {
	at := finishTime(obs.MasterJob, now)
	if withinPodStatusTimeout(obs.jobControllerTime(at), now) && awaitsPodEnd(obs) {
		return outcome{phase: prev.Phase, requeueAfter: podStatusTimeout / 10}
	}
	return masterExitedZero(prev, obs, load, at)
}

// masterExitedZero returns the outcome of a master with exit code 0, by the load and the success criteria.
func masterExitedZero(prev *v2.LocustTestStatus, obs *Observation, load *loadAssessment, at time.Time) outcome {
	causes := []string{load.undelivered(obs)}
	if c := obs.criteria(); c != nil {
		causes = append(causes, violated(c, prev, obs))
	}
	causes = slices.DeleteFunc(causes, func(cause string) bool { return cause == "" })
	if len(causes) > 0 {
		return failed(at, strings.Join(causes, "; "))
	}
	return outcome{phase: v2.PhaseSucceeded, completion: at, remark: load.remark()}
}

// awaitsPodEnd reports whether the end of a finished master's pod has not been observed yet.
func awaitsPodEnd(obs *Observation) bool {
	for _, pod := range obs.podsOf(obs.MasterJob) {
		if isLive(pod) {
			return true
		}
	}
	return false
}

// masterExitedNonZero returns the outcome of a master with another exit code. If only failed requests caused it, the success
// criteria decide.
func masterExitedNonZero(prev *v2.LocustTestStatus, obs *Observation, pod *corev1.Pod, load *loadAssessment, at time.Time) outcome {
	if obs.criteria() != nil && failedRequestsOnly(obs, resultAtEnd(prev, obs)) {
		return masterExitedZero(prev, obs, load, at)
	}
	return failed(at, "master "+exitCause(obs, pod))
}

// masterFailed returns the outcome of a master whose Job failed and whose Locust container did not end by itself.
func masterFailed(prev *v2.LocustTestStatus, obs *Observation, now time.Time) outcome {
	at := finishTime(obs.MasterJob, now)
	pods := obs.podsOf(obs.MasterJob)
	if jobReason(obs.MasterJob) == batchv1.JobReasonDeadlineExceeded {
		return failed(at, "the master Job exceeded an activeDeadlineSeconds that the operator did not set; remove the deadline, for example from the policy that sets it")
	}
	for _, pod := range pods {
		if cause := exitCause(obs, pod); cause != "" {
			return failed(at, "master "+cause)
		}
	}
	if withinPodStatusTimeout(obs.jobControllerTime(at), now) && awaitsExitStatus(pods) {
		return outcome{phase: prev.Phase, requeueAfter: podStatusTimeout / 10}
	}
	for _, pod := range pods {
		if pod.DeletionTimestamp != nil {
			return failed(at, fmt.Sprintf("master pod %s was deleted", pod.Name))
		}
	}
	if len(pods) == 0 && jobReason(obs.MasterJob) == batchv1.JobReasonBackoffLimitExceeded {
		return failed(at, "the master pod was deleted")
	}
	return failed(at, "master Job failed: "+jobMessage(obs.MasterJob))
}

// lostWithNode returns the outcome of a master whose pod was deleted and whose node does not report the pod's end; nil otherwise.
// The Job controller marks the Job as Failed only after no pod is terminating, which a lost node may never report; until then
// the Job has the condition FailureTarget.
func lostWithNode(prev *v2.LocustTestStatus, obs *Observation, now time.Time) *outcome {
	if jobCondition(obs.MasterJob, batchv1.JobFailureTarget) == nil {
		return nil
	}
	var last *corev1.Pod
	for _, pod := range obs.podsOf(obs.MasterJob) {
		switch {
		case pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed:
		case pod.DeletionTimestamp == nil:
			return nil
		case last == nil || last.DeletionTimestamp.Before(pod.DeletionTimestamp):
			last = pod
		}
	}
	if last == nil {
		return nil
	}
	requested := deletionRequestedAt(last)
	due := obs.serverTime(requested).Add(last.DeletionTimestamp.Sub(requested))
	if wait := nodeReportTimeout - now.Sub(due); wait > 0 {
		return &outcome{phase: prev.Phase, requeueAfter: wait}
	}
	end := failed(last.DeletionTimestamp.Time, fmt.Sprintf("master pod %s was deleted, and its node does not report that it ended", last.Name))
	return &end
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

// suspendedRun returns why a run is lost because one of its Jobs was suspended; empty if none was. A suspended Job has no pods,
// and a resumed Job starts a second run.
func suspendedRun(prev *v2.LocustTestStatus, obs *Observation) string {
	switch {
	case prev.Phase != v2.PhaseRunning && prev.MasterPod == "" && !masterStarted(obs):
		return ""
	case isSuspended(obs.MasterJob):
		return "the master Job was suspended during the run"
	case hasOtherMaster(prev, obs):
		return "the master Job was suspended during the run, and started another master when it was resumed"
	case isSuspended(obs.WorkerJob) && loadStarted(prev, obs):
		return "the worker Job was suspended during the load, so that all workers were lost"
	}
	return ""
}

// hasOtherMaster reports whether the master Job has a live pod other than the run's.
func hasOtherMaster(prev *v2.LocustTestStatus, obs *Observation) bool {
	return prev.MasterPod != "" && slices.ContainsFunc(obs.podsOf(obs.MasterJob), func(pod *corev1.Pod) bool {
		return pod.Name != prev.MasterPod && isLive(pod)
	})
}

// loadStarted reports whether the load of a running test has started, by Locust's report. Without a report the load counts as
// started once all workers have been connected, because Locust waits for them.
func loadStarted(prev *v2.LocustTestStatus, obs *Observation) bool {
	if obs.Locust != nil && obs.Locust.Report != nil {
		return prev.Progress != nil && prev.Progress.StartTime != nil || obs.Locust.Report.State.Loading()
	}
	return prev.Progress != nil && prev.Progress.StartTime != nil || allConnectedOnce(prev)
}

// isSuspended reports whether a Job must not have pods: it is suspended, or its parallelism is 0.
func isSuspended(job *batchv1.Job) bool {
	return job != nil && !isFinished(job) && (ptr.Deref(job.Spec.Suspend, false) || ptr.Deref(job.Spec.Parallelism, 1) == 0)
}

// suspendedJobs names the suspended Jobs of the test; empty if there are none.
func suspendedJobs(obs *Observation) string {
	master, worker := isSuspended(obs.MasterJob), isSuspended(obs.WorkerJob)
	switch {
	case master && worker:
		return "the master Job and the worker Job are suspended"
	case master:
		return "the master Job is suspended"
	case worker:
		return "the worker Job is suspended"
	}
	return ""
}

// waitsForMaster reports whether the workers have no master yet because its Job is suspended: they give up after some minutes,
// which is not a failure of the test.
func waitsForMaster(prev *v2.LocustTestStatus, obs *Observation) bool {
	return prev.Phase == v2.PhasePending && isSuspended(obs.MasterJob)
}

// workersFailed returns why the worker Job failed; empty if it has not.
func workersFailed(prev *v2.LocustTestStatus, obs *Observation) string {
	if obs.WorkerJob == nil || jobCondition(obs.WorkerJob, batchv1.JobFailed) == nil || waitsForMaster(prev, obs) {
		return ""
	}
	for _, pod := range obs.podsOf(obs.WorkerJob) {
		if cause := exitCause(obs, pod); cause != "" {
			return fmt.Sprintf("worker pod %s %s\nthe worker Job failed: %s", pod.Name, cause, jobMessage(obs.WorkerJob))
		}
	}
	return "the worker Job failed: " + jobMessage(obs.WorkerJob)
}

// startupFailed returns why the startup failed: pods were unhealthy for the whole startup deadline, and the startup is not over.
// Empty if it has not failed.
func startupFailed(prev *v2.LocustTestStatus, obs *Observation, settings Settings, problem *podProblem, now time.Time) string {
	if problem == nil || problem.carriedOver || settings.StartupDeadline <= 0 || suspendedJobs(obs) != "" {
		return ""
	}
	if workers := countWorkers(prev, obs, settings, now); isStartupOver(prev, workers.connected) {
		return ""
	}
	since := unhealthySince(prev)
	if since.IsZero() || now.Sub(since) < settings.StartupDeadline {
		return ""
	}
	return fmt.Sprintf("unhealthy past the startup deadline of %s: %s: %s", settings.StartupDeadline, problem.reason, problem.message)
}

// unhealthySince returns when PodsHealthy became False; zero if it is not.
func unhealthySince(prev *v2.LocustTestStatus) time.Time {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypePodsHealthy)
	if c == nil || c.Status != metav1.ConditionFalse {
		return time.Time{}
	}
	return c.LastTransitionTime.Time
}

// startTime returns when the master's container started, as reported by the kubelet; now if no pod shows it.
func startTime(obs *Observation, now time.Time) time.Time {
	for _, pod := range obs.podsOf(obs.MasterJob) {
		if at := startedAt(pod); !at.IsZero() {
			return at
		}
	}
	if obs.MasterJob != nil && obs.MasterJob.Status.StartTime != nil && isFinished(obs.MasterJob) {
		return obs.MasterJob.Status.StartTime.Time
	}
	return now
}

// finishTime returns when a finished Job ended: its completion time, or the transition time of its condition, or now.
func finishTime(job *batchv1.Job, now time.Time) time.Time {
	if job.Status.CompletionTime != nil {
		return job.Status.CompletionTime.Time
	}
	for _, t := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if c := jobCondition(job, t); c != nil && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	return now
}

// jobCondition returns the Job's condition of a type; nil unless it is True.
func jobCondition(job *batchv1.Job, conditionType batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == conditionType && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// isFinished reports whether the Job is Complete or Failed.
func isFinished(job *batchv1.Job) bool {
	return jobCondition(job, batchv1.JobComplete) != nil || jobCondition(job, batchv1.JobFailed) != nil
}

func jobReason(job *batchv1.Job) string {
	if c := jobCondition(job, batchv1.JobFailed); c != nil {
		return c.Reason
	}
	return ""
}

// jobMessage returns the reason and message of a failed Job.
func jobMessage(job *batchv1.Job) string {
	c := jobCondition(job, batchv1.JobFailed)
	if c == nil {
		return "no reason given"
	}
	return strings.TrimSpace(strings.Trim(c.Reason+": "+c.Message, ": "))
}
