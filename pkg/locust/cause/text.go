package cause

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// omittedMiddle stands for what was taken out of the middle of a line.
	omittedMiddle = " … "
	// omittedLines stands for the lines that were omittedLines out before the end of a text.
	omittedLines = "…\n"
)

// escapes are the sequences that steer a terminal: CSI (colours), OSC (titles, links) and the short ones.
var escapes = regexp.MustCompile("(?:\x1b\\[|\u009b)[\\x30-\\x3f]*[\\x20-/]*[\\x40-\\x7e]|\x1b\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)?|\x1b[\\x20-/]*[\\x30-\\x7e]")

// Shorten makes one line of a text, all of it, with newlines and other space turned into single spaces. What is longer
// than limit characters loses its middle, for the begin has the kind of an error and the end mostly its cause.
func Shorten(text string, limit int) string {
	runes := []rune(oneLine(text))
	mark := []rune(omittedMiddle)
	switch {
	case len(runes) <= limit:
		return string(runes)
	case limit <= 0:
		return ""
	case limit < len(mark)+2:
		return string(runes[:limit])
	}
	keep := limit - len(mark)
	begin, last := runes[:keep-keep/2], runes[len(runes)-keep/2:]
	return strings.TrimRight(string(begin), " ") + omittedMiddle + strings.TrimLeft(string(last), " ")
}

// oneLine is a text with every run of space turned into a single one.
func oneLine(text string) string { return strings.Join(strings.Fields(clean(text)), " ") }

// clean takes out what is no text: invalid UTF-8, which the kubelet's cut leaves, and what steers a terminal. A carriage
// return ends a line, because what a progress bar shows last is to stay readable by itself.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "")
	if strings.ContainsAny(text, "\x1b\u009b") {
		text = escapes.ReplaceAllString(text, "")
	}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	return strings.Map(func(r rune) rune {
		switch {
		case ' ' <= r && r <= '~':
			return r
		case r == '\n', r == '\r', unicode.In(r, unicode.Zl, unicode.Zp):
			return '\n'
		case r == '\t':
			return ' '
		case unicode.In(r, unicode.Cc, unicode.Cf): // Cf: no width, or another direction
			return -1
		}
		return r
	}, text)
}

// splitLines are the lines of a text, without space at their ends, and without empty ones before and after the rest.
func splitLines(text string) []string {
	lines := strings.Split(clean(text), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRightFunc(line, unicode.IsSpace)
	}
	for len(lines) > 0 && lines[0] == "" {
		lines = lines[1:]
	}
	for len(lines) > 0 && lines[len(lines)-1] == "" {
		lines = lines[:len(lines)-1]
	}
	return lines
}

// lastLines keeps the last lines of a text that fit into limit bytes: whole ones, but for a line that is longer by itself.
func lastLines(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	cut := len(text) - limit + len(omittedLines)
	tail := text[cut:]
	if text[cut-1] != '\n' {
		if _, rest, ok := strings.Cut(tail, "\n"); ok && strings.TrimSpace(rest) != "" {
			tail = rest
		}
	}
	for tail != "" && !utf8.RuneStart(tail[0]) {
		tail = tail[1:]
	}
	return omittedLines + tail
}

// firstLines keeps the first lines of a text that fit into limit bytes, which is at least the size of the mark.
func firstLines(lines []string, limit int) []string {
	size := 0
	for i, line := range lines {
		if size += len(line) + 1; size > limit {
			return lines[:i]
		}
	}
	return lines
}

// indent is the number of spaces that a line begins with.
func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
