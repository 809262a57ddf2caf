package status

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
)

// maxWatchDelay is how late a change may reach the operator. Times that are older when they are first observed are those of
// a clock that is behind.
const maxWatchDelay = 2 * time.Minute

// The clocks that the times in objects come from; the name of a node's ends with its own.
const (
	serverClock        = "server"
	jobControllerClock = "job controller"
	schedulerClock     = "scheduler"
	nodeClock          = "node/"
)

// Clocks converts the times in a test's objects to the operator's clock. They come from the clocks of the API server, of
// controllers and of nodes, which may differ from it; ages are differences of two times of one clock.
//
// A time that an observation shows for the first time is that of a change since the observation before. If it is in the
// future, or more than maxWatchDelay before that observation, the clocks differ, and the change is taken for one of this
// moment. All times of one clock are converted alike, so that their order and their differences stay. The first observation
// since the operator started shows only clocks that are ahead.
type Clocks struct {
	// observed is when the newest observation was made.
	observed time.Time
	clocks   map[string]otherClock
}

// otherClock is one of the clocks that times in objects come from.
type otherClock struct {
	// newest is its newest time that was observed.
	newest time.Time
	// behind is how far it is behind the operator's clock; negative when it is ahead.
	behind time.Duration
}

// Observe learns from the times of an observation made now.
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

// learn takes the newest time of one clock.
func (c *Clocks) learn(clock string, at, now time.Time) {
	if at.After(c.clocks[clock].newest) {
		c.clocks[clock] = otherClock{newest: at, behind: c.behind(clock, at, now)}
	}
}

// behind is how far a clock is behind the operator's, by one of its times as well.
func (c *Clocks) behind(clock string, at, now time.Time) time.Duration {
	behind := c.known(clock)
	local := at.Add(behind)
	if at.After(c.clocks[clock].newest) && (local.After(now) || !c.observed.IsZero() && local.Before(c.observed.Add(-maxWatchDelay))) {
		return now.Sub(at)
	}
	return behind
}

// known is how far a clock is behind the operator's by what was observed; as far as the API server's if nothing was.
func (c *Clocks) known(clock string) time.Duration {
	if known, observed := c.clocks[clock]; observed {
		return known.behind
	}
	return c.clocks[serverClock].behind
}

// eachTime calls found for each time of the observation's objects from which an age is measured.
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

// clockOf is the clock that the times of a pod's containers come from, and those in what its processes report.
func clockOf(pod *corev1.Pod) string { return nodeClock + pod.Spec.NodeName }

// nodeTime is a time that the pod's node or its processes reported, by the operator's clock.
func (o *Observation) nodeTime(pod *corev1.Pod, at time.Time) time.Time {
	return o.local(clockOf(pod), at)
}

// jobControllerTime is a time that the Job controller reported, by the operator's clock.
func (o *Observation) jobControllerTime(at time.Time) time.Time {
	return o.local(jobControllerClock, at)
}

// jobControllerEvent is when an Event of the Job controller was, which may be long before it is read, by the operator's clock.
func (o *Observation) jobControllerEvent(at time.Time) time.Time {
	if o.Clocks == nil {
		return at
	}
	return at.Add(o.Clocks.known(jobControllerClock))
}

// schedulerTime is a time that the scheduler reported, by the operator's clock.
func (o *Observation) schedulerTime(at time.Time) time.Time { return o.local(schedulerClock, at) }

// serverTime is a time that the API server set, by the operator's clock.
func (o *Observation) serverTime(at time.Time) time.Time { return o.local(serverClock, at) }

func (o *Observation) local(clock string, at time.Time) time.Time {
	c := o.Clocks
	if c == nil || at.IsZero() {
		return at
	}
	// Objects that were created after the observation are as old as that.
	return at.Add(c.behind(clock, at, c.observed))
}
