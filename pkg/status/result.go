package status

import (
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// setResult sets progress and testResult: live while the master answers, exact at the end. Values that are no longer known stay
// as last observed.
func (f *facts) setResult(next *v2.LocustTestStatus) {
	switch {
	case next.IsTerminal():
		next.TestResult = f.resultAtEnd()
		next.Progress = f.progressAtEnd()
	case next.Phase == v2.PhaseRunning && f.isMasterTerminating() && f.final != nil:
		// When the Job shows that the master has ended, the pod with the final report may be gone.
		next.TestResult = f.resultAtEnd()
		next.Progress = f.progressAtEnd()
	case next.Phase == v2.PhaseRunning && f.Locust != nil && f.Locust.Report != nil && !fromReporter(f.prev.TestResult):
		next.TestResult = liveResult(f.prev, f.Locust)
		next.Progress = f.liveProgress(f.Locust.Report)
	}
}

// fromReporter reports whether a result comes from the reporter. No other source overrides it.
func fromReporter(r *v2.TestResult) bool { return r != nil && r.Source == v2.ResultSourceReporter }

// liveResult returns the result that the running master reports.
func liveResult(prev *v2.LocustTestStatus, l *Locust) *v2.TestResult {
	r := l.Report
	if r.Requests == 0 && !r.State.Loading() && !r.State.Ended() {
		return prev.TestResult
	}
	return resultOf(&r.Stats, v2.ResultSourceWebAPI, l.isFinal())
}

// resultAtEnd returns the reporter's final result, or else the last one that the master reported.
func (f *facts) resultAtEnd() *v2.TestResult {
	result, _ := f.measuredAtEnd()
	return result
}

// measuredAtEnd is like resultAtEnd, and returns the unrounded statistics of the result. They are nil if the result is only known
// from the status, for example after a restart of the operator when the master's pod is gone.
func (f *facts) measuredAtEnd() (*v2.TestResult, *report.Stats) {
	known, stats := f.prev.TestResult, (*report.Stats)(nil)
	if f.Locust != nil && f.Locust.Report != nil && !fromReporter(known) {
		// The status may not contain the last report yet.
		if live := liveResult(f.prev, f.Locust); live != known {
			known, stats = live, &f.Locust.Report.Stats
		}
	}
	final := f.final
	switch {
	case final == nil, !final.Complete && known != nil && (known.Final || known.TotalRequests > final.Requests):
		return known, stats
	}
	return resultOf(&final.Stats, v2.ResultSourceReporter, final.Complete), &final.Stats
}

// resultOf converts statistics to the API type.
func resultOf(s *report.Stats, source string, final bool) *v2.TestResult {
	r := &v2.TestResult{
		Final: final, Source: source,
		TotalRequests: s.Requests, FailedRequests: s.Failures,
		FailureRatio:      ratio(s.Failures, s.Requests),
		RequestsPerSecond: strconv.FormatFloat(s.RequestsPerSecond, 'f', rateDigits, 64),
	}
	if s.Requests > 0 {
		r.AverageResponseTime = &metav1.Duration{Duration: s.Average}
		r.P50, r.P90, r.P95, r.P99 = duration(s.P50), duration(s.P90), duration(s.P95), duration(s.P99)
	}
	for i := range s.Endpoints {
		e := &s.Endpoints[i]
		r.Endpoints = append(r.Endpoints, v2.EndpointResult{
			Method: e.Method, Name: e.Name, TotalRequests: e.Requests, FailedRequests: e.Failures,
			AverageResponseTime: &metav1.Duration{Duration: e.Average}, P95: duration(e.P95),
		})
	}
	for _, e := range s.Errors {
		r.Errors = append(r.Errors, v2.ErrorResult{Method: e.Method, Name: e.Name, Error: e.Text, Occurrences: e.Occurrences})
	}
	return r
}

func duration(d *time.Duration) *metav1.Duration {
	if d == nil {
		return nil
	}
	return &metav1.Duration{Duration: *d}
}

// ratio returns part/whole as a decimal number; "0" if whole is 0.
func ratio(part, whole int64) string {
	if whole == 0 {
		return "0"
	}
	return trimZeros(strconv.FormatFloat(float64(part)/float64(whole), 'f', ratioDigits, 64))
}

// trimZeros removes trailing zeros from a decimal number with a point.
func trimZeros(number string) string {
	return strings.TrimSuffix(strings.TrimRight(number, "0"), ".")
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

// loadStart returns when the load was first observed running; a new load after an ended one has its own start.
func (f *facts) loadStart() *metav1.Time {
	ended := f.prev.TestResult != nil && f.prev.TestResult.Final
	if f.prev.Progress != nil && f.prev.Progress.StartTime != nil && !ended && !f.Locust.LoadSeenAt.After(f.prev.Progress.StartTime.Add(time.Second)) {
		return f.prev.Progress.StartTime
	}
	at := metav1.NewTime(f.Locust.At.Truncate(time.Second))
	return &at
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
	p.Duration = duration(load.RunTime)
}

// targetLoad returns the requested users and run time: those that Locust reports once a load has started, because it may have been
// started in the web UI, and those of the arguments until then. With a load shape neither is known.
func (f *facts) targetLoad(r *report.Report) resources.Load {
	var load resources.Load
	t := r.Target
	if t != nil && t.Shape {
		return load
	}
	if f.Run != nil {
		load = resources.LoadFor(&f.Run.Spec)
	}
	if t == nil || !r.State.Loading() && !r.State.Ended() {
		return load
	}
	load.RunTime = t.RunTime
	if t.Users != nil {
		load.Users = t.Users
	}
	return load
}

func setElapsed(p *v2.Progress, elapsed time.Duration) {
	elapsed = max(elapsed, 0).Truncate(time.Second)
	p.Elapsed = &metav1.Duration{Duration: elapsed}
	if p.Duration != nil && p.Duration.Duration > 0 {
		percent := int32(min(100, 100*elapsed.Seconds()/p.Duration.Seconds()))
		p.Percent = &percent
	}
}
