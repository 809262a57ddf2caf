package terminal

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Tone is how a line looks on a terminal with colors.
type Tone int

// The tones of a line.
const (
	Plain Tone = iota
	Good
	Bad
	Warning
	Heading
)

// Line is a line of a view, without escape sequences.
type Line struct {
	Text string
	Tone Tone
}

// State is what a live view shows.
type State struct {
	// Test is the last known state of the test.
	Test *v2.LocustTest
	// Elapsed is how long the test has been followed.
	Elapsed time.Duration
	Now     time.Time
	// Note is what the user needs to know apart from the status; it may be empty.
	Note string
}

// The bounds of the columns of a bar.
const (
	minBar, maxBar = 8, 30
	besideBar      = 40
)

// Panel returns the lines of the live view of a test on a terminal of a number of columns.
func Panel(state State, history *History, columns int) []Line {
	s := &state.Test.Status
	width := min(max(columns-besideBar, minBar), maxBar)
	row := func(name, graph, text string) Line {
		return Line{Text: pad("  "+name, 12) + pad(graph, width) + " " + text}
	}
	run, runText := runRow(s, state.Now, width)
	lines := []Line{
		{Text: fmt.Sprintf("%s: %s, %s", Safe(nameOf(state.Test)), Safe(phaseOf(s)), Clock(state.Elapsed)), Tone: Heading},
		{},
		row("run", run, runText),
		row("workers", bar(share(float64(s.ConnectedWorkers), float64(s.ExpectedWorkers)), width), fmt.Sprintf("%d/%d", s.ConnectedWorkers, s.ExpectedWorkers)),
		row("users", sparkline(history.series(width, func(s Sample) float64 { return s.Users })), usersOf(s)),
		row("requests", sparkline(history.series(width, func(s Sample) float64 { return s.Rate })), requestsOf(s.TestResult)),
		row(latencyRow(s.TestResult, history, width)),
	}
	lines = append(lines, problems(s)...)
	if state.Note != "" {
		lines = append(lines, Line{}, Line{"  " + Safe(state.Note), Warning})
	}
	return lines
}

// nameOf returns the namespace and the name of a test.
func nameOf(test *v2.LocustTest) string { return test.Namespace + "/" + test.Name }

// runRow shows how much of the run time has passed since the load started.
func runRow(s *v2.LocustTestStatus, now time.Time, width int) (graph, text string) {
	p := s.Progress
	if p == nil || p.StartTime == nil {
		return bar(0, width), "not started"
	}
	passed := now.Sub(p.StartTime.Time)
	if p.Elapsed != nil && (s.IsTerminal() || s.TestResult != nil && s.TestResult.Final) {
		passed = p.Elapsed.Duration
	}
	if p.Duration == nil {
		return "", Clock(passed) + ", no run time given"
	}
	// Times in a status are truncated to seconds, and come from another clock.
	length := p.Duration.Duration
	passed = min(max(passed, 0), length)
	if passed == length {
		return bar(1, width), Clock(length) + ", ending"
	}
	return bar(float64(passed)/float64(length), width), Clock(passed) + " of " + Clock(length)
}

func latencyRow(r *v2.TestResult, history *History, width int) (name, graph, text string) {
	graph = sparkline(history.series(width, func(s Sample) float64 { return s.Latency }))
	if r == nil || latencyOf(r) == nil {
		return "p95", graph, "none yet"
	}
	name = "p95"
	if r.P95 == nil {
		name = "average"
	}
	return name, graph, responsesOf(r)
}

