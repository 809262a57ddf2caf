package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// app is what all commands share.
type app struct {
	genericiooptions.IOStreams
	// flags are the usual ones of kubectl, such as --namespace and --context.
	flags *genericclioptions.ConfigFlags
	now   func() time.Time
}

// execute runs one command line, and returns the exit code.
func execute(ctx context.Context, streams genericiooptions.IOStreams, args []string) int {
	a := &app{IOStreams: streams, flags: genericclioptions.NewConfigFlags(true), now: time.Now}
	root := a.root()
	root.SetArgs(args)
	started := false
	notifyStart(root, &started)
	command, err := root.ExecuteContextC(ctx)
	if err != nil && !started {
		// The command line is wrong: an unknown command or flag, or a missing argument.
		err = fmt.Errorf("%w\nSee '%s --help'", err, command.CommandPath())
	}
	return a.report(err)
}

// notifyStart sets started once a command runs, after its command line has been accepted.
func notifyStart(command *cobra.Command, started *bool) {
	if run := command.RunE; run != nil {
		command.RunE = func(command *cobra.Command, args []string) error {
			*started = true
			return run(command, args)
		}
	}
	for _, child := range command.Commands() {
		notifyStart(child, started)
	}
}

// root returns the command with all its subcommands.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-locust",
		Short: "Run, watch, stop and evaluate load tests",
		Long: `Run, watch, stop and evaluate load tests with the Locust Kubernetes Operator.

Exit codes: 0 the test passed, 1 the test failed, 2 the command or the test could not run, 130 interrupted.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl locust"},
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetIn(a.In)
	root.SetOut(a.Out)
	root.SetErr(a.ErrOut)
	a.flags.AddFlags(root.PersistentFlags())
	a.completeFlags(root)
	root.AddCommand(
		a.runCommand(), a.rerunCommand(), a.watchCommand(), a.reportCommand(), a.listCommand(),
		a.uiCommand(), a.logsCommand(), a.stopCommand(), a.versionCommand(),
	)
	a.addCompletion(root)
	return root
}

// isTTY reports whether a stream is a terminal.
func isTTY(stream any) bool {
	file, isFile := stream.(descriptor)
	return isFile && term.IsTerminal(int(file.Fd()))
}

// descriptor is a file, or a stream to one.
type descriptor interface{ Fd() uintptr }
