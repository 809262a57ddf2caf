package status

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

const (
	// apiStartupGracePeriod is how long the master may take to serve its web API before that is worth a word.
	apiStartupGracePeriod = 15 * time.Second
	// apiListenGracePeriod is the most that it may take while nobody listens there: it still loads the locustfile, and as a rule no
	// worker is connected to it meanwhile. A master whose configuration file says headless never listens.
	apiListenGracePeriod = time.Minute
	// fastPollPeriod is how long a master that waits for its workers is asked often.
	fastPollPeriod = 2 * time.Minute
	// fastPollAfterChange is how long the master is asked often after a worker pod has started, or after its count of workers
	// has changed to something else than what the pods tell.
	fastPollAfterChange = 30 * time.Second
	// fastPollFactor is how many times as often the master is asked while its workers come and go, but not oftener than every
	// minPollInterval.
	fastPollFactor  = 5
	minPollInterval = time.Second
	// maxPollInterval is the longest time between two questions to a master that does not answer.
	maxPollInterval = 30 * time.Second
	// lastStatsDelay is how long the last statistics of the workers may take: they send them every 3 s, and the master says
	// that the load has stopped before (locust/stats.py, runners.py); its web API may be 2 s behind.
	lastStatsDelay = 5 * time.Second
	// slowResponse is how long an answer may take, its reading included, without the master being asked less often. Beyond it,
	// slowFactor times as long passes until the next question: a slow master takes a tenth of a slot at most.
	slowResponse = 500 * time.Millisecond
	slowFactor   = 10
	// useSampleInterval is how far apart two samples of a worker's use of its processor are: Locust takes them every 5 or 10 s.
	useSampleInterval = 10 * time.Second
)

// Locust is what the web API of the test's master told.
type Locust struct {
	// Report is the newest answer, nil when there was none, and At is when it came.
	Report *report.Report
	At     time.Time
	// PolledAt is when the master was last asked, answered or not; zero when it was not.
	PolledAt time.Time
	// WorkersChangedAt is when the number of workers was last told to be another one.
	WorkersChangedAt time.Time
	// CountersUnchangedSince is since when the answers have told the same numbers of requests and failures.
	CountersUnchangedSince time.Time
	// EndedSince is since when the answers have reported that the load has ended; zero while it has not.
	EndedSince time.Time
	// StoppedSince is since when the answers have reported that no user is at work any more; zero while they have not.
	StoppedSince time.Time
	// LoadSeenAt is when the answers first reported a load at work after they had reported none; zero when a load was at work
	// from the first answer on.
	LoadSeenAt time.Time
	// LostWorkersChangedAt is when the reporter last counted another number of lost workers.
	LostWorkersChangedAt time.Time
	// Busiest is the most that one worker used of a processor in two answers at least usePause apart, by the web API alone;
	// nil when none was the busiest in both.
	Busiest *report.ProcessorUse
	// lastUse is the busiest worker at busyAt.
	lastUse   *report.ProcessorUse
	lastUseAt time.Time
	// PollDuration is how long the last question took, answered or not.
	PollDuration time.Duration
	// LastError is why the last question was not answered; empty when it was. It does not change from one failure to the
	// next unless the cause does.
	LastError string
	// RefusedAt is when nobody listened where a question went, the last time; zero when that never was.
	RefusedAt time.Time
	// Failures is how many questions in a row were not answered.
	Failures int
	// Unreachable is true when the master cannot be asked at all, by its own arguments; Trouble tells why.
	Unreachable bool
}

// RecordReport takes an answer, which is not changed by anybody: it is shared.
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

// lostWorkers is how many lost workers the reporter counts.
func lostWorkers(r *report.Report) int32 {
	if r.Delivery == nil {
		return 0
	}
	return r.Delivery.WorkersLost
}

// recordProcessorUse takes a sample of the busiest worker's use of its processor.
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

