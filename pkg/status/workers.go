package status

import (
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// leaveGrace is how long workers that ended by themselves with code 0 still count as connected while the
// master runs on. At the end of a test the master sends its workers home about a second before it ends
// itself: that is no loss.
const leaveGrace = 10 * time.Second

const (
	// joinTime is how long a worker's container has to run before it counts as connected: Locust needs a second or
	// two to load the locustfile and to connect, or to fail at it.
	joinTime = 3 * time.Second
	// crashGrace is the same for a worker that takes the place of one that ended with an error.
	crashGrace = 15 * time.Second
)

// sourceReadyPods tells users where the number of workers comes from.
const sourceReadyPods = "counted from the worker Job's ready pods"

// connectedWorkers is how many workers are connected while the test runs, and when to look again because
// the number changes by time alone (0: never).
//
// No worker is connected to a master that does not run yet, however many worker pods are ready.
func connectedWorkers(obs *Observation, now time.Time) (count int32, again time.Duration) {
	if obs.WorkerJob == nil {
		return 0, 0
	}
	pods := obs.podsOf(obs.WorkerJob)
	if len(pods) == 0 {
		return readyCount(obs.WorkerJob), 0
	}
	for _, group := range byIndex(pods) {
		needed := joinTime
		if lastCrash(group) != nil {
			needed = crashGrace
		}
		for _, pod := range group {
			switch {
			case isReady(pod):
				if left := needed - now.Sub(startedAt(pod)); left > 0 {
					again = soonest(again, left)
				} else {
					count++
				}
			case leftByItself(pod):
				if left := leaveGrace - now.Sub(finishedAt(pod)); left > 0 {
					count++
					again = soonest(again, left)
				}
			}
		}
	}
	return count, again
}

// lastedLongEnough tells whether the workers can have been connected to the master: one that ended well had them, and
// one that failed at once had not.
func lastedLongEnough(next *v2.LocustTestStatus) bool {
	if next.StartTime.IsZero() || next.CompletionTime == nil {
		return false
	}
	return next.Phase == v2.PhaseSucceeded || next.CompletionTime.Sub(next.StartTime.Time) >= 2*joinTime
}

// leftByItself tells whether the worker ended with code 0 without having been deleted.
func leftByItself(pod *corev1.Pod) bool {
	return endedWell(pod) && pod.DeletionTimestamp == nil && !wasDisrupted(pod)
}

// workersAtEnd is how many workers were with the master when the test ended, read from the pods that are
// left: it is the same whether or not the operator was there to see it.
func workersAtEnd(obs *Observation, end time.Time) int32 {
	var count int32
	for _, pod := range obs.podsOf(obs.WorkerJob) {
		started, finished := startedAt(pod), finishedAt(pod)
		if started.IsZero() || started.After(end) || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if finished.IsZero() && pod.DeletionTimestamp != nil {
			continue
		}
		if finished.IsZero() || !finished.Before(end.Add(-leaveGrace)) {
			count++
		}
	}
	return count
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

// underWay tells whether the start-up is over: all workers have been connected once, and not all of them are gone. A
// worker that takes its time to fail may have counted as connected before.
func underWay(s *v2.LocustTestStatus, connected int32) bool {
	return allConnectedOnce(s) && connected > 0
}

func setWorkers(next *v2.LocustTestStatus, prev *v2.LocustTestStatus, obs *Observation, now time.Time) (again time.Duration) {
	next.ExpectedWorkers = obs.expectedWorkers()
	switch next.Phase {
	case v2.PhaseRunning:
		next.ConnectedWorkers, again = connectedWorkers(obs, now)
	case v2.PhaseSucceeded, v2.PhaseFailed:
		next.ConnectedWorkers = prev.ConnectedWorkers
		if lastedLongEnough(next) {
			next.ConnectedWorkers = max(prev.ConnectedWorkers, workersAtEnd(obs, next.CompletionTime.Time))
		}
	default:
		next.ConnectedWorkers = 0
	}
	next.Workers = workersColumn(next.ConnectedWorkers, next.ExpectedWorkers)

	status, reason := metav1.ConditionFalse, v2.ReasonWaitingForWorkers
	switch {
	case next.ConnectedWorkers >= next.ExpectedWorkers:
		status, reason = metav1.ConditionTrue, v2.ReasonAllWorkersConnected
	case allConnectedOnce(prev):
		reason = v2.ReasonWorkersMissing
	}
	message := fmt.Sprintf("%s workers connected (%s)", next.Workers, sourceReadyPods)
	if next.StartTime.IsZero() && next.ConnectedWorkers == 0 {
		message = "Waiting for workers to connect"
	}
	setCondition(next, now, v2.ConditionTypeWorkersConnected, status, reason, message)
	return again
}

func workersColumn(connected, expected int32) string {
	return fmt.Sprintf("%d/%d", connected, expected)
}
