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

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// workerExitGracePeriod is how long workers that exited cleanly still count as connected while the master runs. At the end of a
// test the master ends its workers about a second before itself: they are not lost.
const workerExitGracePeriod = 10 * time.Second

// unansweredExitGracePeriod replaces workerExitGracePeriod while the master's web API has not answered since the worker's exit.
const unansweredExitGracePeriod = 30 * time.Second

const (
	// heartbeatGracePeriod is how long the master may not report a worker whose pod is ready before the worker counts as missing.
	heartbeatGracePeriod = 6 * time.Second
	// longReadyAge is how long that pod must have been running.
	longReadyAge = 15 * time.Second
	// connectTime is how long a worker's container must run before it counts as connected: Locust needs one or two seconds to load
	// the locustfile and to connect, or to fail.
	connectTime = 3 * time.Second
	// restartedConnectTime is the same for the replacement of a worker that failed.
	restartedConnectTime = 15 * time.Second
)

// sourceReadyPods is the source in the message when the number of workers is not reported by Locust's master.
const sourceReadyPods = "counted from the worker Job's ready pods"

// sourceUnknown is the source in the message before the first report. prevSource compares it: it must not change.
const sourceUnknown = " (Locust's web API has not answered yet)"

// notReplaced starts the part of the message that reports a worker Job at its limit. prevSource searches it: it must not change.
const notReplaced = "; lost workers are not replaced any more"

// workerCount is the number of connected workers.
type workerCount struct {
	connected int32
	// source is where the number comes from, as text for the message; empty for Locust's master.
	source string
	// requeueAfter is when the number or its source may change by time alone; zero means no requeue.
	requeueAfter time.Duration
}

// countWorkers returns the number of workers that Locust's master reports. It counts pods only while the master is unreachable: a
// pod is ready when its process runs, connected or not.
func countWorkers(prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) workerCount {
	if r := obs.Locust.freshReport(settings, now); r != nil {
		count := reportedWorkers(prev, obs, r, now)
		count.requeueAfter = soonest(count.requeueAfter, settings.reportMaxAge()-now.Sub(obs.Locust.At))
		return count
	}
	if l := obs.Locust; l != nil && !l.isUnreachable(prev, obs, now) {
		// The master has not been polled yet, or is in its startup grace period: keep the previous number.
		count := workerCount{connected: prev.ConnectedWorkers, source: prevSource(prev)}
		if l.LastError != "" {
			count.requeueAfter = l.startupGraceLeft(prev, obs, now)
		}
		return count
	}
	count := workerCount{source: " (" + sourceReadyPods + ")"}
	if obs.Locust != nil {
		count.source = " (" + sourceReadyPods + ", because Locust's web API cannot be reached: " + obs.Locust.lastError() + ")"
	}
	pods, requeueAfter := likelyConnectedPods(obs, now)
	count.connected, count.requeueAfter = pods*obs.perPod(), requeueAfter
	return count
}

// prevSource returns the source in the previous message of the condition WorkersConnected.
func prevSource(prev *v2.LocustTestStatus) string {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypeWorkersConnected)
	if c == nil {
		return sourceUnknown
	}
	_, source, found := strings.Cut(c.Message, " workers connected")
	if !found {
		return sourceUnknown
	}
	source, _, _ = strings.Cut(source, notReplaced)
	return source
}

// reportedWorkers returns the number of workers that the master reports, corrected by their pods.
//
// When the load has ended, the master ends its workers before itself: then only deleted workers are missing. Before that, a busy
// worker may be late with its heartbeat (3 s, locust/runners.py): if its pod has been ready for longReadyAge, it counts for
// heartbeatGracePeriod.
func reportedWorkers(prev *v2.LocustTestStatus, obs *Observation, r *report.Report, now time.Time) workerCount {
	if r.State.Ended() {
		return workerCount{connected: max(r.Workers, min(prev.ConnectedWorkers, readyWorkers(obs)+cleanlyExitedWorkers(obs)))}
	}
	here := min(prev.ConnectedWorkers, longReadyWorkers(obs, now))
	if left := heartbeatGracePeriod - now.Sub(obs.Locust.WorkersChangedAt); left > 0 && here > r.Workers {
		return workerCount{connected: here, requeueAfter: left}
	}
	// The master notices a killed worker only after the heartbeat timeout, so never count more workers than running processes.
	return workerCount{connected: min(r.Workers, startedWorkers(obs)+cleanlyExitedWorkers(obs))}
}

// likelyConnectedPods returns how many worker pods have been ready for long enough to be connected, and when the number may change
// by time alone; zero means no requeue. The caller must check that the master runs.
func likelyConnectedPods(obs *Observation, now time.Time) (count int32, requeueAfter time.Duration) {
	if obs.WorkerJob == nil {
		return 0, 0
	}
	pods := obs.podsOf(obs.WorkerJob)
	if len(pods) == 0 {
		return readyCount(obs.WorkerJob), 0
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
				if left := needed - now.Sub(obs.nodeTime(pod, startedAt(pod))); left > 0 {
					requeueAfter = soonest(requeueAfter, left)
				} else {
					count++
				}
			case exitedCleanly(pod) && endedTogether:
				count++
			case exitedCleanly(pod):
				if left := workerExitGracePeriod - now.Sub(obs.nodeTime(pod, finishedAt(pod))); left > 0 {
					count++
					requeueAfter = soonest(requeueAfter, left)
				}
			}
		}
	}
	return count, requeueAfter
}

