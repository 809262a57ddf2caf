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
	// workerShutdownGracePeriod is how long workers may take to end after their master has finished well, before they are stopped.
	workerShutdownGracePeriod = 5 * time.Second
	// sidecarGracePeriod is how long the pods of a Job may take to end after Locust has ended in all of them: a little more than
	// the 30 s that sidecars have to terminate. Stopping a Job deletes its running pods, and their logs.
	sidecarGracePeriod = 35 * time.Second
	// stopDeadline, in seconds, as a Job's activeDeadlineSeconds stops it at once. Longer ones are not the operator's.
	stopDeadline = 1
	// maxCompletions bounds how far the worker Job grows: indexes have at most four digits, which is what
	// generated names leave room for.
	maxCompletions = 9999
	// maxRounds and minCompletions bound it for smaller tests, so that workers that end again and again do not leave pods
	// without end: so many workers for each that is expected, and one more for each roundTime of the run, for example on nodes
	// that are taken away; but not less than the minimum.
	maxRounds, minCompletions = 10, 100
	roundTime                 = 5 * time.Minute
)

// Plan is what the cluster lacks for the test to go on, or to end.
type Plan struct {
	// CreateService, CreateMaster and CreateWorker tell which objects to create, in this order: the worker
	// Job last, so that it proves that the master Job had existed.
	CreateService, CreateMaster, CreateWorker bool
	// ReplaceWorkerJob asks to delete the finished worker Job, so that it is created anew.
	ReplaceWorkerJob bool
	// WorkerCompletions is the new number of completions, and parallelism, of the worker Job; 0 leaves it.
	WorkerCompletions int32
	// Stop are Jobs whose pods must end now, because the test has ended.
	Stop []*batchv1.Job
	// Expire are finished Jobs that get the time to live.
	Expire []*batchv1.Job
	// Orphans are pods that nobody owns any more and that would go on for ever.
	Orphans []corev1.Pod
	// RequeueAfter is when to plan again because time alone changes the plan; 0 when it does not.
	RequeueAfter time.Duration
}

// Creates tells whether the plan creates anything.
func (p *Plan) Creates() bool { return p.CreateService || p.CreateMaster || p.CreateWorker }

// HasMadeAll tells of a plan that was carried out whether it has made all objects of a test that had none, so that nothing else
// is to be told of the test than that they exist.
func (p *Plan) HasMadeAll(prev *v2.LocustTestStatus, obs *Observation) bool {
	ready := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypeReady)
	return p.CreateService && p.CreateMaster && p.CreateWorker &&
		obs.Service != nil && obs.MasterJob != nil && obs.WorkerJob != nil && obs.Failure == nil &&
		ready != nil && ready.Reason == v2.ReasonResourcesCreating
}

// PlanFor decides what to do about the test's objects.
//
// Before the first status there is nothing to do: the status is written first, so that what exists can
// always be told from what was lost.
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

// PlanDeleted decides what to do about a test that is being deleted while somebody's finalizer holds it: its objects go
// only when it is gone, so its load is stopped.
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

// planWorkers replaces workers that were deleted.
//
// A worker that is told to go exits with code 0, and its Job counts it as done. The Job is Indexed, so that
// completions and parallelism can grow together while it runs (elastic indexed Jobs, KEP-3715): one more for
// each worker that was taken away.
func planWorkers(plan *Plan, prev *v2.LocustTestStatus, obs *Observation, now time.Time) {
	job := obs.WorkerJob
	switch {
	case job == nil || job.Spec.Completions == nil || isSuspended(job):
		return
	case jobCondition(job, batchv1.JobFailed) != nil:
		plan.ReplaceWorkerJob = waitsForMaster(prev, obs)
		return
	}
	taken, again := deletedWorkers(obs, now)
	plan.RequeueAfter = again
	if jobCondition(job, batchv1.JobComplete) != nil {
		// A finished Job cannot grow, even where it was asked to a moment too late. At the end of a test as many
		// workers as are expected have left by themselves.
		plan.ReplaceWorkerJob = job.Status.Succeeded-taken < obs.expectedPods() && !finishedByMaster(obs)
		return
	}
	if want := min(obs.expectedPods()+taken, completionsLimit(obs, now)); want > *job.Spec.Completions {
		plan.WorkerCompletions = want
	}
}

// completionsLimit is how far the worker Job may grow.
func completionsLimit(obs *Observation, now time.Time) int32 {
	expected := obs.expectedPods()
	age := max(now.Sub(obs.local(obs.WorkerJob.UID, obs.WorkerJob.CreationTimestamp.Time)), 0)
	rounds := maxRounds + int32(min(age/roundTime, maxCompletions))
	return max(expected, min(max(rounds*expected, minCompletions), maxCompletions))
}

