package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// defaultImage is the Locust image of tests that are run from a locustfile, as in the samples and the documentation. imageVariable
// overrides it, so that a company with a registry of its own sets it once.
const (
	defaultImage  = "docker.io/locustio/locust:2.47.0"
	imageVariable = "KUBECTL_LOCUST_IMAGE"
)

// creationTimeout bounds the requests that create a test. An interrupt waits for them, so that it is known what exists.
const creationTimeout = 30 * time.Second

// runOptions are the flags of `run`.
type runOptions struct {
	testOptions
	startOptions
	manifest string
	// replaceImage is true if --image is given, not only its default.
	replaceImage bool
	dryRun       string
	output       string
}

// startOptions are the flags of commands that create a test and follow it.
type startOptions struct {
	followOptions
	// replace deletes an earlier test of the same name.
	replace bool
	// detach does not follow the test.
	detach bool
}

func (a *app) runCommand() *cobra.Command {
	options := runOptions{startOptions: startOptions{followOptions: followOptions{onInterrupt: stopTest}}}
	command := &cobra.Command{
		Use:   "run [LOCUSTFILE | FOLDER | --filename MANIFEST] [flags] [-- LOCUST OPTIONS]",
		Short: "Run a load test and follow it to its end",
		Long: `Run a load test from a locustfile, from a folder with a locustfile.py and the modules and data that it uses, or from a manifest, and
follow it to its end.

The files become part of the test, or a ConfigMap that is deleted with it. Options after "--" go to the master of Locust. With --filename all
objects of the manifest are applied, the LocustTest last, after the Deployments are available.

Ctrl-C asks the operator to end the load, and waits for the result; a second Ctrl-C leaves at once.

Exit codes: 0 the test passed, 1 the test failed, 2 the command or the test could not run, 130 interrupted.`,
		Example: `  kubectl locust run --host https://shop.example.com -u 20 -w 3 -t 30s locustfile.py
  kubectl locust run ./shop -H https://shop.example.com -u 100 -r 10 -t 5m --max-failure-ratio 0.01 --max-response-time-p95 500ms
  kubectl locust run shop.py -t 1m -- --tags checkout
  kubectl locust run shop.py -t 1m --dry-run=client -o yaml >shop.yaml
  kubectl locust run --filename shop.yaml --replace`,
		RunE: func(command *cobra.Command, args []string) error {
			if dash := command.ArgsLenAtDash(); dash >= 0 {
				args, options.locustArgs = args[:dash], args[dash:]
			}
			if err := options.check(command.Flags(), args); err != nil {
				return err
			}
			options.replaceImage = command.Flags().Changed("image")
			if options.manifest != "" {
				return a.runManifest(command.Context(), options)
			}
			return a.runFiles(command.Context(), args, options)
		},
	}
	flags := command.Flags()
	flags.StringVarP(&options.manifest, "filename", "f", "", "manifest with one LocustTest and the objects that it needs; - reads standard input")
	options.addTestFlags(flags)
	options.addStartFlags(command)
	flags.BoolVar(&options.replace, "replace", false, "delete an earlier test of the same name, with its result unless its report is retained, once a dry run of the new one succeeds")
	flags.BoolVar(&options.detach, "detach", false, "end when the test has been created")
	flags.StringVar(&options.dryRun, "dry-run", "none", "none, or client: print the objects and create nothing; it needs no cluster")
	flags.StringVarP(&options.output, "output", "o", "", "format of the objects with --dry-run=client: yaml (default) or json")
	for flag, values := range map[string][]string{"dry-run": {"none", "client"}, "output": {"yaml", "json"}} {
		// It fails only for flags that do not exist, which a test would notice.
		_ = command.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return command
}

// check returns an error for flags that exclude each other.
func (o *runOptions) check(flags *pflag.FlagSet, args []string) error {
	switch {
	case o.dryRun != "none" && o.dryRun != "client":
		return fmt.Errorf("--dry-run %s is not supported; use --dry-run=client", o.dryRun)
	case o.output != "" && o.dryRun == "none":
		return errors.New("--output is the format of --dry-run=client; add that, or leave --output out")
	case o.output != "" && o.output != "yaml" && o.output != "json":
		return fmt.Errorf("--output %s is not supported; use yaml or json", o.output)
	case len(args) > 1:
		return fmt.Errorf("%d locustfiles are given; name one, or a folder. Options of Locust follow after --", len(args))
	case o.manifest == "" && o.replace && o.name == "":
		return errors.New("--replace needs --name: without it, each test has a name of its own")
	case o.manifest == "":
		return nil
	case len(args) > 0:
		return fmt.Errorf("--filename excludes the locustfile %s; the manifest names the files of the test", args[0])
	case len(o.locustArgs) > 0:
		return errors.New("--filename excludes options of Locust after --; add them to spec.master.command in the manifest")
	}
	var excluded []string
	flags.Visit(func(flag *pflag.Flag) {
		// The image is replaced in the manifest.
		if flag.Annotations[testFlag] != nil && flag.Name != "image" {
			excluded = append(excluded, "--"+flag.Name)
		}
	})
	if len(excluded) > 0 {
		return fmt.Errorf("--filename excludes %s; set it in the manifest", strings.Join(excluded, ", "))
	}
	return nil
}

// runFiles runs a test from a locustfile or a folder.
func (a *app) runFiles(ctx context.Context, args []string, options runOptions) error {
	name := defaultLocustfile
	if len(args) > 0 {
		name = args[0]
	} else if _, err := os.Stat(name); err != nil {
		return fmt.Errorf("no locustfile is given, and this folder has no %s; name a locustfile, a folder with one, or a manifest with --filename", name)
	}
	files, err := readTestFiles(name)
	if err != nil {
		return err
	}
	for _, note := range files.notes {
		a.note(note)
	}
	test, configMap, err := options.newTest(name, files)
	if err != nil {
		return err
	}
	if options.dryRun == "client" {
		// As kubectl does, the namespace is that of --namespace or of whoever applies it.
		test.Namespace = a.givenNamespace()
		return writeObjects(a.Out, options.output, objectsOf(test, configMap)...)
	}
	if test.Namespace, err = a.namespace(); err != nil {
		return err
	}
	c, err := a.client()
	if err != nil {
		return err
	}
	if isEndless(test) && !files.hasShape() {
		a.note("no run time is given (--run-time): the load ends only when it is stopped, or the locustfile ends it")
	}
	if slow := options.slowStart(); slow != "" {
		a.note(slow)
	}
	return a.start(ctx, c, test, configMap, options.startOptions)
}

// start creates a test and follows it.
func (a *app) start(ctx context.Context, c client.WithWatch, test *v2.LocustTest, configMap *corev1.ConfigMap, options startOptions) error {
	create := a.createUninterrupted
	if options.replace {
		create = a.createReplacing
	}
	if err := create(ctx, c, test, configMap); err != nil {
		return err
	}
	return a.started(ctx, c, test, options)
}

// started follows a test that was created, unless detached.
func (a *app) started(ctx context.Context, c client.WithWatch, test *v2.LocustTest, options startOptions) error {
	a.progress("created LocustTest " + client.ObjectKeyFromObject(test).String())
	if options.detach {
		a.progress("follow it with: " + a.suggest("watch", test))
		return nil
	}
	return a.follow(ctx, c, test, options.followOptions)
}

// progress prints a line about what the command does.
func (a *app) progress(line string) { fmt.Fprintln(a.Out, terminal.Safe(line)) }

// note prints what the user needs to know.
func (a *app) note(line string) { fmt.Fprintln(a.ErrOut, "note: "+terminal.Safe(line)) }
