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

// workerExitGracePeriod is how long workers that ended by themselves with code 0 still count as connected while the
// master runs on. At the end of a test the master sends its workers home about a second before it ends
// itself: that is no loss.
const workerExitGracePeriod = 10 * time.Second

const (
	// heartbeatGracePeriod is how long a worker whose pod is well may be missed by the master before it counts as missing.
	heartbeatGracePeriod = 6 * time.Second
	// longReadyAge is how long a pod must have been running for that.
	longReadyAge = 15 * time.Second
	// connectTime is how long a worker's container has to run before it counts as connected: Locust needs a second or
	// two to load the locustfile and to connect, or to fail at it.
	connectTime = 3 * time.Second
	// restartedConnectTime is the same for a worker that takes the place of one that ended with an error.
	restartedConnectTime = 15 * time.Second
)

// sourceReadyPods tells users where the number of workers comes from, when it is not Locust's master.
const sourceReadyPods = "counted from the worker Job's ready pods"

// sourceUnknown tells users that nobody has told yet.
const sourceUnknown = " (Locust's web API has not answered yet)"

// notReplaced tells users that the worker Job has grown to its bound.
const notReplaced = "; lost workers are not replaced any more"

// workerCount is how many workers are connected while the test runs.
type workerCount struct {
	connected int32
	// source tells users where the number comes from; empty when it is the word of Locust's master.
	source string
	// requeueAfter is when to look again because the number, or its source, changes by time alone; 0: never.
	requeueAfter time.Duration
}

// countWorkers takes the word of Locust's master. The pods are counted only while it does not answer: a pod is ready
// when its process runs, connected or not.
func countWorkers(prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) workerCount {
	if r := obs.Locust.freshReport(settings, now); r != nil {
		count := reportedWorkers(prev, obs, r, now)
		count.requeueAfter = soonest(count.requeueAfter, settings.reportMaxAge()-now.Sub(obs.Locust.At))
		return count
	}
	if l := obs.Locust; l != nil && !l.isUnreachable(prev, obs, now) {
		// No answer is no news: it was not asked yet, or its start excuses it.
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
	pods, again := likelyConnectedPods(obs, now)
	count.connected, count.requeueAfter = pods*obs.perPod(), again
	return count
}

// prevSource is the source that the message of the condition WorkersConnected told before.
func prevSource(prev *v2.LocustTestStatus) string {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypeWorkersConnected)
	if c == nil {
		return sourceUnknown
	}
	_, source, told := strings.Cut(c.Message, " workers connected")
	if !told {
		return sourceUnknown
	}
	source, _, _ = strings.Cut(source, notReplaced)
	return source
}

// reportedWorkers is the number of workers that the master tells.
//
// When the load has ended the master sends its workers home, before it ends itself: then only workers that were taken
// away are missing. Before, a worker that is busy may be late with its heartbeat (3 s, locust/runners.py): if its pod has
// been well for some time, it is believed to be there for missGrace.
func reportedWorkers(prev *v2.LocustTestStatus, obs *Observation, r *report.Report, now time.Time) workerCount {
	if r.State.Ended() {
		return workerCount{connected: max(r.Workers, min(prev.ConnectedWorkers, readyWorkers(obs)+cleanlyExitedWorkers(obs)))}
	}
	here := min(prev.ConnectedWorkers, longReadyWorkers(obs, now))
	if left := heartbeatGracePeriod - now.Sub(obs.Locust.WorkersChangedAt); left > 0 && here > r.Workers {
		return workerCount{connected: here, requeueAfter: left}
	}
	// The master takes as long to miss a worker that was killed; whose process is gone is not connected.
	return workerCount{connected: min(r.Workers, startedWorkers(obs)+cleanlyExitedWorkers(obs))}
}

// likelyConnectedPods is how many worker pods have been ready for long enough to be connected, and when to look again because
// the number changes by time alone (0: never).
//
// No worker is connected to a master that does not run yet, however many worker pods are ready.
func likelyConnectedPods(obs *Observation, now time.Time) (count int32, again time.Duration) {
	if obs.WorkerJob == nil {
		return 0, 0
	}
	pods := obs.podsOf(obs.WorkerJob)
	if len(pods) == 0 {
		return readyCount(obs.WorkerJob), 0
	}
	home := allEnded(pods)
	for _, group := range byIndex(pods) {
		needed := connectTime
		if lastCrash(group) != nil {
			needed = restartedConnectTime
		}
		for _, pod := range group {
			switch {
			case isReady(pod):
				if left := needed - now.Sub(obs.local(pod.UID, startedAt(pod))); left > 0 {
					again = soonest(again, left)
				} else {
					count++
				}
			case exitedCleanly(pod) && home:
				count++
			case exitedCleanly(pod):
				if left := workerExitGracePeriod - now.Sub(obs.local(pod.UID, finishedAt(pod))); left > 0 {
					count++
					again = soonest(again, left)
				}
			}
		}
	}
	return count, again
}

