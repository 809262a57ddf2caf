package pki

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
)

func TestWriteMakesVerifiableChains(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		ca    string
		usage x509.ExtKeyUsage
		host  string
	}{
		"apiserver":                {"ca", x509.ExtKeyUsageServerAuth, layout.KubernetesIP},
		"kubelet-server":           {"ca", x509.ExtKeyUsageServerAuth, layout.NodeIP},
		"apiserver-kubelet-client": {"ca", x509.ExtKeyUsageClientAuth, ""},
		"admin":                    {"ca", x509.ExtKeyUsageClientAuth, ""},
		"kubelet":                  {"ca", x509.ExtKeyUsageClientAuth, ""},
		"front-proxy-client":       {"front-proxy-ca", x509.ExtKeyUsageClientAuth, ""},
		"etcd-server":              {"etcd-ca", x509.ExtKeyUsageServerAuth, "127.0.0.1"},
		"etcd-client":              {"etcd-ca", x509.ExtKeyUsageClientAuth, ""},
	} {
		pair, err := Load(dir, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tls.X509KeyPair(pair.Cert, pair.Key); err != nil {
			t.Errorf("%s: key does not fit: %v", name, err)
		}
		cert := parse(t, pair.Cert)
		for _, ca := range []string{"ca", "front-proxy-ca", "etcd-ca"} {
			authority, err := Load(dir, ca)
			if err != nil {
				t.Fatal(err)
			}
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM(authority.Cert)
			_, err = cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{want.usage}, DNSName: want.host})
			if (err == nil) != (ca == want.ca) {
				t.Errorf("%s against %s: %v", name, ca, err)
			}
		}
	}
	if got := parse(t, mustRead(t, dir, "kubelet.crt")).Subject.String(); got != "CN=system:node:local,O=system:nodes" {
		t.Errorf("kubelet subject %s", got)
	}
}

func TestKeysArePrivate(t *testing.T) {
	dir := t.TempDir()
	if err := Write(dir); err != nil {
		t.Fatal(err)
	}
	keys, err := filepath.Glob(filepath.Join(dir, "*.key"))
	if err != nil || len(keys) < 10 {
		t.Fatalf("%d keys, %v", len(keys), err)
	}
	for _, key := range keys {
		info, err := os.Stat(key)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", key, info.Mode())
		}
	}
}

func mustRead(t *testing.T, dir, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}
