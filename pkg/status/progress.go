package status

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// setResult sets progress and testResult: live while the master answers, exact at the end. Values that are no longer known stay
// as last observed.
func (f *facts) setResult(next *v2.LocustTestStatus) {
	switch {
	case next.IsTerminal(), next.Phase == v2.PhaseRunning && f.isMasterTerminating() && f.final != nil:
		// When the Job shows that the master has ended, the terminating pod with the final report may be gone.
		next.TestResult = f.result
		next.Progress = f.progressAtEnd()
	case next.Phase == v2.PhaseRunning && f.Locust != nil && f.Locust.Report != nil && !fromReporter(f.prev.TestResult):
		next.TestResult = f.liveResult
		next.Progress = f.liveProgress(f.Locust.Report)
	}
}

// liveProgress returns the progress that the running master reports.
func (f *facts) liveProgress(r *report.Report) *v2.Progress {
	p := &v2.Progress{CurrentUsers: r.Users}
	f.setTargets(p, r)
	last := f.prev.Progress
	if last == nil {
		last = &v2.Progress{}
	}
	switch {
	case r.State.Loading():
		p.StartTime = f.loadStart()
		setElapsed(p, f.Locust.At.Sub(p.StartTime.Time))
	case r.State.Ended():
		p.StartTime = last.StartTime
		p.CurrentUsers = max(p.CurrentUsers, last.CurrentUsers)
		if p.StartTime != nil {
			setElapsed(p, endedAfter(f.prev, last, p.Duration, f.Locust.At.Sub(p.StartTime.Time)))
		}
	}
	return p
}

// endedAfter returns how long an ended load ran. The elapsed time includes stopping the load and observing it, so the planned
// duration bounds it.
func endedAfter(prev *v2.LocustTestStatus, last *v2.Progress, planned *metav1.Duration, elapsed time.Duration) time.Duration {
	if prev.TestResult != nil && prev.TestResult.Final && last.Elapsed != nil {
		return last.Elapsed.Duration
	}
	if planned != nil && elapsed > planned.Duration {
		return planned.Duration
	}
	return elapsed
}

func (f *facts) progressAtEnd() *v2.Progress {
	p := f.prev.Progress.DeepCopy()
	final := f.final
	if final == nil || final.LoadStart.IsZero() {
		return p
	}
	p = &v2.Progress{CurrentUsers: final.Users}
	f.setTargets(p, &final.Report)
	at := metav1.NewTime(final.LoadStart.Truncate(time.Second))
	p.StartTime = &at
	if final.LoadEnd.After(final.LoadStart) {
		setElapsed(p, final.LoadEnd.Sub(final.LoadStart))
	}
	return p
}

func (f *facts) setTargets(p *v2.Progress, r *report.Report) {
	load := f.targetLoad(r)
	p.TargetUsers = load.Users
	p.Duration = Duration(load.RunTime)
}

func setElapsed(p *v2.Progress, elapsed time.Duration) {
	elapsed = max(elapsed, 0).Truncate(time.Second)
	p.Elapsed = &metav1.Duration{Duration: elapsed}
	if p.Duration != nil && p.Duration.Duration > 0 {
		percent := int32(min(100, 100*elapsed.Seconds()/p.Duration.Seconds()))
		p.Percent = &percent
	}
}
