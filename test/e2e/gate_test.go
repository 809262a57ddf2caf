//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/samples"
)

// TestGate runs the script of the recipes for pipelines with a test that succeeds and one that fails.
func TestGate(t *testing.T) {
	t.Parallel()
	recipes := filepath.Join("..", "..", "docs", "recipes")
	gate, err := os.ReadFile(filepath.Join(recipes, "gate.yaml"))
	require.NoError(t, err)
	script, err := filepath.Abs(filepath.Join(recipes, "gate.sh"))
	require.NoError(t, err)
	quick := strings.NewReplacer(samples.Image, locustImage, "http://shop", "http://target.e2e-target", "--users 20", "--users 4", "--run-time 2m", "--run-time 4s")
	for _, c := range []struct {
		name, from, to string
		code           int
		prints         string
	}{
		{"passes", "p95: 500ms", "p95: 30s", 0, "Test completed successfully"},
		{"fails", "http://target.e2e-target", "http://target.e2e-target/fail", 1, "maxFailureRatio is 0.01, measured 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			dir := t.TempDir()
			manifest := quick.Replace(string(gate))
			require.Contains(t, manifest, c.from)
			require.NoError(t, os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(strings.Replace(manifest, c.from, c.to, 1)), 0o600))
			config, _ := s.mustKubectl("config", "view", "--raw", "--flatten")
			kubeconfig := filepath.Join(dir, "kubeconfig")
			require.NoError(t, os.WriteFile(kubeconfig, []byte(config), 0o600))
			s.mustKubectl("--kubeconfig", kubeconfig, "config", "set-context", "--current", "--namespace", s.namespace)

			cmd := exec.CommandContext(t.Context(), "sh", "-e", script)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "KUBECONFIG="+kubeconfig)
			out, err := cmd.CombinedOutput()
			assert.Equal(t, c.code, cmd.ProcessState.ExitCode(), "%v: %s", err, out)
			assert.Contains(t, string(out), c.prints)
		})
	}
}