// problems are the conditions that are not as expected, and Locust's errors.
func problems(s *v2.LocustTestStatus) []Line {
	var lines []Line
	for i := range s.Conditions {
		condition := &s.Conditions[i]
		if !noteworthy(condition) {
			continue
		}
		m, tone := markOf(condition), Plain
		if m == bad {
			tone = Bad
		}
		lines = append(lines, Line{fmt.Sprintf("  %s %-17s %s", m, Safe(condition.Type), conditionText(condition)), tone})
	}
	if s.TestResult != nil {
		for i := range s.TestResult.Errors {
			lines = append(lines, Line{"  " + string(bad) + " " + errorLine(&s.TestResult.Errors[i]), Bad})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return append([]Line{{}}, lines...)
}

// Summary returns the outcome of a test that has ended.
func Summary(test *v2.LocustTest) []Line {
	s := &test.Status
	lines := append([]Line{{}, outcomeLine(test)}, outcomeRows(s)...)
	lines = append(lines, resultRows(s.TestResult)...)
	lines = append(lines, summaryRow("workers", fmt.Sprintf("%d/%d", s.ConnectedWorkers, s.ExpectedWorkers)))
	if s.Report != "" {
		lines = append(lines, summaryRow("report", Safe(s.Report)))
	}
	return lines
}

func outcomeLine(test *v2.LocustTest) Line {
	s := &test.Status
	text := Safe(nameOf(test)) + ": " + Safe(phaseOf(s))
	if s.StartTime != nil && s.CompletionTime != nil {
		text += " after " + Clock(s.CompletionTime.Sub(s.StartTime.Time))
	}
	if s.Phase == v2.PhaseSucceeded {
		return Line{text, Good}
	}
	return Line{text, Bad}
}

// summaryRow is the first line of a row of the outcome.
func summaryRow(name, text string) Line { return Line{Text: fmt.Sprintf("  %-9s %s", name, text)} }

// textRows returns a text of one or more lines as a row of the outcome, the lines after the first below it.
func textRows(name, text string) []Line {
	first, rest, _ := strings.Cut(strings.TrimSpace(text), "\n")
	lines := []Line{summaryRow(name, Safe(first))}
	if rest == "" {
		return lines
	}
	for line := range strings.SplitSeq(SafeLines(rest), "\n") {
		lines = append(lines, Line{Text: strings.TrimRight(strings.Repeat(" ", 12)+line, " ")})
	}
	return lines
}

// outcomeRows are the cause, whether the load was delivered, and the problems that the cause does not name.
func outcomeRows(s *v2.LocustTestStatus) []Line {
	var cause, load, more []Line
	for i := range s.Conditions {
		condition := &s.Conditions[i]
		switch condition.Type {
		case v2.ConditionTypeTestCompleted:
			name := "result"
			if s.Phase == v2.PhaseFailed {
				name = "cause"
			}
			cause = append(cause, textRows(name, condition.Message)...)
		case v2.ConditionTypeLoadDelivered:
			load = append(load, textRows("load", reasonAndMessage(condition))...)
		case v2.ConditionTypeStalled, v2.ConditionTypeReady, v2.ConditionTypeReconciling:
			// They repeat the cause.
		default:
			if markOf(condition) == bad {
				more = append(more, textRows("problem", condition.Type+", "+reasonAndMessage(condition))...)
			}
		}
	}
	return append(append(cause, load...), more...)
}

func resultRows(r *v2.TestResult) []Line {
	if r == nil {
		return []Line{summaryRow("requests", "no result")}
	}
	precision := "exact, from the reporter"
	switch {
	case !r.Final:
		precision = "last known, not exact"
	case r.Source == v2.ResultSourceWebAPI:
		precision = "exact, from the web API"
	}
	lines := []Line{summaryRow("requests", requestsOf(r)+"; "+precision), summaryRow("responses", responsesOf(r))}
	for i := range r.Endpoints {
		e := &r.Endpoints[i]
		text := request(e.Method, e.Name) + ": " + strconv.FormatInt(e.TotalRequests, 10) + ", " + strconv.FormatInt(e.FailedRequests, 10) + " failed"
		if e.P95 != nil {
			text += ", p95 " + e.P95.Duration.String()
		}
		lines = append(lines, summaryRow("endpoint", text))
	}
	for i := range r.Errors {
		lines = append(lines, summaryRow("error", errorLine(&r.Errors[i])))
	}
	return lines
}
