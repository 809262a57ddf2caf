package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/client-go/tools/clientcmd/api"
)

// kubectlCompletion is the program that kubectl runs to complete the arguments of this plugin. Releases contain it too.
//
//go:embed kubectl_complete-locust
var kubectlCompletion string

// completionTimeout bounds the requests for a completion: a shell that waits is worse than one without names.
const completionTimeout = 2 * time.Second

// addCompletion adds cobra's command for the completion of shells, and the script by which kubectl completes its plugins.
func (a *app) addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	completion.Short = "Print the completion script of a shell, or of kubectl"
	completion.Long = `Print the completion script of a shell, or of kubectl.

kubectl completes the arguments of plugins with a program on the PATH. If the completion of kubectl itself is set up, this is all that
"kubectl locust" needs; any folder on the PATH will do:

  kubectl locust completion kubectl >~/.local/bin/kubectl_complete-locust
  chmod +x ~/.local/bin/kubectl_complete-locust

The scripts for shells complete the command "kubectl-locust".`
	completion.AddCommand(&cobra.Command{
		Use:   "kubectl",
		Short: "Print the program kubectl_complete-locust, which kubectl runs for completion",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := io.WriteString(a.Out, kubectlCompletion)
			return err
		},
	})
}

// completeFlags completes the values of the kubeconfig's flags.
func (a *app) completeFlags(root *cobra.Command) {
	kubeconfig := func(names func(*api.Config) []string) cobra.CompletionFunc {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			config, err := a.flags.ToRawKubeConfigLoader().RawConfig()
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return names(&config), cobra.ShellCompDirectiveNoFileComp
		}
	}
	for flag, complete := range map[string]cobra.CompletionFunc{
		"namespace": a.completeNamespaces,
		"context":   kubeconfig(func(c *api.Config) []string { return slices.Sorted(maps.Keys(c.Contexts)) }),
		"cluster":   kubeconfig(func(c *api.Config) []string { return slices.Sorted(maps.Keys(c.Clusters)) }),
		"user":      kubeconfig(func(c *api.Config) []string { return slices.Sorted(maps.Keys(c.AuthInfos)) }),
	} {
		// It fails only for flags that do not exist, which a test would notice.
		_ = root.RegisterFlagCompletionFunc(flag, complete)
	}
}

func (a *app) completeNamespaces(command *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(command.Context(), completionTimeout)
	defer cancel()
	names, err := a.namespaces(ctx)
	if err != nil {
		cobra.CompErrorln(err.Error())
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func (a *app) namespaces(ctx context.Context) ([]string, error) {
	config, err := a.restConfig()
	if err != nil {
		return nil, err
	}
	raw, err := rawClient(config)
	if err != nil {
		return nil, err
	}
	data, err := raw.Get().AbsPath("/api/v1/namespaces").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	var list struct {
		Items []struct {
			Metadata struct {
				Name string `json:"name"`
			} `json:"metadata"`
		} `json:"items"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	names := make([]string, len(list.Items))
	for i, item := range list.Items {
		names[i] = item.Metadata.Name
	}
	return names, nil
}
