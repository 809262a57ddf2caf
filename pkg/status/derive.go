package status

import (
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// foreignRecheckInterval is how often a test checks whether a name that another owner's object has is free: no watch reports it.
const foreignRecheckInterval = 30 * time.Second

// Derivation is the result of Derive.
type Derivation struct {
	// Status is the next status; the previous one is not modified.
	Status v2.LocustTestStatus
	// Events must be emitted only after the status has been written.
	Events []Event
	// RequeueAfter is when to derive again without a watch event; zero means no requeue.
	RequeueAfter time.Duration
}

// Derive returns the next status for the previous status and an observation. The same input gives the same output; a terminal
// status is returned unchanged.
func Derive(prev v2.LocustTestStatus, obs Observation, settings Settings, now time.Time) Derivation {
	if prev.IsTerminal() {
		return Derivation{Status: *prev.DeepCopy()}
	}
	if prev.Phase == "" {
		// The run's objects are created after this status has been written.
		return Derivation{Status: InitializeStatus(obs.Test, now), RequeueAfter: time.Nanosecond}
	}
	next := prev.DeepCopy()
	next.ObservedGeneration = obs.Test.Generation

	problem := diagnosePods(&prev, &obs, now)
	load := assessLoad(&prev, &obs, settings, now)
	decided := decidePhase(&prev, &obs, settings, problem, &load, now)
	next.Phase = decided.phase
	setTimes(next, &obs, decided, now)
	setMasterPod(next, &obs)

	setSpecDrifted(next, &obs, now)
	setReady(next, &obs, now, decided.cause)
	setLoadDelivered(next, &load, now)
	setTestCompleted(next, now, decided, &load)
	after := soonest(load.requeueAfter, setWorkers(next, &prev, &obs, settings, now))
	setResult(next, &prev, &obs)
	after = soonest(after, setPodsHealthy(next, &obs, problem, now))
	setKstatus(next, &obs, now, decided.cause)

	return Derivation{
		Status:       *next,
		Events:       transitions(&prev, next, &obs),
		RequeueAfter: requeueAfter(next, &prev, &obs, settings, decided, after, now),
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
			// Node clocks may differ.
			at = *next.StartTime
		}
		next.CompletionTime = &at
	}
}

// setMasterPod records the first master pod that started. It never changes during the run.
func setMasterPod(next *v2.LocustTestStatus, obs *Observation) {
	if pod := startedMaster(obs); next.MasterPod == "" && pod != nil {
		next.MasterPod = pod.Name
	}
}

// requeueAfter returns when the status may change by time alone; zero means never.
func requeueAfter(next, prev *v2.LocustTestStatus, obs *Observation, settings Settings, decided outcome, after time.Duration, now time.Time) time.Duration {
	if next.IsTerminal() {
		// The load is stopped and the Jobs get their TTL after the end has been written.
		return time.Nanosecond
	}
	after = soonest(decided.requeueAfter, after)
	after = soonest(after, FindStuckObjects(prev, obs, now).RequeueAfter)
	if len(obs.Foreign) > 0 {
		after = soonest(after, foreignRecheckInterval)
	}
	if since := unhealthySince(next); !since.IsZero() && settings.StartupDeadline > 0 && !isStartupOver(next, next.ConnectedWorkers) {
		// soonest ignores a deadline that has passed.
		after = soonest(after, settings.StartupDeadline-now.Sub(since))
	}
	return after
}

// updateConditionGeneration sets only the observed generation of a condition.
func updateConditionGeneration(s *v2.LocustTestStatus, conditionType string) {
	if c := meta.FindStatusCondition(s.Conditions, conditionType); c != nil {
		c.ObservedGeneration = s.ObservedGeneration
	}
}
