package host

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/step"
)

// Tool is a program (or file) and the Debian package that contains it.
type Tool struct {
	Program string // a program's name, or absolute paths separated by | (one is enough)
	Package string
	Service string // the unit the package would enable
}

// ClusterTools are the tools of the cluster.
var ClusterTools = []Tool{
	{Program: "containerd", Package: "containerd", Service: "containerd.service"},
	{Program: "containerd-shim-runc-v2", Package: "containerd"},
	{Program: "ctr", Package: "containerd"},
	{Program: "runc", Package: "runc"},
	{Program: strings.Join(cniDirs, "/bridge|") + "/bridge", Package: "containernetworking-plugins"},
	{Program: "docker-registry", Package: "docker-registry", Service: "docker-registry.service"},
	{Program: "iptables", Package: "iptables"}, // host ports use it in both proxy modes
	{Program: "nft", Package: "nftables"},
	{Program: "ip", Package: "iproute2"},
	{Program: "nsenter", Package: "util-linux"},
}

// RootfsTools are the tools for building a root file system.
var RootfsTools = []Tool{{Program: "debootstrap", Package: "debootstrap"}}

// ImageTools are the tools for building images from Dockerfiles.
var ImageTools = []Tool{{Program: "buildah", Package: "buildah"}}

// PipTools are the tools for downloading Python packages.
var PipTools = []Tool{{Program: "/usr/lib/python3/dist-packages/pip/__init__.py", Package: "python3-pip"}}

func (t Tool) present() bool {
	if !strings.HasPrefix(t.Program, "/") {
		return run.Has(t.Program)
	}
	for _, path := range strings.Split(t.Program, "|") {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// missing returns the packages that are not installed, and their services.
func missing(tools []Tool) (packages, services []string) {
	seen := map[string]bool{}
	for _, t := range tools {
		if t.present() {
			continue
		}
		if !seen[t.Package] {
			packages = append(packages, t.Package)
			seen[t.Package] = true
		}
		if t.Service != "" {
			services = append(services, t.Service)
		}
	}
	return packages, services
}

// EnsureTools installs the packages of missing tools.
func EnsureTools(ctx context.Context, p *step.Printer, tools []Tool) error {
	packages, services := missing(tools)
	if len(packages) == 0 {
		return nil
	}
	if !run.Has("apt-get") {
		return fmt.Errorf("missing %s, and there is no apt-get to install it: %w", strings.Join(packages, ", "), ErrUnsuitable)
	}
	return p.Do("installed "+strings.Join(packages, " "), func() error {
		allow, err := forbidServices()
		if err != nil {
			return err
		}
		defer allow()
		if err := install(ctx, packages); err != nil {
			return fmt.Errorf("%w\n%w", err, ErrUnsuitable)
		}
		disable(ctx, services)
		if left, _ := missing(tools); len(left) > 0 {
			return fmt.Errorf("the installed packages %s do not contain the expected files: %w", strings.Join(left, ", "), ErrUnsuitable)
		}
		return nil
	})
}

func install(ctx context.Context, packages []string) error {
	aptGet := func(args ...string) error {
		cmd := run.Cmd{Args: append([]string{"apt-get"}, args...), Env: []string{"DEBIAN_FRONTEND=noninteractive"}}
		_, err := cmd.Run(ctx)
		return err
	}
	args := append([]string{"install", "-y", "-qq", "--no-install-recommends"}, packages...)
	if haveLists() && aptGet(args...) == nil {
		return nil
	}
	// The package lists are missing or outdated.
	if err := aptGet("update", "-qq"); err != nil {
		return err
	}
	return aptGet(args...)
}

func haveLists() bool {
	lists, err := filepath.Glob("/var/lib/apt/lists/*_Packages*")
	return err == nil && len(lists) > 0
}

const policyFile = "/usr/sbin/policy-rc.d"

// forbidServices prevents packages from starting their services with a policy-rc.d,
// because the cluster starts them with its own settings.
func forbidServices() (func(), error) {
	f, err := os.OpenFile(policyFile, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return func() {}, nil // keep an existing policy
	}
	if err != nil {
		return nil, fmt.Errorf("forbid services: %w", err)
	}
	remove := func() { os.Remove(policyFile) } //nolint:errcheck // best effort
	if _, err := f.WriteString("#!/bin/sh\nexit 101\n"); err != nil {
		remove()
		return nil, fmt.Errorf("forbid services: %w", err)
	}
	if err := f.Close(); err != nil {
		remove()
		return nil, fmt.Errorf("forbid services: %w", err)
	}
	return remove, nil
}

// disable disables the services of newly installed packages, so that they do not start
// at the next boot and use the cluster's ports.
func disable(ctx context.Context, services []string) {
	if _, err := os.Stat("/run/systemd/system"); err != nil || len(services) == 0 {
		return
	}
	run.Quiet(ctx, append([]string{"systemctl", "disable", "--now"}, services...)...)
}
