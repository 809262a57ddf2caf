package cluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/host"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
)

// grace is the time between SIGTERM and SIGKILL. It is short, because the data is
// discarded.
const grace = 3 * time.Second

// Down stops the cluster and restores the state of the machine before Up.
func (c *Cluster) Down(ctx context.Context, wipe bool) error {
	if _, err := os.Stat(c.State()); errors.Is(err, fs.ErrNotExist) {
		c.P.Printf("no cluster is running")
		return nil
	}
	if err := host.CheckPlatform(); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	before, err := host.LoadRecord(c.HostRecord())
	if err != nil {
		return err
	}
	left, err := c.processes()
	if err != nil {
		return err
	}
	if before == nil && len(left) == 0 {
		c.P.Printf("no cluster is running")
		return c.wipe(wipe)
	}
	if before == nil {
		// Only processes without a cluster, such as a registry whose command was killed.
		if err := c.P.Do("stopped leftover processes", func() error { return c.stopAll() }); err != nil {
			return err
		}
		return c.wipe(wipe)
	}
	if err := c.P.Do("stopped the cluster and restored the machine", func() error { return c.tearDown(ctx, *before) }); err != nil {
		return err
	}
	return c.wipe(wipe)
}

func (c *Cluster) wipe(wanted bool) error {
	if !wanted {
		return nil
	}
	if err := os.RemoveAll(c.State()); err != nil {
		return fmt.Errorf("remove the state folder: %w", err)
	}
	c.P.Printf("removed %s", c.State())
	return nil
}

// tearDown stops and removes a cluster in any state. It removes the host record last,
// so that an interrupted tearDown is repeated.
func (c *Cluster) tearDown(ctx context.Context, before host.Record) error {
	if err := c.stopAll(); err != nil {
		return err
	}
	if err := before.Restore(ctx, c.State()); err != nil {
		return err
	}
	if err := c.removeRuntime(); err != nil {
		return err
	}
	for _, path := range []string{c.Record(), c.Kubeconfig(), c.ContainerdSocket(), c.ContainerdSocket() + ".ttrpc", c.HostRecord()} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("remove state: %w", err)
		}
	}
	return nil
}

// removeRuntime removes the folders of one run of the cluster.
func (c *Cluster) removeRuntime() error {
	for _, dir := range append(c.RuntimeDirs(), c.Pids()) {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove state: %w", err)
		}
	}
	return nil
}

// stopAll ends every process of the cluster: first those that would start new
// ones, then the pods, then the components that the pods depend on.
func (c *Cluster) stopAll() error {
	stop := func(names ...string) {
		var ids []proc.Identity
		for _, name := range names {
			if id, ok := proc.ReadIdentity(pidFile(c.Layout, name)); ok {
				ids = append(ids, id)
			}
		}
		proc.Stop(ids, grace)
	}
	stop("kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager")
	if _, err := os.Stat(c.Containerd()); err == nil {
		if err := host.KillPods(); err != nil {
			return err
		}
	}
	stop("kube-apiserver", "etcd", "containerd", "registry")
	// Shims, and processes that an interrupted up started without writing a pid file.
	for range 5 {
		left, err := c.processes()
		if err != nil {
			return err
		}
		if len(left) == 0 {
			return nil
		}
		proc.Kill(left)
	}
	return errors.New("some processes of the cluster cannot be stopped: see status")
}

// programs are the names of the cluster's programs.
var programs = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
	"containerd", "containerd-shim-runc-v2", "runc", "docker-registry", "nsenter",
}

// processes returns the processes of this cluster. Their command lines always
// contain a path in the state folder.
func (c *Cluster) processes() ([]proc.Identity, error) {
	all, err := proc.List()
	if err != nil {
		return nil, err
	}
	var ids []proc.Identity
	for _, info := range all {
		if Belongs(info, c.Layout) {
			ids = append(ids, info.Identity)
		}
	}
	return ids, nil
}

// Belongs reports whether a process is part of the cluster of this layout.
func Belongs(info proc.Info, l layout.Layout) bool {
	if len(info.Args) == 0 || !slices.Contains(programs, filepath.Base(info.Args[0])) {
		return false
	}
	return slices.ContainsFunc(info.Args[1:], func(arg string) bool { return strings.Contains(arg, l.State()+"/") })
}
