package certs

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/open-policy-agent/cert-controller/pkg/rotator"
	corev1 "k8s.io/api/core/v1"
)

// Keys of the Secret in addition to tls.crt and tls.key.
const (
	keyCACert = "ca.crt"
	keyCAKey  = "ca.key"
)

const (
	caName = "locust-k8s-operator-webhook-ca"

	caLifetime     = 10 * 365 * 24 * time.Hour
	serverLifetime = 365 * 24 * time.Hour
	// renewBefore is how long before its expiry a CA or a certificate is replaced.
	renewBefore = 90 * 24 * time.Hour
	// backdated allows for API servers whose clocks are slow.
	backdated = time.Hour

	// oldCAPeriod is how long a replaced CA remains trusted.
	oldCAPeriod = 24 * time.Hour
	// maxCAs is the maximum number of CAs in a bundle.
	maxCAs = 8
)

// serverUsages are the extended key usages of the certificate.
var serverUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}

// renew returns the data that the Secret should have now. It returns data unchanged if CA, certificate and keys are valid,
// match each other and the host names, and do not expire soon. Otherwise it replaces the certificate, and the CA only if that
// is invalid or expires soon.
func renew(data map[string][]byte, hosts []string, now time.Time) (map[string][]byte, error) {
	maker := rotator.CertRotator{
		CAName: caName, CAOrganization: "locust-k8s-operator", DNSName: hosts[0], ExtraDNSNames: hosts[1:], ExtKeyUsages: &serverUsages,
	}
	begin, soon := now.Add(-backdated), now.Add(renewBefore)
	ca, err := loadCA(data)
	newCA := err != nil || !valid(data[keyCACert], data[keyCACert], data[keyCAKey], caName, nil, soon)
	if !newCA && servesAll(data, hosts, soon) {
		return data, nil
	}
	if newCA {
		if ca, err = maker.CreateCACert(begin, now.Add(caLifetime)); err != nil {
			return nil, fmt.Errorf("create a CA: %w", err)
		}
	}
	end := now.Add(serverLifetime)
	if ca.Cert.NotAfter.Before(end) {
		end = ca.Cert.NotAfter
	}
	cert, key, err := maker.CreateCertPEM(ca, begin, end)
	if err != nil {
		return nil, fmt.Errorf("create a certificate: %w", err)
	}
	renewed := maps.Clone(data)
	if renewed == nil {
		renewed = map[string][]byte{}
	}
	renewed[keyCACert], renewed[keyCAKey] = ca.CertPEM, ca.KeyPEM
	renewed[corev1.TLSCertKey], renewed[corev1.TLSPrivateKeyKey] = cert, key
	return renewed, nil
}

func servesAll(data map[string][]byte, hosts []string, at time.Time) bool {
	for _, host := range hosts {
		if !valid(data[keyCACert], data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], host, &serverUsages, at) {
			return false
		}
	}
	return true
}

func valid(ca, cert, key []byte, host string, usages *[]x509.ExtKeyUsage, at time.Time) bool {
	ok, err := rotator.ValidCert(ca, cert, key, host, usages, at)
	return ok && err == nil
}

func loadCA(data map[string][]byte) (*rotator.KeyPairArtifacts, error) {
	pair, err := tls.X509KeyPair(data[keyCACert], data[keyCAKey])
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the CA key is not an RSA key")
	}
	return &rotator.KeyPairArtifacts{Cert: pair.Leaf, Key: key, CertPEM: data[keyCACert], KeyPEM: data[keyCAKey]}, nil
}

// bundle returns the CA bundle: first ca, then, until the given time, the other CAs of the bundle before, because a replica may
// still serve their certificates. It drops invalid and expired CAs.
func bundle(ca, before []byte, until, now time.Time) []byte {
	current := parseCerts(ca)
	if len(current) != 1 {
		return before
	}
	kept := current
	if now.Before(until) {
		for _, old := range parseCerts(before) {
			if len(kept) < maxCAs && now.Before(old.NotAfter) && !contains(kept, old) {
				kept = append(kept, old)
			}
		}
	}
	var out bytes.Buffer
	for _, cert := range kept {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}) // writing to a buffer cannot fail
	}
	return out.Bytes()
}

func parseCerts(bundle []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for {
		var block *pem.Block
		if block, bundle = pem.Decode(bundle); block == nil {
			return all
		}
		if ca, err := x509.ParseCertificate(block.Bytes); err == nil {
			all = append(all, ca)
		}
	}
}

func contains(all []*x509.Certificate, one *x509.Certificate) bool {
	for _, ca := range all {
		if ca.Equal(one) {
			return true
		}
	}
	return false
}

// trusts reports whether the bundle contains the CA.
func trusts(bundle, ca []byte) bool {
	current := parseCerts(ca)
	return len(current) == 1 && contains(parseCerts(bundle), current[0])
}

// renewAt returns the next time after now at which renew would change the data, or CAs are dropped from the bundles.
func renewAt(data map[string][]byte, until, now time.Time) time.Time {
	next := now.Add(renewBefore)
	consider := func(at time.Time) {
		if at.After(now) && at.Before(next) {
			next = at
		}
	}
	consider(until)
	for _, cert := range append(parseCerts(data[keyCACert]), parseCerts(data[corev1.TLSCertKey])...) {
		consider(cert.NotAfter.Add(-renewBefore))
	}
	return next
}
