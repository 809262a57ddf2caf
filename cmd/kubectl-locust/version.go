package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"sigs.k8s.io/yaml"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// versionTimeout bounds each request if there is no --request-timeout.
const versionTimeout = 10 * time.Second

// versions is the output of `version`.
type versions struct {
	Plugin     programVersion   `json:"plugin"`
	Kubernetes string           `json:"kubernetes,omitempty"`
	Operator   *operatorSupport `json:"operator,omitempty"`
}

// programVersion describes this program.
type programVersion struct {
	Version  string `json:"version"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// pluginVersion returns the version that the linker has set, or else the one of `go install`.
func pluginVersion() string {
	if version != "dev" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return version
}

func (a *app) versionCommand() *cobra.Command {
	var output string
	var clientOnly bool
	command := &cobra.Command{
		Use:   "version",
		Short: "Print the versions of the plugin and of Kubernetes, and what the operator supports",
		Long: `Print the versions of the plugin and of Kubernetes, and what the operator in the cluster supports.

The permission to view is enough. The image of the operator needs the permission to list Deployments.`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(command *cobra.Command, _ []string) error {
			printVersions, found := versionFormats[output]
			if !found {
				return fmt.Errorf("unknown output format %q: choose json or yaml, or leave out --output", output)
			}
			result := versions{Plugin: programVersion{pluginVersion(), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}}
			var err error
			if !clientOnly {
				err = a.clusterVersions(command.Context(), &result)
			}
			// What is known without the cluster is printed in any case.
			return errors.Join(printVersions(a.Out, &result), err)
		},
	}
	command.Flags().StringVarP(&output, "output", "o", "", "json or yaml")
	command.Flags().BoolVar(&clientOnly, "client", false, "only the version of the plugin, without a request to the cluster")
	_ = command.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{"json", "yaml"}, cobra.ShellCompDirectiveNoFileComp))
	return command
}

// clusterVersions adds what the cluster reports.
func (a *app) clusterVersions(ctx context.Context, result *versions) error {
	config, err := a.restConfig()
	if err != nil {
		return err
	}
	config.Timeout = cmp.Or(config.Timeout, versionTimeout)
	raw, err := rawClient(config)
	if err != nil {
		return err
	}
	kubernetes, err := kubernetesVersion(ctx, raw)
	if err != nil {
		return explain("read the version of the API server "+config.Host, discoveryRole, err)
	}
	result.Kubernetes = kubernetes
	result.Operator, err = findSupport(ctx, raw)
	return err
}

// versionFormats are the values of --output.
var versionFormats = map[string]func(io.Writer, *versions) error{
	"": printVersions,
	"json": func(out io.Writer, v *versions) error {
		data, err := json.MarshalIndent(v, "", "  ")
		return errors.Join(err, writeLine(out, data))
	},
	"yaml": func(out io.Writer, v *versions) error {
		data, err := yaml.Marshal(v)
		return errors.Join(err, writeLine(out, data))
	},
}

func writeLine(out io.Writer, data []byte) error {
	_, err := fmt.Fprintln(out, strings.TrimSuffix(string(data), "\n"))
	return err
}

// printVersions prints the versions for people.
func printVersions(out io.Writer, v *versions) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(table, "%s:\t%s\n", name, terminal.Safe(value)) }
	row("Plugin", fmt.Sprintf("%s (%s, %s)", v.Plugin.Version, v.Plugin.Go, v.Plugin.Platform))
	if v.Kubernetes != "" {
		row("Kubernetes", v.Kubernetes)
	}
	if o := v.Operator; o != nil {
		row("Operator", o.describe())
		if o.Installed {
			row("LocustTest", strings.Join(o.LocustTestVersions, ", "))
			row("LocustReport", describeSupport(o.Reports, "reports"))
			row("spec.stop", describeSupport(o.Stop, "stopping a test"))
		}
	}
	return table.Flush()
}

func describeSupport(supported *bool, what string) string {
	switch {
	case supported == nil:
		return "unknown"
	case *supported:
		return "supported"
	}
	return fmt.Sprintf("not supported: the operator is older than %s; upgrade it with its CRDs, see docs/upgrade.md", what)
}
