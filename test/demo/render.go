package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// barWidth is the width of a bar in characters.
const barWidth = 30

// panel returns the lines of the terminal panel for a test.
func panel(test *v2.LocustTest, elapsed time.Duration, now time.Time) []string {
	if test == nil {
		return []string{"waiting for the test, " + clock(elapsed)}
	}
	s := &test.Status
	lines := []string{
		fmt.Sprintf("LocustTest %s, %s", client.ObjectKeyFromObject(test), clock(elapsed)),
		"",
		"  phase     " + phase(s),
		fmt.Sprintf("  workers   %s %d/%d", bar(share(s.ConnectedWorkers, s.ExpectedWorkers)), s.ConnectedWorkers, s.ExpectedWorkers),
		"  users     " + usersLine(s),
		"  run       " + runBar(test, now),
		"  requests  " + requestsLine(s.TestResult),
		"  responses " + responsesLine(s.TestResult),
		"",
	}
	for i := range s.Conditions {
		lines = append(lines, "  "+conditionLine(&s.Conditions[i]))
	}
	return lines
}

// usersLine shows the number of running users.
func usersLine(s *v2.LocustTestStatus) string {
	switch p := s.Progress; {
	case p == nil:
		return bar(0) + " not known yet"
	case p.TargetUsers == nil:
		return strconv.Itoa(int(p.CurrentUsers))
	default:
		return fmt.Sprintf("%s %d/%d", bar(share(p.CurrentUsers, *p.TargetUsers)), p.CurrentUsers, *p.TargetUsers)
	}
}

// runBar shows how much of the run time has passed since the load started.
func runBar(test *v2.LocustTest, now time.Time) string {
	p := test.Status.Progress
	if p == nil || p.StartTime == nil {
		return bar(0) + " not started"
	}
	passed := now.Sub(p.StartTime.Time)
	if p.Elapsed != nil && (test.Status.IsTerminal() || (test.Status.TestResult != nil && test.Status.TestResult.Final)) {
		passed = p.Elapsed.Duration
	}
	if p.Duration == nil {
		return clock(passed) + ", no --run-time given"
	}
	// Times in a status are truncated to seconds, and come from another clock.
	length := p.Duration.Duration
	passed = min(max(passed, 0), length)
	if passed == length {
		return fmt.Sprintf("%s %s, ending", bar(1), clock(length))
	}
	return fmt.Sprintf("%s %s of %s", bar(float64(passed)/float64(length)), clock(passed), clock(length))
}

// requestsLine shows the number of requests, their rate, and the number of failures.
func requestsLine(r *v2.TestResult) string {
	if r == nil {
		return "none yet"
	}
	return fmt.Sprintf("%d, %s/s, %d failed", r.TotalRequests, r.RequestsPerSecond, r.FailedRequests)
}

// responsesLine shows the known response times.
func responsesLine(r *v2.TestResult) string {
	if r == nil || r.AverageResponseTime == nil {
		return "none yet"
	}
	parts := []string{"average " + r.AverageResponseTime.Round(10*time.Microsecond).String()}
	for _, percentile := range []struct {
		name string
		time *metav1.Duration
	}{{"p50", r.P50}, {"p90", r.P90}, {"p95", r.P95}, {"p99", r.P99}} {
		if percentile.time != nil {
			parts = append(parts, percentile.name+" "+percentile.time.Duration.String())
		}
	}
	return strings.Join(parts, ", ")
}

// resultLines show the whole result, with endpoints and errors.
func resultLines(r *v2.TestResult) []string {
	if r == nil {
		return []string{"  no result"}
	}
	precision := "exact, from the reporter"
	switch {
	case !r.Final:
		precision = "last known, not exact"
	case r.Source == v2.ResultSourceWebAPI:
		precision = "exact, from the web API"
	}
	lines := []string{"  requests  " + requestsLine(r) + " (" + precision + ")", "  responses " + responsesLine(r)}
	for _, e := range r.Endpoints {
		line := fmt.Sprintf("  endpoint  %s %s: %d, %d failed", e.Method, e.Name, e.TotalRequests, e.FailedRequests)
		if e.P95 != nil {
			line += ", p95 " + e.P95.Duration.String()
		}
		lines = append(lines, line)
	}
	for _, e := range r.Errors {
		lines = append(lines, fmt.Sprintf("  error     %d × %s %s: %s", e.Occurrences, e.Method, e.Name, oneLine(e.Error)))
	}
	return lines
}

