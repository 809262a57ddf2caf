package terminal

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Style is how lines look on a terminal.
type Style struct {
	// Sequences are the escape sequences of the tones; nil for no colors.
	Sequences map[Tone]string
}

// Colors returns the style of a terminal with colors.
func Colors() Style {
	return Style{map[Tone]string{Good: "\x1b[32m", Bad: "\x1b[31m", Warning: "\x1b[33m", Heading: "\x1b[1m"}}
}

// Paint returns a line in its tone.
func (s Style) Paint(line Line) string {
	if sequence := s.Sequences[line.Tone]; sequence != "" && line.Text != "" {
		return sequence + line.Text + "\x1b[0m"
	}
	return line.Text
}

// Screen draws a panel over the one before.
type Screen struct {
	Out   io.Writer
	Style Style
	// Size returns the current columns and rows of the terminal.
	Size func() (columns, rows int)

	history History
	last    State
	drawn   []Line
	columns int
}

// Draw replaces the panel by that of the state.
func (s *Screen) Draw(state State) {
	if state.Test != s.last.Test {
		s.history.Add(&state.Test.Status, state.Now)
	}
	s.last = state
	columns, rows := s.Size()
	lines := Panel(state, &s.history, columns)
	// The cursor cannot go back to lines that have left the terminal.
	lines = lines[:min(len(lines), max(rows-1, 1))]
	for i := range lines {
		// The last column stays free: some terminals wrap as soon as it is used.
		lines[i].Text = Cut(lines[i].Text, columns-1)
	}
	if columns == s.columns && slices.Equal(lines, s.drawn) {
		return
	}
	s.replace(lines, columns)
}

// Close removes the panel.
func (s *Screen) Close() {
	columns, _ := s.Size()
	s.replace(nil, columns)
}

func (s *Screen) replace(lines []Line, columns int) {
	var text strings.Builder
	text.WriteString("\r") // the terminal may have echoed keys
	if rows := rowsOf(s.drawn, columns); rows > 0 {
		fmt.Fprintf(&text, "\x1b[%dA", rows)
	}
	for _, line := range lines {
		text.WriteString(s.Style.Paint(line) + "\x1b[K\n")
	}
	text.WriteString("\x1b[J")
	s.drawn, s.columns = lines, columns
	io.WriteString(s.Out, text.String()) //nolint:errcheck // a closed terminal needs no panel
}

// rowsOf returns how many rows lines take. Lines that were drawn on a wider terminal take several after it has become narrower.
func rowsOf(lines []Line, columns int) int {
	rows := 0
	for _, line := range lines {
		rows += max((Width(line.Text)+columns-1)/max(columns, 1), 1)
	}
	return rows
}
