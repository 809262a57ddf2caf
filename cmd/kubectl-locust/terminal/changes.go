package terminal

import (
	"fmt"
	"io"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Changes returns one line for each difference between two states of a test. before may be nil.
func Changes(before, after *v2.LocustTest) []string {
	var was v2.LocustTestStatus
	if before != nil {
		was = before.Status
	}
	is := &after.Status
	var lines []string
	if was.Phase != is.Phase {
		lines = append(lines, "phase "+Safe(phaseOf(is)))
	}
	if was.ConnectedWorkers != is.ConnectedWorkers || was.ExpectedWorkers != is.ExpectedWorkers {
		lines = append(lines, fmt.Sprintf("workers %d/%d", is.ConnectedWorkers, is.ExpectedWorkers))
	}
	if is.TestResult != nil && (requestsOf(was.TestResult) != requestsOf(is.TestResult) || usersOf(&was) != usersOf(is)) {
		lines = append(lines, fmt.Sprintf("users %s; requests %s; responses %s", usersOf(is), requestsOf(is.TestResult), responsesOf(is.TestResult)))
	}
	for i := range is.Conditions {
		condition := &is.Conditions[i]
		if line := changeOf(meta.FindStatusCondition(was.Conditions, condition.Type), condition); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// changeOf returns the line for a change of a condition; empty if there is none that matters. Messages of good conditions change
// often, and numbers have their own lines.
func changeOf(before, after *metav1.Condition) string {
	switch after.Type {
	case v2.ConditionTypeReconciling, v2.ConditionTypeStalled:
		return "" // as the phase
	}
	is := markOf(after)
	switch {
	case before == nil && is == good, is == waiting && !noteworthy(after):
		return ""
	case before != nil && before.Status == after.Status && before.Reason == after.Reason && (is != bad || before.Message == after.Message):
		return ""
	}
	return fmt.Sprintf("%s=%s %s", Safe(after.Type), Safe(string(after.Status)), conditionText(after))
}

// ChangeLog prints one line for each change. It is used if the output is no terminal.
type ChangeLog struct {
	Out  io.Writer
	last *v2.LocustTest
	note string
}

// Draw prints what has changed since the state before.
func (l *ChangeLog) Draw(state State) {
	var lines []string
	if state.Test != l.last {
		lines = Changes(l.last, state.Test)
		l.last = state.Test
	}
	if state.Note != l.note {
		if l.note = state.Note; l.note != "" {
			lines = append(lines, Safe(l.note))
		}
	}
	for _, line := range lines {
		fmt.Fprintf(l.Out, "%6s  %s\n", Clock(state.Elapsed), line)
	}
}

// Close ends the view.
func (l *ChangeLog) Close() {}
