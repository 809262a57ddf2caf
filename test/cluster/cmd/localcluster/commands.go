package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/build"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/cluster"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/registry"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/snapshot"
)

// list is a flag that may be repeated.
type list []string

func (l *list) String() string     { return strings.Join(*l, " ") }
func (l *list) Set(v string) error { *l = append(*l, v); return nil }

// parse parses flags and refuses other arguments.
func parse(name string, args []string, define func(*flag.FlagSet)) error {
	fs := flag.NewFlagSet(name, flag.ContinueOnError)
	define(fs)
	if err := fs.Parse(args); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%s: unexpected %q", name, fs.Arg(0))
	}
	return nil
}

func none(*flag.FlagSet) {}

func runBuild(ctx context.Context, a app, args []string) error {
	var o build.Options
	if err := parse("build", args, func(fs *flag.FlagSet) {
		fs.BoolVar(&o.ControlPlaneOnly, "control-plane-only", false, "build only the control plane for envtest")
	}); err != nil {
		return err
	}
	_, err := build.Ensure(ctx, a.Layout, a.p, o)
	return err
}

func runAssets(ctx context.Context, a app, args []string) error {
	if err := parse("assets", args, none); err != nil {
		return err
	}
	bin, err := build.Ensure(ctx, a.Layout, a.p, build.Options{ControlPlaneOnly: true, Quiet: true})
	if err != nil {
		return err
	}
	fmt.Println(bin)
	return nil
}

func runUp(ctx context.Context, a app, args []string) error {
	var o cluster.UpOptions
	if err := parse("up", args, func(fs *flag.FlagSet) {
		fs.BoolVar(&o.WithDebianLocust, "with-debian-locust", os.Getenv("LOCALCLUSTER_WITH_DEBIAN_LOCUST") != "", "also build Debian's Locust image")
		fs.BoolVar(&o.NoLocust, "no-locust", false, "do not build the Locust image")
	}); err != nil {
		return err
	}
	return a.cluster().Up(ctx, o)
}

func runDown(ctx context.Context, a app, args []string) error {
	var wipe bool
	if err := parse("down", args, func(fs *flag.FlagSet) {
		fs.BoolVar(&wipe, "wipe", false, "also remove logs and all other state")
	}); err != nil {
		return err
	}
	return a.cluster().Down(ctx, wipe)
}

func runStatus(ctx context.Context, a app, args []string) error {
	if err := parse("status", args, none); err != nil {
		return err
	}
	return a.cluster().Status(ctx, os.Stdout)
}

func runEnv(_ context.Context, a app, args []string) error {
	if err := parse("env", args, none); err != nil {
		return err
	}
	line, err := a.cluster().Env()
	if err != nil {
		return err
	}
	fmt.Println(line)
	return nil
}

func runSnapshot(ctx context.Context, a app, args []string) error {
	if err := parse("snapshot", args, none); err != nil {
		return err
	}
	lines, err := snapshot.Take(ctx, a.Layout)
	if err != nil {
		return err
	}
	for _, line := range lines {
		fmt.Println(line)
	}
	return nil
}

func runLocustImage(ctx context.Context, a app, args []string) error {
	from := "auto"
	if err := parse("locust-image", args, func(fs *flag.FlagSet) {
		fs.StringVar(&from, "from", from, "auto, pypi or debian")
	}); err != nil {
		return err
	}
	source, err := locust.ParseSource(from)
	if err != nil {
		return fmt.Errorf("locust-image: %w", err)
	}
	return a.withRegistry(ctx, func() error {
		ref, err := locust.Ensure(ctx, a.Layout, a.p, source)
		if err != nil {
			return err
		}
		fmt.Println(ref)
		return nil
	})
}

func runImagePush(ctx context.Context, a app, args []string) error {
	var tag string
	var files, entrypoint, env list
	var s registry.Settings
	if err := parse("image push", args, func(fs *flag.FlagSet) {
		fs.StringVar(&tag, "tag", "", "name of the image")
		fs.Var(&files, "file", "SOURCE=/TARGET, a file or a folder; may be repeated")
		fs.Var(&entrypoint, "entrypoint", "program to start, then its arguments; may be repeated")
		fs.Var(&env, "env", "NAME=VALUE; may be repeated")
		fs.StringVar(&s.User, "user", "", "user of the process")
		fs.StringVar(&s.WorkingDir, "workdir", "", "working directory of the process")
	}); err != nil {
		return err
	}
	if len(files) == 0 {
		return errors.New("image push: at least one --file is required")
	}
	s.Entrypoint, s.Env = entrypoint, env
	var parsed []registry.File
	for _, text := range files {
		f, err := registry.ParseFile(text)
		if err != nil {
			return fmt.Errorf("image push: %w", err)
		}
		parsed = append(parsed, f)
	}
	layer, err := registry.FileLayer(parsed)
	if err != nil {
		return err
	}
	img, err := registry.Image(s, layer)
	if err != nil {
		return err
	}
	return a.withRegistry(ctx, func() error {
		if err := registry.Push(ctx, tag, img); err != nil {
			return err
		}
		return printDigest(tag, img.Digest)
	})
}

func runImageBuild(ctx context.Context, a app, args []string) error {
	o := registry.BuildOptions{Context: "."}
	var buildArgs list
	if err := parse("image build", args, func(fs *flag.FlagSet) {
		fs.StringVar(&o.Context, "context", o.Context, "build context folder")
		fs.StringVar(&o.Dockerfile, "file", "", "Dockerfile (default: the one in the context)")
		fs.StringVar(&o.Tag, "tag", "", "name of the image")
		fs.Var(&buildArgs, "build-arg", "NAME=VALUE; may be repeated")
	}); err != nil {
		return err
	}
	o.Args = buildArgs
	return a.withRegistry(ctx, func() error { return registry.Build(ctx, a.Layout, a.p, o) })
}
