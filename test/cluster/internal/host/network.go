package host

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
)

// guardTable is the cluster's netfilter table; a separate table is removed with one command.
const guardTable = "locust-localcluster"

// guard returns the rules that isolate the cluster. Pods cannot send packets beyond the
// machine, and other hosts cannot reach pods, Services or the API server through the
// machine, which forwards packets while the cluster is up.
func guard() string {
	ours := fmt.Sprintf("{ \"lo\", %q, %q }", layout.PodBridge, layout.NodeBridge)
	return fmt.Sprintf(`table inet %[1]s
delete table inet %[1]s
table inet %[1]s {
  chain inbound {
    type filter hook prerouting priority -300; policy accept;
    iifname != %[2]s ip daddr { %[3]s, %[4]s, %[5]s } drop
  }
  chain outbound {
    type filter hook forward priority -10; policy accept;
    ip saddr %[3]s oifname != %[2]s drop
  }
}
`, guardTable, ours, layout.PodCIDR, layout.ServiceCIDR, layout.NodeCIDR)
}

// forwardRule permits traffic between pods if the default policy of the machine's
// firewall is to drop, for example with Docker.
var forwardRule = []string{"FORWARD", "-i", layout.PodBridge, "-o", layout.PodBridge, "-j", "ACCEPT"}

// SetUp changes the machine for the cluster. Record.Restore reverts all changes.
func (r *Record) SetUp(ctx context.Context, save func() error) error {
	if err := checkKernel(ctx); err != nil {
		return err
	}
	if _, err := os.Stat("/proc/sys/net/bridge"); err != nil && run.Quiet(ctx, "modprobe", "br_netfilter") {
		r.Modules = append(r.Modules, "br_netfilter")
	}
	// The loaded module has additional settings to restore.
	for name, value := range ReadSysctls() {
		if _, known := r.Sysctls[name]; !known {
			r.Sysctls[name] = value
		}
	}
	if err := save(); err != nil {
		return err
	}
	if err := setSysctls(); err != nil {
		return err
	}
	if _, err := (run.Cmd{Args: []string{"nft", "-f", "-"}, Stdin: guard()}).Run(ctx); err != nil {
		return fmt.Errorf("isolate the pod network: %w", err)
	}
	if rules, err := run.Output(ctx, "iptables-save", "-t", "filter"); err == nil && strings.Contains(rules, ":FORWARD DROP") {
		if _, err := run.Output(ctx, append([]string{"iptables", "-w", "-I"}, forwardRule...)...); err != nil {
			return fmt.Errorf("permit traffic between pods: %w", err)
		}
	}
	for _, args := range [][]string{
		{"link", "add", layout.NodeBridge, "type", "bridge"},
		{"addr", "add", layout.NodeIP + "/24", "dev", layout.NodeBridge},
		{"link", "set", layout.NodeBridge, "up"},
	} {
		if _, err := run.Output(ctx, append([]string{"ip"}, args...)...); err != nil {
			return fmt.Errorf("create the node's bridge: %w", err)
		}
	}
	return nil
}

func setSysctls() error {
	if err := writeSysctl("net.ipv4.ip_forward", "1"); err != nil {
		return err
	}
	// Without this, responses are not translated if a pod connects through a Service to
	// another pod on the same bridge.
	const bridged = "net.bridge.bridge-nf-call-iptables"
	if _, err := os.Stat(sysctlPath(bridged)); err == nil {
		if err := writeSysctl(bridged, "1"); err != nil {
			return err
		}
	}
	const watches, want = "fs.inotify.max_user_instances", 1024
	var now int
	if _, err := fmt.Sscan(ReadSysctls()[watches], &now); err == nil && now >= want {
		return nil
	}
	return writeSysctl(watches, fmt.Sprint(want))
}

// podVeth matches the names that the bridge plugin gives to the host end of veth pairs.
var podVeth = regexp.MustCompile(`^veth[0-9a-f]{8}$`)

// removeLinks removes the cluster's interfaces. The kernel removes those of pods only
// when it destroys their namespaces, which may be late or never.
func (r Record) removeLinks(ctx context.Context) []string {
	ours := func() []string {
		var found []string
		for _, name := range names("/sys/class/net") {
			if slices.Contains(r.Links, name) {
				continue
			}
			if name == layout.NodeBridge || name == layout.PodBridge || podVeth.MatchString(name) && freeOrPod(name) {
				found = append(found, name)
			}
		}
		return found
	}
	for deadline := time.Now().Add(5 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		left := ours()
		if len(left) == 0 {
			return nil
		}
		for _, name := range left {
			run.Quiet(ctx, "ip", "link", "delete", name)
		}
	}
	var problems []string
	for _, name := range ours() {
		problems = append(problems, "network interface "+name+" cannot be removed")
	}
	return problems
}

// freeOrPod reports whether a veth belongs to no bridge, or to that of the pods.
func freeOrPod(name string) bool {
	master, err := os.Readlink("/sys/class/net/" + name + "/master")
	return err != nil || strings.HasSuffix(master, "/"+layout.PodBridge)
}

// removeNetns removes the names of pod network namespaces. Their mounts are in the
// container runtime's mount namespace and end with it; a mount in this namespace is
// unmounted first.
func (r Record) removeNetns(ctx context.Context) []string {
	var problems []string
	for _, name := range names(netnsDir) {
		if slices.Contains(r.Netns, name) || !strings.HasPrefix(name, "cni-") {
			continue
		}
		path := netnsDir + "/" + name
		run.Quiet(ctx, "umount", "--lazy", path)
		if err := os.Remove(path); err != nil {
			problems = append(problems, err.Error())
		}
	}
	return problems
}
