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

// Keys of the Secret, beside tls.crt and tls.key.
const (
	keyCACert = "ca.crt"
	keyCAKey  = "ca.key"
)

const (
	caName = "locust-k8s-operator-webhook-ca"

	caLifetime     = 10 * 365 * 24 * time.Hour
	serverLifetime = 365 * 24 * time.Hour
	// renewBefore is how long before its end an authority or a certificate is replaced.
	renewBefore = 90 * 24 * time.Hour
	// backdated allows for clocks of API servers that are slow.
	backdated = time.Hour

	// keptFor is how long an authority that was replaced is still trusted.
	keptFor = 24 * time.Hour
	// maxAuthorities bounds a bundle.
	maxAuthorities = 8
)

// forServer are the uses of the certificate.
var forServer = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}

// renew returns what the Secret should hold at a moment: the same data while authority, certificate and keys are whole,
// belong together, are made for the host names, and do not end soon; else with a new certificate, and a new authority if
// that was the cause.
func renew(data map[string][]byte, hosts []string, now time.Time) (map[string][]byte, error) {
	maker := rotator.CertRotator{
		CAName: caName, CAOrganization: "locust-k8s-operator", DNSName: hosts[0], ExtraDNSNames: hosts[1:], ExtKeyUsages: &forServer,
	}
	begin, soon := now.Add(-backdated), now.Add(renewBefore)
	authority, err := authorityOf(data)
	newAuthority := err != nil || !valid(data[keyCACert], data[keyCACert], data[keyCAKey], caName, nil, soon)
	if !newAuthority && servesAll(data, hosts, soon) {
		return data, nil
	}
	if newAuthority {
		if authority, err = maker.CreateCACert(begin, now.Add(caLifetime)); err != nil {
			return nil, fmt.Errorf("make an authority: %w", err)
		}
	}
	end := now.Add(serverLifetime)
	if authority.Cert.NotAfter.Before(end) {
		end = authority.Cert.NotAfter
	}
	cert, key, err := maker.CreateCertPEM(authority, begin, end)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	renewed := maps.Clone(data)
	if renewed == nil {
		renewed = map[string][]byte{}
	}
	renewed[keyCACert], renewed[keyCAKey] = authority.CertPEM, authority.KeyPEM
	renewed[corev1.TLSCertKey], renewed[corev1.TLSPrivateKeyKey] = cert, key
	return renewed, nil
}

func servesAll(data map[string][]byte, hosts []string, at time.Time) bool {
	for _, host := range hosts {
		if !valid(data[keyCACert], data[corev1.TLSCertKey], data[corev1.TLSPrivateKeyKey], host, &forServer, at) {
			return false
		}
	}
	return true
}

func valid(ca, cert, key []byte, host string, usages *[]x509.ExtKeyUsage, at time.Time) bool {
	ok, err := rotator.ValidCert(ca, cert, key, host, usages, at)
	return ok && err == nil
}

func authorityOf(data map[string][]byte) (*rotator.KeyPairArtifacts, error) {
	pair, err := tls.X509KeyPair(data[keyCACert], data[keyCAKey])
	if err != nil {
		return nil, err
	}
	key, ok := pair.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the authority's key is not an RSA key")
	}
	return &rotator.KeyPairArtifacts{Cert: pair.Leaf, Key: key, CertPEM: data[keyCACert], KeyPEM: data[keyCAKey]}, nil
}

// bundle is what an API server should trust: the authority, first, and those that are trusted beside it until a moment,
// because a replica may still serve their certificates. What cannot be read or has ended is left out.
func bundle(authority, before []byte, until, now time.Time) []byte {
	current := authorities(authority)
	if len(current) != 1 {
		return before
	}
	kept := current
	if now.Before(until) {
		for _, old := range authorities(before) {
			if len(kept) < maxAuthorities && now.Before(old.NotAfter) && !contains(kept, old) {
				kept = append(kept, old)
			}
		}
	}
	var out bytes.Buffer
	for _, ca := range kept {
		_ = pem.Encode(&out, &pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}) // a buffer takes all
	}
	return out.Bytes()
}

func authorities(bundle []byte) []*x509.Certificate {
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

// trusts tells whether a bundle contains an authority.
func trusts(bundle, authority []byte) bool {
	current := authorities(authority)
	return len(current) == 1 && contains(authorities(bundle), current[0])
}

// renewAt is the moment from which renew would change the data, or from which the bundles become smaller, whichever is
// first after now.
func renewAt(data map[string][]byte, until, now time.Time) time.Time {
	next := now.Add(renewBefore)
	consider := func(at time.Time) {
		if at.After(now) && at.Before(next) {
			next = at
		}
	}
	consider(until)
	for _, cert := range append(authorities(data[keyCACert]), authorities(data[corev1.TLSCertKey])...) {
		consider(cert.NotAfter.Add(-renewBefore))
	}
	return next
}
