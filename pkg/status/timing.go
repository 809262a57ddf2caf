package status

import "time"

// All intervals, timeouts and grace periods of the derivation. Each is here with its reason.

// Objects of one run have separate watches, and reach the cache at different times.
const (
	// podStatusTimeout is how long a finished Job waits for the status of its pod, which contains the cause and the result.
	podStatusTimeout = 5 * time.Second
	// nodeReportTimeout is how long after the grace period of a deleted master pod its node may take to report the pod's end.
	nodeReportTimeout = 30 * time.Second
	// failoverTimeout bounds how long the replacement of a killed operator takes: its Lease must expire first.
	failoverTimeout = time.Minute
	// maxWatchDelay bounds how late the operator's cache shows a change. A time that is older when it is first observed was set by
	// a clock that is behind.
	maxWatchDelay = 2 * time.Minute
	// foreignRecheckInterval is how often a test checks whether a name that another owner's object has is free: no watch reports it.
	foreignRecheckInterval = 30 * time.Second
)

// Pods that do not start.
const (
	// stuckGracePeriod is how long pods may wait, or Jobs may lack pods, before their Events are read: a normal start is faster, and
	// so costs no request.
	stuckGracePeriod = 5 * time.Second
	// recheckInterval is how often a problem that Events show is evaluated again: its meaning may change by time alone, and a new
	// operator may have read the Events meanwhile.
	recheckInterval = 5 * time.Second
	// jobEventMaxAge is how old a Job's failure Event may be when it is read: the Job controller repeats it at least every minute.
	jobEventMaxAge = 2 * time.Minute
	// transientErrorGracePeriod is how long known-transient kubelet errors are ignored.
	transientErrorGracePeriod = time.Minute
)

// Workers that connect, and leave.
const (
	// connectGracePeriod is how long a worker's container must run before it counts as connected: Locust needs one or two seconds to load
	// the locustfile and to connect, or to fail.
	connectGracePeriod = 3 * time.Second
	// reconnectGracePeriod is the same for the replacement of a worker that failed.
	reconnectGracePeriod = 15 * time.Second
	// heartbeatGracePeriod is how long the master may not report a worker whose pod is ready before the worker counts as missing:
	// a busy worker is late with its heartbeat, which it sends every 3 s (locust/runners.py).
	heartbeatGracePeriod = 6 * time.Second
	// longReadyAge is how long that pod must have been running.
	longReadyAge = 15 * time.Second
	// workerExitGracePeriod is how long workers that exited cleanly still count as connected while the master runs. At the end of a
	// test the master ends its workers about a second before itself: they are not lost.
	workerExitGracePeriod = 10 * time.Second
	// unansweredExitGracePeriod replaces it while the master's web API has not answered since the worker's exit.
	unansweredExitGracePeriod = 30 * time.Second
	// replacementInterval is how often one more replacement of each worker is allowed, for example on preemptible nodes.
	replacementInterval = 5 * time.Minute
)

// The load.
const (
	// noRequestsTimeout is how long a load may run without a finished request before the status reports it.
	noRequestsTimeout = 30 * time.Second
	// workersGoneTimeout is how long a load that lost all its workers may take to start again before the run fails.
	workersGoneTimeout = 30 * time.Second
	// cutShortTolerance is how early a load must end to count as cut short, in addition to two poll intervals, if only its
	// duration is known.
	cutShortTolerance = 5 * time.Second
	// endAccuracy is the accuracy with which the ends of workers and of the load can be compared: the kubelet reports whole
	// seconds, the web API caches for two seconds (locust/web.py, memoize).
	endAccuracy = 2 * time.Second
	// lastStatsGracePeriod is how late the last statistics of the workers may arrive: workers send them every 3 s, the master reports
	// the end of the load before it has them (locust/stats.py, runners.py), and its web API caches for 2 s.
	lastStatsGracePeriod = 5 * time.Second
	// useSampleInterval is the time between two samples of a worker's processor use: Locust refreshes it every 5 or 10 s.
	useSampleInterval = 10 * time.Second
)

// Polls of the master's web API, every Settings.PollInterval.
const (
	// apiStartupGracePeriod is how long a started master may be unreachable before the status reports it.
	apiStartupGracePeriod = 15 * time.Second
	// apiListenGracePeriod extends apiStartupGracePeriod while the master refuses connections: it loads the locustfile, and
	// usually has no workers connected. A master whose configuration file sets headless never listens.
	apiListenGracePeriod = time.Minute
	// fastPollAfterChange is how long the master is polled fast after a worker pod has started, or after its number of workers
	// has changed to one that differs from the pods.
	fastPollAfterChange = 30 * time.Second
	// fastPollInterval is the poll interval while workers connect or leave.
	fastPollInterval = time.Second
	// minReportMaxAge is how long a report is valid if that is longer than three poll intervals.
	minReportMaxAge = 10 * time.Second
	// maxPollInterval bounds the back-off for a master that does not answer.
	maxPollInterval = 30 * time.Second
	// slowResponse is how long a poll may take, including reading the body, before the master is polled less often: slowFactor
	// times the duration of the last poll then passes until the next one, so that a slow master uses a tenth of a poll slot.
	slowResponse = 500 * time.Millisecond
	slowFactor   = 10
)

// The end.
const (
	// workerShutdownGracePeriod is how long workers may run after the master has succeeded before they are stopped.
	workerShutdownGracePeriod = 5 * time.Second
	// sidecarGracePeriod is how long the pods of a Job may run after Locust has ended in all of them: slightly longer than the
	// 30 s that sidecars have to terminate. Stopping a Job deletes its running pods, and their logs.
	sidecarGracePeriod = 35 * time.Second
)
