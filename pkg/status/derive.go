package status

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// Derivation is the result of Derive.
type Derivation struct {
	// Status is the next status; the previous one is not modified.
	Status v2.LocustTestStatus
	// Events must be emitted only after the status has been written.
	Events []Event
	// RequeueAfter is when to derive again without a watch event; zero means no requeue.
	RequeueAfter time.Duration
	// Poll is true if the master must be polled after PollIn; not positive means that a poll is due.
	Poll   bool
	PollIn time.Duration
}

// RequeueIn shortens RequeueAfter to a wait, if that is positive.
func (d *Derivation) RequeueIn(wait time.Duration) { d.RequeueAfter = Soonest(d.RequeueAfter, wait) }

// Soonest returns the shorter of two waits. A wait that is not positive means never.
func Soonest(a, b time.Duration) time.Duration {
	if a <= 0 || b > 0 && b < a {
		return b
	}
	return a
}

// Derive returns the next status for the previous status and an observation. The same input gives the same output; a terminal
// status is returned unchanged.
func Derive(prev v2.LocustTestStatus, obs Observation, settings Settings, now time.Time) Derivation {
	if prev.IsTerminal() {
		return Derivation{Status: *prev.DeepCopy(), RequeueAfter: obs.RecheckAfter}
	}
	if prev.Phase == "" {
		// The run's objects are created after this status has been written.
		return Derivation{Status: InitializeStatus(obs.Test, now), RequeueAfter: immediately}
	}
	f := newFacts(&prev, &obs, settings, now)
	f.stuck = f.findStuckObjects()
	f.problem = f.diagnosePods()
	f.likelyConnectedPods = f.countLikelyConnectedPods()
	f.connected = f.countWorkers()
	f.load = f.assessLoad()
	decided := f.decidePhase()

	next := prev.DeepCopy()
	next.ObservedGeneration = obs.Test.Generation
	next.Phase = decided.phase
	f.setTimes(next, decided)
	f.setConditions(next, decided)
	f.setResult(next)
	f.requeueAtDeadlines(next)

	if next.IsTerminal() {
		next.Report = resources.ReportName(obs.Test)
	}

	derived := Derivation{Status: *next, Events: f.transitions(next), RequeueAfter: f.requeueAfter}
	if next.IsTerminal() {
		// The load is stopped and the Jobs get their TTL after the end has been written.
		derived.RequeueAfter = immediately
	}
	derived.PollIn, derived.Poll = f.nextPoll(next)
	return derived
}

// setTimes sets when the run started and ended, and the first master pod that started, which never changes.
func (f *facts) setTimes(next *v2.LocustTestStatus, decided outcome) {
	if next.MasterPod == "" && f.masterStarted() {
		next.MasterPod = f.startedMaster.Name
	}
	started := decided.phase == v2.PhaseRunning || decided.phase == v2.PhaseSucceeded || (decided.phase == v2.PhaseFailed && f.masterStarted())
	if next.StartTime == nil && started {
		at := metav1.NewTime(f.startTime().Truncate(time.Second))
		next.StartTime = &at
	}
	if !decided.completion.IsZero() {
		at := metav1.NewTime(decided.completion.Truncate(time.Second))
		if at.Before(next.StartTime) {
			// Node clocks may differ.
			at = *next.StartTime
		}
		next.CompletionTime = &at
	}
}

// requeueAtDeadlines requests derivations at the times of the next status.
func (f *facts) requeueAtDeadlines(next *v2.LocustTestStatus) {
	f.requeueIn(f.RecheckAfter)
	if len(f.Foreign) > 0 {
		f.requeueIn(foreignRecheckInterval)
	}
	if since := unhealthySince(next); !since.IsZero() && f.settings.StartupDeadline > 0 && !isStartupOver(next, next.ConnectedWorkers) {
		f.requeueIn(f.settings.StartupDeadline - f.now.Sub(since))
	}
}
