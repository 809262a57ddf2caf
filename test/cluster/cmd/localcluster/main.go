// Localcluster runs a single-node Kubernetes cluster on this machine for the
// operator's tests and demo. See the README of this module.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sort"
	"strings"
	"syscall"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/cluster"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/step"
)

// app holds the dependencies of the commands.
type app struct {
	layout.Layout
	p *step.Printer
}

func (a app) cluster() *cluster.Cluster { return &cluster.Cluster{Layout: a.Layout, P: a.p} }

// command is a subcommand.
type command struct {
	usage string
	help  string
	run   func(ctx context.Context, a app, args []string) error
}

var commands = map[string]command{
	"build":        {"build [--control-plane-only]", "compile Kubernetes into the cache", runBuild},
	"assets":       {"assets", "print the folder of the binaries (KUBEBUILDER_ASSETS), and compile them if missing", runAssets},
	"up":           {"up [--with-debian-locust] [--no-locust]", "start the cluster, or reuse the running one", runUp},
	"down":         {"down [--wipe]", "stop the cluster and restore the state of the machine", runDown},
	"status":       {"status", "show the state of every part; fails unless all are healthy", runStatus},
	"env":          {"env", "print the shell line that makes kubectl find the cluster", runEnv},
	"snapshot":     {"snapshot", "print the state of the machine that down must restore, as sorted lines", runSnapshot},
	"image push":   {"image push --tag REF --file SRC=/DST ... [--entrypoint ARG ...] [--user U] [--workdir D] [--env K=V ...]", "create an image from files and push it", runImagePush},
	"image build":  {"image build --context DIR --tag REF [--file Dockerfile] [--build-arg K=V ...]", "build a Dockerfile and push the image", runImageBuild},
	"locust-image": {"locust-image [--from auto|pypi|debian]", "build the Locust image and print its reference", runLocustImage},
}

// errUsage makes main print the list of commands.
var errUsage = errors.New("unknown or missing command")

func main() {
	run.FixPath()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := dispatch(ctx, os.Args[1:])
	stop()
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, "localcluster:", err)
	if errors.Is(err, errUsage) {
		usage()
		os.Exit(2)
	}
	os.Exit(1)
}

func dispatch(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	for words := min(2, len(args)); words > 0; words-- {
		c, found := commands[strings.Join(args[:words], " ")]
		if !found {
			continue
		}
		l, err := layout.FromEnv()
		if err != nil {
			return err
		}
		return c.run(ctx, app{Layout: l, p: step.New()}, args[words:])
	}
	return errUsage
}

func usage() {
	var names []string
	for name := range commands {
		names = append(names, name)
	}
	sort.Strings(names)
	fmt.Fprintln(os.Stderr, "commands:")
	for _, name := range names {
		fmt.Fprintf(os.Stderr, "  %s\n        %s\n", commands[name].usage, commands[name].help)
	}
}
