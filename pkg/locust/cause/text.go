package cause

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// omittedMiddle replaces the middle of a line.
	omittedMiddle = " … "
	// omittedLines replaces the lines before the end of a text.
	omittedLines = "…\n"
)

// escapes matches terminal control sequences: CSI (colors), OSC (titles, links) and the short ones.
var escapes = regexp.MustCompile("(?:\x1b\\[|\u009b)[\\x30-\\x3f]*[\\x20-/]*[\\x40-\\x7e]|\x1b\\][^\x07\x1b\n]*(?:\x07|\x1b\\\\)?|\x1b[\\x20-/]*[\\x30-\\x7e]")

// Shorten returns a text as one line of at most limit characters, with all white space collapsed. It cuts out the middle of
// a longer text, because an error has its kind at the beginning and mostly its cause at the end.
func Shorten(text string, limit int) string {
	runes := []rune(oneLine(text))
	mark := []rune(omittedMiddle)
	switch {
	case len(runes) <= limit:
		return string(runes)
	case limit <= 0:
		return ""
	case limit < len(mark)+2:
		return strings.TrimRight(string(runes[:limit]), " ")
	}
	keep := limit - len(mark)
	begin, last := runes[:keep-keep/2], runes[len(runes)-keep/2:]
	return strings.TrimRight(string(begin), " ") + omittedMiddle + strings.TrimLeft(string(last), " ")
}

// oneLine returns a text with all white space collapsed.
func oneLine(text string) string { return strings.Join(strings.Fields(clean(text)), " ") }

// clean removes invalid UTF-8, which the kubelet's truncation leaves, and terminal control characters. A carriage return
// ends a line, so that the last state of a progress bar is a line of its own.
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
		case unicode.In(r, unicode.Cc, unicode.Cf): // Cf: zero width, or text direction
			return -1
		}
		return r
	}, text)
}

// splitLines returns the lines of a text, without trailing space, and without leading and trailing empty lines.
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

// lastLines returns the last lines of a text that fit into limit bytes, and a part of a line only if it is longer than limit.
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

// firstLines returns the first lines that fit into limit bytes.
func firstLines(lines []string, limit int) []string {
	size := 0
	for i, line := range lines {
		if size += len(line) + 1; size > limit {
			return lines[:i]
		}
	}
	return lines
}

// indent returns the number of leading spaces of a line.
func indent(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
