package status

import (
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// immediately requests the next reconcile without delay: a RequeueAfter of zero requests none.
const immediately = time.Nanosecond

// facts is what the rules read: the previous status, the observation, and what follows from the two. Derive and PlanFor fill it
// once. The rules do not modify it; they only request another derivation (requeueIn).
type facts struct {
	*Observation
	prev     *v2.LocustTestStatus
	settings Settings
	now      time.Time

	// masters and workers are the pods of the master Job and of the worker Job.
	masters, workers []*corev1.Pod
	// startedMaster is a master pod of the run whose Locust container has started, runningMaster the newest one that runs,
	// terminatedMaster one whose Locust container has ended, and endedMaster one where it has ended by itself or by spec.stop. They are
	// nil if there is none.
	startedMaster, runningMaster, terminatedMaster, endedMaster *corev1.Pod
	// final is the reporter's final report in the master's termination message; nil without one. finalError is why it cannot be
	// read.
	final      *report.Final
	finalError error
	// report is the newest report of the master's web API; nil if it is too old, or there is none.
	report *report.Report
	// liveResult is the result that the running master reports; nil without a report. result is the one that counts once the run
	// has ended, and stats are its unrounded statistics; nil if the result is only known from the status, for example after a
	// restart of the operator when the master's pod is gone.
	liveResult, result *v2.TestResult
	stats              *report.Stats
	// suspended names the suspended Jobs; empty if there are none.
	suspended string

	// stuck are the objects that make no progress and whose own status does not show why.
	stuck []types.UID
	// problem is the most severe problem of the pods; nil if there is none.
	problem *podProblem
	// connected is the number of workers while the master runs.
	connected workerCount
	// likelyConnectedPods is the number of worker pods that have been ready for long enough to be connected.
	likelyConnectedPods int32
	// load is the state of the load.
	load loadAssessment

	// requeueAfter is the shortest wait that a rule has requested; zero means none.
	requeueAfter time.Duration
}

// newFacts returns the facts that follow from the objects alone.
func newFacts(prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) *facts {
	f := &facts{Observation: obs, prev: prev, settings: settings, now: now}
	f.masters, f.workers = obs.podsOf(obs.MasterJob), obs.podsOf(obs.WorkerJob)
	f.startedMaster, f.runningMaster = startedMaster(obs), RunningMaster(obs)
	f.terminatedMaster, f.endedMaster = terminatedMaster(f.masters), endedMaster(f.masters)
	if f.endedMaster == nil {
		f.endedMaster = obs.stoppedMaster()
	}
	if !prev.IsTerminal() {
		f.final, f.finalError = obs.Final.of(f.terminatedMaster)
	}
	f.report = obs.Locust.freshReport(settings, now)
	f.suspended = f.suspendedJobs()
	f.measure()
	return f
}

// requeueIn requests another derivation after a wait, because the status may change by time alone. A wait that is not positive
// requests none.
func (f *facts) requeueIn(wait time.Duration) { f.requeueAfter = Soonest(f.requeueAfter, wait) }

// podsOf returns the pods of one of the two Jobs; nil without the Job.
func (f *facts) podsOf(job *batchv1.Job) []*corev1.Pod {
	if job == f.MasterJob {
		return f.masters
	}
	return f.workers
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

// RunningMaster returns the newest running master pod; nil if none runs.
func RunningMaster(obs *Observation) *corev1.Pod {
	var newest *corev1.Pod
	for _, pod := range obs.podsOf(obs.MasterJob) {
		if isLive(pod) && !startedAt(pod).IsZero() && (newest == nil || startedAt(pod).After(startedAt(newest))) {
			newest = pod
		}
	}
	return newest
}

// terminatedMaster returns the master pod whose Locust container has ended, for whatever reason; nil if there is none.
func terminatedMaster(masters []*corev1.Pod) *corev1.Pod {
	for _, pod := range masters {
		if c := mainContainer(pod); c != nil && c.State.Terminated != nil {
			return pod
		}
	}
	return nil
}

// endedMaster returns the master pod whose Locust container has ended by itself; nil while none has. That container decides the
// run: the Job keeps running with a sidecar that does not end, and fails with a sidecar's exit code.
func endedMaster(masters []*corev1.Pod) *corev1.Pod {
	for _, pod := range masters {
		if endedByItself(pod) {
			return pod
		}
	}
	return nil
}

// HasOutcome reports whether the master Job or its pod shows how the run ended.
func HasOutcome(obs *Observation) bool {
	return obs.MasterJob != nil && (isFinished(obs.MasterJob) || endedMaster(obs.podsOf(obs.MasterJob)) != nil || obs.stoppedMaster() != nil)
}

// FinalReport is a decoded termination message: decoding takes longer than all rules together.
type FinalReport struct {
	message string
	report  *report.Final
	err     error
}

// DecodeFinalReport decodes the termination message of the run's master. It returns known if that is of the same message, and nil if
// the message is no final report.
func DecodeFinalReport(obs *Observation, known *FinalReport) *FinalReport {
	terminated := terminatedMaster(obs.podsOf(obs.MasterJob))
	if terminated == nil {
		return nil
	}
	message := mainContainer(terminated).State.Terminated.Message
	switch {
	case !report.IsFinal(message):
		return nil
	case known != nil && known.message == message:
		return known
	}
	final, err := report.DecodeFinal(message)
	return &FinalReport{message, final, err}
}

// of returns the final report in a pod's termination message. Both results are nil without a report.
func (r *FinalReport) of(terminated *corev1.Pod) (*report.Final, error) {
	if terminated == nil {
		return nil, nil
	}
	return r.decode(mainContainer(terminated).State.Terminated.Message)
}

// decode decodes a termination message, unless it has been decoded.
func (r *FinalReport) decode(message string) (*report.Final, error) {
	switch {
	case !report.IsFinal(message):
		return nil, nil
	case r != nil && r.message == message:
		return r.report, r.err
	}
	return report.DecodeFinal(message)
}

// FinalReportOf returns the reporter's final report in the termination message of the run's master. Both results are nil without one.
func FinalReportOf(obs *Observation) (*report.Final, error) {
	return obs.Final.of(terminatedMaster(obs.podsOf(obs.MasterJob)))
}

// masterEnd returns the terminated state of the master's container; nil while it runs, or if its pod is gone.
func (f *facts) masterEnd() *corev1.ContainerStateTerminated {
	if f.terminatedMaster == nil {
		return nil
	}
	return mainContainer(f.terminatedMaster).State.Terminated
}

// masterStarted reports whether a master pod of the run is known to have started.
func (f *facts) masterStarted() bool { return f.startedMaster != nil }

// hasMasterEnded reports whether the master or its Job has ended.
func (f *facts) hasMasterEnded() bool {
	return f.endedMaster != nil || f.MasterJob != nil && isFinished(f.MasterJob)
}

// masterRunningSince returns when the running master started, by the operator's clock; zero if none runs.
func (f *facts) masterRunningSince() time.Time {
	if f.runningMaster == nil {
		return time.Time{}
	}
	return f.nodeTime(f.runningMaster, startedAt(f.runningMaster))
}

// isMasterTerminating reports whether the master's pod is being deleted.
func (f *facts) isMasterTerminating() bool {
	return slices.ContainsFunc(f.masters, func(pod *corev1.Pod) bool { return pod.DeletionTimestamp != nil })
}

// apiStartupDeadline returns when the running master should serve its web API; later while it refuses connections.
func (f *facts) apiStartupDeadline() time.Time {
	start := f.masterRunningSince()
	until := start.Add(apiStartupGracePeriod)
	if !f.Locust.neverListened() {
		return until
	}
	late := f.Locust.RefusedAt.Add(apiStartupGracePeriod) // its first response may be slow as well
	if most := start.Add(apiListenGracePeriod); late.After(most) {
		late = most
	}
	if late.After(until) {
		return late
	}
	return until
}

// startupGraceLeft returns how much of the startup grace period remains; not positive if none. After a number of workers has been
// known, only the short period applies: the number does not become unknown again. A master that ends before leaves it unknown.
func (f *facts) startupGraceLeft() time.Duration {
	start := f.masterRunningSince()
	switch {
	case f.prev.ConnectedWorkersSource != "" || f.prev.ConnectedWorkers > 0:
		return start.Add(apiStartupGracePeriod).Sub(f.now)
	case start.IsZero() && f.Locust.neverListened():
		return apiListenGracePeriod
	}
	return f.apiStartupDeadline().Sub(f.now)
}

// isUnreachable reports whether the master does not answer and its startup grace period has passed. That includes a master that
// has not been polled recently, for example because its pod has no IP address.
func (f *facts) isUnreachable() bool {
	l := f.Locust
	return l.Unreachable || ((l.LastError != "" || l.Report != nil) && f.startupGraceLeft() <= 0)
}

// loadStart returns when the load was first observed running; a new load after an ended one has its own start.
func (f *facts) loadStart() *metav1.Time {
	ended := f.prev.TestResult != nil && f.prev.TestResult.Final
	if f.prev.Progress != nil && f.prev.Progress.StartTime != nil && !ended && !f.Locust.LoadSeenAt.After(f.prev.Progress.StartTime.Add(time.Second)) {
		return f.prev.Progress.StartTime
	}
	at := metav1.NewTime(f.Locust.At.Truncate(time.Second))
	return &at
}

// targetLoad returns the requested users and run time: those that Locust reports once a load has started, because it may have been
// started in the web UI, and those of the arguments until then. With a load shape neither is known.
func (f *facts) targetLoad(r *report.Report) resources.Load {
	var load resources.Load
	t := r.Target
	if t != nil && t.Shape {
		return load
	}
	if f.Run != nil {
		load = f.Run.Locust.Load
	}
	if t == nil || !r.State.Loading() && !r.State.Ended() {
		return load
	}
	load.RunTime = t.RunTime
	if t.Users != nil {
		load.Users = t.Users
	}
	return load
}

// runEndedAt returns when a test ended, by the operator's clock.
func (f *facts) runEndedAt(s *v2.LocustTestStatus) time.Time {
	at := s.CompletionTime.Time
	switch pod := f.endedMaster; {
	case pod != nil:
		at = f.nodeTime(pod, finishedAt(pod))
	case f.MasterJob != nil && isFinished(f.MasterJob):
		at = f.jobControllerTime(finishTime(f.MasterJob, at))
	}
	// The end was recorded by the operator's clock; it cannot be later than that.
	if c := meta.FindStatusCondition(s.Conditions, v2.ConditionTypeTestCompleted); c != nil && at.After(c.LastTransitionTime.Time) {
		return c.LastTransitionTime.Time
	}
	return at
}

// withoutFinalReport returns why there is no final report.
func (f *facts) withoutFinalReport() string {
	if f.finalError != nil {
		return "the final report cannot be read: " + f.finalError.Error()
	}
	return "the master wrote no final report"
}

// startTime returns when the master's container started, as reported by the kubelet; now if no pod shows it.
func (f *facts) startTime() time.Time {
	for _, pod := range f.masters {
		if at := startedAt(pod); !at.IsZero() {
			return at
		}
	}
	if f.MasterJob != nil && f.MasterJob.Status.StartTime != nil && isFinished(f.MasterJob) {
		return f.MasterJob.Status.StartTime.Time
	}
	return f.now
}