// isAtCompletionsLimit reports whether workers that were lost are not replaced because the worker Job has grown to its bound.
func isAtCompletionsLimit(obs *Observation, now time.Time) bool {
	job := obs.WorkerJob
	if job == nil || job.Spec.Completions == nil || *job.Spec.Completions < completionsLimit(obs, now) {
		return false
	}
	taken, _ := deletedWorkers(obs, now)
	return obs.expectedPods()+taken > completionsLimit(obs, now)
}

// deletedWorkers is how many of the Job's completed indexes belong to workers that were taken away while the
// master runs: their pods were deleted, or they left by themselves while others stayed. Workers that all
// leave together were sent home by the master: the test ends.
func deletedWorkers(obs *Observation, now time.Time) (taken int32, again time.Duration) {
	left := map[int]*corev1.Pod{}
	staying := false
	for _, pod := range obs.podsOf(obs.WorkerJob) {
		if isLive(pod) {
			staying = true
		}
		if index, err := strconv.Atoi(pod.Labels[batchv1.JobCompletionIndexAnnotation]); err == nil && pod.DeletionTimestamp == nil {
			if known := left[index]; known == nil || exitedZero(pod) {
				left[index] = pod
			}
		}
	}
	for _, index := range completedIndexes(obs.WorkerJob) {
		pod := left[index]
		switch {
		case pod == nil:
			taken++
		case staying && exitedCleanly(pod):
			if wait := workerExitGracePeriod - now.Sub(obs.local(pod.UID, finishedAt(pod))); wait > 0 {
				again = soonest(again, wait)
			} else {
				taken++
			}
		}
	}
	return taken, again
}

// finishedByMaster tells whether workers of the finished worker Job left by themselves: the test ends.
func finishedByMaster(obs *Observation) bool {
	return slices.ContainsFunc(obs.podsOf(obs.WorkerJob), exitedCleanly)
}

// completedIndexes reads the Job's list of completed indexes, for example "0,2-4".
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

// planEnd stops the load of a test that has ended, and lets its Jobs expire. The master Job gets its time to
// live only now: had it expired before its outcome was recorded, the outcome would be lost.
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

// isStopped reports whether the operator has stopped the Job. A longer deadline is that of a policy or a user: it does not
// end the load when the test ends.
func isStopped(job *batchv1.Job) bool {
	deadline := job.Spec.ActiveDeadlineSeconds
	stays := !ptr.Deref(job.Spec.Suspend, false) || ptr.Deref(job.Spec.Parallelism, 1) == 0
	return deadline != nil && *deadline <= stopDeadline && stays
}

// StopPatch is the change to a Job's spec that ends its pods and keeps it from having others: its deadline has passed, so
// that it counts as finished, its time to live applies, and it and its finished pods stay for their logs. Without
// parallelism a suspended Job has no pods for the second that the deadline leaves it when it is resumed.
func StopPatch(settings Settings) map[string]any {
	spec := map[string]any{"activeDeadlineSeconds": stopDeadline, "parallelism": 0}
	if ttl := settings.JobTTL; ttl != nil {
		spec["ttlSecondsAfterFinished"] = int64(*ttl / time.Second)
	}
	return spec
}

// shutdownGraceLeft is how long a Job of a test that has ended may still end by itself, not positive when it has to be stopped.
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

// runEndedAt is when a test that has ended did so, by the operator's clock.
func runEndedAt(s *v2.LocustTestStatus, obs *Observation) time.Time {
	at := s.CompletionTime.Time
	switch pod := endedMaster(obs); {
	case pod != nil:
		at = obs.local(pod.UID, finishedAt(pod))
	case obs.MasterJob != nil && isFinished(obs.MasterJob):
		at = obs.local(obs.MasterJob.UID, finishTime(obs.MasterJob, at))
	}
	// An operator has recorded the end; by its clock it was before that.
	if c := meta.FindStatusCondition(s.Conditions, v2.ConditionTypeTestCompleted); c != nil && at.After(c.LastTransitionTime.Time) {
		return c.LastTransitionTime.Time
	}
	return at
}

// isHeldOpen reports whether other containers run on in a pod whose Locust container has ended.
func isHeldOpen(pod *corev1.Pod) bool {
	return !finishedAt(pod).IsZero() && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// locustEndedAt is when Locust had ended in all pods of a Job, by the operator's clock; zero while it has not, or when there
// are no pods.
func locustEndedAt(obs *Observation, job *batchv1.Job) time.Time {
	var last time.Time
	for _, pod := range obs.podsOf(job) {
		at := obs.local(pod.UID, finishedAt(pod))
		if at.IsZero() {
			return time.Time{}
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}

// soonest is the shorter of two waiting times, where 0 means never.
func soonest(a, b time.Duration) time.Duration {
	if a <= 0 || (b > 0 && b < a) {
		return b
	}
	return a
}
