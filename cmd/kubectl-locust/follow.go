package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

const (
	// operatorPatience is how long a test may have no status until the user is informed.
	operatorPatience = 15 * time.Second
	// defaultStartupTimeout is longer than the operator's default startup deadline (docs/settings.md), whose message is better.
	defaultStartupTimeout = 6 * time.Minute
	// stopPatience is how long to follow a test after a request to stop it. Locust's users may finish their tasks first.
	stopPatience = time.Minute
	// drawInterval is the time between two draws of the live view.
	drawInterval = 250 * time.Millisecond
)

// interruptPolicy is what an interrupt means for the test that is followed.
type interruptPolicy int

const (
	// leaveTest lets the test continue.
	leaveTest interruptPolicy = iota
	// stopTest asks the operator to stop it.
	stopTest
)

// followOptions are the flags of commands that follow a test.
type followOptions struct {
	timeout        time.Duration
	startupTimeout time.Duration
	onInterrupt    interruptPolicy
}

func (o *followOptions) addFlags(command *cobra.Command) {
	command.Flags().DurationVar(&o.timeout, "timeout", 0, "how long to follow the test; it continues afterwards. 0 follows it to its end")
}

func (o *followOptions) addStartFlags(command *cobra.Command) {
	o.addFlags(command)
	command.Flags().DurationVar(&o.startupTimeout, "startup-timeout", defaultStartupTimeout,
		"stop a test that cannot start, because a problem has lasted this long. 0 leaves it to the startup deadline of the operator")
}

// followView shows a test while it runs.
type followView interface {
	// Draw is called after each change and several times a second.
	Draw(terminal.State)
	// Close ends the view before other output.
	Close()
}

// follower follows one test until it has ended.
type follower struct {
	followOptions
	client client.WithWatch
	// test is the last known state.
	test *v2.LocustTest
	view followView
	now  func() time.Time
	// nextInterrupt returns a context that the next interrupt cancels.
	nextInterrupt func() (context.Context, context.CancelFunc)
	// interval is the time between two draws, the others are as the constants of their names.
	interval, watchPause, watchPatience, stopPatience time.Duration
	// watchCommand continues to follow the test, and deleteCommand deletes it.
	watchCommand, deleteCommand string

	started      time.Time
	disconnected error
	// problemSince is when the last problem has begun that keeps the test from starting; zero if there is none.
	problemSince time.Time
	stopping     stopState
}

// stopState is about a request to stop the test.
type stopState struct {
	// reason is the result of the command; nil if no stop was requested.
	reason   error
	deadline time.Time
	// response gets the result of the request, and accepted is true if that was no error.
	response <-chan error
	accepted bool
	// leave is closed by the interrupt that does not wait for the end of the test.
	leave <-chan struct{}
}

// follow shows a test until it has ended, and prints its outcome. The error has the exit code.
func (a *app) follow(ctx context.Context, c client.WithWatch, test *v2.LocustTest, options followOptions) error {
	f := &follower{
		followOptions: options, client: c, test: test, view: a.followView(), now: a.now,
		nextInterrupt: func() (context.Context, context.CancelFunc) {
			return signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		},
		interval: drawInterval, watchPause: watchPause, watchPatience: watchPatience, stopPatience: stopPatience,
		watchCommand: a.suggest("watch", test), deleteCommand: a.suggestKubectl("delete locusttest", test),
	}
	err := f.run(ctx)
	f.view.Close()
	if f.test.Status.IsTerminal() {
		a.printOutcome(f.test)
	}
	if err != nil {
		return err
	}
	return a.outcomeError(f.test)
}

// outcomeError returns the error for a finished test: none if it is Succeeded, errTestFailed if a load was started, or why it could not
// run. The outcome that is printed has the whole cause.
func (a *app) outcomeError(test *v2.LocustTest) error {
	switch {
	case test.Status.Phase == v2.PhaseSucceeded:
		return nil
	case loadStarted(&test.Status):
		return errTestFailed
	}
	cause, _, _ := strings.Cut(strings.TrimSpace(completed(test)), "\n")
	if cause == "" {
		cause = "the cause is not known; see: " + a.suggestKubectl("describe locusttest", test)
	}
	return fmt.Errorf("the test %s could not run: %s", client.ObjectKeyFromObject(test), cause)
}

// loadStarted reports whether Locust has started users. The start of its container does not count: a locustfile that cannot be loaded
// finds nothing out about its target. JUnit reports decide in the same way.
func loadStarted(s *v2.LocustTestStatus) bool {
	return s.Progress != nil && s.Progress.StartTime != nil || s.TestResult != nil && s.TestResult.TotalRequests > 0
}

