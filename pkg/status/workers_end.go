package status

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

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
	return next.Phase == v2.PhaseSucceeded || f.runEndedAt(next).Sub(started) >= 2*connectGracePeriod
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
