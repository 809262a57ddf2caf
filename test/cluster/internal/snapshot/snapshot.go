// Package snapshot describes the state of the machine that the cluster changes, for
// comparison.
package snapshot

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/cluster"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/host"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
)

// Take returns sorted lines, each with the kind and the name of an object.
func Take(ctx context.Context, l layout.Layout) ([]string, error) {
	var lines []string
	for _, part := range []func(context.Context, layout.Layout) ([]string, error){
		processes, mounts, namespaces, links, routes, firewall, cgroups, sysctls, paths,
	} {
		more, err := part(ctx, l)
		if err != nil {
			return nil, err
		}
		lines = append(lines, more...)
	}
	slices.Sort(lines)
	return lines, nil
}

// suspicious matches programs of any Kubernetes node, which are listed even if their
// command lines do not contain the state folder. It excludes etcd, API server and
// controller manager, because the integration tests run the same binaries.
var suspicious = regexp.MustCompile(`^(containerd-shim.*|kube-proxy|kube-scheduler|kubelet|pause)$`)

func processes(_ context.Context, l layout.Layout) ([]string, error) {
	all, err := proc.List()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, p := range all {
		name := filepath.Base(p.Args[0])
		if suspicious.MatchString(name) || cluster.Belongs(p, l) {
			lines = append(lines, "process "+name)
		}
	}
	return lines, nil
}

func mounts(context.Context, layout.Layout) ([]string, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	var lines []string
	for _, m := range host.ParseMounts(string(data)) {
		lines = append(lines, fmt.Sprintf("mount %s %s %s", m.Point, m.Type, m.Source))
	}
	return lines, nil
}

func namespaces(context.Context, layout.Layout) ([]string, error) {
	entries, err := os.ReadDir("/run/netns")
	if err != nil {
		return nil, nil //nolint:nilerr // most machines have none
	}
	var lines []string
	for _, e := range entries {
		lines = append(lines, "netns "+e.Name())
	}
	return lines, nil
}

func links(context.Context, layout.Layout) ([]string, error) {
	interfaces, err := net.Interfaces()
	if err != nil {
		return nil, fmt.Errorf("list network interfaces: %w", err)
	}
	var lines []string
	for _, i := range interfaces {
		lines = append(lines, fmt.Sprintf("link %s mtu %d %s %s", i.Name, i.MTU, i.HardwareAddr, i.Flags))
		addrs, err := i.Addrs()
		if err != nil {
			continue // it was just removed
		}
		for _, a := range addrs {
			lines = append(lines, "address "+i.Name+" "+a.String())
		}
	}
	return lines, nil
}

func routes(ctx context.Context, _ layout.Layout) ([]string, error) {
	var lines []string
	for _, family := range []string{"-4", "-6"} {
		out, err := run.Output(ctx, "ip", family, "route", "show", "table", "all")
		if err != nil {
			continue // no ip, or no such family
		}
		lines = append(lines, prefixed("route "+family, Routes(out))...)
	}
	return lines, nil
}

func firewall(ctx context.Context, _ layout.Layout) ([]string, error) {
	var lines []string
	for _, program := range []string{"iptables-save", "ip6tables-save"} {
		if out, err := run.Output(ctx, program); err == nil {
			lines = append(lines, prefixed(program, IPTables(out))...)
		}
	}
	if out, err := run.Output(ctx, "nft", "--stateless", "list", "ruleset"); err == nil {
		lines = append(lines, prefixed("nft", NFTables(out))...)
	}
	return lines, nil
}

// cgroups returns the top-level groups and all groups of pods. It ignores deeper
// groups, because they change with sessions and services.
func cgroups(context.Context, layout.Layout) ([]string, error) {
	roots, err := host.CgroupRoots()
	if err != nil {
		return nil, err
	}
	var lines []string
	for _, root := range roots {
		for _, pattern := range []string{"*", "kubepods/*", "kubepods/*/*", "kubepods/*/*/*"} {
			found, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil {
				return nil, fmt.Errorf("list cgroups: %w", err)
			}
			for _, path := range found {
				if info, err := os.Stat(path); err == nil && info.IsDir() {
					lines = append(lines, "cgroup "+path)
				}
			}
		}
	}
	return lines, nil
}

func sysctls(context.Context, layout.Layout) ([]string, error) {
	var lines []string
	for name, value := range host.ReadSysctls() {
		lines = append(lines, "sysctl "+name+" = "+value)
	}
	return lines, nil
}

func paths(context.Context, layout.Layout) ([]string, error) {
	var lines []string
	for _, path := range host.Paths {
		if _, err := os.Lstat(path); err == nil {
			lines = append(lines, "path "+path)
		}
	}
	return lines, nil
}

func prefixed(prefix string, lines []string) []string {
	for i, line := range lines {
		lines[i] = prefix + ": " + line
	}
	return lines
}
