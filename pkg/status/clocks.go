package status

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// The clocks that set the times in objects. The clock of a node has its name as a suffix.
const (
	serverClock        = "server"
	jobControllerClock = "job controller"
	schedulerClock     = "scheduler"
	nodeClock          = "node/"
)

// Clocks converts the times in a test's objects to the operator's clock, so that ages are differences of two times of one
// clock. The times are set by the API server, controllers and nodes, whose clocks may differ from the operator's.
//
// A time that an observation contains for the first time belongs to a change since the previous observation. If it is in the
// future, or more than maxWatchDelay before the previous observation, the clocks differ, and the change counts as happening now.
// All times of one clock are shifted by the same offset, so that their order and their differences stay. The first observation
// since the operator started detects only clocks that are ahead.
type Clocks struct {
	// observed is the time of the newest observation.
	observed time.Time
	clocks   map[string]otherClock
}

// otherClock is the state of one of the clocks.
type otherClock struct {
	// newest is the newest observed time of the clock.
	newest time.Time
	// behind is how far the clock is behind the operator's; negative if it is ahead.
	behind time.Duration
}

// Observe updates the offsets by the times of an observation made now.
func (c *Clocks) Observe(obs *Observation, now time.Time) {
	if c.clocks == nil {
		c.clocks = map[string]otherClock{}
	}
	newest := map[string]time.Time{}
	eachTime(obs, func(clock string, at time.Time) {
		if at.After(newest[clock]) {
			newest[clock] = at
		}
	})
	c.learn(serverClock, newest[serverClock], now)
	for clock, at := range newest {
		c.learn(clock, at, now)
	}
	c.observed = now
}

// learn updates the offset of one clock by its newest time.
func (c *Clocks) learn(clock string, at, now time.Time) {
	if at.After(c.clocks[clock].newest) {
		c.clocks[clock] = otherClock{newest: at, behind: c.behind(clock, at, now)}
	}
}

// behind returns how far a clock is behind the operator's, taking into account one of its times.
func (c *Clocks) behind(clock string, at, now time.Time) time.Duration {
	behind := c.known(clock)
	local := at.Add(behind)
	if at.After(c.clocks[clock].newest) && (local.After(now) || !c.observed.IsZero() && local.Before(c.observed.Add(-maxWatchDelay))) {
		return now.Sub(at)
	}
	return behind
}

// known returns how far a clock is behind the operator's, by the observations so far. A clock without observed times is assumed
// to agree with the API server's.
func (c *Clocks) known(clock string) time.Duration {
	if known, observed := c.clocks[clock]; observed {
		return known.behind
	}
	return c.clocks[serverClock].behind
}

// eachTime calls found for each time in the observation's objects from which an age is measured.
func eachTime(obs *Observation, found func(clock string, at time.Time)) {
	if obs.Service != nil {
		found(serverClock, obs.Service.CreationTimestamp.Time)
	}
	for _, job := range []*batchv1.Job{obs.MasterJob, obs.WorkerJob} {
		if job != nil {
			found(serverClock, job.CreationTimestamp.Time)
			found(jobControllerClock, finishTime(job, time.Time{}))
		}
	}
	for i := range obs.Pods {
		pod := &obs.Pods[i]
		found(serverClock, pod.CreationTimestamp.Time)
		if at, scheduled := scheduledAt(pod); scheduled {
			found(schedulerClock, at)
		}
		if pod.DeletionTimestamp != nil {
			found(serverClock, deletionRequestedAt(pod))
		}
		found(clockOf(pod), startedAt(pod))
		found(clockOf(pod), finishedAt(pod))
	}
}

// clockOf returns the name of the clock that sets the times of a pod's containers, and those in reports of its processes.
func clockOf(pod *corev1.Pod) string { return nodeClock + pod.Spec.NodeName }

// nodeTime converts a time set by the pod's node or its processes to the operator's clock.
func (o *Observation) nodeTime(pod *corev1.Pod, at time.Time) time.Time {
	return o.local(clockOf(pod), at)
}

// jobControllerTime converts a time set by the Job controller to the operator's clock.
func (o *Observation) jobControllerTime(at time.Time) time.Time {
	return o.local(jobControllerClock, at)
}

// jobControllerEvent converts the time of an Event of the Job controller, which may be read long after it, to the operator's
// clock.
func (o *Observation) jobControllerEvent(at time.Time) time.Time {
	if o.Clocks == nil {
		return at
	}
	return at.Add(o.Clocks.known(jobControllerClock))
}

// schedulerTime converts a time set by the scheduler to the operator's clock.
func (o *Observation) schedulerTime(at time.Time) time.Time { return o.local(schedulerClock, at) }

// serverTime converts a time set by the API server to the operator's clock.
func (o *Observation) serverTime(at time.Time) time.Time { return o.local(serverClock, at) }

func (o *Observation) local(clock string, at time.Time) time.Time {
	c := o.Clocks
	if c == nil || at.IsZero() {
		return at
	}
	// Objects created after the observation are as old as the observation.
	return at.Add(c.behind(clock, at, c.observed))
}
