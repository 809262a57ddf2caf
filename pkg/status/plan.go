package status

import (
	"slices"
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

const (
	// workerShutdownGracePeriod is how long workers may run after the master has succeeded before they are stopped.
	workerShutdownGracePeriod = 5 * time.Second
	// sidecarGracePeriod is how long the pods of a Job may run after Locust has ended in all of them: slightly longer than the
	// 30 s that sidecars have to terminate. Stopping a Job deletes its running pods, and their logs.
	sidecarGracePeriod = 35 * time.Second
	// stopDeadline is the activeDeadlineSeconds that stops a Job immediately. The operator sets no longer ones.
	stopDeadline = 1
	// maxCompletions bounds the completions of the worker Job: generated pod names have room for indexes of four digits.
	maxCompletions = 9999
	// maxRounds and minCompletions bound the completions of smaller tests, so that workers that end again and again do not leave
	// an unlimited number of pods: maxRounds workers for each expected one, and one more for each roundTime of the run, for example
	// on preemptible nodes; but at least minCompletions.
	maxRounds, minCompletions = 10, 100
	roundTime                 = 5 * time.Minute
)

// Plan contains the changes to the cluster that the test needs to continue or to end.
type Plan struct {
	// CreateService, CreateMaster and CreateWorker select the objects to create, in this order: the worker Job last, so that it
	// proves that the master Job existed.
	CreateService, CreateMaster, CreateWorker bool
	// ReplaceWorkerJob requests that the finished worker Job is deleted, so that it can be recreated.
	ReplaceWorkerJob bool
	// WorkerCompletions is the new number of completions, and the parallelism, of the worker Job; zero means no change.
	WorkerCompletions int32
	// Stop are the Jobs to stop because the test has ended.
	Stop []*batchv1.Job
	// Expire are the finished Jobs that get a TTL.
	Expire []*batchv1.Job
	// Orphans are the pods to delete because they run without an owner.
	Orphans []corev1.Pod
	// RequeueAfter is when to plan again because the plan changes by time alone; zero means no requeue.
	RequeueAfter time.Duration
}

// Creates reports whether the plan creates an object.
func (p *Plan) Creates() bool { return p.CreateService || p.CreateMaster || p.CreateWorker }

// PlanFor returns the changes to the test's objects.
//
// The plan is empty before the first status: the status is written before the objects are created, so that missing objects can be
// distinguished from lost ones.
func PlanFor(prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) Plan {
	if prev.Phase == "" {
		return Plan{}
	}
	plan := planRun
	if prev.IsTerminal() {
		plan = planEnd
	}
	p := plan(prev, obs, settings, now)
	p.Orphans = append(p.Orphans, obs.OldOrphans...)
	for i := range obs.Pods {
		if IsOrphan(&obs.Pods[i]) {
			p.Orphans = append(p.Orphans, obs.Pods[i])
		}
	}
	return p
}

// PlanDeleted returns the changes for a test that is being deleted with a foreign finalizer: its objects are garbage-collected
// only after it is gone, so its load must be stopped.
func PlanDeleted(obs *Observation) Plan {
	var plan Plan
	for _, job := range []*batchv1.Job{obs.MasterJob, obs.WorkerJob} {
		if job != nil && !isFinished(job) && !isStopped(job) {
			plan.Stop = append(plan.Stop, job)
		}
	}
	return plan
}

func planRun(prev *v2.LocustTestStatus, obs *Observation, _ Settings, now time.Time) Plan {
	var plan Plan
	if len(obs.Predecessors) > 0 || len(obs.Foreign) > 0 {
		return plan
	}
	if obs.DNSCacheWait > 0 && obs.Service == nil {
		plan.RequeueAfter = obs.DNSCacheWait
		return plan
	}
	if obs.MasterJob == nil && lostRun(prev, obs, now) != "" {
		return plan
	}
	if obs.MasterJob != nil && (isFinished(obs.MasterJob) || endedMaster(obs) != nil || suspendedRun(prev, obs) != "") {
		return plan
	}
	plan.CreateService = obs.Service == nil
	plan.CreateMaster = obs.MasterJob == nil
	plan.CreateWorker = obs.WorkerJob == nil
	planWorkers(&plan, prev, obs, now)
	return plan
}

// planWorkers replaces deleted workers.
//
// A worker that is terminated exits with code 0, and its Job counts it as succeeded. The Job is Indexed, so that completions and
// parallelism can grow together while it runs (elastic indexed Jobs, KEP-3715): by one for each deleted worker.
func planWorkers(plan *Plan, prev *v2.LocustTestStatus, obs *Observation, now time.Time) {
	job := obs.WorkerJob
	switch {
	case job == nil || job.Spec.Completions == nil || isSuspended(job):
		return
	case jobCondition(job, batchv1.JobFailed) != nil:
		plan.ReplaceWorkerJob = waitsForMaster(prev, obs)
		return
	}
	deleted, requeueAfter := deletedWorkers(obs, now)
	plan.RequeueAfter = requeueAfter
	if jobCondition(job, batchv1.JobComplete) != nil {
		// A finished Job cannot grow, even if its completions were increased too late. At the end of a test all expected workers
		// have exited cleanly.
		plan.ReplaceWorkerJob = job.Status.Succeeded-deleted < obs.expectedPods() && !finishedByMaster(obs)
		return
	}
	if want := min(obs.expectedPods()+deleted, completionsLimit(obs, now)); want > *job.Spec.Completions {
		plan.WorkerCompletions = want
	}
}

// completionsLimit returns the maximum completions of the worker Job.
func completionsLimit(obs *Observation, now time.Time) int32 {
	expected := obs.expectedPods()
	age := max(now.Sub(obs.serverTime(obs.WorkerJob.CreationTimestamp.Time)), 0)
	rounds := maxRounds + int32(min(age/roundTime, maxCompletions))
	return max(expected, min(max(rounds*expected, minCompletions), maxCompletions))
}

// isAtCompletionsLimit reports whether lost workers are not replaced because the worker Job has grown to its limit.
func isAtCompletionsLimit(obs *Observation, now time.Time) bool {
	job := obs.WorkerJob
	if job == nil || job.Spec.Completions == nil || *job.Spec.Completions < completionsLimit(obs, now) {
		return false
	}
	deleted, _ := deletedWorkers(obs, now)
	return obs.expectedPods()+deleted > completionsLimit(obs, now)
}

// deletedWorkers returns how many of the Job's completed indexes belong to workers that must be replaced while the master runs:
// their pods were deleted, or they exited cleanly while others kept running. If all exit together, the master has ended them
// because the test ends. requeueAfter is when the number may change by time alone; zero means no requeue.
func deletedWorkers(obs *Observation, now time.Time) (count int32, requeueAfter time.Duration) {
	podByIndex := map[int]*corev1.Pod{}
	othersRun := false
	for _, pod := range obs.podsOf(obs.WorkerJob) {
		if isLive(pod) {
			othersRun = true
		}
		if index, err := strconv.Atoi(pod.Labels[batchv1.JobCompletionIndexAnnotation]); err == nil && pod.DeletionTimestamp == nil {
			if known := podByIndex[index]; known == nil || exitedZero(pod) {
				podByIndex[index] = pod
			}
		}
	}
	for _, index := range completedIndexes(obs.WorkerJob) {
		pod := podByIndex[index]
		switch {
		case pod == nil:
			count++
		case othersRun && exitedCleanly(pod):
			at := obs.nodeTime(pod, finishedAt(pod))
			grace, loadEnded := replacementGracePeriod(obs, at)
			switch wait := grace - now.Sub(at); {
			case loadEnded:
			case wait > 0:
				requeueAfter = soonest(requeueAfter, wait)
			default:
				count++
			}
		}
	}
	return count, requeueAfter
}

// replacementGracePeriod returns how long after its exit a worker that exited cleanly is replaced; loadEnded reports whether the
// master has reported the end of the load since. Until the master answers, its end may not have been observed yet.
func replacementGracePeriod(obs *Observation, exit time.Time) (grace time.Duration, loadEnded bool) {
	l := obs.Locust
	switch {
	case l == nil || l.Unreachable:
		return workerExitGracePeriod, false
	case l.Report == nil || !l.At.After(exit):
		return unansweredExitGracePeriod, false
	}
	return workerExitGracePeriod, l.Report.State.Ended()
}

// finishedByMaster reports whether workers of the finished worker Job exited cleanly: the master has ended them.
func finishedByMaster(obs *Observation) bool {
	return slices.ContainsFunc(obs.podsOf(obs.WorkerJob), exitedCleanly)
}

// completedIndexes parses the Job's completed indexes, for example "0,2-4".
func completedIndexes(job *batchv1.Job) []int {
	var indexes []int
	for _, part := range strings.Split(job.Status.CompletedIndexes, ",") {
		from, to, ranged := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		last := first
		if ranged {
			if last, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		for i := first; i <= last && i <= maxCompletions; i++ {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// planEnd stops the load of a test that has ended, and sets the TTL of its Jobs. The master Job gets its TTL only now: if it
// expired before its outcome was recorded, the outcome would be lost.
func planEnd(prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) Plan {
	var plan Plan
	for _, job := range []*batchv1.Job{obs.MasterJob, obs.WorkerJob} {
		switch {
		case job == nil:
		case isFinished(job):
			if settings.JobTTL != nil && job.Spec.TTLSecondsAfterFinished == nil {
				plan.Expire = append(plan.Expire, job)
			}
		case isStopped(job):
		default:
			if wait := shutdownGraceLeft(prev, obs, job, now); wait > 0 {
				plan.RequeueAfter = soonest(plan.RequeueAfter, wait)
			} else {
				plan.Stop = append(plan.Stop, job)
			}
		}
	}
	return plan
}

// isStopped reports whether the operator has stopped the Job. A longer deadline was set by a policy or a user: it does not end
// the load when the test ends.
func isStopped(job *batchv1.Job) bool {
	deadline := job.Spec.ActiveDeadlineSeconds
	staysStopped := !ptr.Deref(job.Spec.Suspend, false) || ptr.Deref(job.Spec.Parallelism, 1) == 0
	return deadline != nil && *deadline <= stopDeadline && staysStopped
}

// StopPatch returns the patch of a Job's spec that ends its pods and prevents new ones: its deadline has passed, so that it
// finishes, its TTL applies, and it and its finished pods stay for their logs. The parallelism of 0 keeps a suspended Job from
// running pods for one second when it is resumed.
func StopPatch(settings Settings) map[string]any {
	spec := map[string]any{"activeDeadlineSeconds": stopDeadline, "parallelism": 0}
	if ttl := settings.JobTTL; ttl != nil {
		spec["ttlSecondsAfterFinished"] = int64(*ttl / time.Second)
	}
	return spec
}

// shutdownGraceLeft returns how long a Job of a test that has ended may still end by itself; not positive if it must be stopped.
func shutdownGraceLeft(prev *v2.LocustTestStatus, obs *Observation, job *batchv1.Job, now time.Time) time.Duration {
	ended := locustEndedAt(obs, job)
	switch {
	case !ended.IsZero() && (job == obs.MasterJob || slices.ContainsFunc(obs.podsOf(job), isHeldOpen)):
		return sidecarGracePeriod - max(now.Sub(ended), 0)
	case prev.Phase == v2.PhaseSucceeded && prev.CompletionTime != nil:
		return workerShutdownGracePeriod - max(now.Sub(runEndedAt(prev, obs)), 0)
	}
	return 0
}

// runEndedAt returns when a test ended, by the operator's clock.
func runEndedAt(s *v2.LocustTestStatus, obs *Observation) time.Time {
	at := s.CompletionTime.Time
	switch pod := endedMaster(obs); {
	case pod != nil:
		at = obs.nodeTime(pod, finishedAt(pod))
	case obs.MasterJob != nil && isFinished(obs.MasterJob):
		at = obs.jobControllerTime(finishTime(obs.MasterJob, at))
	}
	// The end was recorded by the operator's clock; it cannot be later than that.
	if c := meta.FindStatusCondition(s.Conditions, v2.ConditionTypeTestCompleted); c != nil && at.After(c.LastTransitionTime.Time) {
		return c.LastTransitionTime.Time
	}
	return at
}

// isHeldOpen reports whether other containers keep running in a pod whose Locust container has ended.
func isHeldOpen(pod *corev1.Pod) bool {
	return !finishedAt(pod).IsZero() && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// locustEndedAt returns when Locust had ended in all pods of a Job, by the operator's clock; zero if it has not, or there are no
// pods.
func locustEndedAt(obs *Observation, job *batchv1.Job) time.Time {
	var last time.Time
	for _, pod := range obs.podsOf(job) {
		at := obs.nodeTime(pod, finishedAt(pod))
		if at.IsZero() {
			return time.Time{}
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

// soonest returns the shorter of two waiting times; zero means never.
func soonest(a, b time.Duration) time.Duration {
	if a <= 0 || (b > 0 && b < a) {
		return b
	}
	return a
}
