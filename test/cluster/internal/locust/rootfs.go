package locust

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/step"
)

const (
	home = "/home/locust"
	uid  = 1000
)

type builder struct {
	layout.Layout
	p    *step.Printer
	work string
}

func (b builder) log() string    { return filepath.Join(b.Cache, "locust", "build.log") }
func (b builder) rootfs() string { return filepath.Join(b.work, "rootfs") }
func (b builder) base() string {
	return filepath.Join(b.Cache, "locust", "base-"+recipeKey("base")+".tar.gz")
}

// do runs a command of the build in a sandbox, which removes its mounts and
// remaining processes when it ends.
func (b builder) do(ctx context.Context, env []string, args ...string) (string, error) {
	return run.Cmd{Args: args, Env: env, Log: b.log(), Sandbox: true}.Run(ctx)
}

// inside runs a command in the root file system.
func (b builder) inside(ctx context.Context, args ...string) (string, error) {
	const script = `root=$1; shift; mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev" && exec chroot "$root" "$@"`
	return b.do(ctx, []string{"LC_ALL=C.UTF-8"}, append([]string{"sh", "-c", script, "sh", b.rootfs()}, args...)...)
}

// prepare creates the base: minimal Debian with Python and a user. It is built
// once and cached as the bottom layer of the image.
func (b builder) prepare(ctx context.Context) error {
	if err := os.MkdirAll(b.rootfs(), 0o755); err != nil {
		return fmt.Errorf("create folder of the root file system: %w", err)
	}
	if _, err := os.Stat(b.base()); err == nil {
		return b.p.Do("Debian base unpacked", func() error {
			_, err := b.do(ctx, nil, "tar", "-C", b.rootfs(), "--numeric-owner", "-xpzf", b.base())
			return err
		})
	}
	return b.p.Do("Debian base built", func() error {
		stop := b.p.Heartbeat("debootstrap", 30*time.Second)
		defer stop()
		return b.bootstrap(ctx)
	})
}

func (b builder) bootstrap(ctx context.Context) error {
	suite, mirror, err := debianSource(ctx)
	if err != nil {
		return err
	}
	_, err = b.do(ctx, proxy(ctx), "debootstrap", "--variant=minbase", "--include=python3,ca-certificates", suite, b.rootfs(), mirror)
	if err != nil {
		return err
	}
	if err := b.addUser(); err != nil {
		return err
	}
	if err := b.trim(); err != nil {
		return err
	}
	return b.pack(ctx, b.base(), ".")
}

// debianSource returns the suite and the mirror of this machine's Debian.
func debianSource(ctx context.Context) (suite, mirror string, err error) {
	suite, err = codename()
	if err != nil {
		return "", "", err
	}
	for range 2 {
		out, err := run.Output(ctx, "apt-get", "indextargets", "--format", "$(CREATED_BY) $(COMPONENT) $(CODENAME) $(RELEASE) $(REPO_URI)")
		if err != nil {
			return "", "", err
		}
		if mirror := pickMirror(out, suite); mirror != "" {
			return suite, mirror, nil
		}
		// Without package lists apt does not know the names of the suites.
		if _, err := run.Output(ctx, "apt-get", "update", "-qq"); err != nil {
			return "", "", err
		}
	}
	return "", "", fmt.Errorf("apt has no mirror for %s", suite)
}

func pickMirror(targets, suite string) string {
	for line := range strings.Lines(targets) {
		f := strings.Fields(line)
		if len(f) == 5 && f[0] == "Packages" && f[1] == "main" && (f[2] == suite || f[3] == suite) {
			return f[4]
		}
	}
	return ""
}

func codename() (string, error) {
	f, err := os.Open("/etc/os-release")
	if err != nil {
		return "", fmt.Errorf("read the Debian version: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name, found := strings.CutPrefix(lines.Text(), "VERSION_CODENAME="); found {
			return strings.Trim(name, `"`), nil
		}
	}
	return "", errors.New("/etc/os-release has no VERSION_CODENAME")
}

// proxy returns apt's proxy for debootstrap, which does not read apt's settings.
func proxy(ctx context.Context) []string {
	var env []string
	for scheme, variable := range map[string]string{"http": "http_proxy", "https": "https_proxy"} {
		out, err := run.Output(ctx, "apt-config", "dump", "--format", "%v", "Acquire::"+scheme+"::Proxy")
		if err == nil && out != "" && out != "DIRECT" {
			env = append(env, variable+"="+out)
		}
	}
	return env
}

func (b builder) addUser() error {
	for file, line := range map[string]string{
		"etc/passwd": fmt.Sprintf("locust:x:%d:%d::%s:/bin/sh\n", uid, uid, home),
		"etc/group":  fmt.Sprintf("locust:x:%d:\n", uid),
	} {
		f, err := os.OpenFile(filepath.Join(b.rootfs(), file), os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("add the user: %w", err)
		}
		_, err = f.WriteString(line)
		if err := errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("add the user: %w", err)
		}
	}
	dir := filepath.Join(b.rootfs(), home)
	err := os.MkdirAll(dir, 0o755)
	if err == nil {
		err = os.Chown(dir, uid, uid)
	}
	if err == nil {
		// Pods may run as another user, who also needs a writable home folder.
		err = os.Chmod(dir, 0o777|os.ModeSticky)
	}
	if err != nil {
		return fmt.Errorf("create the home folder: %w", err)
	}
	return nil
}

// trim removes files that containers do not need.
func (b builder) trim() error {
	for _, pattern := range []string{
		"var/lib/apt/lists/*", "var/cache/apt/*", "var/cache/debconf/*-old", "var/log/*.log", "var/log/apt/*", "debootstrap",
		"usr/share/doc/*", "usr/share/man/*", "usr/share/info/*", "usr/share/locale/*", "tmp/*",
	} {
		found, err := filepath.Glob(filepath.Join(b.rootfs(), pattern))
		if err != nil {
			return fmt.Errorf("trim the root file system: %w", err)
		}
		for _, path := range found {
			if err := os.RemoveAll(path); err != nil {
				return fmt.Errorf("trim the root file system: %w", err)
			}
		}
	}
	// Do not publish the name server of this machine.
	if err := os.WriteFile(filepath.Join(b.rootfs(), "etc/resolv.conf"), nil, 0o644); err != nil {
		return fmt.Errorf("trim the root file system: %w", err)
	}
	return nil
}

// pack creates a layer from a part of the root file system. It uses the fastest
// compression, because the layer is only sent over loopback.
func (b builder) pack(ctx context.Context, file, part string) error {
	tmp := file + ".tmp"
	_, err := b.do(ctx, nil, "tar", "-C", b.rootfs(), "--numeric-owner", "--sort=name",
		"--exclude=./proc/*", "--exclude=./sys/*", "--exclude=./dev/*", "-I", "gzip -1", "-cf", tmp, part)
	if err != nil {
		return err
	}
	if err := os.Rename(tmp, file); err != nil {
		return fmt.Errorf("save the packed layer: %w", err)
	}
	return nil
}

// verify checks that Locust runs in the root file system as the user of the image.
func (b builder) verify(ctx context.Context, version string) error {
	out, err := b.inside(ctx, "chroot", fmt.Sprintf("--userspec=%d:%d", uid, uid), "/", "env", "HOME="+home, "locust", "--version")
	if err != nil {
		return err
	}
	if !strings.Contains(out, version) {
		return fmt.Errorf("locust reports version %q, want %s", strings.TrimSpace(out), version)
	}
	return nil
}
