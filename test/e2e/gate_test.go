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
	"sigs.k8s.io/yaml"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/samples"
)

// TestGate runs the scripts of the recipes for pipelines with a test that succeeds and one that fails, as an account with the roles of
// docs/pipelines.md: gate.sh, which all scripts contain, and the steps of the GitHub workflow.
func TestGate(t *testing.T) {
	t.Parallel()
	recipes := filepath.Join("..", "..", "docs", "recipes")
	gate, err := os.ReadFile(filepath.Join(recipes, "gate.yaml"))
	require.NoError(t, err)
	script, err := os.ReadFile(filepath.Join(recipes, "gate.sh"))
	require.NoError(t, err)
	text, err := os.ReadFile(filepath.Join(recipes, "github-actions.yaml"))
	require.NoError(t, err)
	var workflow struct {
		Jobs map[string]struct{ Steps []struct{ Run string } }
	}
	require.NoError(t, yaml.Unmarshal(text, &workflow))
	steps := workflow.Jobs["load-test"].Steps
	require.Len(t, steps, 3)

	quick := strings.NewReplacer(samples.Image, locustImage, "http://shop", "http://target.e2e-target", "--users 20", "--users 4", "--run-time 2m", "--run-time 4s")
	for _, c := range []struct {
		name, from, to string
		code           int
		prints         string
	}{
		{"passes", "p95: 500ms", "p95: 30s", 0, "Test completed successfully"},
		{"fails", "http://target.e2e-target", "http://target.e2e-target/fail", 1, "maxFailureRatio is 0.01, measured 1"},
	} {
		for shell, script := range map[string]string{"sh": string(script), "bash": steps[1].Run} {
			t.Run(c.name+" in "+shell, func(t *testing.T) {
				t.Parallel()
				s := newFixture(t)
				dir := t.TempDir()
				manifest := quick.Replace(string(gate))
				require.Contains(t, manifest, c.from)
				require.NoError(t, os.WriteFile(filepath.Join(dir, "gate.yaml"), []byte(strings.Replace(manifest, c.from, c.to, 1)), 0o600))
				kubeconfig := filepath.Join(dir, "kubeconfig")
				credentials := s.accountWith(kubeconfig, "locust-k8s-operator-locusttest-editor-role", "view")
				run := func(script string) (string, int) {
					cmd := exec.CommandContext(t.Context(), shell, "-e", "-c", script)
					cmd.Dir, cmd.Env = dir, append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBECONFIG_CONTENT="+credentials, "RUNNER_TEMP="+dir)
					out, err := cmd.CombinedOutput()
					require.NotNil(t, cmd.ProcessState, "%v", err)
					return string(out), cmd.ProcessState.ExitCode()
				}
				out, code := run(script)
				assert.Equal(t, c.code, code, out)
				assert.Contains(t, out, c.prints)
				out, code = run(steps[2].Run)
				assert.Zero(t, code, out)
				assert.Contains(t, out, "Aggregated", "the log of the master")
			})
		}
	}
}

// accountWith creates a service account with cluster roles in the fixture's namespace, and returns and writes its kubeconfig.
func (s *fixture) accountWith(kubeconfig string, roles ...string) string {
	s.t.Helper()
	s.mustKubectl("create", "serviceaccount", "account")
	for _, role := range roles {
		s.mustKubectl("create", "rolebinding", role, "--clusterrole", role, "--serviceaccount", s.namespace+":account")
	}
	token, _ := s.mustKubectl("create", "token", "account")
	config, _ := s.mustKubectl("config", "view", "--raw", "--flatten", "--minify")
	require.NoError(s.t, os.WriteFile(kubeconfig, []byte(config), 0o600))
	s.mustKubectl("--kubeconfig", kubeconfig, "config", "set-credentials", "account", "--token", strings.TrimSpace(token))
	s.mustKubectl("--kubeconfig", kubeconfig, "config", "set-context", "--current", "--namespace", s.namespace, "--user", "account")
	written, err := os.ReadFile(kubeconfig)
	require.NoError(s.t, err)
	return string(written)
}
