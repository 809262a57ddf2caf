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
// docs/pipelines.md: gate.sh, which all scripts contain, the steps of the GitHub workflow, and what GitLab runs afterwards. The plugin is
// on the PATH, instead of the one of a release.
func TestGate(t *testing.T) {
	t.Parallel()
	recipes := filepath.Join("..", "..", "docs", "recipes")
	gate, err := os.ReadFile(filepath.Join(recipes, "gate.yaml"))
	require.NoError(t, err)
	script, err := os.ReadFile(filepath.Join(recipes, "gate.sh"))
	require.NoError(t, err)
	github, gitlab := githubSteps(t, recipes), gitlabAfter(t, recipes)
	plugin, err := buildPlugin()
	require.NoError(t, err, "build the plugin")

	quick := strings.NewReplacer(samples.Image, locustImage, "http://shop", "http://target.e2e-target", "--users 20", "--users 4", "--run-time 2m", "--run-time 4s")
	for _, c := range []struct {
		name, from, to string
		code           int
		prints         string
		summary, junit string
	}{
		{"passes", "p95: 500ms", "p95: 30s", 0, "Test completed successfully", "## Load test gate: Succeeded\n", `failures="0" errors="0"`},
		{"fails", "http://target.e2e-target", "http://target.e2e-target/fail", 1, "maxFailureRatio is 0.01, measured 1",
			"## Load test gate: Failed\n", `failures="1" errors="0"`},
	} {
		for shell, scripts := range map[string][]string{
			"sh":   append([]string{string(script)}, gitlab...),
			"bash": {github["Run the load test"], github["Report"], github["Logs of the master"]},
		} {
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
					cmd.Dir, cmd.Env = dir, append(os.Environ(), "KUBECONFIG="+kubeconfig, "KUBECONFIG_CONTENT="+credentials, "RUNNER_TEMP="+dir,
						"GITHUB_STEP_SUMMARY="+filepath.Join(dir, "load-test.md"), "PATH="+filepath.Dir(plugin)+":"+os.Getenv("PATH"))
					out, err := cmd.CombinedOutput()
					require.NotNil(t, cmd.ProcessState, "%v", err)
					return string(out), cmd.ProcessState.ExitCode()
				}
				out, code := run(scripts[0])
				assert.Equal(t, c.code, code, out)
				assert.Contains(t, out, c.prints)
				for _, script := range scripts[1:] {
					out, code = run(script)
					assert.Zero(t, code, out)
				}
				assert.Contains(t, out, "Aggregated", "the log of the master")
				page, err := os.ReadFile(filepath.Join(dir, "load-test.md"))
				require.NoError(t, err)
				assert.Contains(t, string(page), c.summary)
				junit, err := os.ReadFile(filepath.Join(dir, "load-test.xml"))
				require.NoError(t, err)
				assert.Contains(t, string(junit), c.junit)
			})
		}
	}
}

// githubSteps returns the scripts of the steps of the GitHub workflow by their names.
func githubSteps(t *testing.T, recipes string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recipes, "github-actions.yaml"))
	require.NoError(t, err)
	var workflow struct {
		Jobs map[string]struct{ Steps []struct{ Name, Run string } }
	}
	require.NoError(t, yaml.Unmarshal(text, &workflow))
	scripts := map[string]string{}
	for _, step := range workflow.Jobs["load-test"].Steps {
		scripts[step.Name] = step.Run
	}
	for _, name := range []string{"Run the load test", "Report", "Logs of the master"} {
		require.NotEmpty(t, scripts[name], name)
	}
	return scripts
}

// gitlabAfter returns what GitLab runs after the script.
func gitlabAfter(t *testing.T, recipes string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recipes, "gitlab-ci.yaml"))
	require.NoError(t, err)
	var jobs map[string]struct {
		AfterScript []string `json:"after_script"`
	}
	require.NoError(t, yaml.Unmarshal(text, &jobs))
	require.Len(t, jobs["load-test"].AfterScript, 3)
	return jobs["load-test"].AfterScript
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
