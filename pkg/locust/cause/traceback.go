package cause

import (
	"regexp"
	"strings"
)

const (
	tracebackBegin = "Traceback (most recent call last):"
	// maxMessage is how many lines of an exception's message are kept after its first.
	maxMessage = 5
)

var (
	// frames of SyntaxErrors have no "in".
	frameLine = regexp.MustCompile(`^ *File "([^"]+)", line (\d+)(?:, in .*)?$`)
	// notUserFile are files of Python, of packages (Locust is one), of the operator's reporter, and the scripts that start
	// Python programs. Names like <string> are no files, and compiled packages have paths that are not absolute.
	notUserFile = regexp.MustCompile(`^[^/]|/(?:site|dist)-packages/|/lib(?:64)?/python\d|/lib(?:64)?/pypy\d|\.zip/|^/locust\.io/|/bin/(?:locust|python[\d.]*)$`)
	// markLine point at a part of the line above, in Python 3.11 and later.
	markLine = regexp.MustCompile(`^[ ~^]+$`)
	// exceptionLine is the last line of a traceback, when it stands alone because the rest was cut off.
	exceptionLine = regexp.MustCompile(`^(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|StopTest)(?:: .+)?$|^[a-z_]\w*(?:\.\w+)*\.[A-Z]\w*: .+$`)
	// exitException are exceptions that end a program on purpose: they follow the cause.
	exitException = regexp.MustCompile(`^(?:[\w.]+\.)?(?:KeyboardInterrupt|SystemExit|GreenletExit)\b`)
)

// exceptionHints are parts of anException, one of which is in each.
var exceptionHints = []string{"Error", "Exception", "Exit", "Interrupt", "StopTest", "."}

// traceback is one of Python's.
type traceback struct {
	// lines are all of it, up to the end of the exception's message as far as that can be seen.
	lines []string
	// frames are the lines that name a file.
	frames []string
	// exception is the line with the exception; empty when it is missing.
	exception string
	// place is the innermost of the user's own files.
	place string
	// before is the last line before it.
	before string
	// at is the index of its first line.
	at int
}

// findTraceback takes the last traceback: Python prints a chain of exceptions from the first to the last. Those that
// follow or accompany another cause come after it.
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

// weight is 0 when the load went on after the exception, or the program was ending already.
func (t *traceback) weight() int {
	before := parseRecord(t.before)
	switch {
	case exitException.MatchString(t.exception), strings.HasPrefix(t.before, "Exception ignored in"):
		return 0
	case strings.HasPrefix(before.logger, "locust.user"): // one of a user's tasks
		return 0
	}
	return 1
}

// hasOtherError reports whether something else than a user's task says what is wrong.
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

// message is the exception. One without words, such as the ConnectionError of a worker, gets those that were logged
// before, unless it is in the user's own code.
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

// tracebacks are those of a text that have an exception. The first may lack its begin.
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

// parseFrame is the file and the number of its line, after the whole; nil when the line is no frame.
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
		t.before = before + " " + tracebackBegin // the record that it is in
		return t
	}
	if at > 0 {
		t.before = lines[at-1]
	}
	return t
}

// tracebackIndent is how far a traceback is indented. What a record puts before its first line is not before the others.
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

// addSource adds a line of source. Marks take the room of frames that say addSource, except below a SyntaxError's line.
func (t *traceback) addSource(line string) {
	ofCall := len(t.frames) == 0 || strings.Contains(t.frames[len(t.frames)-1], ", in ")
	if !ofCall || !markLine.MatchString(line) {
		t.lines = append(t.lines, line)
	}
}

// close takes the exception at an index, and reports whether it is one: other output may come in between.
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

// messageRest are the lines of an exception's message that follow its first. A few are enough: the traceback is to stay in what
// is kept of both.
func messageRest(lines []string) []string {
	lines = lines[:min(len(lines), maxMessage)]
	for i, line := range lines {
		if line == "" || parseRecord(line).level != "" || !isMessage(line) || strings.Contains(line, tracebackBegin) {
			return lines[:i]
		}
	}
	return lines
}

// findException finds the exception of a traceback that lost all else.
func findException(lines []string) (finding, bool) {
	for i := len(lines) - 1; i >= 0; i-- {
		if containsAny(lines[i], exceptionHints) && exceptionLine.MatchString(lines[i]) && !exitException.MatchString(lines[i]) {
			return finding{message: lines[i], detail: logEnd(lines)}, true
		}
	}
	return finding{}, false
}
