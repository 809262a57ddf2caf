package config

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/pki"
)

// Files renders all configuration files, keyed by their path.
func Files(l layout.Layout, m Machine) (map[string][]byte, error) {
	renderers := map[string]func() ([]byte, error){
		filepath.Join(l.Conf(), "audit-policy.yaml"): AuditPolicy,
		filepath.Join(l.Conf(), "scheduler.yaml"):    func() ([]byte, error) { return Scheduler(l) },
		filepath.Join(l.Conf(), "kubelet.yaml"):      func() ([]byte, error) { return Kubelet(l, m) },
		filepath.Join(l.Conf(), "kube-proxy.yaml"):   func() ([]byte, error) { return KubeProxy(l, m) },
		filepath.Join(l.Conf(), "registry.yaml"):     func() ([]byte, error) { return Registry(l) },
		filepath.Join(l.Conf(), "containerd.toml"):   func() ([]byte, error) { return Containerd(l, m), nil },
		filepath.Join(l.CNI(), "10-podnet.conflist"): func() ([]byte, error) { return CNI(l) },
		l.ResolvConf(): func() ([]byte, error) { return nil, nil },
	}
	files := map[string][]byte{}
	for path, render := range renderers {
		data, err := render()
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", filepath.Base(path), err)
		}
		files[path] = data
	}
	return files, nil
}

// Fingerprint returns a hash of binaries, flags and configuration. A running cluster
// with another fingerprint must be replaced.
func Fingerprint(l layout.Layout, m Machine, bin string) (string, error) {
	files, err := Files(l, m)
	if err != nil {
		return "", err
	}
	parts := []string{bin, CoreDNS()}
	for _, args := range [][]string{EtcdArgs(l), APIServerArgs(l), KCMArgs(l), SchedulerArgs(l), KubeletArgs(l), ProxyArgs(l), ContainerdArgs(l)} {
		parts = append(parts, strings.Join(args, "\n"))
	}
	for path, data := range files {
		parts = append(parts, path+"\n"+string(data))
	}
	slices.Sort(parts)
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:]), nil
}

// WriteKubeconfigs writes one kubeconfig per user from the keys on disk.
func WriteKubeconfigs(l layout.Layout) error {
	ca, err := os.ReadFile(filepath.Join(l.Pki(), "ca.crt"))
	if err != nil {
		return fmt.Errorf("read the cluster's CA: %w", err)
	}
	for user := range pki.Users {
		pair, err := pki.Load(l.Pki(), user)
		if err != nil {
			return err
		}
		data, err := Kubeconfig(user, ca, pair)
		if err != nil {
			return err
		}
		path := filepath.Join(l.Conf(), user+".kubeconfig")
		if user == "admin" {
			path = l.Kubeconfig()
		}
		if err := os.WriteFile(path, data, 0o600); err != nil {
			return fmt.Errorf("write kubeconfig of %s: %w", user, err)
		}
	}
	return nil
}