// changes returns one line for each difference between two states of a test. before may be nil.
func changes(before, after *v2.LocustTest) []string {
	var was v2.LocustTestStatus
	if before != nil {
		was = before.Status
	}
	is := &after.Status
	var lines []string
	if was.Phase != is.Phase {
		lines = append(lines, "phase "+phase(is))
	}
	if was.ConnectedWorkers != is.ConnectedWorkers || was.ExpectedWorkers != is.ExpectedWorkers {
		lines = append(lines, fmt.Sprintf("workers %d/%d", is.ConnectedWorkers, is.ExpectedWorkers))
	}
	if is.TestResult != nil && requestsLine(was.TestResult) != requestsLine(is.TestResult) {
		lines = append(lines, fmt.Sprintf("users %s; requests %s; responses %s", users(is), requestsLine(is.TestResult), responsesLine(is.TestResult)))
	}
	for i := range is.Conditions {
		condition := &is.Conditions[i]
		old := meta.FindStatusCondition(was.Conditions, condition.Type)
		if old == nil || old.Status != condition.Status || old.Reason != condition.Reason || old.Message != condition.Message {
			lines = append(lines, conditionLine(condition))
		}
	}
	for i := range was.Conditions {
		if gone := was.Conditions[i].Type; meta.FindStatusCondition(is.Conditions, gone) == nil {
			lines = append(lines, fmt.Sprintf("· %-17s removed", gone))
		}
	}
	return lines
}

// summary returns the final status and suggested commands. first is a command to run before these, and may be empty.
func summary(test *v2.LocustTest, first string) []string {
	s := &test.Status
	outcome := s.Phase
	if s.StartTime != nil && s.CompletionTime != nil {
		outcome += " after " + clock(s.CompletionTime.Sub(s.StartTime.Time))
	}
	lines := []string{
		"",
		fmt.Sprintf("%s: %s, %d/%d workers", client.ObjectKeyFromObject(test), outcome, s.ConnectedWorkers, s.ExpectedWorkers),
	}
	lines = append(lines, resultLines(s.TestResult)...)
	for i := range s.Conditions {
		lines = append(lines, "  "+conditionLine(&s.Conditions[i]))
	}
	lines = append(lines, "", "Try next")
	if first != "" {
		lines = append(lines, "  "+first)
	}
	kubectl := "  kubectl -n " + test.Namespace + " "
	return append(lines,
		kubectl+"get locusttest "+test.Name+" -o yaml",
		kubectl+"get jobs,pods,services -l performance-test-name="+test.Name,
		kubectl+"logs job/"+strings.ReplaceAll(test.Name, ".", "-")+"-master",
		kubectl+"get events",
		kubectl+"delete locusttest "+test.Name,
	)
}

// unfinished returns an error with the conditions that are not as expected. It leaves out a timeout, because explain
// adds it.
func unfinished(name client.ObjectKey, test *v2.LocustTest, err error) error {
	if test == nil {
		return fmt.Errorf("follow test %s: %w", name, err)
	}
	var problems []string
	for i := range test.Status.Conditions {
		if condition := &test.Status.Conditions[i]; mark(condition) != good {
			problems = append(problems, fmt.Sprintf("%s=%s %s: %s", condition.Type, condition.Status, condition.Reason, condition.Message))
		}
	}
	if len(test.Status.Conditions) == 0 {
		problems = append(problems, "it has no status yet; is the operator running?")
	}
	state := fmt.Errorf("test %s is %s: %s", name, phase(&test.Status), strings.Join(problems, "; "))
	if errors.Is(err, context.DeadlineExceeded) {
		return state
	}
	return fmt.Errorf("%w: %w", err, state)
}

// cause returns why a test failed.
func cause(test *v2.LocustTest) string {
	if completed := meta.FindStatusCondition(test.Status.Conditions, v2.ConditionTypeTestCompleted); completed != nil {
		return completed.Message
	}
	return "cause unknown"
}

func users(s *v2.LocustTestStatus) string {
	if s.Progress == nil {
		return "not known yet"
	}
	return strconv.Itoa(int(s.Progress.CurrentUsers))
}

func phase(s *v2.LocustTestStatus) string {
	if s.Phase == "" {
		return "not known yet"
	}
	return s.Phase
}

// The marks of a condition: as expected at the end, not yet, and a problem.
const (
	good    = "✓"
	waiting = "·"
	bad     = "✗"
)

// mark returns the mark of a condition. Status True is good for some types and bad for others.
func mark(condition *metav1.Condition) string {
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
	case v2.ReasonResourcesCreating, v2.ReasonWaitingForWorkers, v2.ReasonTestInProgress, v2.ReasonPodsStarting:
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

func conditionLine(condition *metav1.Condition) string {
	line := fmt.Sprintf("%s %-17s %-20s %s", mark(condition), condition.Type, condition.Reason, oneLine(condition.Message))
	return strings.TrimRight(line, " ")
}

// oneLine joins the lines of a message.
func oneLine(message string) string { return strings.Join(strings.Fields(message), " ") }

func share(part, whole int32) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}

func bar(share float64) string {
	full := int(min(max(share, 0), 1)*barWidth + 0.5)
	return strings.Repeat("█", full) + strings.Repeat("░", barWidth-full)
}

// clock formats a duration in whole seconds, as 0:07 or 1:02:03.
func clock(d time.Duration) string {
	s := int(max(d, 0).Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// cut truncates a line to width characters.
func cut(line string, width int) string {
	runes := []rune(line)
	if width < 2 || len(runes) <= width {
		return line
	}
	return string(runes[:width-1]) + "…"
}
