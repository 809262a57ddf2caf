package terminal

import (
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// mark shows whether a condition is as it should be at the end of a good run.
type mark string

// The marks of a condition.
const (
	good    mark = "✓"
	waiting mark = "·"
	bad     mark = "✗"
)

// markOf returns the mark of a condition. Status True is good for some types and bad for others.
func markOf(condition *metav1.Condition) mark {
	isTrue := condition.Status == metav1.ConditionTrue
	switch condition.Type {
	case v2.ConditionTypeReconciling:
		return waiting
	case v2.ConditionTypeSpecDrifted, v2.ConditionTypeStalled:
		if isTrue {
			return bad
		}
		return good
	}
	switch condition.Reason {
	case v2.ReasonTestFailed:
		return bad
	case v2.ReasonResourcesCreating, v2.ReasonWaitingForWorkers, v2.ReasonTestInProgress, v2.ReasonPodsStarting, v2.ReasonSuspended:
		return waiting
	}
	switch condition.Status {
	case metav1.ConditionTrue:
		return good
	case metav1.ConditionUnknown:
		return waiting
	}
	return bad
}

// noteworthy reports whether a live view shows a condition: it is bad, or the reason why the test waits.
func noteworthy(condition *metav1.Condition) bool {
	switch markOf(condition) {
	case bad:
		return true
	case waiting:
		switch condition.Type {
		case v2.ConditionTypeReady, v2.ConditionTypeWorkersConnected, v2.ConditionTypePodsHealthy:
			return true
		}
	}
	return false
}

// conditionText returns reason and message of a condition in one line.
func conditionText(condition *metav1.Condition) string { return Safe(reasonAndMessage(condition)) }

// reasonAndMessage returns reason and message of a condition as they are.
func reasonAndMessage(condition *metav1.Condition) string {
	if strings.TrimSpace(condition.Message) == "" {
		return condition.Reason
	}
	return condition.Reason + ": " + condition.Message
}
