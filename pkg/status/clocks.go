package status

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/types"
)

// watchLag is how long a change may take from its own time, which has whole seconds, to the operator's cache.
const watchLag = 2 * time.Second

// Clocks converts the times in a test's objects to the operator's clock. They come from the clocks of the API server, of
// controllers and of nodes, which may differ from it; ages are differences of two times of one clock.
//
// A time that an observation shows for the first time is that of something that has happened since the observation before.
// Where clocks agree it is between the two, and is left as it is; otherwise clocks differ, and it counts from the observation
// that shows it first. In the first observation since the operator started only times in the future do.
type Clocks struct {
	// observed is when the newest observation was made.
	observed time.Time
	// local has the converted times.
	local map[objectTime]int64
}

// objectTime is one time in one object, in nanoseconds.
type objectTime struct {
	object types.UID
	at     int64
}

// Observe takes the times of an observation made now.
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

// forget drops what the observation does not show any more.
func (c *Clocks) forget(obs *Observation) {
	current := map[objectTime]int64{}
	eachTime(obs, func(object types.UID, at time.Time) {
		key := objectTime{object, at.UnixNano()}
		current[key] = c.local[key]
	})
	c.local = current
}

// toOperatorClock is a time of another clock by the operator's: the time itself if that is possible, else now.
func toOperatorClock(at, before, now time.Time) time.Time {
	if at.After(now) || !before.IsZero() && at.Before(before.Add(-watchLag)) {
		return now
	}
	return at
}

// eachTime calls found for each time of the observation's objects from which an age is measured.
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

// local is a time of an object by the operator's clock.
func (o *Observation) local(object types.UID, at time.Time) time.Time {
	c := o.Clocks
	if c == nil || at.IsZero() {
		return at
	}
	if local, known := c.local[objectTime{object, at.UnixNano()}]; known {
		return time.Unix(0, local)
	}
	// It is of an object that was created after the observation.
	return toOperatorClock(at, c.observed, c.observed)
}

// clockOffset is how far the operator's clock is ahead of the one that the Job's creation was recorded by: that of the API server,
// and as a rule of the Job controller.
func (o *Observation) clockOffset(job *batchv1.Job) time.Duration {
	created := job.CreationTimestamp.Time
	return o.local(job.UID, created).Sub(created)
}
