// Package cause determines why a Locust container failed, from the end of its log, the error message of a container runtime
// that could not start it, or the final report of the operator's reporter.
//
// All of these may come from the user's own code and are untrusted: the results are bounded, valid UTF-8 and free of
// terminal control characters. The package is pure: texts in, texts out.
package cause

import "strings"

// Bounds of a Cause, which is shown in conditions, Events and kubectl's columns.
const (
	// MaxLine bounds Cause.Line in characters. The first line of a condition has 200, and begins with the failed container.
	MaxLine = 173
	// MaxDetail bounds Cause.Detail in bytes.
	MaxDetail = 1024
)

// maxText bounds the part at the end of a text that is searched, in bytes. The kubelet keeps 2 KiB of a log and 4 KiB of a
// termination message; only a runtime's message is unbounded.
const maxText = 16 << 10

// Cause is the reason why a container failed.
type Cause struct {
	// Line is the cause and, if known, its remedy: one line of at most MaxLine characters. It is empty only if there was
	// no text.
	Line string
	// Detail is the source of the cause: a traceback, the end of the log, or the errors of a report. It has at most
	// MaxDetail bytes, in whole lines if they fit, and is empty if it adds nothing to Line.
	Detail string
}

// Facts are the inputs that a remedy depends on.
type Facts struct {
	// OperatorChoseUser is true if the pods run as the user that the operator chose, not the spec or the image.
	OperatorChoseUser bool
	// User is the UID of that user.
	User int64
}

// finding is the result of a search, before it is shortened to a Cause.
type finding struct {
	// message is the original error message.
	message string
	// place is the location in the user's code, such as "/lotest/src/locustfile.py, line 3"; often empty.
	place string
	// detail is the surrounding text, not yet truncated.
	detail string
	// kind limits the remedies that may apply.
	kind kind
	// context are lines around the cause that a remedy may check.
	context []string
}

// kind is the origin of a message, if remedies depend on it.
type kind int

const (
	// The zero value is for messages of Locust and Python.
	_ kind = iota
	// starting is for a program that could not be started.
	starting
	// request is for a failed request, whose message may be the server's.
	request
)

// FromLog returns the cause from the end of a log, or from a runtime's message for a container that could not start. The most
// specific source wins: a traceback, a usage error, Locust's last ERROR, a runtime's message, an exception without its
// traceback, a row of the error report, or else the last meaningful line.
func FromLog(text string, facts Facts) Cause {
	lines := splitLines(lastLines(text, maxText))
	if len(lines) == 0 {
		return Cause{}
	}
	return find(lines).cause(facts)
}

func find(lines []string) finding {
	for _, search := range []func([]string) (finding, bool){
		findTraceback, findUsage, findRecord, findStart, findException, findErrorReport,
	} {
		if f, ok := search(lines); ok {
			return f
		}
	}
	return findLast(lines)
}

// cause shortens the finding. The remedy is not shortened, because it is the shorter part and comes last.
func (f finding) cause(facts Facts) Cause {
	line := strings.TrimRight(oneLine(f.message), ":; ")
	if line == "" { // such as a text of colons only
		line = oneLine(f.message)
	}
	room := MaxLine
	remedy := remedyOf(f, facts)
	if remedy != "" {
		line = strings.TrimSuffix(line, ".")
		remedy = "; " + remedy
		room -= len([]rune(remedy))
	}
	if f.place != "" {
		line += " (" + f.place + ")"
	}
	c := Cause{Line: Shorten(line, room) + remedy, Detail: strings.Trim(lastLines(f.detail, MaxDetail), "\n")}
	if c.repeats() {
		c.Detail = ""
	}
	return c
}

// repeats reports whether the line contains all of the detail.
func (c *Cause) repeats() bool {
	if strings.Contains(c.Line, strings.TrimRight(oneLine(parseRecord(c.Detail).text), ":;. ")) {
		return true
	}
	for _, line := range splitLines(c.Detail) {
		if !strings.Contains(c.Line, strings.TrimRight(line, ":;. ")) {
			return false
		}
	}
	return true
}
