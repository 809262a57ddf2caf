package status

import (
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// workerCount is the number of connected workers.
type workerCount struct {
	workers int32
	// source is where the number comes from: ConnectedWorkersSource of the status.
	source string
}

// countWorkers returns the number of workers that Locust's master reports. It counts pods only while the master is unreachable: a
// pod is ready when its process runs, connected or not.
func (f *facts) countWorkers() workerCount {
	switch {
	case f.report != nil:
		f.requeueIn(f.settings.reportMaxAge() - f.now.Sub(f.Locust.At))
		return workerCount{f.reportedWorkers(), v2.WorkersSourceWebAPI}
	case f.Locust != nil && !f.isUnreachable():
		// The master has not been polled yet, or is in its startup grace period: keep the previous number.
		if f.Locust.LastError != "" {
			f.requeueIn(f.startupGraceLeft())
		}
		return workerCount{f.prev.ConnectedWorkers, f.prev.ConnectedWorkersSource}
	}
	return workerCount{f.likelyConnectedPods() * f.perPod(), v2.WorkersSourceReadyPods}
}

// reportedWorkers returns the number of workers that the master reports, corrected by their pods.
//
// When the load has ended, the master ends its workers before itself: then only deleted workers are missing. Before that, a busy
// worker may be late with its heartbeat (3 s, locust/runners.py): if its pod has been ready for longReadyAge, it counts for
// heartbeatGracePeriod.
func (f *facts) reportedWorkers() int32 {
	reported := f.report.Workers
	if f.report.State.Ended() {
		return max(reported, min(f.prev.ConnectedWorkers, f.readyWorkers()+f.cleanlyExitedWorkers()))
	}
	here := min(f.prev.ConnectedWorkers, f.longReadyWorkers())
	if left := heartbeatGracePeriod - f.now.Sub(f.Locust.WorkersChangedAt); left > 0 && here > reported {
		f.requeueIn(left)
		return here
	}
	// The master notices a killed worker only after the heartbeat timeout, so never count more workers than running processes.
	return min(reported, f.startedWorkers()+f.cleanlyExitedWorkers())
}

// likelyConnectedPods returns how many worker pods have been ready for long enough to be connected. The caller must check that the master runs.
func (f *facts) likelyConnectedPods() int32 {
	var count int32
	if f.WorkerJob == nil {
		return 0
	}
	pods := f.workers
	if len(pods) == 0 {
		return readyCount(f.WorkerJob)
	}
	endedTogether := allEnded(pods)
	for _, group := range byIndex(pods) {
		needed := connectTime
		if lastCrash(group) != nil {
			needed = restartedConnectTime
		}
		for _, pod := range group {
			switch {
			case isReady(pod):
				if left := needed - f.now.Sub(f.nodeTime(pod, startedAt(pod))); left > 0 {
					f.requeueIn(left)
				} else {
					count++
				}
			case exitedCleanly(pod) && endedTogether:
				count++
			case exitedCleanly(pod):
				if left := workerExitGracePeriod - f.now.Sub(f.nodeTime(pod, finishedAt(pod))); left > 0 {
					count++
					f.requeueIn(left)
				}
			}
		}
	}
	return count
}

// startedWorkers returns the number of workers whose processes run and whose pods are not being deleted.
func (f *facts) startedWorkers() int32 {
	return f.countWorkersIn(func(pod *corev1.Pod) bool { return isLive(pod) && !startedAt(pod).IsZero() })
}

// longReadyWorkers returns the number of workers that are ready and had time to connect; a recent replacement does not count yet.
func (f *facts) longReadyWorkers() int32 {
	return f.countWorkersIn(func(pod *corev1.Pod) bool {
		return isReady(pod) && f.now.Sub(f.nodeTime(pod, startedAt(pod))) >= longReadyAge
	})
}

// cleanlyExitedWorkers returns the number of workers that have exited cleanly.
func (f *facts) cleanlyExitedWorkers() int32 { return f.countWorkersIn(exitedCleanly) }

// countWorkersIn returns the number of workers in the worker pods that match.
func (f *facts) countWorkersIn(fits func(*corev1.Pod) bool) int32 {
	return f.countPods(fits) * f.perPod()
}

// countPods returns the number of worker pods that match.
func (f *facts) countPods(fits func(*corev1.Pod) bool) int32 {
	var n int32
	for _, pod := range f.workers {
		if fits(pod) {
			n++
		}
	}
	return n
}

// allEnded reports whether no worker is live: the master has ended those that exited cleanly, because the test ends.
func allEnded(pods []*corev1.Pod) bool {
	return !slices.ContainsFunc(pods, isLive)
}

// ranLongEnoughToConnect reports whether the workers can have been connected to the master: those of a master that succeeded were,
// and those of a master that failed immediately were not.
func (f *facts) ranLongEnoughToConnect(next *v2.LocustTestStatus) bool {
	if next.StartTime.IsZero() || next.CompletionTime == nil {
		return false
	}
	started := next.StartTime.Time
	if pod := f.startedMaster; pod != nil {
		started = f.nodeTime(pod, startedAt(pod))
	}
	return next.Phase == v2.PhaseSucceeded || f.runEndedAt(next).Sub(started) >= 2*connectTime
}

// exitedCleanly reports whether the worker exited with code 0 and was neither deleted nor disrupted.
func exitedCleanly(pod *corev1.Pod) bool {
	return exitedZero(pod) && pod.DeletionTimestamp == nil && !wasDisrupted(pod)
}

// workersAtEnd returns how many workers ran when the test ended, by the operator's clock, according to the remaining pods. The
// result does not depend on earlier observations.
func (f *facts) workersAtEnd(end time.Time) int32 {
	var count int32
	for _, pod := range f.workers {
		started, finished := f.nodeTime(pod, startedAt(pod)), f.nodeTime(pod, finishedAt(pod))
		if started.IsZero() || started.After(end) || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if finished.IsZero() && pod.DeletionTimestamp != nil {
			continue
		}
		if finished.IsZero() || !finished.Before(end.Add(-workerExitGracePeriod)) {
			count++
		}
	}
	return count * f.perPod()
}

func readyCount(job *batchv1.Job) int32 {
	if job.Status.Ready == nil {
		return job.Status.Active
	}
	return *job.Status.Ready
}

// allConnectedOnce reports whether all workers were connected at the same time before.
func allConnectedOnce(prev *v2.LocustTestStatus) bool {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypeWorkersConnected)
	return c != nil && c.Reason != v2.ReasonWaitingForWorkers
}

