//go:build integration

package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/util/cert"
)

// TestMetricsCertificate runs the operator's own program with a certificate for the metrics: a client that knows the CA verifies
// it, also after it was renewed, and the program does not start without it.
func TestMetricsCertificate(t *testing.T) {
	program, kubeconfig := buildOperator(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address, dir := listener.Addr().String(), t.TempDir()
	require.NoError(t, listener.Close())
	operator := func(ctx context.Context) *exec.Cmd {
		cmd := exec.CommandContext(ctx, program, "--watch-namespace", "default", "--poll-interval", "0", "--health-probe-bind-address", "0",
			"--metrics-bind-address", address, "--metrics-cert-dir", dir)
		cmd.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
		return cmd
	}
	out, err := operator(t.Context()).CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "--metrics-cert-dir must have tls.crt and tls.key")

	const name = "metrics.locust.svc"
	renew := func() *http.Client {
		chain, key, err := cert.GenerateSelfSignedCertKey(name, nil, nil)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.key"), key, 0o600))
		require.NoError(t, os.WriteFile(filepath.Join(dir, "tls.crt"), chain, 0o600))
		roots := x509.NewCertPool()
		require.True(t, roots.AppendCertsFromPEM(chain))
		transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: name, MinVersion: tls.VersionTLS12}}
		return &http.Client{Transport: transport}
	}
	get := func(client *http.Client) (int, error) {
		response, err := client.Get("https://" + address + "/metrics")
		if err != nil {
			return 0, err
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode, nil
	}
	verified := func(client *http.Client) func() bool {
		return func() bool {
			code, err := get(client)
			return err == nil && code == http.StatusUnauthorized // the connection is verified; the client has no token
		}
	}
	first := renew()
	ctx, cancel := context.WithCancel(context.Background())
	cmd, log := operator(ctx), &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = log, log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	eventually(t, "a client that knows the CA verifies the certificate", verified(first))
	_, err = get(&http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}}})
	assert.ErrorAs(t, err, new(*tls.CertificateVerificationError), "a client that does not know the CA")

	eventually(t, "the renewed certificate is served", verified(renew()))
	_, err = get(first)
	assert.ErrorAs(t, err, new(*tls.CertificateVerificationError), "the certificate from before")
}
