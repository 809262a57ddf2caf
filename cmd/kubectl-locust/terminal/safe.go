// Package terminal prints text and live views. It prints nothing that a terminal would interpret, apart from its own sequences.
//
// Its functions know no cluster and no clock: they get objects and times.
package terminal

import (
	"strings"
	"unicode"
)

// Safe returns a text as one line without characters that a terminal interprets or that change the order of others: control
// characters, escape sequences, and Unicode's format characters, such as those that override the direction. Each run of white space
// becomes one space; other such characters, and bytes that are not UTF-8, become U+FFFD.
func Safe(text string) string {
	return strings.Join(strings.Fields(strings.Map(safeRune, text)), " ")
}

// SafeLines is like Safe, but keeps line breaks and indentation.
func SafeLines(text string) string {
	lines := strings.Split(strings.ReplaceAll(text, "\r\n", "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(strings.Map(safeRune, strings.ReplaceAll(line, "\t", "    ")), " ")
	}
	return strings.Join(lines, "\n")
}

func safeRune(r rune) rune {
	switch {
	case r == '\u2028' || r == '\u2029':
		return unicode.ReplacementChar // space to Go, but a line break to some terminals
	case unicode.IsSpace(r):
		return ' '
	case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs), isInvisible(r):
		return unicode.ReplacementChar
	}
	return r
}

// isInvisible reports whether a character shows nothing although it is a letter or a mark, such as the Hangul fillers: names that
// look the same could differ by it. Variation selectors only choose the form of the character before.
func isInvisible(r rune) bool {
	return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r)
}
