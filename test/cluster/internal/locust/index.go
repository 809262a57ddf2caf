package locust

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	content "github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/images/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/host"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
)

// errIndex is returned if the installation from the Python package index failed.
var errIndex = errors.New("the Python package index failed")

// starter is the locust command. It replaces that of pip, which has the path of this
// machine's Python.
const starter = `#!/usr/bin/python3
import sys

from locust.main import main

sys.exit(main())
`

// fromIndex adds Locust to the base as a second layer. Pip runs outside of the image,
// where its index, certificates and proxy are configured, but installs for the
// Python in the image.
func (b builder) fromIndex(ctx context.Context) ([]string, error) {
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	python, err := b.python(ctx)
	if err != nil {
		return nil, err
	}
	target := filepath.Join(b.rootfs(), "usr/local/lib/python"+python.version, "dist-packages")
	err = b.p.Do("Locust "+Version()+" installed from the Python package index", func() error {
		stop := b.p.Heartbeat("pip", 30*time.Second)
		defer stop()
		return b.pip(ctx, python, target)
	})
	if err != nil {
		return nil, err
	}
	if err := b.finish(ctx, python, target); err != nil {
		return nil, err
	}
	layer := filepath.Join(b.work, "locust.tar.gz")
	if err := b.pack(ctx, layer, "./usr/local"); err != nil {
		return nil, err
	}
	return []string{b.base(), layer}, nil
}

// interpreter describes the Python inside the image.
type interpreter struct{ version, machine, libc string }

func (b builder) python(ctx context.Context) (interpreter, error) {
	const question = `import platform, sys; print("%d.%d" % sys.version_info[:2], platform.machine(), platform.libc_ver()[1])`
	out, err := b.inside(ctx, "python3", "-c", question)
	if err != nil {
		return interpreter{}, err
	}
	f := strings.Fields(out)
	if len(f) != 3 {
		return interpreter{}, fmt.Errorf("unexpected output of python: %q", out)
	}
	return interpreter{f[0], f[1], f[2]}, nil
}

// platforms returns the tags of all compatible wheels, because pip takes each tag
// literally for a platform other than its own.
func (i interpreter) platforms() ([]string, error) {
	var major, minor int
	if _, err := fmt.Sscanf(i.libc, "%d.%d", &major, &minor); err != nil || major != 2 {
		return nil, fmt.Errorf("unsupported C library version %q", i.libc)
	}
	tags := []string{"linux_" + i.machine}
	for m := minor; m >= 5; m-- {
		tags = append(tags, fmt.Sprintf("manylinux_2_%d_%s", m, i.machine))
	}
	for _, old := range []string{"manylinux2014", "manylinux2010", "manylinux1"} {
		tags = append(tags, old+"_"+i.machine)
	}
	return tags, nil
}

func (b builder) pip(ctx context.Context, i interpreter, target string) error {
	platforms, err := i.platforms()
	if err != nil {
		return err
	}
	pip, err := b.findPip(ctx)
	if err != nil {
		return err
	}
	requirements := filepath.Join(b.work, "requirements.txt")
	if err := os.WriteFile(requirements, []byte(content.Requirements), 0o644); err != nil {
		return fmt.Errorf("write requirements: %w", err)
	}
	args := append(slices.Clone(pip), "install", "--require-hashes", "--only-binary", ":all:", "--no-deps", "--no-compile", "--no-warn-script-location",
		"--disable-pip-version-check", "--root-user-action", "ignore", "--progress-bar", "off", "--retries", "2", "--timeout", "60",
		"--implementation", "cp", "--python-version", i.version, "--target", target, "--requirement", requirements)
	for _, tag := range platforms {
		args = append(args, "--platform", tag)
	}
	if _, err := b.do(ctx, nil, args...); err != nil {
		return fmt.Errorf("%w: %w", errIndex, err)
	}
	return nil
}

func (b builder) findPip(ctx context.Context) ([]string, error) {
	candidates := [][]string{{"python3", "-m", "pip"}, {"pip3"}, {"/usr/bin/python3", "-m", "pip"}}
	for _, pip := range candidates {
		if run.Quiet(ctx, append(pip, "--version")...) {
			return pip, nil
		}
	}
	if err := host.EnsureTools(ctx, b.p, host.PipTools); err != nil {
		return nil, err
	}
	return candidates[len(candidates)-1], nil
}

func (b builder) finish(ctx context.Context, i interpreter, target string) error {
	// These programs have the path of the wrong Python.
	if err := os.RemoveAll(filepath.Join(target, "bin")); err != nil {
		return fmt.Errorf("remove pip's programs: %w", err)
	}
	if err := os.WriteFile(filepath.Join(b.rootfs(), "usr/local/bin/locust"), []byte(starter), 0o755); err != nil {
		return fmt.Errorf("write the locust command: %w", err)
	}
	// Compile here, because the user of the container cannot write there. This
	// saves one or two seconds at every start.
	compile := filepath.Join("/usr/local/lib/python"+i.version, "dist-packages")
	if _, err := b.inside(ctx, "python3", "-m", "compileall", "-q", "-j", "0", compile); err != nil {
		return err
	}
	return b.verify(ctx, Version())
}