// startedWorkers returns the number of workers whose processes run and whose pods are not being deleted.
func startedWorkers(obs *Observation) int32 {
	return countWorkersIn(obs, func(pod *corev1.Pod) bool { return isLive(pod) && !startedAt(pod).IsZero() })
}

// longReadyWorkers returns the number of workers that are ready and had time to connect; a recent replacement does not count yet.
func longReadyWorkers(obs *Observation, now time.Time) int32 {
	return countWorkersIn(obs, func(pod *corev1.Pod) bool {
		return isReady(pod) && now.Sub(obs.nodeTime(pod, startedAt(pod))) >= longReadyAge
	})
}

// cleanlyExitedWorkers returns the number of workers that have exited cleanly.
func cleanlyExitedWorkers(obs *Observation) int32 { return countWorkersIn(obs, exitedCleanly) }

// countWorkersIn returns the number of workers in the worker pods that match.
func countWorkersIn(obs *Observation, fits func(*corev1.Pod) bool) int32 {
	return countPods(obs, fits) * obs.perPod()
}

// countPods returns the number of worker pods that match.
func countPods(obs *Observation, fits func(*corev1.Pod) bool) int32 {
	var n int32
	for _, pod := range obs.podsOf(obs.WorkerJob) {
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
func ranLongEnoughToConnect(next *v2.LocustTestStatus, obs *Observation) bool {
	if next.StartTime.IsZero() || next.CompletionTime == nil {
		return false
	}
	started := next.StartTime.Time
	if pod := startedMaster(obs); pod != nil {
		started = obs.nodeTime(pod, startedAt(pod))
	}
	return next.Phase == v2.PhaseSucceeded || runEndedAt(next, obs).Sub(started) >= 2*connectTime
}

// exitedCleanly reports whether the worker exited with code 0 and was neither deleted nor disrupted.
func exitedCleanly(pod *corev1.Pod) bool {
	return exitedZero(pod) && pod.DeletionTimestamp == nil && !wasDisrupted(pod)
}

// workersAtEnd returns how many workers ran when the test ended, by the operator's clock, according to the remaining pods. The
// result does not depend on earlier observations.
func workersAtEnd(obs *Observation, end time.Time) int32 {
	var count int32
	for _, pod := range obs.podsOf(obs.WorkerJob) {
		started, finished := obs.nodeTime(pod, startedAt(pod)), obs.nodeTime(pod, finishedAt(pod))
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
	return count * obs.perPod()
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
func frozenWorkers(next *v2.LocustTestStatus, prev *v2.LocustTestStatus, obs *Observation) workerCount {
	if final := finalReport(obs); final != nil && !final.LoadStart.IsZero() {
		// The user's code may report any number; bound it as while the test runs.
		limit := max(obs.expectedWorkers(), prev.ConnectedWorkers, int32(len(obs.podsOf(obs.WorkerJob)))*obs.perPod())
		return workerCount{connected: min(final.Workers, limit)}
	}
	count := workerCount{connected: prev.ConnectedWorkers, source: prevSource(prev)}
	if count.source == sourceUnknown {
		count.source = " (Locust's web API never answered)"
	}
	// A master that failed and never listened had no workers: it may have failed to load the locustfile.
	observed := obs.Locust != nil && obs.Locust.Report != nil || next.Phase == v2.PhaseFailed && obs.Locust.neverListened()
	if !observed && ranLongEnoughToConnect(next, obs) {
		if atEnd := workersAtEnd(obs, runEndedAt(next, obs)); atEnd > count.connected {
			count = workerCount{connected: atEnd, source: " (" + sourceReadyPods + ")"}
		}
	}
	return count
}

// setWorkers sets the workers' counters and the condition WorkersConnected. It returns when they may change by time alone; zero
// means no requeue.
func setWorkers(next *v2.LocustTestStatus, prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) time.Duration {
	next.ExpectedWorkers = obs.expectedWorkers()
	var count workerCount
	switch next.Phase {
	case v2.PhaseRunning:
		count = countWorkers(prev, obs, settings, now)
	case v2.PhaseSucceeded, v2.PhaseFailed:
		count = frozenWorkers(next, prev, obs)
	}
	next.ConnectedWorkers = count.connected
	next.Workers = workersColumn(next.ConnectedWorkers, next.ExpectedWorkers)

	status, reason := metav1.ConditionFalse, v2.ReasonWaitingForWorkers
	switch {
	case next.ConnectedWorkers >= next.ExpectedWorkers:
		status, reason = metav1.ConditionTrue, v2.ReasonAllWorkersConnected
	case allConnectedOnce(prev):
		reason = v2.ReasonWorkersMissing
	}
	message := next.Workers + " workers connected" + count.source
	if next.Phase == v2.PhaseRunning && next.ConnectedWorkers < next.ExpectedWorkers && isAtCompletionsLimit(obs, now) {
		message += fmt.Sprintf("%s, because %d have ended or been deleted; their logs show why", notReplaced, completionsLimit(obs, now)-obs.expectedPods())
	}
	if next.StartTime.IsZero() && next.ConnectedWorkers == 0 {
		message = "Waiting for workers to connect"
	}
	setCondition(next, now, v2.ConditionTypeWorkersConnected, status, reason, message)
	return count.requeueAfter
}

func workersColumn(connected, expected int32) string {
	return fmt.Sprintf("%d/%d", connected, expected)
}
