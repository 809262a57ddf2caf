// Package layout defines the folders, addresses and ports of the local cluster. It
// does not access the machine.
package layout

import (
	"fmt"
	"os"
	"path/filepath"
)

// Addresses and names of the cluster. They are fixed, because a machine runs one
// local cluster at a time.
const (
	NodeName     = "local"
	NodeIP       = "10.10.0.1" // on a separate bridge, because a node address may not be loopback, and must not be reachable from outside
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

// Images of the cluster.
const (
	PauseImage   = Registry + "/pause:1"
	CoreDNSImage = Registry + "/coredns:1"
)

// maxState is the maximum length of the state folder. It leaves room for the kubelet's
// longest socket name in the 107 bytes of a unix socket path.
const maxState = 70

// CacheEnv is the environment variable for the cache folder.
const CacheEnv = "LOCUST_OPERATOR_CACHE"

// Layout holds the cache folder that contains all other paths.
type Layout struct{ Cache string }

// FromEnv reads the cache folder from the environment. It defaults to the
// user's cache folder.
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

// Validate returns an error if socket paths in the cache folder would be too long.
func (l Layout) Validate() error {
	if len(l.State()) > maxState {
		return fmt.Errorf("cache folder %s is too long for unix sockets (%d bytes at most): set %s to a shorter one",
			l.Cache, maxState-len("/cluster"), CacheEnv)
	}
	return nil
}

// Builds returns the folder of all compiled binaries, one folder per key.
func (l Layout) Builds() string { return filepath.Join(l.Cache, "k8s") }

// State returns the folder of the running cluster.
func (l Layout) State() string { return filepath.Join(l.Cache, "cluster") }

// RegistryStorage returns the folder of the registry's blobs, which is kept after down.
func (l Layout) RegistryStorage() string { return filepath.Join(l.Cache, "registry") }

// Lock returns the lock file of up and down. It is outside the state folder, which
// may be removed while the lock is held.
func (l Layout) Lock() string { return filepath.Join(l.Cache, "cluster.lock") }

func (l Layout) in(parts ...string) string {
	return filepath.Join(append([]string{l.State()}, parts...)...)
}

// Logs returns the folder of the components' logs.
func (l Layout) Logs() string { return l.in("logs") }

// Log returns the log file of one component.
func (l Layout) Log(name string) string { return l.in("logs", name+".log") }

// AuditLog returns the API server's audit log, one JSON object per line.
func (l Layout) AuditLog() string { return l.in("logs", "audit.log") }

// Pids returns the folder of the pid files.
func (l Layout) Pids() string { return l.in("pids") }

// Pki returns the folder of keys and certificates.
func (l Layout) Pki() string { return l.in("pki") }

// Conf returns the folder of the component configurations and kubeconfigs.
func (l Layout) Conf() string { return l.in("conf") }

// Kubeconfig returns the administrator's kubeconfig.
func (l Layout) Kubeconfig() string { return l.in("admin.kubeconfig") }

// ContainerdSocket returns the socket of the cluster's containerd.
func (l Layout) ContainerdSocket() string { return l.in("containerd.sock") }

// Record returns the file that describes the running cluster (binaries, fingerprint).
func (l Layout) Record() string { return l.in("cluster.json") }

// HostRecord returns the file with the state of the machine before the start of the cluster.
func (l Layout) HostRecord() string { return l.in("host.json") }

// RuntimeDirs returns the folders that each start of a cluster removes.
func (l Layout) RuntimeDirs() []string {
	return []string{l.in("etcd"), l.in("containerd"), l.in("kubelet"), l.in("cni"), l.in("cni-ipam"), l.in("pods"), l.Pki(), l.Conf()}
}

// Etcd returns the folder of etcd's data.
func (l Layout) Etcd() string { return l.in("etcd") }

// Containerd returns the folder of containerd's root and state.
func (l Layout) Containerd() string { return l.in("containerd") }

// Kubelet returns the kubelet's root folder.
func (l Layout) Kubelet() string { return l.in("kubelet") }

// PodLogs returns the folder of the containers' logs.
func (l Layout) PodLogs() string { return l.in("pods") }

// CNI returns the folder of the network configuration.
func (l Layout) CNI() string { return l.in("cni") }

// CNIState returns the folder of the allocated pod addresses.
func (l Layout) CNIState() string { return l.in("cni-ipam") }

// ResolvConf returns the (empty) resolver configuration of host-network pods.
func (l Layout) ResolvConf() string { return l.in("conf", "resolv.conf") }
