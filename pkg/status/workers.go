package status

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

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
	return workerCount{f.likelyConnectedPods * f.perPod(), v2.WorkersSourceReadyPods}
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

// countLikelyConnectedPods returns how many worker pods have been ready for long enough to be connected. The caller must check that the master runs.
func (f *facts) countLikelyConnectedPods() int32 {
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
		needed := connectGracePeriod
		if lastCrash(group) != nil {
			needed = reconnectGracePeriod
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

// allEnded reports whether no worker is live: the master has ended those that exited cleanly, because the test ends.
func allEnded(pods []*corev1.Pod) bool {
	return !slices.ContainsFunc(pods, isLive)
}
