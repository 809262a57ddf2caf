package locustcli

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestExpand(t *testing.T) {
	variables := map[string]string{"A": "a", "DOLLAR": "$(A)", "": "none"}
	for text, want := range map[string]string{
		"":                "",
		"plain":           "plain",
		"$(A)-$(A)":       "a-a",
		"$(B)":            "$(B)",
		"$(B$(A))":        "$(B$(A))",
		"$$(A)":           "$(A)",
		"$$$(A)":          "$a",
		"$(DOLLAR)":       "$(A)", // what was put in is not expanded again
		"a$":              "a$",
		"$A":              "$A",
		"$(A":             "$(A",
		"100$ for $(A) $": "100$ for a $",
	} {
		assert.Equal(t, want, (&Expansion{variables: variables}).expand(text), text)
	}
}

// TestExpansion_Bounded: 60 variables that each double the preceding one would exhaust the memory.
func TestExpansion_Bounded(t *testing.T) {
	variables := []Variable{{"V0", "0123456789"}}
	for i := range 60 {
		before := fmt.Sprintf("$(V%d)", i)
		variables = append(variables, Variable{fmt.Sprintf("V%d", i+1), before + before})
	}
	x := NewExpansion(variables)
	for name, value := range x.variables {
		require.LessOrEqual(t, len(value), MaxWord, name)
	}
	require.Equal(t, "$(V13)$(V13)", *x.Refused)
	args := []string{"--users", "7", "--host", "$(V12)"}
	require.Equal(t, "7", Parse(args, variables[:13]).Value(OptUsers))
	args[3] = strings.Repeat("$(V12)", 2000)
	require.Empty(t, Parse(args, variables[:13]).Value(OptUsers), "no container starts with it")
}

// TestExpansion_Linear: the time is linear in the size, also with unclosed parentheses. A quadratic algorithm would take a
// thousand times as long.
func TestExpansion_Linear(t *testing.T) {
	parts := 0
	measure := func(text string) { (&Expansion{}).eachPart(text, func(string) { parts++ }) }
	measure(strings.Repeat("$(", 1000))
	assert.Equal(t, 2*1000+1, parts)
	plain := testing.Benchmark(func(b *testing.B) {
		text := strings.Repeat("$$", 50_000)
		for b.Loop() {
			measure(text)
		}
	})
	open := testing.Benchmark(func(b *testing.B) {
		text := strings.Repeat("$(", 50_000)
		for b.Loop() {
			measure(text)
		}
	})
	assert.Less(t, open.NsPerOp(), 50*plain.NsPerOp(), "compared with text of the same length without parentheses")
}

func TestEscape(t *testing.T) {
	assert.Equal(t, []string{"--password=a$$$$b", "$$(HOME)", "plain"}, Escape([]string{"--password=a$$b", "$(HOME)", "plain"}))
}
