// Package kube is a small client of the cluster's API server. It uses only HTTP
// and JSON, which keeps the command small and fast.
package kube

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/config"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/pki"
)

const timeout = 3 * time.Second

// Client reads from the API server as the administrator.
type Client struct{ http *http.Client }

// New returns a client with the keys on disk.
func New(l layout.Layout) (*Client, error) {
	pair, err := pki.Load(l.Pki(), "admin")
	if err != nil {
		return nil, err
	}
	cert, err := tls.X509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, fmt.Errorf("read the administrator's key: %w", err)
	}
	ca, err := os.ReadFile(filepath.Join(l.Pki(), "ca.crt"))
	if err != nil {
		return nil, fmt.Errorf("read the cluster's CA: %w", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return &Client{&http.Client{Timeout: timeout, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
	}}}, nil
}

// Ready returns an error unless the API server is ready.
func (c *Client) Ready(ctx context.Context) error {
	_, err := get(ctx, c.http, config.Server()+"/readyz")
	return err
}

type condition struct {
	Type    string `json:"type"`
	Status  string `json:"status"`
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// NodeReady returns an error with the cause if the node is not ready.
func (c *Client) NodeReady(ctx context.Context) error {
	var node struct {
		Status struct {
			Conditions []condition `json:"conditions"`
		} `json:"status"`
	}
	if err := c.read(ctx, "/api/v1/nodes/"+layout.NodeName, &node); err != nil {
		return err
	}
	for _, cond := range node.Status.Conditions {
		if cond.Type != "Ready" {
			continue
		}
		if cond.Status == "True" {
			return nil
		}
		return fmt.Errorf("node is not ready: %s: %s", cond.Reason, cond.Message)
	}
	return errors.New("node has not reported yet")
}

// DNSReady returns an error if CoreDNS is not available.
func (c *Client) DNSReady(ctx context.Context) error {
	var d struct {
		Metadata struct {
			Generation int64 `json:"generation"`
		} `json:"metadata"`
		Status struct {
			ObservedGeneration int64 `json:"observedGeneration"`
			AvailableReplicas  int   `json:"availableReplicas"`
		} `json:"status"`
	}
	if err := c.read(ctx, "/apis/apps/v1/namespaces/kube-system/deployments/coredns", &d); err != nil {
		return err
	}
	if d.Status.ObservedGeneration < d.Metadata.Generation || d.Status.AvailableReplicas < 1 {
		return errors.New("CoreDNS has no available pod")
	}
	return nil
}

func (c *Client) read(ctx context.Context, path string, into any) error {
	body, err := get(ctx, c.http, config.Server()+path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("read the response of %s: %w", path, err)
	}
	return nil
}

// loopback is for health endpoints with self-signed certificates; no secrets are
// sent to them.
var loopback = &http.Client{Timeout: timeout, Transport: &http.Transport{
	DisableKeepAlives: true,
	TLSClientConfig:   &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
}}

// Healthy returns an error unless a component's health endpoint returns OK.
func Healthy(ctx context.Context, url string) error {
	_, err := get(ctx, loopback, url)
	return err
}

func get(ctx context.Context, client *http.Client, url string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("create request for %s: %w", url, err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("send request: %w", err)
	}
	defer resp.Body.Close() //nolint:errcheck // read only
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		return nil, fmt.Errorf("read the response of %s: %w", url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s returned %s: %.300s", url, resp.Status, body)
	}
	return body, nil
}
