package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	scorecard "github.com/operator-framework/api/pkg/apis/scorecard/v1alpha3"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// rule is a rule of the status contract with a check that uses only the API.
type rule struct {
	name, suite string
	// description is the rule in one sentence.
	description string
	// check records deviations from the rule in the ruleRun.
	check func(ctx context.Context, s *ruleRun)
}

// ruleRun is one execution of a rule.
type ruleRun struct {
	client.WithWatch
	options
	problems, logLines []string
	cleanup            []func()
}

// stop is the panic value that ends a check early.
type stop struct{ error }

// expect records a problem with its remedy unless holds is true.
func (s *ruleRun) expect(holds bool, expected, seen, remedy string) {
	if !holds {
		s.problems = append(s.problems, fmt.Sprintf("expected: %s; seen: %s; what to do: %s", expected, seen, remedy))
	}
}

// require is like expect, but ends the check if holds is false.
func (s *ruleRun) require(holds bool, expected, seen, remedy string) {
	if s.expect(holds, expected, seen, remedy); !holds {
		panic(stop{})
	}
}

// must ends the check with an error if a request failed; that is neither success nor failure of the rule.
func (s *ruleRun) must(err error, doing string) {
	if err != nil {
		panic(stop{fmt.Errorf("%s: %w", doing, err)})
	}
}

// logf adds a line to the result's log.
func (s *ruleRun) logf(format string, args ...any) {
	s.logLines = append(s.logLines, fmt.Sprintf(format, args...))
}

// run runs the check, cleans up, and returns the result, also if the check ended early.
func (r rule) run(ctx context.Context, c client.WithWatch, o options) (result scorecard.TestResult) {
	s := &ruleRun{WithWatch: c, options: o}
	result = scorecard.TestResult{Name: r.name, State: scorecard.PassState, Suggestions: []string{}, Errors: []string{}}
	began := time.Now()
	defer func() {
		recovered := recover()
		for i := len(s.cleanup) - 1; i >= 0; i-- {
			s.cleanup[i]()
		}
		s.logf("took %s", time.Since(began).Round(time.Second))
		result.Log = "rule: " + r.description + "\n" + strings.Join(s.logLines, "\n") + "\n"
		result.Errors = append(result.Errors, s.problems...)
		if len(s.problems) > 0 {
			result.State = scorecard.FailState
		}
		if recovered == nil {
			return
		}
		var early stop
		if err, ok := recovered.(error); !ok || !errors.As(err, &early) {
			panic(recovered)
		}
		if early.error != nil {
			result.State = scorecard.ErrorState
			result.Errors = append(result.Errors, early.Error())
			result.Suggestions = append(result.Suggestions, "the test could not be run; see config/scorecard/rbac for the permissions of its service account")
		}
	}()
	r.check(ctx, s)
	return result
}