// run returns nil when the test has ended by itself, and otherwise why it is not followed any longer.
func (f *follower) run(ctx context.Context) error {
	watching, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	w := &testWatch{client: f.client, test: f.test, events: make(chan testEvent), pause: f.watchPause, patience: f.watchPatience, now: f.now}
	go w.run(watching)

	tick := time.NewTicker(f.interval)
	defer tick.Stop()
	f.started = f.now()
	interrupted := ctx.Done()
	for {
		if f.test.Status.IsTerminal() {
			return f.stopping.reason
		}
		f.view.Draw(terminal.State{Test: f.test, Elapsed: f.now().Sub(f.started), Now: f.now(), Note: f.note()})
		select {
		case event := <-w.events:
			if event.err != nil {
				return f.lost(event.err)
			}
			if f.disconnected = event.problem; event.test != nil {
				f.test = event.test
			}
		case <-tick.C:
		case <-interrupted:
			interrupted = nil // the next one comes from nextInterrupt
			if f.onInterrupt == leaveTest {
				return interruptedError{f.continues()}
			}
			next, cancel := f.nextInterrupt()
			context.AfterFunc(watching, cancel) // when this function returns
			f.stopping.leave = next.Done()
			f.requestStop(interruptedError{"the test " + f.name() + " was stopped"})
		case <-f.stopping.leave:
			return f.left()
		case err := <-f.stopping.response:
			if err != nil {
				return f.couldNotStop(err)
			}
			f.stopping.accepted = true
		}
		if err := f.expired(); err != nil {
			return err
		}
	}
}

func (f *follower) name() string { return client.ObjectKeyFromObject(f.test).String() }

func (f *follower) continues() string {
	return "the test " + f.name() + " continues in the cluster; follow it with: " + f.watchCommand
}

// requestStop asks the operator to stop the test, in the background, so that a second interrupt is noticed. reason is the result
// of the command.
func (f *follower) requestStop(reason error) {
	f.stopping.deadline = f.now().Add(f.stopPatience)
	if f.stopping.reason != nil {
		return
	}
	f.stopping.reason = reason
	response := make(chan error, 1)
	f.stopping.response = response
	test := f.test.DeepCopy()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), f.stopPatience)
		defer cancel()
		response <- requestStop(ctx, f.client, test)
	}()
}

// left returns the result after the interrupt that does not wait for the end of the test.
func (f *follower) left() error {
	if !f.stopping.accepted {
		return interruptedError{f.continues()}
	}
	return interruptedError{"the test " + f.name() + " stops in the cluster; follow it with: " + f.watchCommand}
}

// couldNotStop returns the result of a command whose request to stop the test has failed.
func (f *follower) couldNotStop(err error) error {
	if interrupted := (interruptedError{}); errors.As(f.stopping.reason, &interrupted) {
		return interruptedError{f.continues() + "; it could not be stopped: " + err.Error()}
	}
	return fmt.Errorf("%w; it could not be stopped: %w\nThe test remains; delete it: %s", f.stopping.reason, err, f.deleteCommand)
}

// lost returns the result if the test cannot be watched any longer.
func (f *follower) lost(err error) error {
	switch {
	case f.stopping.reason != nil:
		return fmt.Errorf("%w; %w", f.stopping.reason, err)
	case errors.As(err, &deletedError{}):
		return fmt.Errorf("%w while it was followed; there is no outcome", err)
	}
	return fmt.Errorf("%w\nThe test may continue in the cluster; follow it with: %s", err, f.watchCommand)
}

// expired checks the time limits. It returns the result if the last one is over.
func (f *follower) expired() error {
	now := f.now()
	switch {
	case f.stopping.reason != nil && now.After(f.stopping.deadline):
		if interrupted := (interruptedError{}); errors.As(f.stopping.reason, &interrupted) {
			return interruptedError{fmt.Sprintf("the test %s has not ended within %s; follow it with: %s", f.name(), f.stopPatience, f.watchCommand)}
		}
		return fmt.Errorf("%w\nThe test has not ended within %s after the request to stop it, and remains; delete it: %s",
			f.stopping.reason, f.stopPatience, f.deleteCommand)
	case f.stopping.reason != nil:
		return nil
	case f.timeout > 0 && now.Sub(f.started) >= f.timeout:
		return fmt.Errorf("timed out after %s: %s", f.timeout, f.continues())
	}
	problem := startupProblem(f.test)
	switch {
	case problem == "":
		f.problemSince = time.Time{}
	case f.problemSince.IsZero():
		f.problemSince = now
	case f.startupTimeout > 0 && now.Sub(f.problemSince) >= f.startupTimeout:
		f.requestStop(fmt.Errorf("the test %s could not start within %s: %s", f.name(), f.startupTimeout, problem))
	}
	return nil
}

