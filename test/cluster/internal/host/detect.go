// Package host prepares the machine for the cluster and restores its state.
package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/config"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
)

// ProxyModeEnv is the environment variable for the mode of kube-proxy: nftables (default) or iptables.
const ProxyModeEnv = "LOCALCLUSTER_PROXY_MODE"

const capSysResource = 24

// ErrUnsuitable is returned for a machine that cannot run the local cluster.
var ErrUnsuitable = errors.New("the local cluster needs Linux, root and Debian packages; " +
	"use kind or your own cluster with KUBECONFIG=..., see README")

// CheckPlatform returns an error if the operating system or the user is unsuitable.
func CheckPlatform() error {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("this is %s: %w", runtime.GOOS, ErrUnsuitable)
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("not running as root: %w", ErrUnsuitable)
	}
	return nil
}

// Detect returns the properties of the machine that the configurations depend on.
func Detect() (config.Machine, error) {
	mode, err := config.ParseProxyMode(os.Getenv(ProxyModeEnv))
	if err != nil {
		return config.Machine{}, fmt.Errorf("%s: %w", ProxyModeEnv, err)
	}
	files, err := proc.RaiseFileLimit()
	if err != nil {
		return config.Machine{}, err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return config.Machine{}, fmt.Errorf("read own capabilities: %w", err)
	}
	return config.Machine{
		OpenFiles:   files,
		SysResource: hasSysResource(string(status)),
		CNIBinDir:   cniBinDir(),
		ProxyMode:   mode,
	}, nil
}

// hasSysResource reports whether CAP_SYS_RESOURCE is in the effective set of /proc/PID/status.
func hasSysResource(status string) bool {
	for line := range strings.Lines(status) {
		hex, found := strings.CutPrefix(line, "CapEff:")
		if !found {
			continue
		}
		set, err := strconv.ParseUint(strings.TrimSpace(hex), 16, 64)
		return err == nil && set&(1<<capSysResource) != 0
	}
	return false
}

// cniDirs are the usual folders of the network plugins.
var cniDirs = []string{"/usr/lib/cni", "/usr/libexec/cni", "/opt/cni/bin"}

func cniBinDir() string {
	for _, dir := range cniDirs {
		if _, err := os.Stat(filepath.Join(dir, "bridge")); err == nil {
			return dir
		}
	}
	return cniDirs[0]
}

// CheckForeign returns an error if another Kubernetes node runs on the machine. Call it
// only if there is no host record.
func CheckForeign() error {
	for _, link := range []string{layout.NodeBridge, layout.PodBridge} {
		if _, err := os.Stat("/sys/class/net/" + link); err == nil {
			return fmt.Errorf("the network interface %s belongs to another Kubernetes node, or to a local cluster with another cache folder (%s); stop it first",
				link, layout.CacheEnv)
		}
	}
	roots, err := podCgroups()
	if err != nil {
		return err
	}
	for _, root := range roots {
		if pids := cgroupPids(root); len(pids) > 0 {
			return fmt.Errorf("pods of another Kubernetes node are running (%s); stop it first", root)
		}
	}
	return nil
}

// checkKernel returns an error if the kernel lacks a required feature.
func checkKernel(ctx context.Context) error {
	if filesystems, err := os.ReadFile("/proc/filesystems"); err == nil && !strings.Contains(string(filesystems), "\toverlay\n") {
		if !run.Quiet(ctx, "modprobe", "overlay") {
			return fmt.Errorf("this kernel has no overlay file system: %w", ErrUnsuitable)
		}
	}
	if _, err := run.Output(ctx, "nft", "list", "tables"); err != nil {
		return fmt.Errorf("this kernel has no nftables (%w): %w", err, ErrUnsuitable)
	}
	return nil
}
