package status

import (
	"time"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// loadView is the observed state of the latest load.
type loadView struct {
	started, ended bool
	// startedAt and endedAt are times of the operator's clock; zero if they are not known.
	startedAt, endedAt time.Time
	// elapsed is how long the load has run; negative if it is not known.
	elapsed time.Duration
	// maxElapsed bounds how long the load can have run if its start was not observed; negative if it is not known.
	maxElapsed time.Duration
	// runTime is Locust's run time; nil if there is none, or it is not known.
	runTime *time.Duration
	// requests is the number of finished requests.
	requests int64
	// shape is true for a load shape.
	shape bool
	// delivery is the reporter's account of the load; nil without a reporter.
	delivery *report.Delivery
	busiest  *report.ProcessorUse
	// workersLeft is how many workers the master had at the end of the load; -1 if it is not known.
	workersLeft int32
	// lossConfirmed is true if the pods of the workers that the reporter counts as lost had time to show how they ended.
	lossConfirmed bool
	// masterEnded is true once the master has ended, endUnseen if the delivery was reported before the load ended.
	masterEnded, endUnseen bool
}

// finalView returns the load in the reporter's final report.
func (f *facts) finalView() loadView {
	final := f.final
	view := loadView{
		started: !final.LoadStart.IsZero(), ended: true, masterEnded: true, lossConfirmed: true,
		elapsed:  -1,
		requests: final.Requests, workersLeft: final.Workers, delivery: final.Delivery,
	}
	if final.LoadEnd.After(final.LoadStart) {
		view.elapsed = final.LoadEnd.Sub(final.LoadStart)
	}
	view.maxElapsed = view.elapsed
	pod := f.terminatedMaster
	view.startedAt, view.endedAt = f.nodeTime(pod, final.LoadStart), f.nodeTime(pod, final.LoadEnd)
	if view.endedAt.IsZero() {
		// The report is a snapshot: its master was killed.
		view.endedAt = f.masterFinish()
	}
	view.runTime, view.shape = f.targetLoad(&final.Report).RunTime, final.Target != nil && final.Target.Shape
	if view.delivery != nil {
		view.busiest = view.delivery.Busiest
	}
	return view
}

// liveView returns the load in the master's newest report.
func (f *facts) liveView() loadView {
	l := f.Locust
	r := l.Report
	view := loadView{
		ended: r.State.Ended(), requests: r.Requests, workersLeft: -1, elapsed: -1,
		delivery: r.Delivery, busiest: l.Busiest, lossConfirmed: l.At.Sub(l.LostWorkersChangedAt) >= podStatusTimeout,
		runTime: f.targetLoad(r).RunTime, shape: r.Target != nil && r.Target.Shape,
	}
	if view.delivery != nil {
		view.busiest = view.delivery.Busiest
	}
	startKnown := f.prev.Progress != nil && f.prev.Progress.StartTime != nil
	view.started = r.State.Loading() || view.ended && (startKnown || r.Requests > 0 || r.Delivery != nil && r.Delivery.EndedBy != "")
	switch {
	case r.State.Loading():
		view.startedAt = f.loadStart().Time
		view.endedAt = l.At.Add(-endAccuracy)
		view.elapsed = l.At.Sub(view.startedAt)
	case view.ended:
		view.endedAt = l.EndedSince
		if startKnown {
			view.startedAt = f.prev.Progress.StartTime.Time
			view.elapsed = max(l.EndedSince.Sub(view.startedAt), 0)
		}
	}
	view.maxElapsed = view.elapsed
	if start := f.masterStart(); l.LoadSeenAt.IsZero() && !start.IsZero() {
		view.maxElapsed = max(view.endedAt.Sub(start), 0)
	}
	return view
}

// masterStart returns when the master's container started, by the operator's clock; zero if its pod is gone.
func (f *facts) masterStart() time.Time {
	if pod := f.startedMaster; pod != nil {
		return f.nodeTime(pod, startedAt(pod))
	}
	return time.Time{}
}

// lastView returns the load of a master that has ended, by its last report.
func (f *facts) lastView(result *v2.TestResult) loadView {
	view := loadView{masterEnded: true, workersLeft: -1, elapsed: -1, maxElapsed: -1}
	if l := f.Locust; l != nil && l.Report != nil {
		view = f.liveView()
		view.masterEnded, view.lossConfirmed = true, true
	}
	endUnseen := !view.ended
	view.endUnseen = endUnseen
	view.started, view.ended, view.requests = true, true, result.TotalRequests
	p := f.prev.Progress
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
	case endUnseen:
		view.endedAt = f.masterFinish()
		view.elapsed = max(view.endedAt.Sub(view.startedAt), 0)
	}
	view.maxElapsed = view.elapsed
	if start := f.masterStart(); (f.Locust == nil || f.Locust.LoadSeenAt.IsZero()) && !start.IsZero() && view.elapsed >= 0 {
		// This operator did not observe the start of the load.
		view.maxElapsed = max(view.endedAt.Sub(start), view.elapsed)
	}
	return view
}

// masterFinish returns when the master ended, by the operator's clock.
func (f *facts) masterFinish() time.Time {
	if pod := f.terminatedMaster; pod != nil {
		return f.nodeTime(pod, finishedAt(pod))
	}
	return f.jobControllerTime(finishTime(f.MasterJob, time.Time{}))
}
