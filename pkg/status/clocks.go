package status

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
)

// watchLag bounds how late the operator's cache shows a change; it includes the rounding of the change's time to seconds.
const watchLag = 2 * time.Second

// Clocks converts the times in a test's objects to the operator's clock, so that ages are differences of two times of one
// clock. The times are set by the API server, controllers and nodes, whose clocks may differ from the operator's.
//
// A time that an observation contains for the first time belongs to a change since the previous observation. If it is between
// the two observations, it is kept; otherwise the clocks differ, and it is replaced by the time of the observation that
// contains it first. The first observation since the operator started replaces only times in the future.
type Clocks struct {
	// observed is the time of the newest observation.
	observed time.Time
	// local maps an object's time to the operator's clock, in nanoseconds.
	local map[objectTime]int64
}

// objectTime is a time in an object, in nanoseconds.
type objectTime struct {
	object types.UID
	at     int64
}

// Observe records the times of an observation made now.
func (c *Clocks) Observe(obs *Observation, now time.Time) {
	if c.local == nil {
		c.local = map[objectTime]int64{}
	}
	times := 0
	eachTime(obs, func(object types.UID, at time.Time) {
		times++
		key := objectTime{object, at.UnixNano()}
		if _, known := c.local[key]; !known {
			c.local[key] = toOperatorClock(at, c.observed, now).UnixNano()
		}
	})
	c.observed = now
	if len(c.local) > times {
		c.forget(obs)
	}
}

// forget drops the times that the observation no longer contains.
func (c *Clocks) forget(obs *Observation) {
	current := map[objectTime]int64{}
	eachTime(obs, func(object types.UID, at time.Time) {
		key := objectTime{object, at.UnixNano()}
		current[key] = c.local[key]
	})
	c.local = current
}

// toOperatorClock converts a time of another clock: it returns the time itself if it is possible, else now.
func toOperatorClock(at, before, now time.Time) time.Time {
	if at.After(now) || !before.IsZero() && at.Before(before.Add(-watchLag)) {
		return now
	}
	return at
}

// eachTime calls found for each time in the observation's objects from which an age is measured.
func eachTime(obs *Observation, found func(object types.UID, at time.Time)) {
	if obs.Service != nil {
		found(obs.Service.UID, obs.Service.CreationTimestamp.Time)
	}
	for _, job := range []*batchv1.Job{obs.MasterJob, obs.WorkerJob} {
		if job == nil {
			continue
		}
		found(job.UID, job.CreationTimestamp.Time)
		if at := finishTime(job, time.Time{}); !at.IsZero() {
			found(job.UID, at)
		}
	}
	for i := range obs.Pods {
		pod := &obs.Pods[i]
		started := startedAt(pod)
		if started.IsZero() {
			found(pod.UID, pod.CreationTimestamp.Time)
			if at, scheduled := scheduledAt(pod); scheduled {
				found(pod.UID, at)
			}
		} else {
			found(pod.UID, started)
		}
		if at := finishedAt(pod); !at.IsZero() {
			found(pod.UID, at)
		}
		if pod.DeletionTimestamp != nil {
			found(pod.UID, deletionRequestedAt(pod))
		}
	}
}

// local converts a time of an object to the operator's clock.
func (o *Observation) local(object types.UID, at time.Time) time.Time {
	c := o.Clocks
	if c == nil || at.IsZero() {
		return at
	}
	if local, known := c.local[objectTime{object, at.UnixNano()}]; known {
		return time.Unix(0, local)
	}
	// The object was created after the observation.
	return toOperatorClock(at, c.observed, c.observed)
}

// clockOffset returns how far the operator's clock is ahead of the API server's, by the Job's creation time. The Job controller
// usually has the same clock as the API server.
func (o *Observation) clockOffset(job *batchv1.Job) time.Duration {
	created := job.CreationTimestamp.Time
	return o.local(job.UID, created).Sub(created)
}
