package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

const defaultPlatforms = "linux/amd64,linux/arm64,linux/ppc64le,linux/s390x"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage: release push|verify|inspect|sbom|notes|template|archive|krew [flags]; see -h of each")

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) == 0 {
		return errUsage
	}
	commands := map[string]func(context.Context, *flag.FlagSet, []string, io.Writer) error{
		"push": runPush, "verify": runVerify, "inspect": runInspect, "sbom": runSBOM, "notes": runNotes,
		"template": runTemplate, "archive": runArchive, "krew": runKrew,
	}
	command, found := commands[args[0]]
	if !found {
		return errUsage
	}
	return command(ctx, flag.NewFlagSet("release "+args[0], flag.ContinueOnError), args[1:], out)
}

func runPush(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	var o pushOptions
	platforms := platformsFlag(flags)
	buildArgs, annotations := pairs{}, pairs{}
	flags.StringVar(&o.dockerfile, "file", "Dockerfile", "Dockerfile that only copies files")
	flags.StringVar(&o.context, "context", ".", "folder that the Dockerfile copies from; {arch} stands for the architecture")
	flags.StringVar(&o.tag, "tag", "", "where to push the image")
	flags.BoolVar(&o.overwrite, "overwrite", false, "replace a different image with the same tag")
	flags.Var(buildArgs, "build-arg", "NAME=VALUE of an ARG before FROM")
	flags.Var(annotations, "annotation", "NAME=VALUE, a label and annotation of the image")
	err := flags.Parse(args)
	if err != nil {
		return err
	}
	o.buildArgs, o.annotations = buildArgs, annotations
	if o.platforms, err = parsePlatforms(*platforms); err != nil {
		return err
	}
	ref, err := push(ctx, o)
	if err != nil {
		return fmt.Errorf("%s: %w", o.tag, err)
	}
	fmt.Fprintln(out, ref)
	return nil
}

func runVerify(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	list := platformsFlag(flags)
	images := flags.String("images", "", "beginning of the names of images that the files must reference by digest")
	var files texts
	flags.Var(&files, "in", "file with references to images, or folder of such files; may be repeated")
	if err := flags.Parse(args); err != nil {
		return err
	}
	platforms, err := parsePlatforms(*list)
	if err != nil {
		return err
	}
	refs := flags.Args()
	for _, file := range files {
		found, err := references(file, *images)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s references images %s... only by digest, %d times\n", file, *images, len(found))
		refs = append(refs, found...)
	}
	verified := map[string]bool{}
	for _, ref := range refs {
		if verified[ref] {
			continue
		}
		verified[ref] = true
		if err := verifyImage(ctx, ref, platforms); err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
		fmt.Fprintf(out, "%s has %s\n", ref, *list)
	}
	if len(verified) == 0 {
		return errors.New("no image to verify")
	}
	return nil
}

func runInspect(ctx context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	return inspect(ctx, flags.Arg(0), out)
}

func runSBOM(_ context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	program := flags.String("program", "", "the Go program")
	title := flags.String("name", "", "name of the program")
	of := flags.String("version", "", "version of the program")
	created := flags.Int64("created", 0, "time of the document, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return sbom(*program, *title, *of, time.Unix(*created, 0), out)
}

func runTemplate(_ context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	file := flags.String("template", "catalog/template.yaml", "template of the catalog")
	version := flags.String("version", "", "the version, without v")
	bundle := flags.String("bundle", "", "bundle image of the version, by digest")
	alone := flags.Bool("alone", false, "leave out all other versions")
	if err := flags.Parse(args); err != nil {
		return err
	}
	text, err := os.ReadFile(*file)
	if err != nil {
		return err
	}
	result, err := template(text, *version, *bundle, *alone)
	if err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	_, err = out.Write(result)
	return err
}

func runNotes(_ context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	file := flags.String("changelog", "CHANGELOG.md", "the changelog")
	version := flags.String("version", "", "the version, without v")
	if err := flags.Parse(args); err != nil {
		return err
	}
	changelog, err := os.ReadFile(*file)
	if err != nil {
		return fmt.Errorf("read the changelog: %w", err)
	}
	text, err := notes(string(changelog), *version)
	if err != nil {
		return fmt.Errorf("%s: %w", *file, err)
	}
	fmt.Fprintln(out, text)
	return nil
}

func runArchive(_ context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	var o archiveOptions
	flags.StringVar(&o.program, "program", "", "the program")
	flags.StringVar(&o.name, "name", "", "name of the program and of the archive")
	flags.StringVar(&o.version, "version", "", "the version, without v")
	flags.StringVar(&o.dist, "dist", ".", "folder to write to")
	on := flags.String("platform", "", "OS/ARCHITECTURE of the program")
	created := flags.Int64("created", 0, "time of the files, in seconds since 1970")
	if err := flags.Parse(args); err != nil {
		return err
	}
	o.created, o.more = time.Unix(*created, 0), flags.Args()
	platforms, err := parsePlatforms(*on)
	if err != nil {
		return err
	}
	name, err := writeArchive(o, platforms[0])
	if err != nil {
		return err
	}
	fmt.Fprintln(out, name)
	return nil
}

func runKrew(_ context.Context, flags *flag.FlagSet, args []string, out io.Writer) error {
	program := flags.String("name", "", "name of the program and of the archives")
	of := flags.String("version", "", "the version, without v")
	address := flags.String("url", "", "address of the folder with the archives")
	if err := flags.Parse(args); err != nil {
		return err
	}
	manifest, err := krewManifest(*program, *of, *address, flags.Args())
	if err != nil {
		return err
	}
	_, err = out.Write(manifest)
	return err
}

func platformsFlag(flags *flag.FlagSet) *string {
	return flags.String("platforms", defaultPlatforms, "platforms, separated by commas")
}

func parsePlatforms(text string) ([]v1.Platform, error) {
	var platforms []v1.Platform
	for name := range strings.SplitSeq(text, ",") {
		platform, err := v1.ParsePlatform(name)
		if err != nil {
			return nil, fmt.Errorf("platform %q: %w", name, err)
		}
		if platform.OS == "" || platform.Architecture == "" {
			return nil, fmt.Errorf("platform %q is not OS/ARCHITECTURE", name)
		}
		platforms = append(platforms, *platform)
	}
	return platforms, nil
}

// pairs is a flag that can be repeated: NAME=VALUE.
type pairs map[string]string

func (p pairs) String() string { return "" }

func (p pairs) Set(text string) error {
	name, value, found := strings.Cut(text, "=")
	if !found || name == "" {
		return fmt.Errorf("%q is not NAME=VALUE", text)
	}
	p[name] = value
	return nil
}

// texts is a flag that can be repeated.
type texts []string

func (l *texts) String() string { return "" }

func (l *texts) Set(text string) error {
	*l = append(*l, text)
	return nil
}
