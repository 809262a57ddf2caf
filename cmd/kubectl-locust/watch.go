package main

import (
	"context"

	"github.com/spf13/cobra"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func (a *app) watchCommand() *cobra.Command {
	var options followOptions
	command := &cobra.Command{
		Use:   "watch NAME",
		Short: "Follow a test to its end",
		Long: `Follow a test to its end, and print its outcome; at once if it has ended already. The test continues if the command is interrupted.

Exit codes: 0 the test passed, 1 the test failed, 2 the command or the test could not run, 130 interrupted.`,
		Example:           `  kubectl locust watch shop`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTests,
		RunE: func(command *cobra.Command, args []string) error {
			c, namespace, err := a.connect()
			if err != nil {
				return err
			}
			return a.watch(command.Context(), c, client.ObjectKey{Namespace: namespace, Name: args[0]}, options)
		},
	}
	options.addFlags(command)
	return command
}

func (a *app) watch(ctx context.Context, c client.WithWatch, key client.ObjectKey, options followOptions) error {
	test, err := getTest(ctx, c, key)
	if err != nil {
		return err
	}
	return a.follow(ctx, c, test, options)
}
