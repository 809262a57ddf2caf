package status

import (
	"slices"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

const (
	// stopDeadline is the activeDeadlineSeconds that stops a Job immediately. The operator sets no longer ones.
	stopDeadline = 1
	// maxCompletions bounds the completions of the worker Job: generated pod names have room for indexes of four digits.
	maxCompletions = 9999
	// maxRounds and minCompletions bound the completions of smaller tests, so that workers that end again and again do not leave
	// an unlimited number of pods: maxRounds workers for each expected one, and one more for each replacementInterval of the run, for example
	// on preemptible nodes; but at least minCompletions.
	maxRounds, minCompletions = 10, 100
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
	// CreateReport requests the LocustReport of a test that has ended. It is created before the Jobs are stopped or get a TTL, because
	// its sources are in their pods.
	CreateReport bool
	// EndLoad is the Job of the running master that spec.stop ends; nil if the load goes on. See EndLoadPatch.
	EndLoad *batchv1.Job
	// Stop are the Jobs to stop because the test has ended.
	Stop []*batchv1.Job
	// Expire are the finished Jobs that get a TTL.
	Expire []*batchv1.Job
	// Orphans are the pods to delete because they run without an owner.
	Orphans []corev1.Pod
	// EventsFor are the Jobs and pods that make no progress and whose own status does not show why: their Events must be read.
	EventsFor []types.UID
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
	var plan Plan
	if prev.Phase == "" {
		return plan
	}
	f := newFacts(prev, obs, settings, now)
	if prev.IsTerminal() {
		f.planEnd(&plan)
	} else {
		f.planRun(&plan)
	}
	plan.Orphans = append(plan.Orphans, obs.OldOrphans...)
	for i := range obs.Pods {
		if IsOrphan(&obs.Pods[i]) {
			plan.Orphans = append(plan.Orphans, obs.Pods[i])
		}
	}
	plan.EventsFor = f.findStuckObjects()
	plan.RequeueAfter = f.requeueAfter
	return plan
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

// planRun creates the missing objects of a test that has not ended, unless its run is lost, and replaces lost workers.
func (f *facts) planRun(plan *Plan) {
	switch {
	case f.stopRequested():
		f.planStop(plan)
		return
	case len(f.Predecessors) > 0 || len(f.Foreign) > 0:
		return
	case f.DNSCacheWait > 0 && f.Service == nil:
		f.requeueIn(f.DNSCacheWait)
		return
	case f.MasterJob == nil && f.runLost() != "":
		return
	case f.MasterJob != nil && (f.hasMasterEnded() || f.runSuspended() != ""):
		return
	}
	plan.CreateService = f.Service == nil
	plan.CreateMaster = f.MasterJob == nil
	plan.CreateWorker = f.WorkerJob == nil
	f.planWorkers(plan)
}

// planWorkers replaces deleted workers.
//
// A worker that is terminated exits with code 0, and its Job counts it as succeeded. The Job is Indexed, so that completions and
// parallelism can grow together while it runs (elastic indexed Jobs, KEP-3715): by one for each deleted worker.
func (f *facts) planWorkers(plan *Plan) {
	job := f.WorkerJob
	switch {
	case job == nil || job.Spec.Completions == nil || isSuspended(job):
		return
	case jobCondition(job, batchv1.JobFailed) != nil:
		plan.ReplaceWorkerJob = f.waitsForMaster()
		return
	}
	deleted := f.deletedWorkers()
	if jobCondition(job, batchv1.JobComplete) != nil {
		// A finished Job cannot grow, even if its completions were increased too late. At the end of a test all expected workers
		// have exited cleanly.
		plan.ReplaceWorkerJob = job.Status.Succeeded-deleted < f.expectedPods() && !f.finishedByMaster()
		return
	}
	if want := min(f.expectedPods()+deleted, f.completionsLimit()); want > *job.Spec.Completions {
		plan.WorkerCompletions = want
	}
}

// completionsLimit returns the maximum completions of the worker Job.
func (f *facts) completionsLimit() int32 {
	expected := f.expectedPods()
	age := max(f.now.Sub(f.serverTime(f.WorkerJob.CreationTimestamp.Time)), 0)
	rounds := maxRounds + int32(min(age/replacementInterval, maxCompletions))
	return max(expected, min(max(rounds*expected, minCompletions), maxCompletions))
}

// isAtCompletionsLimit reports whether lost workers are not replaced because the worker Job has grown to its limit.
func (f *facts) isAtCompletionsLimit() bool {
	job := f.WorkerJob
	if job == nil || job.Spec.Completions == nil || *job.Spec.Completions < f.completionsLimit() {
		return false
	}
	return f.expectedPods()+f.deletedWorkers() > f.completionsLimit()
}

// deletedWorkers returns how many of the Job's completed indexes belong to workers that must be replaced while the master runs:
// their pods were deleted, or they exited cleanly while others kept running. If all exit together, the master has ended them
// because the test ends.
func (f *facts) deletedWorkers() int32 {
	var count int32
	podByIndex := map[int]*corev1.Pod{}
	othersRun := false
	for _, pod := range f.workers {
		if isLive(pod) {
			othersRun = true
		}
		if index, err := strconv.Atoi(pod.Labels[batchv1.JobCompletionIndexAnnotation]); err == nil && pod.DeletionTimestamp == nil {
			if known := podByIndex[index]; known == nil || exitedZero(pod) {
				podByIndex[index] = pod
			}
		}
	}
	for _, index := range completedIndexes(f.WorkerJob) {
		pod := podByIndex[index]
		switch {
		case pod == nil:
			count++
		case othersRun && exitedCleanly(pod):
			at := f.nodeTime(pod, finishedAt(pod))
			grace, loadEnded := f.replacementGracePeriod(at)
			switch wait := grace - f.now.Sub(at); {
			case loadEnded:
			case wait > 0:
				f.requeueIn(wait)
			default:
				count++
			}
		}
	}
	return count
}

// replacementGracePeriod returns how long after its exit a worker that exited cleanly is replaced; loadEnded reports whether the
// master has reported the end of the load since. Until the master answers, its end may not have been observed yet.
func (f *facts) replacementGracePeriod(exit time.Time) (grace time.Duration, loadEnded bool) {
	l := f.Locust
	switch {
	case l == nil || l.Unreachable:
		return workerExitGracePeriod, false
	case l.Report == nil || !l.At.After(exit):
		return unansweredExitGracePeriod, false
	}
	return workerExitGracePeriod, l.Report.State.Ended()
}

// finishedByMaster reports whether workers of the finished worker Job exited cleanly: the master has ended them.
func (f *facts) finishedByMaster() bool {
	return slices.ContainsFunc(f.workers, exitedCleanly)
}

// planEnd stops the load of a test that has ended, and sets the TTL of its Jobs. The master Job gets its TTL only now: if it
// expired before its outcome was recorded, the outcome would be lost.
func (f *facts) planEnd(plan *Plan) {
	// A test that had ended before the upgrade to this version has no report.
	plan.CreateReport = f.prev.Report != "" && !f.ReportExists
	for _, job := range []*batchv1.Job{f.MasterJob, f.WorkerJob} {
		switch {
		case job == nil:
		case isFinished(job):
			if f.settings.JobTTL != nil && job.Spec.TTLSecondsAfterFinished == nil {
				plan.Expire = append(plan.Expire, job)
			}
		case isStopped(job):
		default:
			if wait := f.shutdownGraceLeft(job); wait > 0 {
				f.requeueIn(wait)
			} else {
				plan.Stop = append(plan.Stop, job)
			}
		}
	}
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
// running pods for one second when it is resumed. A nil ttl sets none.
func StopPatch(ttl *time.Duration) map[string]any {
	spec := map[string]any{"activeDeadlineSeconds": stopDeadline, "parallelism": 0}
	if ttl != nil {
		spec["ttlSecondsAfterFinished"] = int64(*ttl / time.Second)
	}
	return spec
}

// shutdownGraceLeft returns how long a Job of a test that has ended may still end by itself; not positive if it must be stopped.
func (f *facts) shutdownGraceLeft(job *batchv1.Job) time.Duration {
	ended := f.locustEndedAt(job)
	switch {
	case !ended.IsZero() && (job == f.MasterJob || slices.ContainsFunc(f.podsOf(job), isHeldOpen)):
		return sidecarGracePeriod - max(f.now.Sub(ended), 0)
	case f.prev.Phase == v2.PhaseSucceeded && f.prev.CompletionTime != nil:
		return workerShutdownGracePeriod - max(f.now.Sub(f.runEndedAt(f.prev)), 0)
	}
	return 0
}

// isHeldOpen reports whether other containers keep running in a pod whose Locust container has ended.
func isHeldOpen(pod *corev1.Pod) bool {
	return !finishedAt(pod).IsZero() && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed
}

// locustEndedAt returns when Locust had ended in all pods of a Job, by the operator's clock; zero if it has not, or there are no
// pods.
func (f *facts) locustEndedAt(job *batchv1.Job) time.Time {
	var last time.Time
	for _, pod := range f.podsOf(job) {
		at := f.nodeTime(pod, finishedAt(pod))
		if at.IsZero() {
			return time.Time{}
		}
		if at.After(last) {
			last = at
		}
	}
	return last
}
