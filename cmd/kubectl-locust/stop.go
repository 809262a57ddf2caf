package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// reactionTime is how long an operator may take to observe spec.stop until the command mentions it. It reconciles a changed spec immediately.
const reactionTime = 10 * time.Second

// stopOptions are the flags of `stop`.
type stopOptions struct {
	all     bool
	wait    bool
	timeout time.Duration
	// poll is the time between two reads of a test.
	poll time.Duration
}

func (a *app) stopCommand() *cobra.Command {
	options := stopOptions{poll: pollInterval}
	command := &cobra.Command{
		Use:   "stop NAME... | --all",
		Short: "End the load of tests",
		Long: `End the load of tests as Locust's own stop does: the result is exact, and exit code and success criteria decide the phase.

A test that has not started yet never starts, and is Failed. Stopping a test that is stopping already or has ended changes nothing. The exit
code is 0 if the tests have ended, whether they are Succeeded or Failed.`,
		Example: `  kubectl locust stop shop
  kubectl locust stop --all --wait=false`,
		Args: func(_ *cobra.Command, args []string) error {
			if options.all == (len(args) > 0) {
				return errors.New("give the names of tests, or --all")
			}
			return nil
		},
		ValidArgsFunction: a.completeTests,
		RunE: func(command *cobra.Command, args []string) error {
			c, namespace, err := a.connect()
			if err != nil {
				return err
			}
			return a.stop(command.Context(), c, namespace, args, options)
		},
	}
	command.Flags().BoolVar(&options.all, "all", false, "stop all tests of the namespace that have not ended")
	command.Flags().BoolVar(&options.wait, "wait", true, "wait until the tests have ended, and print their phase")
	command.Flags().DurationVar(&options.timeout, "timeout", 2*time.Minute, "how long to wait")
	return command
}

// stop asks the operator to stop the tests, all of them before it waits for the first.
func (a *app) stop(ctx context.Context, c client.Client, namespace string, names []string, options stopOptions) error {
	tests, err := a.testsToStop(ctx, c, namespace, names, options)
	var failed []error
	if err != nil {
		failed = append(failed, err)
	}
	var stopping []*v2.LocustTest
	for _, test := range tests {
		requested, err := a.requestStopOnce(ctx, c, test)
		if err != nil {
			failed = append(failed, err)
		} else if requested {
			stopping = append(stopping, test)
		}
	}
	if options.wait {
		ctx, cancel := context.WithTimeout(ctx, options.timeout)
		defer cancel()
		for _, test := range stopping {
			if err := a.waitForStop(ctx, c, test, options); err != nil {
				failed = append(failed, err)
			}
		}
	}
	return errors.Join(failed...)
}

// testsToStop returns the tests that can be read, and the errors of the others.
func (a *app) testsToStop(ctx context.Context, c client.Client, namespace string, names []string, options stopOptions) ([]*v2.LocustTest, error) {
	var tests []*v2.LocustTest
	if options.all {
		list := &v2.LocustTestList{}
		if err := c.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil, explain("list the tests of namespace "+namespace, viewerRole, err)
		}
		for i := range list.Items {
			if !list.Items[i].Status.IsTerminal() {
				tests = append(tests, &list.Items[i])
			}
		}
		if len(tests) == 0 {
			fmt.Fprintf(a.Out, "no test of namespace %s is pending or running\n", namespace)
		}
		return tests, nil
	}
	var failed []error
	for _, name := range names {
		test, err := getTest(ctx, c, client.ObjectKey{Namespace: namespace, Name: name})
		if err != nil {
			failed = append(failed, err)
			continue
		}
		tests = append(tests, test)
	}
	return tests, errors.Join(failed...)
}

// requestStopOnce requests the stop of a test, and reports whether its end is still to come.
func (a *app) requestStopOnce(ctx context.Context, c client.Client, test *v2.LocustTest) (bool, error) {
	name := client.ObjectKeyFromObject(test)
	switch {
	case test.Status.IsTerminal():
		fmt.Fprintln(a.Out, terminal.Safe(describeEnd(test)))
		return false, nil
	case test.Spec.Stop:
		fmt.Fprintf(a.Out, "%s is stopping already\n", name)
		return true, nil
	}
	if err := requestStop(ctx, c, test); err != nil {
		return false, err
	}
	fmt.Fprintf(a.Out, "stopping %s\n", name)
	return true, nil
}

// waitForStop waits until a test that is to be stopped has ended, and prints its phase.
func (a *app) waitForStop(ctx context.Context, c client.Client, test *v2.LocustTest, options stopOptions) error {
	key, asked, timeout := client.ObjectKeyFromObject(test), a.now(), options.timeout
	observed, warned := false, false
	ended, err := pollTest(ctx, c, key, test.UID, options.poll, func(now *v2.LocustTest) bool {
		observed = now.Status.ObservedGeneration >= test.Generation
		if !observed && !warned && a.now().Sub(asked) >= reactionTime {
			warned = true
			fmt.Fprintf(a.ErrOut, "%s: no reaction of the operator yet; %s\n", key, noOperator)
		}
		return now.Status.IsTerminal()
	})
	switch {
	case err == nil:
		fmt.Fprintln(a.Out, terminal.Safe(describeEnd(ended)))
		return nil
	case errors.As(err, &deletedError{}):
		// Its load has ended with it.
		fmt.Fprintln(a.Out, err)
		return nil
	case errors.Is(err, context.Canceled):
		return interruptedError{fmt.Sprintf("%s stops nevertheless; follow it with: %s", key, a.suggest("watch", test))}
	case !errors.Is(err, context.DeadlineExceeded):
		return err
	case observed:
		return fmt.Errorf("%s has not ended within %s; it is still stopping\nWait longer with --timeout, or see what delays it: kubectl describe locusttest%s %s",
			key, timeout, a.connectionFlags(key.Namespace), key.Name)
	}
	return fmt.Errorf("%s has not ended within %s: the operator has not reacted\n%s", key, timeout, noOperator)
}

// noOperator is the remedy if no operator reacts to a test.
const noOperator = "check that an operator runs, usually in the namespace " + operatorNamespace + ", and watches this namespace; see docs/troubleshooting.md"
