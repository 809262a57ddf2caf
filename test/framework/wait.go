package framework

import (
	"context"
	"fmt"
	"os"
	"time"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// The bounds of each wait of a suite, also on a slow machine.
const (
	// APIServerTimeout is for suites that set the status of pods themselves.
	APIServerTimeout = time.Minute
	// ClusterTimeout is for suites with real pods.
	ClusterTimeout = 4 * time.Minute
)

// T is the part of testing.TB that waits use.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Eventually polls until the condition holds, 1200 times within the timeout, and fails the test if it never does, or a request of
// the condition hangs.
func Eventually(t T, timeout time.Duration, what string, condition func() bool) {
	t.Helper()
	deadline, pause := time.After(timeout), time.NewTicker(timeout/1200)
	defer pause.Stop()
	for held := make(chan bool, 1); ; {
		go func() { held <- condition() }()
		select {
		case ok := <-held:
			if ok {
				return
			}
			<-pause.C
		case <-deadline:
			t.Fatalf("timed out after %s waiting until %s", timeout, what)
			return
		}
	}
}

// Waiter waits for statuses of LocustTests, and fails the test T if one does not occur within the timeout.
type Waiter struct {
	T       T
	Watcher *Watcher
	Timeout time.Duration
}

// Until returns the first status of the test, past ones included, that satisfies the predicate. It waits for it if necessary.
func (w Waiter) Until(test *v2.LocustTest, what string, predicate func(*v2.LocustTestStatus) bool) *v2.LocustTestStatus {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), w.Timeout)
	defer cancel()
	seen, err := w.Watcher.Until(ctx, test.UID, func(t *v2.LocustTest) bool { return predicate(&t.Status) })
	if err != nil {
		w.T.Fatalf("waiting until %s: %v", what, err)
	}
	return &seen.Status
}

// UntilPhase waits for a phase. It fails at once if the test ends in another one.
func (w Waiter) UntilPhase(test *v2.LocustTest, phase string) *v2.LocustTestStatus {
	w.T.Helper()
	return w.Until(test, "the phase is "+phase, func(status *v2.LocustTestStatus) bool {
		if status.IsTerminal() && status.Phase != phase {
			w.T.Fatalf("waiting until the phase is %s: the test ended in another phase: %s", phase, Describe(status))
		}
		return status.Phase == phase
	})
}

// UntilReason waits for a reason of a condition.
func (w Waiter) UntilReason(test *v2.LocustTest, conditionType, reason string) *v2.LocustTestStatus {
	w.T.Helper()
	return w.Until(test, conditionType+" is "+reason, func(status *v2.LocustTestStatus) bool {
		return Condition(status, conditionType).Reason == reason
	})
}

// Main runs a suite, and ends the process with its exit code, or with 1 after an error.
func Main(run func() (int, error)) {
	code, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}
