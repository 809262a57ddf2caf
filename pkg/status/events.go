package status

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// ReasonTestStarted is the reason of the Event for the phase Running.
const ReasonTestStarted = "TestStarted"

// ReasonResourceRecreated is the reason of the Event for a deleted object that was recreated.
const ReasonResourceRecreated = "ResourceRecreated"

// Event reports one transition to users.
type Event struct {
	// Type is Normal or Warning.
	Type string
	// Reason is the condition's reason, TestStarted or ResourceRecreated.
	Reason string
	// Message is the condition's message.
	Message string
}

// maxEventMessage is the API's limit for an Event's note, in bytes.
const maxEventMessage = 1000

// transitions returns the Events for the changes to the next status, one for each transition.
func (f *facts) transitions(next *v2.LocustTestStatus) []Event {
	prev := f.prev
	var events []Event
	emit := func(eventType, reason, message string) {
		events = append(events, Event{eventType, reason, Clip(message, maxEventMessage)})
	}
	if len(f.Created) > 0 && meta.IsStatusConditionTrue(prev.Conditions, v2.ConditionTypeReady) {
		for _, name := range f.Created {
			emit(corev1.EventTypeWarning, ReasonResourceRecreated, name+" was deleted and has been recreated")
		}
	}
	if prev.Phase != next.Phase && next.Phase == v2.PhaseRunning {
		emit(corev1.EventTypeNormal, ReasonTestStarted, fmt.Sprintf("Master is running, %d workers expected", next.ExpectedWorkers))
	}
	for _, conditionType := range PermanentTypes {
		was, is := meta.FindStatusCondition(prev.Conditions, conditionType), meta.FindStatusCondition(next.Conditions, conditionType)
		if was == nil || is == nil || (was.Status == is.Status && was.Reason == is.Reason) {
			continue
		}
		if eventType := eventTypeOf(was, is, next.IsTerminal()); eventType != "" {
			emit(eventType, is.Reason, headline(is.Message))
		}
	}
	return events
}

// eventTypeOf returns the type of the Event for a condition's transition; empty if the transition has no Event.
func eventTypeOf(was, is *metav1.Condition, terminal bool) string {
	switch is.Reason {
	case v2.ReasonTestSucceeded:
		return corev1.EventTypeNormal
	case v2.ReasonTestFailed:
		return corev1.EventTypeWarning
	}
	if terminal {
		// TestSucceeded or TestFailed is the only Event for the end.
		return ""
	}
	switch is.Reason {
	case v2.ReasonResourcesFailed, v2.ReasonWorkersMissing, v2.ReasonSpecChangeIgnored:
		return corev1.EventTypeWarning
	case v2.ReasonAllWorkersConnected, v2.ReasonSpecInSync:
		return corev1.EventTypeNormal
	}
	if is.Type == v2.ConditionTypeLoadDelivered && is.Status == metav1.ConditionFalse {
		return corev1.EventTypeWarning
	}
	if is.Type == v2.ConditionTypePodsHealthy {
		switch {
		case is.Status == metav1.ConditionFalse:
			return corev1.EventTypeWarning
		case was.Status == metav1.ConditionFalse, is.Reason == v2.ReasonSuspended:
			return corev1.EventTypeNormal
		}
	}
	return ""
}
