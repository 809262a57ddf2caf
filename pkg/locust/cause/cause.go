// Package cause finds out why a Locust container failed, from what is left of it: the end of its log, the words of a
// container runtime that could not start it, or the report that the operator's reporter wrote.
//
// All of it may come from the user's own code, so nothing in it is trusted: what is returned is bounded, valid UTF-8
// and free of characters that steer a terminal. The package is pure: texts in, texts out.
package cause

import "strings"

// Bounds of a Cause; it goes into conditions, events and kubectl's columns.
const (
	// MaxLine bounds Cause.Line in characters. The first line of a condition has 200, and begins with what ended.
	MaxLine = 173
	// MaxDetail bounds Cause.Detail in bytes.
	MaxDetail = 1024
)

// maxText bounds in bytes how much of a text's end is looked at. The kubelet keeps 2 KiB of a log and 4 KiB of a
// termination message; only a runtime's words have no bound.
const maxText = 16 << 10

// Cause is why a container failed.
type Cause struct {
	// Line is the cause and, where one is known, its remedy: one line of at most MaxLine characters. It is empty only
	// when there was no text.
	Line string
	// Detail is what the cause was found in: a traceback, the end of the log, or the errors of a report. It has at most
	// MaxDetail bytes, in whole lines where they fit, and is empty when it says no more than Line.
	Detail string
}

// Facts are what a remedy depends on.
type Facts struct {
	// OperatorChoseUser is set when the pods run as the user that the operator chose, not the spec or the image.
	OperatorChoseUser bool
	// User is the number of that user.
	User int64
}

// finding is what was found in a text before it is made fit for a Cause.
type finding struct {
	// message is the cause in its own words.
	message string
	// place is where in the user's code it is, such as "/lotest/src/locustfile.py, line 3"; often empty.
	place string
	// detail is the text around it, not yet cut.
	detail string
	// kind bounds which remedies may apply.
	kind kind
	// context are lines around the cause that a remedy may look at.
	context []string
}

// kind is the sort of words that a cause is in, where remedies depend on it.
type kind int

const (
	// The zero value is for Locust's and Python's own words.
	_ kind = iota
	// starting are those for a program that could not be started.
	starting
	// request are those of a failed request, which may be the server's.
	request
)

// FromLog finds the cause in the end of a log, or in a runtime's words for a container that could not start. The most
// specific wins: a traceback, a wrong command line, Locust's last ERROR, a runtime's words, an exception whose traceback
// was cut off, a row of the error report, and at last the last line that is worth reading.
func FromLog(text string, facts Facts) Cause {
	lines := splitLines(lastLines(text, maxText))
	if len(lines) == 0 {
		return Cause{}
	}
	return find(lines).cause(facts)
}

func find(lines []string) finding {
	for _, look := range []func([]string) (finding, bool){
		findTraceback, findUsage, findRecord, findStart, findException, findErrorReport,
	} {
		if f, ok := look(lines); ok {
			return f
		}
	}
	return findLast(lines)
}

// cause cuts what was found to size. The remedy stays whole, for it is the shorter of both and ends what the user reads.
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

// repeats reports whether the line says all that the detail does.
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
