package cause

import (
	"regexp"
	"strings"
)

const (
	tracebackBegin = "Traceback (most recent call last):"
	// maxMessage bounds the lines of an exception's message after the first.
	maxMessage = 5
)

var (
	// frameLine matches a frame; those of SyntaxErrors have no "in".
	frameLine = regexp.MustCompile(`^ *File "([^"]+)", line (\d+)(?:, in .*)?$`)
	// notUserFile matches files of Python, of packages such as Locust, of the operator's reporter, and the scripts that start
	// Python programs. Names like <string> are not files, and compiled packages have relative paths.
	notUserFile = regexp.MustCompile(`^[^/]|/(?:site|dist)-packages/|/lib(?:64)?/python\d|/lib(?:64)?/pypy\d|\.zip/|^/locust\.io/|/bin/(?:locust|python[\d.]*)$`)
	// markLine matches a line that marks a part of the line above, in Python 3.11 and later.
	markLine = regexp.MustCompile(`^[ ~^]+$`)
	// exceptionLine matches the last line of a traceback, which is alone if the rest was cut off.
	exceptionLine = regexp.MustCompile(`^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|StopTest)(?:: .+)?$|^[a-z_]\w*(?:\.\w+)*\.[A-Z]\w*: .+$`)
	// exitException matches exceptions that end a program on purpose: they follow the cause.
	exitException = regexp.MustCompile(`^(?:[\w.]+\.)?(?:KeyboardInterrupt|SystemExit|GreenletExit)\b`)
)

// exceptionHints are parts of anException: each match contains one of them.
var exceptionHints = []string{"Error", "Exception", "Exit", "Interrupt", "StopTest", "."}

// traceback is a Python traceback.
type traceback struct {
	// lines are all lines, up to the presumed end of the exception's message.
	lines []string
	// frames are the lines that name a file.
	frames []string
	// exception is the line with the exception; empty if it is missing.
	exception string
	// place is the innermost of the user's own files.
	place string
	// before is the line before the traceback.
	before string
	// at is the index of the first line.
	at int
}

// findTraceback returns the last traceback, because Python prints the last exception of a chain last. Tracebacks with weight 0
// are used only if there is no other error.
func findTraceback(lines []string) (finding, bool) {
	var best *traceback
	weight := 0
	for _, t := range tracebacks(lines) {
		if w := t.weight(); best == nil || w >= weight {
			best, weight = t, w
		}
	}
	if best == nil || weight == 0 && hasOtherError(lines) {
		return finding{}, false
	}
	return finding{
		message: best.message(lines), place: best.place,
		detail: strings.Join(best.lines, "\n"), context: best.frames,
	}, true
}

// weight is 0 if the load continued after the exception, or the program was already exiting.
func (t *traceback) weight() int {
	before := parseRecord(t.before)
	switch {
	case exitException.MatchString(t.exception), strings.HasPrefix(t.before, "Exception ignored in"):
		return 0
	case strings.HasPrefix(before.logger, "locust.user"): // an exception of a user's task
		return 0
	}
	return 1
}

// hasOtherError reports whether there is an error other than those of users' tasks.
func hasOtherError(lines []string) bool {
	if _, ok := findUsage(lines); ok {
		return true
	}
	for _, r := range records(lines) {
		if r.isError() && !strings.HasPrefix(r.logger, "locust.user") {
			return true
		}
	}
	return false
}

// message returns the exception. If it has no text, such as the ConnectionError of a worker, and is not in the user's own
// code, message adds the preceding log record.
func (t *traceback) message(lines []string) string {
	if strings.Contains(t.exception, ":") || t.place != "" {
		return t.exception
	}
	for i := t.at - 1; i >= 0; i-- {
		if r := parseRecord(lines[i]); r.text != "" && r.level != "" && r.level != "DEBUG" {
			return t.exception + " after: " + r.text
		}
	}
	return t.exception
}

// tracebacks returns the tracebacks that have an exception. The first may lack its beginning.
func tracebacks(lines []string) []*traceback {
	var all []*traceback
	var open *traceback
	base := 0
	for i, line := range lines {
		frame := parseFrame(line)
		switch {
		case strings.Contains(line, tracebackBegin):
			open, base = newTraceback(lines, i), tracebackIndent(line)
		case open == nil && frame != nil:
			open, base = newTraceback(lines, i), max(0, indent(line)-2)
			open.add(line, frame)
		case open == nil:
		case frame != nil:
			open.add(line, frame)
		case line == "" || indent(line) > base:
			open.addSource(line)
		default:
			if open.close(lines, i) {
				all = append(all, open)
			}
			open = nil
		}
	}
	return all
}

// parseFrame returns the match, the file and the line number of a frame; nil if the line is not a frame.
func parseFrame(line string) []string {
	if !strings.Contains(line, `File "`) {
		return nil
	}
	return frameLine.FindStringSubmatch(line)
}

func newTraceback(lines []string, at int) *traceback {
	t := &traceback{at: at}
	line := lines[at]
	if strings.Contains(line, tracebackBegin) {
		t.lines = append(t.lines, line)
	}
	if before := strings.TrimSpace(strings.TrimSuffix(line, tracebackBegin)); before != "" && len(t.lines) > 0 {
		t.before = before + " " + tracebackBegin // the log record that contains it
		return t
	}
	if at > 0 {
		t.before = lines[at-1]
	}
	return t
}

// tracebackIndent returns the indentation of a traceback. The prefix of a log record precedes only its first line.
func tracebackIndent(line string) int {
	if strings.HasPrefix(strings.TrimLeft(line, " "), tracebackBegin) {
		return indent(line)
	}
	return 0
}

func (t *traceback) add(line string, frame []string) {
	t.lines = append(t.lines, line)
	t.frames = append(t.frames, line)
	if !notUserFile.MatchString(frame[1]) {
		t.place = frame[1] + ", line " + frame[2]
	}
}

// addSource adds a line of source. It leaves out marker lines to save space, except below a SyntaxError's line.
func (t *traceback) addSource(line string) {
	ofCall := len(t.frames) == 0 || strings.Contains(t.frames[len(t.frames)-1], ", in ")
	if !ofCall || !markLine.MatchString(line) {
		t.lines = append(t.lines, line)
	}
}

// close adds the exception at an index. It returns false if the line is other output.
func (t *traceback) close(lines []string, at int) bool {
	line := strings.TrimSpace(lines[at])
	if parseRecord(line).level != "" && !exceptionLine.MatchString(line) {
		return false
	}
	more := messageRest(lines[at+1:])
	t.exception = line
	if strings.HasSuffix(line, ":") && len(more) > 0 { // its message begins with a new line
		t.exception += " " + strings.TrimSpace(more[0])
	}
	t.lines = append(append(t.lines, lines[at]), more...)
	return true
}

// messageRest returns the lines of an exception's message after the first. They are few, so that the detail has space for the
// traceback.
func messageRest(lines []string) []string {
	lines = lines[:min(len(lines), maxMessage)]
	for i, line := range lines {
		if line == "" || parseRecord(line).level != "" || !isMessage(line) || strings.Contains(line, tracebackBegin) {
			return lines[:i]
		}
	}
	return lines
}

// findException returns an exception whose traceback was cut off.
func findException(lines []string) (finding, bool) {
	for i := len(lines) - 1; i >= 0; i-- {
		if containsAny(lines[i], exceptionHints) && exceptionLine.MatchString(lines[i]) && !exitException.MatchString(lines[i]) {
			return finding{message: lines[i], detail: logEnd(lines)}, true
		}
	}
	return finding{}, false
}
