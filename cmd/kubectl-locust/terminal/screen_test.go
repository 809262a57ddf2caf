package terminal

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// emulator is a terminal that understands what a Screen prints, and wraps long lines when it becomes narrower.
type emulator struct {
	t       *testing.T
	columns int
	lines   []string
	row     int
	column  int
}

func (e *emulator) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		rest, isSequence := strings.CutPrefix(text, "\x1b[")
		if !isSequence {
			r, size := utf8.DecodeRuneInString(text)
			text = text[size:]
			e.print(r)
			continue
		}
		end := strings.IndexFunc(rest, func(r rune) bool { return r >= '@' && r <= '~' })
		require.GreaterOrEqual(e.t, end, 0, "incomplete sequence")
		e.sequence(rest[:end], rest[end])
		text = rest[end+1:]
	}
	return len(p), nil
}

func (e *emulator) print(r rune) {
	for len(e.lines) <= e.row {
		e.lines = append(e.lines, "")
	}
	switch r {
	case '\r':
		e.column = 0
	case '\n':
		e.row, e.column = e.row+1, 0
	default:
		line := []rune(e.lines[e.row])
		line = append(line[:min(e.column, len(line))], append([]rune{r}, line[min(e.column+1, len(line)):]...)...)
		e.lines[e.row] = string(line)
		e.column++
		require.LessOrEqual(e.t, e.column, e.columns-1, "the last column stays free")
	}
}

func (e *emulator) sequence(parameter string, command byte) {
	switch command {
	case 'A':
		up := 0
		for _, digit := range parameter {
			up = up*10 + int(digit-'0')
		}
		e.row -= up
		require.GreaterOrEqual(e.t, e.row, 0, "above the top")
	case 'K':
		if e.row < len(e.lines) {
			line := []rune(e.lines[e.row])
			e.lines[e.row] = string(line[:min(e.column, len(line))])
		}
	case 'J':
		if e.row < len(e.lines) {
			e.lines = e.lines[:e.row]
		}
	case 'm':
	default:
		require.Fail(e.t, "unknown sequence", "%s%c", parameter, command)
	}
}

// resize wraps the lines as a terminal does that becomes narrower.
func (e *emulator) resize(columns int) {
	var wrapped []string
	for i, line := range e.lines {
		if i == e.row {
			e.row = len(wrapped)
		}
		runes := []rune(line)
		for len(runes) > columns {
			wrapped = append(wrapped, string(runes[:columns]))
			runes = runes[columns:]
		}
		wrapped = append(wrapped, string(runes))
	}
	if e.row >= len(e.lines) {
		e.row = len(wrapped)
	}
	e.lines, e.columns = wrapped, columns
}

func TestScreenDrawsOverItself(t *testing.T) {
	e := &emulator{t: t, columns: 100}
	rows := 40
	s := &Screen{Out: e, Style: Colors(), Size: func() (int, int) { return e.columns, rows }}
	e.Write([]byte("created\n")) //nolint:errcheck // never fails

	s.Draw(State{Test: pending(), Now: start})
	require.Len(t, e.lines, 11)
	assert.Equal(t, "perf/shop.one: Pending, 0:00", e.lines[1])

	test := pending(running)
	s.Draw(State{Test: test, Elapsed: time.Second, Now: start})
	assert.Equal(t, "created", e.lines[0], "lines above stay")
	assert.Equal(t, "perf/shop.one: Running, 0:01", e.lines[1])
	assert.Len(t, e.lines, 11)

	e.resize(44)
	s.Draw(State{Test: test, Elapsed: 2 * time.Second, Now: start})
	assert.Equal(t, []string{"created", "perf/shop.one: Running, 0:02"}, e.lines[:2])
	assert.Len(t, e.lines, 11, "the wrapped panel is replaced completely")

	rows = 5
	s.Draw(State{Test: test, Elapsed: 3 * time.Second, Now: start})
	assert.Len(t, e.lines, 5, "the panel is not higher than the terminal")

	s.Close()
	assert.Equal(t, []string{"created"}, e.lines, "the outcome replaces the panel")
}

func TestScreenWritesNothingWithoutChange(t *testing.T) {
	var out strings.Builder
	s := &Screen{Out: &out, Size: func() (int, int) { return 80, 24 }}
	state := State{Test: pending(), Elapsed: 1200 * time.Millisecond, Now: start}
	s.Draw(state)
	length := out.Len()
	state.Elapsed += 250 * time.Millisecond
	s.Draw(state)
	assert.Equal(t, length, out.Len())
	assert.NotContains(t, out.String(), "\x1b[3", "no colors without a style")
}

func TestScreenRecordsEachStateOnce(t *testing.T) {
	s := &Screen{Out: &strings.Builder{}, Size: func() (int, int) { return 80, 24 }}
	test := pending(running)
	for range 3 {
		s.Draw(State{Test: test, Now: start})
	}
	assert.Len(t, s.history.samples, 1)
}

func TestPaint(t *testing.T) {
	assert.Equal(t, "\x1b[31mbad\x1b[0m", Colors().Paint(Line{"bad", Bad}))
	assert.Equal(t, "plain", Colors().Paint(Line{"plain", Plain}))
	assert.Equal(t, "bad", Style{}.Paint(Line{"bad", Bad}))
}