// startupProblem returns what keeps a test from starting; empty if nothing is known, or it has started.
func startupProblem(test *v2.LocustTest) string {
	s := &test.Status
	isFalse := func(conditionType string) *metav1.Condition {
		if c := meta.FindStatusCondition(s.Conditions, conditionType); c != nil && c.Status == metav1.ConditionFalse {
			return c
		}
		return nil
	}
	switch connected := isFalse(v2.ConditionTypeWorkersConnected); {
	case s.Phase == "":
		return "no reaction of the operator; " + noOperator
	case s.Phase == v2.PhasePending, s.Phase == v2.PhaseRunning && connected != nil && connected.Reason == v2.ReasonWaitingForWorkers:
	default:
		return ""
	}
	if pods := isFalse(v2.ConditionTypePodsHealthy); pods != nil {
		return pods.Reason + ": " + pods.Message
	}
	if ready := isFalse(v2.ConditionTypeReady); ready != nil && ready.Reason == v2.ReasonResourcesFailed {
		return ready.Reason + ": " + ready.Message
	}
	return ""
}

// note returns what the user needs to know apart from the status.
func (f *follower) note() string {
	interrupted := interruptedError{}
	switch {
	case f.disconnected != nil:
		return "trying again: " + f.disconnected.Error()
	case errors.As(f.stopping.reason, &interrupted):
		return "stopping the load; press Ctrl-C again to leave"
	case f.stopping.reason != nil:
		return "stopping the test, because it cannot start"
	case f.test.Status.Phase == "" && f.now().Sub(f.started) >= operatorPatience:
		return "no reaction of the operator yet; " + noOperator
	}
	return ""
}

// followView returns a panel on a terminal, and otherwise a line for each change.
func (a *app) followView() followView {
	file, isFile := a.Out.(descriptor)
	if !isFile || !isTTY(file) || !understandsSequences() {
		return &terminal.ChangeLog{Out: a.Out}
	}
	return &terminal.Screen{Out: a.Out, Style: a.style(), Size: func() (columns, rows int) {
		columns, rows, err := term.GetSize(int(file.Fd()))
		if err != nil || columns <= 0 || rows <= 0 {
			return 80, 24
		}
		return columns, rows
	}}
}

// understandsSequences reports whether the terminal can move its cursor.
func understandsSequences() bool {
	terminalType, set := os.LookupEnv("TERM")
	if runtime.GOOS == "windows" && !set {
		return os.Getenv("WT_SESSION") != "" // the older console of Windows prints escape sequences
	}
	return terminalType != "" && terminalType != "dumb"
}

// style returns the colors of the output, see https://no-color.org.
func (a *app) style() terminal.Style {
	if !isTTY(a.Out) || !understandsSequences() || os.Getenv("NO_COLOR") != "" {
		return terminal.Style{}
	}
	return terminal.Colors()
}

// printOutcome prints the outcome of a test that has ended, and commands that may come next.
func (a *app) printOutcome(test *v2.LocustTest) {
	style := a.style()
	for _, line := range terminal.Summary(test) {
		fmt.Fprintln(a.Out, style.Paint(line))
	}
	var next []string
	if test.Status.Report != "" {
		next = append(next, a.suggest("report", test))
	}
	next = append(next, a.suggest("logs", test), a.suggest("rerun", test), a.suggestKubectl("delete locusttest", test))
	fmt.Fprintln(a.Out, "\nNext")
	for _, command := range next {
		fmt.Fprintln(a.Out, "  "+terminal.Safe(command))
	}
}

// suggest returns the command line of a command of the plugin for a test.
func (a *app) suggest(verb string, test client.Object) string {
	return a.suggestKubectl("locust "+verb, test)
}

// suggestKubectl returns the command line of kubectl for an object.
func (a *app) suggestKubectl(command string, object client.Object) string {
	return "kubectl " + command + a.connectionFlags(object.GetNamespace()) + " " + object.GetName()
}

// connectionFlags returns the flags that select the same namespace as this command line, in the same cluster and with the same account.
// Credentials are left out, because suggestions are printed.
func (a *app) connectionFlags(namespace string) string {
	var flags strings.Builder
	if namespace != "" {
		flags.WriteString(" -n " + namespace)
	}
	if a.flags == nil {
		return flags.String()
	}
	for _, flag := range []struct {
		name  string
		value *string
	}{
		{"--context", a.flags.Context}, {"--kubeconfig", a.flags.KubeConfig}, {"--cluster", a.flags.ClusterName}, {"--server", a.flags.APIServer},
		{"--user", a.flags.AuthInfoName}, {"--as", a.flags.Impersonate}, {"--as-uid", a.flags.ImpersonateUID},
		{"--certificate-authority", a.flags.CAFile}, {"--tls-server-name", a.flags.TLSServerName},
	} {
		if flag.value != nil && *flag.value != "" {
			flags.WriteString(" " + flag.name + " " + quote(*flag.value))
		}
	}
	if groups := a.flags.ImpersonateGroup; groups != nil {
		for _, group := range *groups {
			flags.WriteString(" --as-group " + quote(group))
		}
	}
	if insecure := a.flags.Insecure; insecure != nil && *insecure {
		flags.WriteString(" --insecure-skip-tls-verify")
	}
	return flags.String()
}
