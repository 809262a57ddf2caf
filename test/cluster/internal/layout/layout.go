// Package layout says where everything of the local cluster lives: its folders,
// its addresses and its ports. Nothing here touches the machine.
package layout

import (
	"fmt"
	"os"
	"path/filepath"
)

// Addresses and names of the cluster. They are fixed: one machine runs one
// local cluster at a time.
const (
	NodeName     = "local"
	NodeIP       = "10.10.0.1" // on a bridge of our own: a node address may not be loopback, and must not be reachable from outside
	NodeCIDR     = "10.10.0.0/24"
	NodeBridge   = "kube0"
	PodBridge    = "cni0"
	PodCIDR      = "10.244.0.0/16"
	NodePodCIDR  = "10.244.0.0/22" // about a thousand addresses for the one node
	ServiceCIDR  = "10.96.0.0/16"
	KubernetesIP = "10.96.0.1"
	DNSIP        = "10.96.0.10"
	Domain       = "cluster.local"
	APIPort      = 6443
	Registry     = "localhost:5000"
	RegistryAddr = "127.0.0.1:5000"
)

// Images the cluster itself runs.
const (
	PauseImage   = Registry + "/pause:1"
	CoreDNSImage = Registry + "/coredns:1"
)

// maxState is the longest state folder that still leaves room for the kubelet's
// longest socket name: a unix socket path ends at 107 bytes.
const maxState = 70

// CacheEnv names the variable that moves every file of the cluster.
const CacheEnv = "LOCUST_OPERATOR_CACHE"

// Layout holds the cache folder from which all the other paths follow.
type Layout struct{ Cache string }

// FromEnv reads the cache folder from the environment, falling back to the
// user's own cache folder.
func FromEnv() (Layout, error) {
	if dir := os.Getenv(CacheEnv); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return Layout{}, fmt.Errorf("resolve %s: %w", CacheEnv, err)
		}
		return Layout{Cache: abs}, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return Layout{}, fmt.Errorf("find the home folder (set %s instead): %w", CacheEnv, err)
	}
	return Layout{Cache: filepath.Join(home, ".cache", "locust-operator")}, nil
}

// Validate refuses a cache folder whose socket paths would be too long.
func (l Layout) Validate() error {
	if len(l.State()) > maxState {
		return fmt.Errorf("cache folder %s is too long for unix sockets (%d bytes at most): set %s to a shorter one",
			l.Cache, maxState-len("/cluster"), CacheEnv)
	}
	return nil
}

// Builds is the folder of all compiled binaries, one folder per key.
func (l Layout) Builds() string { return filepath.Join(l.Cache, "k8s") }

// State is the folder of the running cluster.
func (l Layout) State() string { return filepath.Join(l.Cache, "cluster") }

// RegistryStorage is the folder of the registry's blobs; it outlives the cluster.
func (l Layout) RegistryStorage() string { return filepath.Join(l.Cache, "registry") }

// Lock is the file that keeps two up or down runs apart. It lies outside the
// state folder, which may be wiped while it is held.
func (l Layout) Lock() string { return filepath.Join(l.Cache, "cluster.lock") }

func (l Layout) in(parts ...string) string {
	return filepath.Join(append([]string{l.State()}, parts...)...)
}

// Logs is the folder of the components' logs.
func (l Layout) Logs() string { return l.in("logs") }

// Log is the log file of one component.
func (l Layout) Log(name string) string { return l.in("logs", name+".log") }

// AuditLog is the API server's audit log, one JSON object per line.
func (l Layout) AuditLog() string { return l.in("logs", "audit.log") }

// Pids is the folder of the pid files.
func (l Layout) Pids() string { return l.in("pids") }

// Pki is the folder of keys and certificates.
func (l Layout) Pki() string { return l.in("pki") }

// Conf is the folder of the component configurations and kubeconfigs.
func (l Layout) Conf() string { return l.in("conf") }

// Kubeconfig is the administrator's kubeconfig.
func (l Layout) Kubeconfig() string { return l.in("admin.kubeconfig") }

// ContainerdSocket is the socket of our containerd.
func (l Layout) ContainerdSocket() string { return l.in("containerd.sock") }

// Record describes the running cluster (binaries, fingerprint).
func (l Layout) Record() string { return l.in("cluster.json") }

// HostRecord describes the machine as it was before the cluster came.
func (l Layout) HostRecord() string { return l.in("host.json") }

// RuntimeDirs are the folders that a fresh start empties.
func (l Layout) RuntimeDirs() []string {
	return []string{l.in("etcd"), l.in("containerd"), l.in("kubelet"), l.in("cni"), l.in("cni-ipam"), l.in("pods"), l.Pki(), l.Conf()}
}

// Etcd is the folder of etcd's data.
func (l Layout) Etcd() string { return l.in("etcd") }

// Containerd is the folder of containerd's root and state.
func (l Layout) Containerd() string { return l.in("containerd") }

// Kubelet is the kubelet's root folder.
func (l Layout) Kubelet() string { return l.in("kubelet") }

// PodLogs is the folder of the containers' logs.
func (l Layout) PodLogs() string { return l.in("pods") }

// CNI is the folder of the network configuration.
func (l Layout) CNI() string { return l.in("cni") }

// CNIState is the folder of the handed-out pod addresses.
func (l Layout) CNIState() string { return l.in("cni-ipam") }

// ResolvConf is the (empty) resolver configuration of host-network pods.
func (l Layout) ResolvConf() string { return l.in("conf", "resolv.conf") }
