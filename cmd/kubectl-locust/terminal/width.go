package terminal

import (
	"strings"
	"unicode"

	"golang.org/x/text/width"
)

// Width returns the number of columns that a text takes. For a character whose form depends on the terminal it is the larger number,
// so that a line never wraps.
func Width(text string) int {
	columns := 0
	for _, r := range text {
		columns += runeWidth(r)
	}
	return columns
}

func runeWidth(r rune) int {
	const emojiSelector = '\uFE0F' // makes the character before it as wide as an emoji
	switch {
	case r < 0x7F:
		return 1
	case r == emojiSelector:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// Cut shortens a line to a number of columns.
func Cut(line string, columns int) string {
	if columns <= 0 {
		return ""
	}
	if len(line) <= columns || Width(line) <= columns {
		return line
	}
	var cut strings.Builder
	used := 0
	for _, r := range line {
		used += runeWidth(r)
		if used > columns-1 {
			break
		}
		cut.WriteRune(r)
	}
	return cut.String() + "…"
}

// pad fills a text with spaces to a number of columns.
func pad(text string, columns int) string {
	return text + strings.Repeat(" ", max(columns-Width(text), 0))
}