// RecordFailure notes that a question was not answered, why, and whether because nobody listened.
func (l *Locust) RecordFailure(trouble string, refused bool, now time.Time) {
	l.PolledAt, l.LastError, l.Failures = now, trouble, l.Failures+1
	if refused {
		l.RefusedAt = now
	}
}

// neverListened tells that the master has never answered, and that nobody listened when it was asked: as far as is known no
// worker has been connected to it.
func (l *Locust) neverListened() bool { return l != nil && l.Report == nil && !l.RefusedAt.IsZero() }

// apiStartupDeadline is when the master that runs should have started to serve its web API: later while nobody listens.
func (l *Locust) apiStartupDeadline(obs *Observation) time.Time {
	start := masterRunningSince(obs)
	until := start.Add(apiStartupGracePeriod)
	if !l.neverListened() {
		return until
	}
	late := l.RefusedAt.Add(apiStartupGracePeriod) // its first answer may be late as well
	if most := start.Add(apiListenGracePeriod); late.After(most) {
		late = most
	}
	if late.After(until) {
		return late
	}
	return until
}

// startupGraceLeft is how long from now on the master's start excuses its silence, not positive when it does not. Once something has
// been told of the workers, by the master or without its word, it does not become unknown again; a master that ends
// before leaves it unknown.
func (l *Locust) startupGraceLeft(prev *v2.LocustTestStatus, obs *Observation, now time.Time) time.Duration {
	start := masterRunningSince(obs)
	switch {
	case prevSource(prev) != sourceUnknown:
		return start.Add(apiStartupGracePeriod).Sub(now)
	case start.IsZero() && l.neverListened():
		return apiListenGracePeriod
	}
	return l.apiStartupDeadline(obs).Sub(now)
}

// freshReport is the newest report while it is not too old to be true; nil otherwise.
func (l *Locust) freshReport(settings Settings, now time.Time) *report.Report {
	if l == nil || l.Report == nil || now.Sub(l.At) >= settings.reportMaxAge() {
		return nil
	}
	return l.Report
}

// reportMaxAge is how long a report is believed while no newer one comes: one lost answer is no news.
func (s Settings) reportMaxAge() time.Duration { return max(3*s.PollInterval, 10*time.Second) }

// isUnreachable tells that the master does not answer, and that its start is no excuse. It does not answer either when it has
// not been asked for long, for example because its pod has no IP address.
func (l *Locust) isUnreachable(prev *v2.LocustTestStatus, obs *Observation, now time.Time) bool {
	return l.Unreachable || ((l.LastError != "" || l.Report != nil) && l.startupGraceLeft(prev, obs, now) <= 0)
}

// lastError is why the master does not answer.
func (l *Locust) lastError() string {
	if l.LastError == "" {
		return "it has not been asked lately"
	}
	return l.LastError
}

// isFinal tells whether the newest report is the result of the whole run: the load has stopped, and no more comes in.
func (l *Locust) isFinal() bool {
	return l.Report.State == report.StateStopped && l.Report.Exact && l.At.Sub(l.CountersUnchangedSince) >= lastStatsDelay && l.At.Sub(l.StoppedSince) >= lastStatsDelay
}

// awaitsFinal reports whether the load has ended and its final result is due. It may never come, as where the CSV is larger
// than what is read, or the workers' users do not stop.
func (l *Locust) awaitsFinal(now time.Time) bool {
	since := l.StoppedSince
	if since.IsZero() {
		since = l.EndedSince
	}
	return l.Report.State.Ended() && !l.isFinal() && now.Sub(since) < fastPollAfterChange
}

// NextPoll tells when to ask the master of a running test again: now when it is not positive. ask is false when there
// is no use in asking, as of a master that has no IP address yet: the API server would not find it either.
func NextPoll(s *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) (wait time.Duration, ask bool) {
	l := obs.Locust
	if l == nil || l.Unreachable || s.Phase != v2.PhaseRunning {
		return 0, false
	}
	if master := RunningMaster(obs); master == nil || master.Status.PodIP == "" {
		return 0, false
	}
	every := pollInterval(s, obs, settings, now)
	if l.PollDuration > slowResponse && l.Failures == 0 {
		every = max(every, min(slowFactor*l.PollDuration, settings.slowPollInterval()))
	}
	return l.PolledAt.Add(every).Sub(now), true
}

