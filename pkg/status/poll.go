package status

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// nextPoll returns how long to wait before the next poll of a running test's master; not positive means that it is due. poll is
// false if polling is useless, for example before the pod has an IP address: the API server's proxy could not connect either.
func (f *facts) nextPoll(next *v2.LocustTestStatus) (wait time.Duration, poll bool) {
	l := f.Locust
	if l == nil || l.Unreachable || next.Phase != v2.PhaseRunning || f.runningMaster == nil || f.runningMaster.Status.PodIP == "" {
		return 0, false
	}
	interval := f.pollInterval()
	if l.PollDuration > slowResponse && l.Failures == 0 && !l.awaitsFinal(f.now) {
		interval = max(interval, min(slowFactor*l.PollDuration, f.settings.slowPollInterval()))
	}
	return l.PolledAt.Add(interval).Sub(f.now), true
}

// pollInterval returns the time between two polls of a master that answers fast enough.
func (f *facts) pollInterval() time.Duration {
	l := f.Locust
	fast := min(fastPollInterval, f.settings.PollInterval)
	age := f.now.Sub(f.masterRunningSince())
	switch {
	case l.neverListened() && age >= apiStartupGracePeriod && f.now.Before(f.apiStartupDeadline()):
		return min(f.settings.PollInterval, apiStartupGracePeriod/3) // a refusal extends the grace period only until the next poll
	case l.Failures > 0 && age >= apiStartupGracePeriod:
		most := maxPollInterval
		if l.Report == nil {
			// It starts slowly: polls during its startup do not count for the back-off.
			most = min(f.now.Sub(f.apiStartupDeadline()), maxPollInterval)
		}
		return max(f.settings.PollInterval, min(f.settings.PollInterval<<min(l.Failures-1, 16), most))
	case l.Report == nil, l.awaitsFinal(f.now), f.areWorkerPodsChanging(),
		l.Report.Workers != f.readyWorkers() && f.now.Sub(l.WorkersChangedAt) < fastPollAfterChange:
		return fast
	}
	return f.settings.PollInterval
}

// areWorkerPodsChanging reports whether a worker pod is starting or terminating.
func (f *facts) areWorkerPodsChanging() bool {
	return slices.ContainsFunc(f.workers, func(pod *corev1.Pod) bool {
		since := f.nodeTime(pod, startedAt(pod))
		if since.IsZero() {
			since = f.serverTime(pod.CreationTimestamp.Time)
		}
		return !isFinishedPod(pod) && (pod.DeletionTimestamp != nil || f.now.Sub(since) < fastPollAfterChange)
	})
}
