package config

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
)

const maxOpenFiles = 1_000_000 // the kubelet's own default

// Kubelet renders the kubelet's configuration.
func Kubelet(l layout.Layout, m Machine) ([]byte, error) {
	return toYAML(object{
		"apiVersion":               "kubelet.config.k8s.io/v1beta1",
		"kind":                     "KubeletConfiguration",
		"address":                  layout.NodeIP,
		"healthzBindAddress":       "127.0.0.1",
		"registerNode":             true,
		"containerRuntimeEndpoint": "unix://" + l.ContainerdSocket(),
		// Support machines without systemd, and with cgroups v1, which the kubelet refuses by
		// default.
		"cgroupDriver": "cgroupfs",
		"failCgroupV1": false,
		"failSwapOn":   false,
		"oomScoreAdj":  m.oomScore(),
		"maxOpenFiles": min(m.OpenFiles, maxOpenFiles),
		"authentication": object{
			"anonymous": object{"enabled": false},
			"webhook":   object{"enabled": true},
			"x509":      object{"clientCAFile": filepath.Join(l.Pki(), "ca.crt")},
		},
		"authorization":     object{"mode": "Webhook"},
		"tlsCertFile":       filepath.Join(l.Pki(), "kubelet-server.crt"),
		"tlsPrivateKeyFile": filepath.Join(l.Pki(), "kubelet-server.key"),
		"clusterDNS":        []string{layout.DNSIP},
		"clusterDomain":     layout.Domain,
		"resolvConf":        l.ResolvConf(),
		"podLogsDir":        l.PodLogs(),
		"volumePluginDir":   filepath.Join(l.Kubelet(), "volume-plugins"),
		"maxPods":           250,
		// Images come from loopback, so pulls need no rate limit.
		"serializeImagePulls": false,
		"registryPullQPS":     0,
		// The disk is shared with other work, so a full disk must not cause image garbage collection.
		"imageGCHighThresholdPercent": 100,
		"imageGCLowThresholdPercent":  99,
		"evictionHard":                object{"memory.available": "200Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
		// Only the iptables proxy needs the kubelet's iptables chains.
		"makeIPTablesUtilChains": m.ProxyMode == ProxyIPTables,
	})
}

// oomScore returns the kubelet's default OOM score if the machine permits it.
func (m Machine) oomScore() int {
	if m.SysResource {
		return -999
	}
	return 0
}

// Scheduler renders the scheduler's configuration.
func Scheduler(l layout.Layout) ([]byte, error) {
	connection := object{"kubeconfig": filepath.Join(l.Conf(), "scheduler.kubeconfig")}
	if qps := componentQPS(); qps > 0 {
		connection["qps"], connection["burst"] = qps, 2*qps
	}
	return toYAML(object{
		"apiVersion":       "kubescheduler.config.k8s.io/v1",
		"kind":             "KubeSchedulerConfiguration",
		"leaderElection":   object{"leaderElect": false}, // there is only one
		"clientConnection": connection,
	})
}

// KubeProxy renders kube-proxy's configuration.
func KubeProxy(l layout.Layout, m Machine) ([]byte, error) {
	return toYAML(object{
		"apiVersion":         "kubeproxy.config.k8s.io/v1alpha1",
		"kind":               "KubeProxyConfiguration",
		"clientConnection":   object{"kubeconfig": filepath.Join(l.Conf(), "proxy.kubeconfig")},
		"mode":               m.ProxyMode,
		"oomScoreAdj":        m.oomScore(),
		"clusterCIDR":        layout.PodCIDR,
		"hostnameOverride":   layout.NodeName,
		"healthzBindAddress": "127.0.0.1:10256",
		"metricsBindAddress": "127.0.0.1:10249",
		// Node ports are open only on the cluster's bridge, not on the machine's network.
		"nodePortAddresses": []string{layout.NodeIP + "/32"},
		// Zero keeps the machine's connection tracking limits.
		"conntrack": object{"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
	})
}

// Containerd renders containerd's configuration. Version 2 of the format is read
// by containerd 1.6 as well as by its successors.
func Containerd(l layout.Layout, m Machine) []byte {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("version = 2")
	line("root = %q", filepath.Join(l.Containerd(), "root"))
	line("state = %q", filepath.Join(l.Containerd(), "state"))
	// Other snapshotters than overlayfs only log errors; opt would create /opt/containerd.
	line(`disabled_plugins = ["io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", ` +
		`"io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.internal.v1.opt"]`)
	line("[grpc]")
	line("  address = %q", l.ContainerdSocket())
	line(`[plugins."io.containerd.grpc.v1.cri"]`)
	line("  sandbox_image = %q", layout.PauseImage)
	line("  disable_apparmor = true") // a loaded profile would remain in the kernel
	// Without the capability runc cannot set the sandbox's OOM score of -998, and fails with
	// "can't get final child's PID from pipe".
	line("  restrict_oom_score_adj = %t", !m.SysResource)
	line(`  [plugins."io.containerd.grpc.v1.cri".containerd]`)
	line(`    snapshotter = "overlayfs"`)
	line(`    default_runtime_name = "runc"`)
	line(`    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]`)
	line(`      runtime_type = "io.containerd.runc.v2"`)
	line(`      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]`)
	line("        SystemdCgroup = false")
	line(`  [plugins."io.containerd.grpc.v1.cri".cni]`)
	line("    bin_dir = %q", m.CNIBinDir)
	line("    conf_dir = %q", l.CNI())
	return []byte(b.String())
}

// CNI renders the pod network: a bridge without masquerading, because pod traffic
// stays on the machine.
func CNI(l layout.Layout) ([]byte, error) {
	return toJSON(object{
		"cniVersion": "0.4.0",
		"name":       "podnet",
		"plugins": []object{
			{
				"type": "bridge", "bridge": layout.PodBridge, "isDefaultGateway": true, "hairpinMode": true, "ipMasq": false,
				"ipam": object{"type": "host-local", "dataDir": l.CNIState(), "ranges": [][]object{{{"subnet": layout.NodePodCIDR}}}},
			},
			{"type": "portmap", "capabilities": object{"portMappings": true}},
		},
	})
}

// Registry renders the image registry's configuration.
func Registry(l layout.Layout) ([]byte, error) {
	return toYAML(object{
		"version": "0.1",
		"log":     object{"level": "warn", "accesslog": object{"disabled": true}},
		"storage": object{
			"filesystem": object{"rootdirectory": l.RegistryStorage()},
			"delete":     object{"enabled": true},
		},
		"http": object{"addr": layout.RegistryAddr},
	})
}
