package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	scorecard "github.com/operator-framework/api/pkg/apis/scorecard/v1alpha3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRules checks that each rule has a unique name with the prefix of its suite, a description, and a line in the docs.
func TestRules(t *testing.T) {
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "scorecard.md"))
	require.NoError(t, err)
	seen := map[string]bool{}
	for _, r := range rules {
		assert.False(t, seen[r.name], r.name)
		seen[r.name] = true
		assert.True(t, strings.HasPrefix(r.name, r.suite+"-"), r.name)
		assert.NotEmpty(t, r.description, r.name)
		assert.Contains(t, string(page), "`"+r.name+"`", "docs/scorecard.md")
		assert.Contains(t, configuration("image"), "entrypoint: [/scorecard, "+r.name+"]")
	}
}

func TestOptions(t *testing.T) {
	t.Setenv("SCORECARD_NAMESPACE", "there")
	o, err := readOptions(nil)
	require.NoError(t, err)
	assert.Equal(t, options{"there", "locustio/locust:2.47.0", 3 * time.Minute}, o)
	for wantErr, args := range map[string][]string{
		"shorter than 1s":     {"--time-limit=1ms"},
		"unexpected argument": {"more"},
	} {
		_, err := readOptions(args)
		assert.ErrorContains(t, err, wantErr)
	}
	t.Setenv("SCORECARD_NAMESPACE", "")
	_, err = readOptions(nil)
	assert.ErrorContains(t, err, "--namespace")
}

// TestRuleResult checks that a result states expectation, observation and remedy, and that a refused request is an error.
func TestRuleResult(t *testing.T) {
	cleaned := 0
	runCheck := func(check func(context.Context, *ruleRun)) scorecard.TestResult {
		r := rule{"a-rule", "a", "it holds", func(ctx context.Context, s *ruleRun) {
			s.cleanup = append(s.cleanup, func() { cleaned++ })
			check(ctx, s)
		}}
		return r.run(t.Context(), nil, options{})
	}
	good := runCheck(func(_ context.Context, s *ruleRun) { s.expect(true, "a", "b", "c") })
	assert.Equal(t, scorecard.PassState, good.State)
	assert.Empty(t, good.Errors)
	assert.Contains(t, good.Log, "rule: it holds")

	bad := runCheck(func(_ context.Context, s *ruleRun) { s.expect(false, "a", "b", "c"); s.expect(false, "d", "e", "f") })
	assert.Equal(t, scorecard.FailState, bad.State)
	assert.Equal(t, []string{"expected: a; seen: b; what to do: c", "expected: d; seen: e; what to do: f"}, bad.Errors)

	early := runCheck(func(_ context.Context, s *ruleRun) { s.require(false, "a", "b", "c"); s.expect(false, "never", "", "") })
	assert.Equal(t, scorecard.FailState, early.State)
	assert.Len(t, early.Errors, 1)

	refused := runCheck(func(_ context.Context, s *ruleRun) { s.must(errors.New("forbidden"), "create a ConfigMap") })
	assert.Equal(t, scorecard.ErrorState, refused.State)
	assert.Equal(t, []string{"create a ConfigMap: forbidden"}, refused.Errors)
	assert.NotEmpty(t, refused.Suggestions)
	assert.Equal(t, 4, cleaned, "created objects are deleted in all cases")
}
