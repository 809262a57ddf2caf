package status

import (
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// Locust is the state of a test's master by its web API.
type Locust struct {
	// Report is the newest report, nil without one, and At is when it was received.
	Report *report.Report
	At     time.Time
	// PolledAt is when the master was last polled, with or without a report; zero before the first poll.
	PolledAt time.Time
	// WorkersChangedAt is when the reported number of workers last changed.
	WorkersChangedAt time.Time
	// CountersUnchangedSince is since when the reported numbers of requests and failures have not changed.
	CountersUnchangedSince time.Time
	// EndedSince is since when the reports have shown that the load has ended; zero while it has not.
	EndedSince time.Time
	// StoppedSince is since when the reports have shown that no users are running; zero while they have not.
	StoppedSince time.Time
	// LoadSeenAt is when a report first showed a running load after one without; zero if the first report showed a running load.
	LoadSeenAt time.Time
	// LostWorkersChangedAt is when the reporter's number of lost workers last changed.
	LostWorkersChangedAt time.Time
	// Busiest is the highest processor use of a worker that was the busiest in two reports at least useSampleInterval apart, by the
	// web API alone; nil if no worker was the busiest in both.
	Busiest *report.ProcessorUse
	// lastUse is the last sample of the busiest worker, taken at lastUseAt.
	lastUse   *report.ProcessorUse
	lastUseAt time.Time
	// PollDuration is the duration of the last poll, with or without a report.
	PollDuration time.Duration
	// LastError is the error of the last poll; empty if it succeeded. It is the same text for the same cause.
	LastError string
	// RefusedAt is when a connection was last refused; zero if none was.
	RefusedAt time.Time
	// Failures is the number of failed polls since the last report.
	Failures int
	// Unreachable is true if the master's arguments make its web API unreachable; LastError contains the reason.
	Unreachable bool
}

// RecordReport records a successful poll. The report is shared and must not be modified.
func (l *Locust) RecordReport(r *report.Report, now time.Time) {
	l.PolledAt = now
	if l.Report == nil || l.Report.Workers != r.Workers {
		l.WorkersChangedAt = now
	}
	if l.Report == nil || l.Report.Requests != r.Requests || l.Report.Failures != r.Failures {
		l.CountersUnchangedSince = now
	}
	switch {
	case !r.State.Ended():
		l.EndedSince = time.Time{}
	case l.EndedSince.IsZero():
		l.EndedSince = now
	}
	switch {
	case r.State != report.StateStopped:
		l.StoppedSince = time.Time{}
	case l.StoppedSince.IsZero():
		l.StoppedSince = now
	}
	if l.Report != nil && !l.Report.State.Loading() && r.State.Loading() {
		l.LoadSeenAt = now
	}
	if l.Report == nil || lostWorkers(l.Report) != lostWorkers(r) {
		l.LostWorkersChangedAt = now
	}
	l.recordProcessorUse(r, now)
	l.Report, l.At = r, now
	l.LastError, l.Failures = "", 0
}

// lostWorkers returns the reporter's number of lost workers.
func lostWorkers(r *report.Report) int32 {
	if r.Delivery == nil {
		return 0
	}
	return r.Delivery.WorkersLost
}

// recordProcessorUse samples the processor use of the busiest worker.
func (l *Locust) recordProcessorUse(r *report.Report, now time.Time) {
	if !r.State.Loading() || r.Busiest == nil {
		l.lastUse = nil
		return
	}
	if l.lastUse != nil && now.Sub(l.lastUseAt) < useSampleInterval {
		return
	}
	if l.lastUse != nil && l.lastUse.Worker == r.Busiest.Worker {
		if use := min(l.lastUse.Percent, r.Busiest.Percent); l.Busiest == nil || use > l.Busiest.Percent {
			l.Busiest = &report.ProcessorUse{Worker: r.Busiest.Worker, Percent: use}
		}
	}
	l.lastUse, l.lastUseAt = r.Busiest, now
}

// RecordFailure records a failed poll; refused is true if the connection was refused.
func (l *Locust) RecordFailure(reason string, refused bool, now time.Time) {
	l.PolledAt, l.LastError, l.Failures = now, reason, l.Failures+1
	if refused {
		l.RefusedAt = now
	}
}

// neverListened reports whether the master has refused connections and has never answered: no worker is known to have been
// connected to it.
func (l *Locust) neverListened() bool { return l != nil && l.Report == nil && !l.RefusedAt.IsZero() }

// freshReport returns the newest report; nil if it is older than reportMaxAge.
func (l *Locust) freshReport(settings Settings, now time.Time) *report.Report {
	if l == nil || l.Report == nil || now.Sub(l.At) >= settings.reportMaxAge() {
		return nil
	}
	return l.Report
}

// reportMaxAge returns how long a report is valid; a single failed poll does not invalidate it.
func (s Settings) reportMaxAge() time.Duration { return max(3*s.PollInterval, minReportMaxAge) }

// lastError returns why the master does not answer.
func (l *Locust) lastError() string {
	if l.LastError == "" {
		return "it has not been polled recently"
	}
	return l.LastError
}

// isFinal reports whether the newest report is the result of the whole run: the load has stopped, and the counters are stable.
func (l *Locust) isFinal() bool {
	return l.Report.State == report.StateStopped && l.Report.Exact && l.At.Sub(l.CountersUnchangedSince) >= lastStatsGracePeriod && l.At.Sub(l.StoppedSince) >= lastStatsGracePeriod
}

// awaitsFinal reports whether the load has ended and its final result is pending. It may never arrive, for example if the CSV is
// larger than the read limit, or users do not stop.
func (l *Locust) awaitsFinal(now time.Time) bool {
	since := l.StoppedSince
	if since.IsZero() {
		since = l.EndedSince
	}
	return l.Report.State.Ended() && !l.isFinal() && now.Sub(since) < fastPollAfterChange
}

// slowPollInterval bounds the poll interval of a slow master that answers: its last report is still valid at the next poll.
func (s Settings) slowPollInterval() time.Duration { return max(s.PollInterval, s.reportMaxAge()*2/3) }

// pollGap bounds the time between two reports of a master under load.
func (l *Locust) pollGap(settings Settings) time.Duration {
	if l != nil && l.PollDuration > slowResponse {
		return settings.slowPollInterval()
	}
	return settings.PollInterval
}
