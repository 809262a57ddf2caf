package config

import (
	"flag"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func load(t *testing.T, env map[string]string, args ...string) (*Config, error) {
	t.Helper()
	fs := flag.NewFlagSet("manager", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	return Load(fs, args, func(name string) string { return env[name] })
}

func TestLoad_Defaults(t *testing.T) {
	c, err := load(t, nil)
	require.NoError(t, err)
	assert.Equal(t, 5*time.Minute, c.StartupDeadline)
	assert.Nil(t, c.JobTTL, "Jobs are kept unless a time to live is set")
	assert.Equal(t, 10*time.Second, c.StatusRefreshInterval)
	assert.Empty(t, c.WatchNamespaces, "all namespaces are watched by default")
}

func TestLoad_FlagWinsOverEnvironment(t *testing.T) {
	env := map[string]string{"LOCUST_OPERATOR_JOB_TTL": "5s", "LOCUST_OPERATOR_CONCURRENCY": "3", "WATCH_NAMESPACE": "a, b"}
	c, err := load(t, env, "--concurrency=7")
	require.NoError(t, err)
	require.NotNil(t, c.JobTTL)
	assert.Equal(t, 5*time.Second, *c.JobTTL)
	assert.Equal(t, 7, c.Concurrency)
	assert.Equal(t, []string{"a", "b"}, c.WatchNamespaces)
}

func TestLoad_ReportsAllErrors(t *testing.T) {
	_, err := load(t, map[string]string{"LOCUST_OPERATOR_CONCURRENCY": "many"}, "--job-ttl=soon", "--startup-deadline=-1s", "--status-refresh-interval=1ms", "--kube-api-burst=1")
	require.Error(t, err)
	for _, name := range []string{"LOCUST_OPERATOR_CONCURRENCY", "--job-ttl", "--startup-deadline", "--status-refresh-interval", "--kube-api-burst"} {
		assert.ErrorContains(t, err, name)
	}
}

func TestLoad_RejectsInvalidTTL(t *testing.T) {
	for _, ttl := range []string{"-1s", "1500ms", "9999999h"} {
		_, err := load(t, nil, "--job-ttl="+ttl)
		assert.ErrorContains(t, err, "--job-ttl", ttl)
	}
}

func TestLoad_Webhooks(t *testing.T) {
	c, err := load(t, nil)
	require.NoError(t, err)
	assert.Equal(t, WebhooksOff, c.WebhookCertificates, "no API server can reach them outside a cluster")

	c, err = load(t, map[string]string{"LOCUST_OPERATOR_WEBHOOK_NAMESPACE": "operators"}, "--webhook-certificates=self")
	require.NoError(t, err)
	assert.Equal(t, "operators", c.WebhookNamespace)

	_, err = load(t, nil, "--webhook-certificates=cert-manager", "--webhook-port=99999")
	assert.ErrorContains(t, err, "--webhook-certificates")
	assert.ErrorContains(t, err, "--webhook-port")
	_, err = load(t, nil, "--webhook-certificates=files", "--webhook-cert-dir=")
	assert.ErrorContains(t, err, "--webhook-cert-dir")
}

func TestLoad_PodDefaults(t *testing.T) {
	c, err := load(t, map[string]string{"LOCUST_OPERATOR_POD_DEFAULTS": "worker:\n  resources: {limits: {memory: 1Gi}}\n"}, "--pod-user=platform")
	require.NoError(t, err)
	assert.JSONEq(t, `{"worker":{"resources":{"limits":{"memory":"1Gi"}}}}`, string(c.PodDefaults))
	assert.Equal(t, PodUserPlatform, c.PodUser)
	_, err = load(t, nil, "--pod-defaults={", "--pod-user=root")
	assert.ErrorContains(t, err, "--pod-defaults is not YAML")
	assert.ErrorContains(t, err, `--pod-user "root" must be auto, locust or platform`)
}

func TestLoad_EndpointMetrics(t *testing.T) {
	c, err := load(t, nil)
	require.NoError(t, err)
	assert.Zero(t, c.EndpointMetrics, "no series by endpoint unless they are asked for")
	for _, limit := range []string{"1", "500"} {
		_, err := load(t, map[string]string{"LOCUST_OPERATOR_ENDPOINT_METRICS": limit})
		assert.NoError(t, err, limit)
	}
	for _, limit := range []string{"-1", "501"} {
		_, err := load(t, nil, "--endpoint-metrics="+limit)
		assert.ErrorContains(t, err, "--endpoint-metrics "+limit+" must be between 1 and 500; use 0", limit)
	}

	_, err = load(t, nil, "--endpoint-metrics=20", "--poll-interval=0")
	assert.ErrorContains(t, err, "--endpoint-metrics requires polls of Locust; set --poll-interval")
	_, err = load(t, nil, "--poll-interval=0")
	assert.NoError(t, err)
}
