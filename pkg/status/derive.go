package status

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// foreignRecheckInterval is how often a test looks again for a name that somebody else holds: nothing tells when it
// becomes free.
const foreignRecheckInterval = 30 * time.Second

// Derivation is what an observation means.
type Derivation struct {
	// Status is the next status; the previous one is not touched.
	Status v2.LocustTestStatus
	// Events are to be emitted once the status has been written.
	Events []Event
	// RequeueAfter is when to look again although nothing may happen meanwhile; 0 means never.
	RequeueAfter time.Duration
}

// Derive turns the previous status and an observation into the next status. The same input gives the same
// output; a terminal status is returned as it is.
func Derive(prev v2.LocustTestStatus, obs Observation, settings Settings, now time.Time) Derivation {
	if prev.IsTerminal() {
		return Derivation{Status: *prev.DeepCopy()}
	}
	if prev.Phase == "" {
		// What the run needs is created once this has been written.
		return Derivation{Status: InitializeStatus(obs.Test, now), RequeueAfter: time.Nanosecond}
	}
	next := prev.DeepCopy()
	next.ObservedGeneration = obs.Test.Generation

	v := diagnosePods(&prev, &obs, now)
	load := assessLoad(&prev, &obs, settings, now)
	decided := decidePhase(&prev, &obs, settings, v, &load, now)
	next.Phase = decided.phase
	setTimes(next, &obs, decided, now)
	setMasterPod(next, &obs)

	setSpecDrifted(next, &obs, now)
	setReady(next, &obs, now, decided.cause)
	setLoadDelivered(next, &load, now)
	setTestCompleted(next, now, decided, &load)
	again := soonest(load.requeueAfter, setWorkers(next, &prev, &obs, settings, now))
	setResult(next, &prev, &obs)
	again = soonest(again, setPodsHealthy(next, &obs, v, now))
	setKstatus(next, &obs, now, decided.cause)

	return Derivation{
		Status:       *next,
		Events:       transitions(&prev, next, &obs),
		RequeueAfter: requeueAfter(next, &prev, &obs, settings, decided, again, now),
	}
}

func setTimes(next *v2.LocustTestStatus, obs *Observation, decided outcome, now time.Time) {
	started := decided.phase == v2.PhaseRunning || decided.phase == v2.PhaseSucceeded || (decided.phase == v2.PhaseFailed && masterStarted(obs))
	if next.StartTime == nil && started {
		at := metav1.NewTime(startTime(obs, now).Truncate(time.Second))
		next.StartTime = &at
	}
	if !decided.completion.IsZero() {
		at := metav1.NewTime(decided.completion.Truncate(time.Second))
		if at.Before(next.StartTime) {
			// The clocks of two machines differ.
			at = *next.StartTime
		}
		next.CompletionTime = &at
	}
}

// setMasterPod records the first master pod that started; it stays that of the run.
func setMasterPod(next *v2.LocustTestStatus, obs *Observation) {
	if pod := startedMaster(obs); next.MasterPod == "" && pod != nil {
		next.MasterPod = pod.Name
	}
}

// requeueAfter is when the observation may mean something else by time alone.
func requeueAfter(next, prev *v2.LocustTestStatus, obs *Observation, settings Settings, decided outcome, again time.Duration, now time.Time) time.Duration {
	if next.IsTerminal() {
		// The load is stopped, and the Jobs expire, once the end has been written.
		return time.Nanosecond
	}
	wake := soonest(decided.requeueAfter, again)
	wake = soonest(wake, FindStuckObjects(prev, obs, now).RequeueAfter)
	if len(obs.Foreign) > 0 {
		wake = soonest(wake, foreignRecheckInterval)
	}
	if since := unhealthySince(next); !since.IsZero() && settings.StartupDeadline > 0 && !isStartupOver(next, next.ConnectedWorkers) {
		// soonest takes no notice of a deadline that has passed.
		wake = soonest(wake, settings.StartupDeadline-now.Sub(since))
	}
	return wake
}

// updateConditionGeneration keeps a condition as it is, but for the generation it was observed at.
func updateConditionGeneration(s *v2.LocustTestStatus, conditionType string) {
	if c := meta.FindStatusCondition(s.Conditions, conditionType); c != nil {
		c.ObservedGeneration = s.ObservedGeneration
	}
}
