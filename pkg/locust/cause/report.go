package cause

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// unhandled is the prefix that the reporter, or Locust (log.py), writes before an exception that ended the master or a
// greenlet.
var unhandled = regexp.MustCompile(`^(?:unhandled exception|Unhandled exception in greenlet: <.*>): `)

// FromReport returns the cause from the reporter's final report: the master's last CRITICAL, failed requests, exceptions
// of users, the last ERROR of the log, or else the log's last line. It is empty for a report without any of these.
func FromReport(final *report.Final, facts Facts) Cause {
	if final == nil {
		return Cause{}
	}
	f := findInReport(final)
	if f.message == "" {
		return Cause{}
	}
	f.detail = reportDetail(final)
	return f.cause(facts)
}

func findInReport(final *report.Final) finding {
	if text := lastOfLevel(final.Log, "CRITICAL"); text != "" {
		return finding{message: unhandled.ReplaceAllString(text, "")}
	}
	if final.Failures > 0 {
		return finding{message: failedRequests(final), kind: request}
	}
	if len(final.Exceptions) > 0 { // the most frequent is first
		return finding{message: errorMessage(final.Exceptions[0])}
	}
	if text := lastOfLevel(final.Log, "ERROR"); text != "" {
		return finding{message: text}
	}
	line := lastMatching(final.Log, func(line string) bool { return strings.TrimSpace(line) != "" })
	if r := parseRecord(line); r.text != "" {
		line = r.text
	}
	return finding{message: line}
}

// lastOfLevel returns the text of the last line with a level.
func lastOfLevel(log []string, level string) string {
	return parseRecord(lastMatching(log, func(line string) bool {
		r := parseRecord(line)
		return r.level == level && r.text != ""
	})).text
}

// failedRequests returns the count of failed requests with the most frequent error.
func failedRequests(final *report.Final) string {
	text := failureCount(final)
	if len(final.Errors) > 0 {
		return text + ", " + errorMessage(final.Errors[0])
	}
	return text
}

func failureCount(final *report.Final) string {
	part := 100 * float64(final.Failures) / float64(max(final.Requests, 1))
	return fmt.Sprintf("%d of %d requests failed (%.4g %%)", final.Failures, final.Requests, part)
}

// isUserException reports whether an error is an exception of the user's code, which has no request.
func isUserException(e report.Error) bool { return strings.TrimSpace(e.Method+e.Name) == "" }

func errorMessage(e report.Error) string {
	from := strings.TrimSpace(e.Method + " " + e.Name)
	if isUserException(e) {
		from = "exception in the locustfile"
	}
	return fmt.Sprintf("%d × %s: %s", e.Occurrences, from, e.Text)
}

// maxDetailErrors bounds the errors in a detail.
const maxDetailErrors = 5

// reportDetail returns the errors and then the log. If both do not fit, the end of the log gets at least half of the space.
func reportDetail(final *report.Final) string {
	var errs []string
	if final.Failures > 0 {
		errs = append(errs, failureCount(final))
	}
	for _, e := range final.TopErrors(maxDetailErrors) {
		errs = append(errs, oneLine(errorMessage(e)))
	}
	var log []string
	for _, line := range final.Log {
		log = append(log, oneLine(line))
	}
	used := len(strings.Join(errs, "\n")) + 1
	tail := lastLines(strings.Join(log, "\n"), max(MaxDetail/2, MaxDetail-used))
	lines := firstLines(errs, MaxDetail-len(tail))
	if tail != "" {
		lines = append(lines[:len(lines):len(lines)], tail)
	}
	return strings.Join(lines, "\n")
}
