// Package pki creates the cluster's keys and certificates. Each cluster gets new ones,
// which are never renewed.
package pki

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
)

const validity = 365 * 24 * time.Hour

// Pair is a certificate with its key, both in PEM.
type Pair struct{ Cert, Key []byte }

// authority signs certificates.
type authority struct {
	Pair
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// request describes a certificate to be signed.
type request struct {
	file   string
	name   pkix.Name
	usages []x509.ExtKeyUsage
	dns    []string
	ips    []string
}

var (
	server = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	client = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
)

// Users maps each kubeconfig to the subject of its client certificate.
var Users = map[string]pkix.Name{
	"admin":     {Organization: []string{"system:masters"}, CommonName: "admin"},
	"kcm":       {CommonName: "system:kube-controller-manager"},
	"scheduler": {CommonName: "system:kube-scheduler"},
	"proxy":     {CommonName: "system:kube-proxy"},
	"kubelet":   {Organization: []string{"system:nodes"}, CommonName: "system:node:" + layout.NodeName},
}

func clusterRequests() []request {
	names := []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc." + layout.Domain, "localhost"}
	all := []request{
		{"apiserver", pkix.Name{CommonName: "kube-apiserver"}, server, names, []string{"127.0.0.1", layout.NodeIP, layout.KubernetesIP}},
		{"apiserver-kubelet-client", pkix.Name{Organization: []string{"system:masters"}, CommonName: "kube-apiserver-kubelet-client"}, client, nil, nil},
		{"kubelet-server", pkix.Name{CommonName: layout.NodeName}, server, []string{layout.NodeName}, []string{layout.NodeIP}},
	}
	for user, name := range Users {
		all = append(all, request{user, name, client, nil, nil})
	}
	return all
}

// Write creates all keys and certificates in a folder: one CA for the cluster, one
// for etcd (whose clients have full access) and one for the aggregation layer.
func Write(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create folder of the certificates: %w", err)
	}
	sets := map[string][]request{
		"ca":             clusterRequests(),
		"front-proxy-ca": {{"front-proxy-client", pkix.Name{CommonName: "front-proxy-client"}, client, nil, nil}},
		"etcd-ca": {
			{"etcd-server", pkix.Name{CommonName: "etcd"}, append(server[:1:1], client...), []string{"localhost"}, []string{"127.0.0.1"}},
			{"etcd-client", pkix.Name{CommonName: "kube-apiserver"}, client, nil, nil},
		},
	}
	for name, requests := range sets {
		ca, err := newAuthority(name)
		if err != nil {
			return err
		}
		if err := ca.write(dir, name); err != nil {
			return err
		}
		for _, r := range requests {
			pair, err := ca.sign(r)
			if err != nil {
				return fmt.Errorf("sign %s: %w", r.file, err)
			}
			if err := pair.write(dir, r.file); err != nil {
				return err
			}
		}
	}
	return writeServiceAccountKeys(dir)
}

// Load reads a pair written by Write.
func Load(dir, name string) (Pair, error) {
	cert, err := os.ReadFile(filepath.Join(dir, name+".crt"))
	if err != nil {
		return Pair{}, fmt.Errorf("read certificate: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(dir, name+".key"))
	if err != nil {
		return Pair{}, fmt.Errorf("read key: %w", err)
	}
	return Pair{cert, key}, nil
}

func (p Pair) write(dir, name string) error {
	for file, data := range map[string][]byte{name + ".crt": p.Cert, name + ".key": p.Key} {
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
	}
	return nil
}

func newAuthority(name string) (*authority, error) {
	key, err := newKey()
	if err != nil {
		return nil, err
	}
	template, err := newTemplate(pkix.Name{CommonName: name})
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.KeyUsage |= x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create CA %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("parse CA %s: %w", name, err)
	}
	pair, err := encode(der, key)
	return &authority{Pair: pair, cert: cert, key: key}, err
}

func (a *authority) sign(r request) (Pair, error) {
	key, err := newKey()
	if err != nil {
		return Pair{}, err
	}
	template, err := newTemplate(r.name)
	if err != nil {
		return Pair{}, err
	}
	template.ExtKeyUsage = r.usages
	template.DNSNames = r.dns
	for _, ip := range r.ips {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(ip))
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return Pair{}, fmt.Errorf("create certificate: %w", err)
	}
	return encode(der, key)
}

func newKey() (*ecdsa.PrivateKey, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create key: %w", err)
	}
	return key, nil
}

func newTemplate(name pkix.Name) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("create serial number: %w", err)
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               name,
		NotBefore:             now.Add(-time.Hour), // tolerate small clock changes
		NotAfter:              now.Add(validity),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
	}, nil
}

func encode(der []byte, key *ecdsa.PrivateKey) (Pair, error) {
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return Pair{}, fmt.Errorf("encode key: %w", err)
	}
	return Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// writeServiceAccountKeys creates the key pair that signs and verifies pod tokens.
func writeServiceAccountKeys(dir string) error {
	key, err := newKey()
	if err != nil {
		return err
	}
	pair, err := encode(nil, key)
	if err != nil {
		return err
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("encode public key: %w", err)
	}
	files := map[string][]byte{
		"sa.key": pair.Key,
		"sa.pub": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public}),
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
