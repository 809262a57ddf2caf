// Package build compiles Kubernetes, etcd, CoreDNS and the pause program from
// this module into the cache.
package build

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/step"
)

// Components are the names of the multi-call binary.
var Components = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy", "kubectl"}

// target is one program of this module.
type target struct {
	name    string
	cold    string   // build time with an empty Go build cache on two cores
	links   []string // additional names (symlinks)
	stamped bool     // has the Kubernetes version linked in
}

var (
	controlPlane = []target{{name: "kube-all", cold: "7 to 14 minutes", links: Components, stamped: true}}
	everything   = append(controlPlane[:1:1], target{name: "coredns", cold: "half a minute"}, target{name: "pause", cold: "seconds"})
)

// Options are the options of Ensure.
type Options struct {
	ControlPlaneOnly bool
	Quiet            bool // print nothing if the binaries are complete
}

// Dir returns the folder of the binaries for the current sources,
// whether or not it has been built.
func Dir(ctx context.Context, l layout.Layout, module string) (string, error) {
	goVersion, err := run.Cmd{Args: []string{"go", "env", "GOVERSION"}, Dir: module}.Run(ctx)
	if err != nil {
		return "", fmt.Errorf("get the go version: %w", err)
	}
	key, err := Key(module, strings.TrimSpace(goVersion))
	if err != nil {
		return "", err
	}
	return filepath.Join(l.Builds(), key, "bin"), nil
}

// Ensure builds what is missing and returns the folder of the binaries.
func Ensure(ctx context.Context, l layout.Layout, p *step.Printer, o Options) (string, error) {
	module, err := FindModule()
	if err != nil {
		return "", err
	}
	bin, err := Dir(ctx, l, module)
	if err != nil {
		return "", err
	}
	targets := everything
	if o.ControlPlaneOnly {
		targets = controlPlane
	}
	if complete(bin, targets) {
		if !o.Quiet {
			p.Printf("binaries are up to date: %s", bin)
		}
		return bin, nil
	}
	unlock, err := Lock(filepath.Join(filepath.Dir(bin), "lock"), func() { p.Printf("waiting for another build") })
	if err != nil {
		return "", err
	}
	defer unlock()
	for _, t := range targets {
		if complete(bin, []target{t}) {
			continue
		}
		if err := buildOne(ctx, p, module, bin, t); err != nil {
			return "", err
		}
	}
	return bin, nil
}

func complete(bin string, targets []target) bool {
	for _, t := range targets {
		for _, name := range append([]string{t.name}, t.links...) {
			if info, err := os.Stat(filepath.Join(bin, name)); err != nil || !info.Mode().IsRegular() {
				return false
			}
		}
	}
	return true
}

// buildOne compiles into a temporary folder and renames the result into place,
// so that incomplete programs are never used.
func buildOne(ctx context.Context, p *step.Printer, module, bin string, t target) error {
	p.Printf("          building %s (%s with an empty Go build cache, seconds with a warm one)", t.name, t.cold)
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("create folder of the binaries: %w", err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(bin), "tmp-")
	if err != nil {
		return fmt.Errorf("create folder for the build: %w", err)
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // a leftover is harmless
	flags, err := ldflags(module, t.stamped)
	if err != nil {
		return err
	}
	return p.Do("built "+t.name, func() error {
		stop := p.Heartbeat("building "+t.name, 30*time.Second)
		defer stop()
		out := filepath.Join(tmp, t.name)
		build := run.Cmd{
			Args: []string{"go", "build", "-trimpath", "-ldflags", flags, "-o", out, "./" + t.name},
			Dir:  module,
			Env:  []string{"CGO_ENABLED=0", "GOOS=linux"},
		}
		if _, err := build.Run(ctx); err != nil {
			return err
		}
		if err := os.Rename(out, filepath.Join(bin, t.name)); err != nil {
			return fmt.Errorf("move into place: %w", err)
		}
		return link(tmp, bin, t)
	})
}

func link(tmp, bin string, t target) error {
	for _, name := range t.links {
		fresh := filepath.Join(tmp, name)
		if err := os.Symlink(t.name, fresh); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		if err := os.Rename(fresh, filepath.Join(bin, name)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	return nil
}

// ldflags returns linker flags that set the Kubernetes version, which clients and the
// kubelet's version check read. The date is fixed to keep builds reproducible.
func ldflags(module string, stamped bool) (string, error) {
	flags := "-s -w"
	if !stamped {
		return flags, nil
	}
	version, err := KubernetesVersion(module)
	if err != nil {
		return "", err
	}
	minor := strings.Split(version, ".")[1]
	for _, pkg := range []string{"k8s.io/component-base/version", "k8s.io/client-go/pkg/version"} {
		for _, kv := range []string{"gitVersion=" + version, "gitMajor=1", "gitMinor=" + minor, "gitCommit=local",
			"gitTreeState=archive", "buildDate=2026-01-01T00:00:00Z"} {
			flags += " -X " + pkg + "." + kv
		}
	}
	return flags, nil
}

// Lock takes an exclusive lock on a file, and calls waiting once if another
// process holds it. The kernel releases the lock when its holder dies.
func Lock(path string, waiting func()) (func(), error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("create folder of the lock: %w", err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return func() { f.Close() }, nil //nolint:errcheck // closing releases the lock
	}
	waiting()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if err == nil {
			return func() { f.Close() }, nil //nolint:errcheck // closing releases the lock
		}
		if err != syscall.EINTR {
			f.Close() //nolint:errcheck // no data is lost
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
	}
}
