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

// grace is how long a component may take to end politely. Its data is thrown
// away, so there is nothing to lose by forcing it.
const grace = 3 * time.Second

// Down stops the cluster and gives the machine back as it was before Up.
func (c *Cluster) Down(ctx context.Context, wipe bool) error {
	if _, err := os.Stat(c.State()); errors.Is(err, fs.ErrNotExist) {
		c.P.Say("nothing is up")
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
		c.P.Say("nothing is up")
		return c.wipe(wipe)
	}
	if before == nil {
		// Only processes outside a started cluster, such as a registry whose user was killed.
		if err := c.P.Do("stopped leftover processes", func() error { return c.stopAll() }); err != nil {
			return err
		}
		return c.wipe(wipe)
	}
	if err := c.P.Do("stopped the cluster and put the machine back", func() error { return c.tearDown(ctx, *before) }); err != nil {
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
	c.P.Say("removed %s", c.State())
	return nil
}

// tearDown works on anything from a healthy cluster to the remains of a killed
// one. The host record goes last, so that an interrupted tearDown is repeated.
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

// removeRuntime empties what belongs to one run of the cluster only.
func (c *Cluster) removeRuntime() error {
	for _, dir := range append(c.RuntimeDirs(), c.Pids()) {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove state: %w", err)
		}
	}
	return nil
}

// stopAll ends every process of the cluster: first those that would start new
// ones, then the pods, then what they lived on.
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
	// Shims, and whatever an interrupted up started without noting its pid.
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
	return errors.New("some processes of the cluster cannot be ended: see status")
}

// programs are the names under which processes of the cluster run.
var programs = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy",
	"containerd", "containerd-shim-runc-v2", "runc", "docker-registry", "nsenter",
}

// processes finds processes of this cluster by their command line, which always
// names a file in the state folder.
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

// Belongs says whether a process is part of the cluster of this layout.
func Belongs(info proc.Info, l layout.Layout) bool {
	if len(info.Args) == 0 || !slices.Contains(programs, filepath.Base(info.Args[0])) {
		return false
	}
	return slices.ContainsFunc(info.Args[1:], func(arg string) bool { return strings.Contains(arg, l.State()+"/") })
}
