package host

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
)

// Record is the state of the machine before the start of the cluster. Objects of the
// cluster that are not in the record may be removed.
type Record struct {
	Boot    string            `json:"boot"`
	Sysctls map[string]string `json:"sysctls"`
	Links   []string          `json:"links"`
	Netns   []string          `json:"netns"`
	Tables  []string          `json:"tables"` // netfilter tables, such as "ip filter"
	Paths   []string          `json:"paths"`  // those of Paths that existed
	Modules []string          `json:"modules"`
}

// Sysctls are the kernel settings that the cluster or its components change. The
// kubelet changes those of vm and kernel.
var Sysctls = []string{
	"fs.inotify.max_user_instances",
	"kernel.keys.root_maxbytes",
	"kernel.keys.root_maxkeys",
	"kernel.panic",
	"kernel.panic_on_oops",
	"net.bridge.bridge-nf-call-ip6tables",
	"net.bridge.bridge-nf-call-iptables",
	"net.ipv4.conf.all.route_localnet",
	"net.ipv4.conf.default.route_localnet",
	"net.ipv4.ip_forward",
	"net.ipv6.conf.all.forwarding",
	"net.ipv6.conf.default.forwarding",
	"net.netfilter.nf_conntrack_max",
	"net.netfilter.nf_conntrack_tcp_be_liberal",
	"net.netfilter.nf_conntrack_tcp_timeout_close_wait",
	"net.netfilter.nf_conntrack_tcp_timeout_established",
	"vm.overcommit_memory",
	"vm.panic_on_oom",
}

// Paths are the paths that the components create outside the cache, children first.
var Paths = []string{
	"/run/containerd/runc/k8s.io",
	"/run/containerd/runc",
	"/run/containerd/s",
	"/run/containerd/fifo",
	"/run/containerd",
	"/run/netns",
	"/run/kube-proxy",
	"/var/lib/cni/results",
	"/var/lib/cni/networks",
	"/var/lib/cni",
	"/var/lib/kubelet",
	"/var/log/containers",
	"/var/log/pods",
	"/etc/cni",
	"/opt/cni",
	"/opt/containerd",
	"/usr/libexec/kubernetes",
}

const netnsDir = "/run/netns"

// Capture returns the current state of the machine.
func Capture(ctx context.Context) (Record, error) {
	boot, err := proc.BootID()
	if err != nil {
		return Record{}, err
	}
	r := Record{Boot: boot, Sysctls: ReadSysctls(), Netns: names(netnsDir), Tables: nftTables(ctx)}
	interfaces, err := net.Interfaces()
	if err != nil {
		return Record{}, fmt.Errorf("list network interfaces: %w", err)
	}
	for _, i := range interfaces {
		r.Links = append(r.Links, i.Name)
	}
	for _, path := range Paths {
		if _, err := os.Lstat(path); err == nil {
			r.Paths = append(r.Paths, path)
		}
	}
	return r, nil
}

// Save writes the record. It must be on disk before the machine is changed.
func (r Record) Save(path string) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the host record: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("create the state folder: %w", err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return fmt.Errorf("write the host record: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write the host record: %w", err)
	}
	return nil
}

// LoadRecord returns the record, or nil if there is none.
func LoadRecord(path string) (*Record, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the host record: %w", err)
	}
	var r Record
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, fmt.Errorf("read the host record %s: %w", path, err)
	}
	return &r, nil
}

func sysctlPath(name string) string {
	return filepath.Join("/proc/sys", strings.ReplaceAll(name, ".", "/"))
}

// ReadSysctls returns the values of Sysctls that this kernel has.
func ReadSysctls() map[string]string {
	values := map[string]string{}
	for _, name := range Sysctls {
		if data, err := os.ReadFile(sysctlPath(name)); err == nil {
			values[name] = strings.TrimSpace(string(data))
		}
	}
	return values
}

func writeSysctl(name, value string) error {
	if err := os.WriteFile(sysctlPath(name), []byte(value), 0o644); err != nil {
		return fmt.Errorf("set %s=%s: %w", name, value, err)
	}
	return nil
}

func (r Record) restoreSysctls() []string {
	var problems []string
	now := ReadSysctls()
	for _, name := range Sysctls {
		before, known := r.Sysctls[name]
		if !known || now[name] == before {
			continue
		}
		if err := writeSysctl(name, before); err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems
}

func names(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var out []string
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

// nftTables returns tables as "FAMILY NAME". It returns nil if nft is not installed.
func nftTables(ctx context.Context) []string {
	if !run.Has("nft") {
		return nil
	}
	out, err := run.Output(ctx, "nft", "list", "tables")
	if err != nil {
		return nil
	}
	var tables []string
	for line := range strings.Lines(out) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "table "); ok {
			tables = append(tables, name)
		}
	}
	slices.Sort(tables)
	return tables
}
