//go:build olm

package olm

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	scorecard "github.com/operator-framework/api/pkg/apis/scorecard/v1alpha3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// registry is the image registry of the embedded cluster, which serves plain HTTP.
const registry = "localhost:5000"

// tlsProxy serves the cluster's registry at another port with both TLS, which operator-sdk needs, and plain HTTP, which the
// node uses. It returns a function that maps image names, and the path of the CA certificate.
func tlsProxy(t *testing.T) (of func(image string) string, authority string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "registry"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(24 * time.Hour), DNSNames: []string{"localhost"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	config := &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MinVersion: tls.VersionTLS12}
	authority = filepath.Join(t.TempDir(), "ca.crt")
	require.NoError(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go forward(connection, config)
		}
	}()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return func(image string) string { return "localhost:" + port + strings.TrimPrefix(image, registry) }, authority
}

// peeked is a connection whose first bytes have been buffered.
type peeked struct {
	net.Conn
	from *bufio.Reader
}

func (p peeked) Read(b []byte) (int, error) { return p.from.Read(b) }

// forward forwards a connection to the registry. A TLS ClientHello starts with 22 (RFC 8446, section 5.1).
func forward(connection net.Conn, config *tls.Config) {
	defer connection.Close() //nolint:errcheck // no data is lost
	from := bufio.NewReader(connection)
	first, err := from.Peek(1)
	if err != nil {
		return
	}
	client := net.Conn(peeked{connection, from})
	if first[0] == 22 {
		client = tls.Server(client, config)
	}
	upstream, err := net.Dial("tcp", registry)
	if err != nil {
		return
	}
	defer upstream.Close() //nolint:errcheck // no data is lost
	go func() {
		_, _ = io.Copy(upstream, client)
		_ = upstream.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, upstream)
}

// sdk runs operator-sdk.
func sdk(t *testing.T, authority string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute) // includes the cleanup
	defer cancel()
	cmd := exec.CommandContext(ctx, setting(t, "OPERATOR_SDK"), args...)
	cmd.Env = append(os.Environ(), "SSL_CERT_FILE="+authority)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	t.Logf("operator-sdk %s\n%s", strings.Join(args, " "), errs.String())
	return out.String(), err
}

// TestRunBundle installs the release's bundle with operator-sdk, runs the scorecard, and removes the bundle with operator-sdk.
func TestRunBundle(t *testing.T) {
	of, authority := tlsProxy(t)
	_, err := sdk(t, authority, "run", "bundle", of(setting(t, "OLM_OLD_BUNDLE")), "-n", operators, "--index-image", of(setting(t, "OLM_TOOLS_IMAGE")),
		"--decompression-image", setting(t, "OLM_TOOLS_IMAGE"), "--security-context-config", "restricted", "--timeout", "5m")
	if err != nil {
		dump(t)
	}
	t.Cleanup(func() {
		_, err := sdk(t, authority, "cleanup", pkg, "-n", operators, "--delete-crds=false", "--delete-all=false")
		assert.NoError(t, err)
		eventually(t, "the operator is removed", func() bool {
			return len(operatorPods(t, operators)) == 0
		})
	})
	require.NoError(t, err)
	installed(t, setting(t, "OLM_OLD"), setting(t, "OLM_OLD_IMAGE"))
	requireWorking(t)
	t.Run("Scorecard", func(t *testing.T) { scorecardPasses(t, authority) })
}

// scorecardPasses runs all suites in pods.
func scorecardPasses(t *testing.T, authority string) {
	ns := namespace(t)
	kubectl(t, "apply", "-n", ns, "-k", filepath.Join("..", "..", "..", "config", "scorecard", "rbac"))
	config := scorecardConfig(t)
	tools := setting(t, "OLM_TOOLS_IMAGE")
	out, err := sdk(t, authority, "scorecard", filepath.Join(setting(t, "OLM_RELEASE"), "bundle"), "--config", config, "-n", ns, "--service-account", "locust-scorecard",
		"-b", tools, "-u", tools, "--pod-security", "restricted", "-o", "json", "--wait-time", "8m", "--skip-cleanup=false")
	var list scorecard.TestList
	require.NoError(t, json.Unmarshal([]byte(out), &list), "%v: %s", err, out)
	suites := map[string]int{}
	for _, item := range list.Items {
		for _, result := range item.Status.Results {
			t.Logf("%-32s %s\n%s%s", result.Name, result.State, result.Log, strings.Join(result.Errors, "\n"))
			assert.Equal(t, scorecard.PassState, result.State, "%s: %s", result.Name, strings.Join(result.Errors, "\n"))
			suites[item.Spec.Labels["suite"]]++
			if suite := item.Spec.Labels["suite"]; suite == "status" || suite == "conditions" {
				assert.Contains(t, result.Log, "rule: ", "each test logs its rule")
			}
		}
	}
	require.NoError(t, err)
	assert.Equal(t, map[string]int{"basic": 1, "olm": 5, "status": 9, "conditions": 10}, suites)
}

// scorecardConfig returns the path of the bundle's configuration with the Locust image of this cluster.
func scorecardConfig(t *testing.T) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(setting(t, "OLM_RELEASE"), "bundle", "tests", "scorecard", "config.yaml"))
	require.NoError(t, err)
	var lines []string
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimRight(line, "\n")
		lines = append(lines, line)
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "- status-") || strings.HasPrefix(trimmed, "- conditions-") {
			indent, _, _ := strings.Cut(line, "- ")
			lines = append(lines, indent+"- --locust-image="+setting(t, "LOCUST_IMAGE"))
		}
	}
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
	return path
}
