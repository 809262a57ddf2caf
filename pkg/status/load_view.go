package status

import (
	"time"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// loadView is what is known of the latest load.
type loadView struct {
	started, ended bool
	// startedAt and endedAt are zero when they are not known. They are of the operator's clock, or of the master's if
	// masterClock is true.
	startedAt, endedAt time.Time
	masterClock        bool
	// elapsed is how long the load has run; negative when it is not known.
	elapsed time.Duration
	// maxElapsed is how long the load can have run where its start was not seen; negative when that is not known.
	maxElapsed time.Duration
	// runTime is what Locust itself has; nil without a limit, and when it is not known.
	runTime *time.Duration
	// requests have finished.
	requests int64
	shape    bool
	// delivery is what the reporter reports; nil without it.
	delivery *report.Delivery
	busiest  *report.ProcessorUse
	// workersLeft is how many workers the master had at the end of the load; -1 when it is not known.
	workersLeft int32
	// lossConfirmed is true when the workers that the reporter counts as lost have had the time to show how they ended.
	lossConfirmed bool
	// masterEnded is true once the master has ended, and endUnseen when the delivery was reported before the load ended.
	masterEnded, endUnseen bool
}

// finalView is the load in the reporter's final report.
func finalView(obs *Observation, final *report.Final) loadView {
	view := loadView{
		started: !final.LoadStart.IsZero(), ended: true, masterEnded: true, lossConfirmed: true,
		startedAt: final.LoadStart, endedAt: final.LoadEnd, masterClock: true, elapsed: -1,
		requests: final.Requests, workersLeft: final.Workers, delivery: final.Delivery,
	}
	if final.LoadEnd.After(final.LoadStart) {
		view.elapsed = final.LoadEnd.Sub(final.LoadStart)
	}
	view.maxElapsed = view.elapsed
	if view.endedAt.IsZero() {
		// A snapshot of a master that was killed.
		view.endedAt = masterEnd(obs).FinishedAt.Time
	}
	view.runTime, view.shape = targetLoad(obs, &final.Report).RunTime, final.Target != nil && final.Target.Shape
	if view.delivery != nil {
		view.busiest = view.delivery.Busiest
	}
	return view
}

// liveView is the load as the master reported it last.
func liveView(prev *v2.LocustTestStatus, obs *Observation) loadView {
	l := obs.Locust
	r := l.Report
	view := loadView{
		ended: r.State.Ended(), requests: r.Requests, workersLeft: -1, elapsed: -1,
		delivery: r.Delivery, busiest: l.Busiest, lossConfirmed: l.At.Sub(l.LostWorkersChangedAt) >= podStatusTimeout,
		runTime: targetLoad(obs, r).RunTime, shape: r.Target != nil && r.Target.Shape,
	}
	if view.delivery != nil {
		view.busiest = view.delivery.Busiest
	}
	seen := prev.Progress != nil && prev.Progress.StartTime != nil
	view.started = r.State.Loading() || view.ended && (seen || r.Requests > 0 || r.Delivery != nil && r.Delivery.EndedBy != "")
	switch {
	case r.State.Loading():
		view.startedAt = loadStart(prev, obs).Time
		view.endedAt = l.At.Add(-endAccuracy)
		view.elapsed = l.At.Sub(view.startedAt)
	case view.ended:
		view.endedAt = l.EndedSince
		if seen {
			view.startedAt = prev.Progress.StartTime.Time
			view.elapsed = max(l.EndedSince.Sub(view.startedAt), 0)
		}
	}
	view.maxElapsed = view.elapsed
	if start := masterStart(obs); l.LoadSeenAt.IsZero() && !start.IsZero() {
		view.maxElapsed = max(view.endedAt.Sub(start), 0)
	}
	return view
}

// maxObservationDelay is how late a pod's start may be observed at most. Clocks that differ do so by more.
const maxObservationDelay = 10 * time.Minute

// masterStart is when the master's container started at the earliest, by the operator's clock; zero when its pod is gone.
func masterStart(obs *Observation) time.Time {
	if pod := startedMaster(obs); pod != nil {
		at := startedAt(pod)
		if local := obs.local(pod.UID, at); local.Before(at) || local.Sub(at) > maxObservationDelay {
			return local
		}
		return at
	}
	return time.Time{}
}

// lastView is the load of a master that has ended, by what it answered last.
func lastView(prev *v2.LocustTestStatus, obs *Observation, result *v2.TestResult) loadView {
	view := loadView{masterEnded: true, workersLeft: -1, elapsed: -1, maxElapsed: -1}
	if l := obs.Locust; l != nil && l.Report != nil {
		view = liveView(prev, obs)
		view.masterEnded, view.lossConfirmed = true, true
	}
	atWork := !view.ended
	view.endUnseen = atWork
	view.started, view.ended, view.requests = true, true, result.TotalRequests
	p := prev.Progress
	if p == nil || p.StartTime == nil {
		return view
	}
	view.startedAt = p.StartTime.Time
	if view.runTime == nil && p.Duration != nil {
		view.runTime = &p.Duration.Duration
	}
	switch {
	case result.Final && p.Elapsed != nil:
		view.elapsed = p.Elapsed.Duration
		view.endedAt = view.startedAt.Add(view.elapsed)
	case atWork:
		view.endedAt = masterFinish(obs)
		view.elapsed = max(view.endedAt.Sub(view.startedAt), 0)
	}
	view.maxElapsed = view.elapsed
	if start := masterStart(obs); (obs.Locust == nil || obs.Locust.LoadSeenAt.IsZero()) && !start.IsZero() && view.elapsed >= 0 {
		// Another operator may have seen the start, or none.
		view.maxElapsed = max(view.endedAt.Sub(start), view.elapsed)
	}
	return view
}

// masterFinish is when the master ended, by the operator's clock.
func masterFinish(obs *Observation) time.Time {
	for _, pod := range obs.podsOf(obs.MasterJob) {
		if at := finishedAt(pod); !at.IsZero() {
			return obs.local(pod.UID, at)
		}
	}
	return obs.local(obs.MasterJob.UID, finishTime(obs.MasterJob, time.Time{}))
}