// startedWorkers is how many workers' processes run and are not told to go.
func startedWorkers(obs *Observation) int32 {
	return countWorkersIn(obs, func(pod *corev1.Pod) bool { return isLive(pod) && !startedAt(pod).IsZero() })
}

// longReadyWorkers is how many worker pods are ready and had the time to connect; one that took the place of another, a
// moment ago, has yet to show that it does.
func longReadyWorkers(obs *Observation, now time.Time) int32 {
	return countWorkersIn(obs, func(pod *corev1.Pod) bool {
		return isReady(pod) && now.Sub(obs.local(pod.UID, startedAt(pod))) >= longReadyAge
	})
}

// cleanlyExitedWorkers is how many workers have ended by themselves.
func cleanlyExitedWorkers(obs *Observation) int32 { return countWorkersIn(obs, exitedCleanly) }

// countWorkersIn counts the workers of worker pods.
func countWorkersIn(obs *Observation, fits func(*corev1.Pod) bool) int32 {
	return countPods(obs, fits) * obs.perPod()
}

// countPods counts worker pods.
func countPods(obs *Observation, fits func(*corev1.Pod) bool) int32 {
	var n int32
	for _, pod := range obs.podsOf(obs.WorkerJob) {
		if fits(pod) {
			n++
		}
	}
	return n
}

// allEnded tells whether no worker is left: those that ended by themselves were sent home by the master, and the test ends.
func allEnded(pods []*corev1.Pod) bool {
	return !slices.ContainsFunc(pods, isLive)
}

// ranLongEnoughToConnect tells whether the workers can have been connected to the master: one that ended well had them, and
// one that failed at once had not.
func ranLongEnoughToConnect(next *v2.LocustTestStatus, obs *Observation) bool {
	if next.StartTime.IsZero() || next.CompletionTime == nil {
		return false
	}
	started := next.StartTime.Time
	if pod := startedMaster(obs); pod != nil {
		started = obs.local(pod.UID, startedAt(pod))
	}
	return next.Phase == v2.PhaseSucceeded || runEndedAt(next, obs).Sub(started) >= 2*connectTime
}

// exitedCleanly tells whether the worker ended with code 0 without having been deleted.
func exitedCleanly(pod *corev1.Pod) bool {
	return exitedZero(pod) && pod.DeletionTimestamp == nil && !wasDisrupted(pod)
}

// workersAtEnd is how many workers were with the master when the test ended, by the operator's clock, read from the pods
// that are left: it is the same whether or not the operator was there to see it.
func workersAtEnd(obs *Observation, end time.Time) int32 {
	var count int32
	for _, pod := range obs.podsOf(obs.WorkerJob) {
		started, finished := obs.local(pod.UID, startedAt(pod)), obs.local(pod.UID, finishedAt(pod))
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

// allConnectedOnce tells whether all workers have been connected at once before.
func allConnectedOnce(prev *v2.LocustTestStatus) bool {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypeWorkersConnected)
	return c != nil && c.Reason != v2.ReasonWaitingForWorkers
}

// isStartupOver tells whether the start-up is over: all workers have been connected once, and not all of them are gone. A
// worker that takes its time to fail may have counted as connected before.
func isStartupOver(s *v2.LocustTestStatus, connected int32) bool {
	return allConnectedOnce(s) && connected > 0
}

// frozenWorkers is how many workers were with the master while the test ran: by the reporter's word, else as observed
// last. An operator that was not there asks the pods that are left.
func frozenWorkers(next *v2.LocustTestStatus, prev *v2.LocustTestStatus, obs *Observation) workerCount {
	if final := finalReport(obs); final != nil && !final.LoadStart.IsZero() {
		// What the user's code could claim is bounded, as it is while the test runs.
		most := max(obs.expectedWorkers(), prev.ConnectedWorkers, int32(len(obs.podsOf(obs.WorkerJob)))*obs.perPod())
		return workerCount{connected: min(final.Workers, most)}
	}
	count := workerCount{connected: prev.ConnectedWorkers, source: prevSource(prev)}
	if count.source == sourceUnknown {
		count.source = " (Locust's web API never answered)"
	}
	// What was observed counts, and so does that nobody listened until a master failed: it may have failed to load.
	observed := obs.Locust != nil && obs.Locust.Report != nil || next.Phase == v2.PhaseFailed && obs.Locust.neverListened()
	if !observed && ranLongEnoughToConnect(next, obs) {
		if left := workersAtEnd(obs, runEndedAt(next, obs)); left > count.connected {
			count = workerCount{connected: left, source: " (" + sourceReadyPods + ")"}
		}
	}
	return count
}

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
