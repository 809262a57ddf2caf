package host

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
)

// podCgroup is the parent cgroup of all pods.
const podCgroup = "kubepods"

// CgroupRoots returns the mount points of all cgroup hierarchies, v1 and v2.
func CgroupRoots() ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var roots []string
	for _, m := range ParseMounts(string(data)) {
		if m.Type == "cgroup" || m.Type == "cgroup2" {
			roots = append(roots, m.Point)
		}
	}
	return roots, nil
}

func podCgroups() ([]string, error) {
	roots, err := CgroupRoots()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, root := range roots {
		dir := filepath.Join(root, podCgroup)
		if _, err := os.Stat(dir); err == nil {
			found = append(found, dir)
		}
	}
	return found, nil
}

// subdirs returns a folder and all folders below it, parents first.
func subdirs(root string) []string {
	var dirs []string
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error { //nolint:errcheck // deleted folders are skipped
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}

func cgroupPids(root string) []proc.Identity {
	var ids []proc.Identity
	for _, dir := range subdirs(root) {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(data)) {
			pid, err := strconv.Atoi(field)
			if err != nil || pid <= 1 {
				continue
			}
			if id, err := proc.Identify(pid); err == nil && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// KillPods kills every process of every pod with SIGKILL, because containers may ignore
// other signals.
func KillPods() error {
	roots, err := podCgroups()
	if err != nil {
		return err
	}
	// A pod may start processes faster than one pass finds them.
	for range 20 {
		var ids []proc.Identity
		for _, root := range roots {
			ids = append(ids, cgroupPids(root)...)
		}
		if len(ids) == 0 {
			return nil
		}
		proc.Kill(ids)
	}
	return fmt.Errorf("processes of pods cannot be killed")
}

// removeCgroups removes the pods' cgroups. They must be empty.
func removeCgroups() []string {
	var left []string
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		roots, err := podCgroups()
		if err != nil {
			return []string{err.Error()}
		}
		left = left[:0]
		for _, root := range roots {
			dirs := subdirs(root)
			slices.Reverse(dirs)
			for _, dir := range dirs {
				if err := os.Remove(dir); err != nil && !os.IsNotExist(err) {
					left = append(left, err.Error())
				}
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
	}
}