// slowPollInterval is how often a master that answers is asked at least: its last report is still fresh when the next one comes.
func (s Settings) slowPollInterval() time.Duration { return max(s.PollInterval, s.reportMaxAge()*2/3) }

func pollInterval(s *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) time.Duration {
	l := obs.Locust
	often := max(settings.PollInterval/fastPollFactor, minPollInterval)
	age := now.Sub(masterRunningSince(obs))
	young := age < fastPollPeriod
	switch {
	case l.neverListened() && age >= apiStartupGracePeriod && now.Before(l.apiStartupDeadline(obs)):
		return min(settings.PollInterval, apiStartupGracePeriod/3) // a refusal excuses it until the next question, not longer
	case l.Failures > 0 && age >= apiStartupGracePeriod:
		most := maxPollInterval
		if l.Report == nil {
			// It starts slowly; how often it was asked while it started says nothing.
			most = min(now.Sub(l.apiStartupDeadline(obs)), maxPollInterval)
		}
		return max(settings.PollInterval, min(settings.PollInterval<<min(l.Failures-1, 16), most))
	case l.Report == nil, young && !allConnectedOnce(s), l.awaitsFinal(now):
		return often
	case l.Report.Workers != readyWorkers(obs) && now.Sub(l.WorkersChangedAt) < fastPollAfterChange, areWorkerPodsChanging(obs, now):
		return often
	}
	return settings.PollInterval
}

// areWorkerPodsChanging tells whether worker pods come or go.
func areWorkerPodsChanging(obs *Observation, now time.Time) bool {
	return slices.ContainsFunc(obs.podsOf(obs.WorkerJob), func(pod *corev1.Pod) bool {
		since := startedAt(pod)
		if since.IsZero() {
			since = pod.CreationTimestamp.Time
		}
		return !isFinishedPod(pod) && (pod.DeletionTimestamp != nil || now.Sub(obs.local(pod.UID, since)) < fastPollAfterChange)
	})
}

// RunningMaster is the pod of the master that runs, the newest when there are several; nil when none runs.
func RunningMaster(obs *Observation) *corev1.Pod {
	var newest *corev1.Pod
	for _, pod := range obs.podsOf(obs.MasterJob) {
		if isLive(pod) && !startedAt(pod).IsZero() && (newest == nil || startedAt(pod).After(startedAt(newest))) {
			newest = pod
		}
	}
	return newest
}

// masterRunningSince is when the master that runs has started, by the operator's clock; zero when none runs.
func masterRunningSince(obs *Observation) time.Time {
	master := RunningMaster(obs)
	if master == nil {
		return time.Time{}
	}
	return obs.local(master.UID, startedAt(master))
}

// readyWorkers is how many workers the ready worker pods have.
func readyWorkers(obs *Observation) int32 { return countWorkersIn(obs, isReady) }

// masterEnd is how the master's container ended; nil when it runs, or its pod is gone.
func masterEnd(obs *Observation) *corev1.ContainerStateTerminated {
	for _, pod := range obs.podsOf(obs.MasterJob) {
		if c := mainContainer(pod); c != nil && c.State.Terminated != nil {
			return c.State.Terminated
		}
	}
	return nil
}

// finalReport is what the reporter left in the master's termination message; nil when it left nothing that can be
// read.
func finalReport(obs *Observation) *report.Final {
	final, err := decodeFinal(obs)
	if err != nil {
		return nil
	}
	return final
}

// decodeFinal is finalReport, or why it cannot be read. Both are nil when there is none.
func decodeFinal(obs *Observation) (*report.Final, error) {
	end := masterEnd(obs)
	if end == nil || !report.IsFinal(end.Message) {
		return nil, nil
	}
	return report.DecodeFinal(end.Message)
}