// isStartupOver reports whether the startup is over: all workers have been connected once, and not all of them are gone. Workers
// that fail slowly may have counted as connected before.
func isStartupOver(s *v2.LocustTestStatus, connected int32) bool {
	return allConnectedOnce(s) && connected > 0
}

// frozenWorkers returns how many workers were connected while the test ran: as the reporter reports, else as last observed. An
// operator that did not observe the run counts the remaining pods.
func (f *facts) frozenWorkers(next *v2.LocustTestStatus) workerCount {
	if f.final != nil && !f.final.LoadStart.IsZero() {
		// The user's code may report any number; bound it as while the test runs.
		limit := max(f.expectedWorkers(), f.prev.ConnectedWorkers, int32(len(f.workers))*f.perPod())
		return workerCount{min(f.final.Workers, limit), v2.WorkersSourceReporter}
	}
	// A master that failed and never listened had no workers: it may have failed to load the locustfile.
	observed := f.Locust != nil && f.Locust.Report != nil || next.Phase == v2.PhaseFailed && f.Locust.neverListened()
	if !observed && f.ranLongEnoughToConnect(next) {
		if atEnd := f.workersAtEnd(f.runEndedAt(next)); atEnd > f.prev.ConnectedWorkers {
			return workerCount{atEnd, v2.WorkersSourceReadyPods}
		}
	}
	return workerCount{f.prev.ConnectedWorkers, f.prev.ConnectedWorkersSource}
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
	case next.ConnectedWorkersSource == v2.WorkersSourceReadyPods && f.report == nil && f.Locust != nil && f.isUnreachable():
		message += " (counted from the worker Job's ready pods, because Locust's web API cannot be reached: " + f.Locust.lastError() + ")"
	case next.ConnectedWorkersSource == v2.WorkersSourceReadyPods:
		message += " (counted from the worker Job's ready pods)"
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
