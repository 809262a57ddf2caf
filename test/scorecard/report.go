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

// rule is a rule of the status contract, and how it is seen from outside.
type rule struct {
	name, suite string
	// says is the rule in a sentence.
	says string
	// check notes what is not as expected.
	check func(ctx context.Context, s *session)
}

// session is one test at work.
type session struct {
	client.WithWatch
	options
	problems, seen []string
	cleanup        []func()
}

// stop ends a check early: what comes next makes no sense any more.
type stop struct{ error }

// expect notes a problem unless something holds: what was expected, what was seen, and what to do.
func (s *session) expect(holds bool, expected, seen, remedy string) {
	if !holds {
		s.problems = append(s.problems, fmt.Sprintf("expected: %s; seen: %s; what to do: %s", expected, seen, remedy))
	}
}

// require is expect, and ends the check when it does not hold.
func (s *session) require(holds bool, expected, seen, remedy string) {
	if s.expect(holds, expected, seen, remedy); !holds {
		panic(stop{})
	}
}

// must ends the check when the cluster refuses something: that says nothing about the rule.
func (s *session) must(err error, doing string) {
	if err != nil {
		panic(stop{fmt.Errorf("%s: %w", doing, err)})
	}
}

// note tells in the log what was seen.
func (s *session) note(format string, args ...any) {
	s.seen = append(s.seen, fmt.Sprintf(format, args...))
}

// judge runs the check, whatever becomes of it.
func (r rule) judge(ctx context.Context, c client.WithWatch, o options) (result scorecard.TestResult) {
	s := &session{WithWatch: c, options: o}
	result = scorecard.TestResult{Name: r.name, State: scorecard.PassState, Suggestions: []string{}, Errors: []string{}}
	began := time.Now()
	defer func() {
		recovered := recover()
		for i := len(s.cleanup) - 1; i >= 0; i-- {
			s.cleanup[i]()
		}
		s.note("took %s", time.Since(began).Round(time.Second))
		result.Log = "rule: " + r.says + "\n" + strings.Join(s.seen, "\n") + "\n"
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
			result.Suggestions = append(result.Suggestions, "the test could not be carried out; see config/scorecard/rbac for what its service account needs")
		}
	}()
	r.check(ctx, s)
	return result
}
