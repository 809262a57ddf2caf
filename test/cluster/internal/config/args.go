package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
)

// The health endpoints of the components on loopback.
const (
	EtcdHealth      = "http://127.0.0.1:2381/health"
	KCMHealth       = "https://127.0.0.1:10257/healthz"
	SchedulerHealth = "https://127.0.0.1:10259/healthz"
	KubeletHealth   = "http://127.0.0.1:10248/healthz"
	ProxyHealth     = "http://127.0.0.1:10256/healthz"
	RegistryHealth  = "http://" + layout.RegistryAddr + "/v2/"
)

// Listens are the addresses on which the cluster listens.
var Listens = []string{
	layout.RegistryAddr, "127.0.0.1:2379", "127.0.0.1:2380", "127.0.0.1:2381",
	layout.NodeIP + ":" + strconv.Itoa(layout.APIPort),
	"127.0.0.1:10257", "127.0.0.1:10259", layout.NodeIP + ":10250", "127.0.0.1:10248", "127.0.0.1:10256", "127.0.0.1:10249",
}

// EtcdArgs returns etcd's flags.
func EtcdArgs(l layout.Layout) []string {
	const url, peer = "https://127.0.0.1:2379", "http://127.0.0.1:2380"
	pki := func(name string) string { return filepath.Join(l.Pki(), name) }
	return []string{
		"--name=local",
		"--data-dir=" + l.Etcd(),
		// The data is discarded with the cluster, so there is no need to wait for the disk.
		"--unsafe-no-fsync",
		// Tens of thousands of pods need more than the default of 2 GiB between two compactions. This is etcd's maximum.
		"--quota-backend-bytes=8589934592",
		"--log-level=warn",
		"--listen-client-urls=" + url,
		"--advertise-client-urls=" + url,
		"--listen-peer-urls=" + peer,
		"--initial-advertise-peer-urls=" + peer,
		"--initial-cluster=local=" + peer,
		"--listen-metrics-urls=http://127.0.0.1:2381",
		// Write access to etcd means root access to the machine, so clients need a certificate, also on loopback.
		"--client-cert-auth",
		"--trusted-ca-file=" + pki("etcd-ca.crt"),
		"--cert-file=" + pki("etcd-server.crt"),
		"--key-file=" + pki("etcd-server.key"),
	}
}

// APIServerArgs returns the API server's flags.
func APIServerArgs(l layout.Layout) []string {
	pki := func(name string) string { return filepath.Join(l.Pki(), name) }
	return []string{
		"--bind-address=" + layout.NodeIP,
		"--advertise-address=" + layout.NodeIP,
		"--secure-port=" + strconv.Itoa(layout.APIPort),
		"--etcd-servers=https://127.0.0.1:2379",
		"--etcd-cafile=" + pki("etcd-ca.crt"),
		"--etcd-certfile=" + pki("etcd-client.crt"),
		"--etcd-keyfile=" + pki("etcd-client.key"),
		"--service-cluster-ip-range=" + layout.ServiceCIDR,
		"--allow-privileged=true",
		"--authorization-mode=Node,RBAC",
		"--enable-admission-plugins=NodeRestriction,PodSecurity",
		"--client-ca-file=" + pki("ca.crt"),
		"--tls-cert-file=" + pki("apiserver.crt"),
		"--tls-private-key-file=" + pki("apiserver.key"),
		"--kubelet-certificate-authority=" + pki("ca.crt"),
		"--kubelet-client-certificate=" + pki("apiserver-kubelet-client.crt"),
		"--kubelet-client-key=" + pki("apiserver-kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-key-file=" + pki("sa.pub"),
		"--service-account-signing-key-file=" + pki("sa.key"),
		"--service-account-issuer=https://kubernetes.default.svc." + layout.Domain,
		"--requestheader-client-ca-file=" + pki("front-proxy-ca.crt"),
		"--requestheader-allowed-names=front-proxy-client",
		"--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--requestheader-group-headers=X-Remote-Group",
		"--requestheader-username-headers=X-Remote-User",
		"--proxy-client-cert-file=" + pki("front-proxy-client.crt"),
		"--proxy-client-key-file=" + pki("front-proxy-client.key"),
		"--audit-policy-file=" + filepath.Join(l.Conf(), "audit-policy.yaml"),
		"--audit-log-path=" + l.AuditLog(),
		"--audit-log-format=json",
		"--audit-log-maxsize=200",
		"--audit-log-maxbackup=1",
	}
}

// QPSEnv is the environment variable for the client QPS of each controller and the scheduler. Their defaults are 20 and 50,
// with which tens of thousands of pods would take hours.
const QPSEnv = "LOCUST_CLUSTER_QPS"

func componentQPS() int {
	qps, _ := strconv.Atoi(os.Getenv(QPSEnv))
	return qps
}

// CheckQPS returns an error if the value of QPSEnv is invalid.
func CheckQPS() error {
	value := os.Getenv(QPSEnv)
	if qps, err := strconv.Atoi(value); value != "" && (err != nil || qps < 1) {
		return fmt.Errorf("%s=%q is not a number of requests per second; use for example 300, or unset it", QPSEnv, value)
	}
	return nil
}

// KCMArgs returns the controller manager's flags.
func KCMArgs(l layout.Layout) []string {
	pki := func(name string) string { return filepath.Join(l.Pki(), name) }
	args := []string{
		"--kubeconfig=" + filepath.Join(l.Conf(), "kcm.kubeconfig"),
		"--bind-address=127.0.0.1",
		"--leader-elect=false", // there is only one
		"--use-service-account-credentials=true",
		"--service-account-private-key-file=" + pki("sa.key"),
		"--root-ca-file=" + pki("ca.crt"),
		"--cluster-signing-cert-file=" + pki("ca.crt"),
		"--cluster-signing-key-file=" + pki("ca.key"),
	}
	if qps := componentQPS(); qps > 0 {
		args = append(args, "--kube-api-qps="+strconv.Itoa(qps), "--kube-api-burst="+strconv.Itoa(2*qps))
	}
	return args
}

// SchedulerArgs returns the scheduler's flags.
func SchedulerArgs(l layout.Layout) []string {
	return []string{
		"--config=" + filepath.Join(l.Conf(), "scheduler.yaml"),
		"--bind-address=127.0.0.1",
	}
}

// KubeletArgs returns the kubelet's flags.
func KubeletArgs(l layout.Layout) []string {
	return []string{
		"--config=" + filepath.Join(l.Conf(), "kubelet.yaml"),
		"--kubeconfig=" + filepath.Join(l.Conf(), "kubelet.kubeconfig"),
		"--hostname-override=" + layout.NodeName,
		"--node-ip=" + layout.NodeIP,
		"--root-dir=" + l.Kubelet(),
		"--cert-dir=" + filepath.Join(l.Kubelet(), "pki"),
	}
}

// ProxyArgs returns kube-proxy's flags.
func ProxyArgs(l layout.Layout) []string {
	return []string{"--config=" + filepath.Join(l.Conf(), "kube-proxy.yaml")}
}

// ContainerdArgs returns containerd's flags.
func ContainerdArgs(l layout.Layout) []string {
	return []string{"--config", filepath.Join(l.Conf(), "containerd.toml")}
}
