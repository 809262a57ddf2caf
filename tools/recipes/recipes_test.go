package recipes

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, "docs", "recipes", name))
	require.NoError(t, err)
	return string(data)
}

// documents returns the YAML documents of a file, the first of each kind; one without a kind is at "".
func documents(t *testing.T, text string) map[string]map[string]any {
	t.Helper()
	all := map[string]map[string]any{}
	for document := range strings.SplitSeq(text, "\n---\n") {
		var o map[string]any
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &o))
		kind, _ := o["kind"].(string)
		if _, seen := all[kind]; !seen {
			all[kind] = o
		}
	}
	return all
}

// at returns the value at a path of names and indices.
func at(t *testing.T, value any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			fields, isMap := value.(map[string]any)
			require.True(t, isMap, "%v of %v", step, path)
			value = fields[step]
		case int:
			items, isList := value.([]any)
			require.True(t, isList && step < len(items), "%v of %v", step, path)
			value = items[step]
		}
	}
	return value
}

// TestScripts checks that each recipe runs gate.sh, with errors of its commands as errors of the step. The end-to-end suite runs
// gate.sh.
func TestScripts(t *testing.T) {
	gate := read(t, "gate.sh")
	for file, script := range map[string]func(text string) string{
		"github-actions.yaml": func(text string) string { // the shell of a step is bash -e
			return githubStep(t, text, "Run the load test")["run"].(string)
		},
		"gitlab-ci.yaml": func(text string) string {
			script := at(t, documents(t, text)[""], "load-test", "script", 0).(string)
			assert.True(t, strings.HasPrefix(script, "set -e\n"))
			return script
		},
		"Jenkinsfile": func(text string) string {
			_, rest, _ := strings.Cut(text, "sh '''\n")
			script, _, found := strings.Cut(rest, "          '''\n")
			require.True(t, found)
			assert.NotContains(t, script, `\`, "Groovy would interpret it")
			var lines []string
			for line := range strings.Lines(script) {
				lines = append(lines, strings.TrimPrefix(line, strings.Repeat(" ", 12)))
			}
			script = strings.Join(lines, "")
			assert.True(t, strings.HasPrefix(script, "set -e\n"))
			return script
		},
		"tekton.yaml": func(text string) string {
			script := at(t, documents(t, text)["Task"], "spec", "steps", 0, "script").(string)
			assert.True(t, strings.HasPrefix(script, "#!/bin/sh\nset -e\n"))
			return script
		},
		"argo-rollouts.yaml": func(text string) string {
			container := at(t, documents(t, text)["AnalysisTemplate"], "spec", "metrics", 0, "provider", "job", "spec", "template", "spec", "containers", 0)
			assert.Equal(t, []any{"sh", "-ec"}, at(t, container, "command"))
			return at(t, container, "args", 0).(string)
		},
	} {
		assert.True(t, strings.HasSuffix(strings.TrimSpace(script(read(t, file))), strings.TrimSpace(gate)), "%s does not end with gate.sh", file)
	}
}

// githubStep returns a step of the GitHub workflow by its name.
func githubStep(t *testing.T, text, name string) map[string]any {
	t.Helper()
	for _, step := range at(t, documents(t, text)[""], "jobs", "load-test", "steps").([]any) {
		if step := step.(map[string]any); step["name"] == name {
			return step
		}
	}
	require.Fail(t, "no such step", name)
	return nil
}

// TestPlugin runs plugin.sh, which the recipes contain, with the files of a release: it installs the plugin only if the archive is the one
// in checksums.txt.
func TestPlugin(t *testing.T) {
	script := read(t, "plugin.sh")
	github, gitlab := read(t, "github-actions.yaml"), read(t, "gitlab-ci.yaml")
	install := githubStep(t, github, "Install kubectl-locust")
	assert.Equal(t, script+"echo \"$PLUGIN_DIR\" >>\"$GITHUB_PATH\"\n", install["run"])
	job := documents(t, gitlab)[""]["load-test"]
	assert.Equal(t, "set -e\n"+script, at(t, job, "before_script", 0))
	assert.Equal(t, at(t, install, "env", "PLUGIN_VERSION"), at(t, job, "variables", "PLUGIN_VERSION"))

	const archive = "kubectl-locust_3.1.0_linux_amd64.tar.gz"
	for name, row := range map[string]struct {
		checksums func(sum string) string
		err       string
	}{
		"the right sum":    {func(sum string) string { return "0000  other.tar.gz\n" + sum + "  " + archive + "\n" }, ""},
		"a wrong sum":      {func(sum string) string { return strings.Repeat("0", len(sum)) + "  " + archive + "\n" }, "FAILED"},
		"no sum":           {func(sum string) string { return sum + "  other.tar.gz\n" }, "exit status 1"},
		"the sum of other": {func(sum string) string { return sum + "  x" + archive + "\n" }, "exit status 1"},
		"no checksums":     {nil, "exit status 22"},
	} {
		t.Run(name, func(t *testing.T) {
			release, bin, dir := t.TempDir(), t.TempDir(), t.TempDir()
			program := filepath.Join(t.TempDir(), "kubectl-locust")
			require.NoError(t, os.WriteFile(program, []byte("#!/bin/sh\n"), 0o755))
			out, err := exec.Command("tar", "-czf", filepath.Join(release, archive), "-C", filepath.Dir(program), "kubectl-locust").CombinedOutput()
			require.NoError(t, err, string(out))
			packed, err := os.ReadFile(filepath.Join(release, archive))
			require.NoError(t, err)
			if row.checksums != nil {
				sum := sha256.Sum256(packed)
				require.NoError(t, os.WriteFile(filepath.Join(release, "checksums.txt"), []byte(row.checksums(hex.EncodeToString(sum[:]))), 0o600))
			}
			// curl copies the files of the release, and fails like curl if there is none.
			curl := "#!/bin/sh\ncase \"$*\" in *https://github.com/AbdelrhmanHamouda/locust-k8s-operator/releases/download/v3.1.0/*) ;; *) exit 3 ;; esac\n" +
				"for last; do :; done\ncp '" + release + "'/\"${last##*/}\" . 2>/dev/null || exit 22\n"
			require.NoError(t, os.WriteFile(filepath.Join(bin, "curl"), []byte(curl), 0o755))
			command := exec.Command("sh", "-e", "-c", script)
			command.Dir = dir
			command.Env = []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "PLUGIN_VERSION=3.1.0", "PLUGIN_DIR=" + bin, "TMPDIR=" + t.TempDir()}
			out, err = command.CombinedOutput()
			left, readErr := os.ReadDir(dir)
			require.NoError(t, readErr)
			assert.Empty(t, left, "the folder of the sources is as before")
			_, installed := os.Stat(filepath.Join(bin, "kubectl-locust"))
			if row.err == "" {
				require.NoError(t, err, string(out))
				assert.NoError(t, installed)
				return
			}
			require.Error(t, err)
			assert.Contains(t, err.Error()+string(out), row.err)
			assert.Error(t, installed)
		})
	}
}

// TestReports checks that the recipes keep the report of a failed test too, in the files that they write.
func TestReports(t *testing.T) {
	github, gitlab := read(t, "github-actions.yaml"), documents(t, read(t, "gitlab-ci.yaml"))[""]["load-test"]
	report, keep := githubStep(t, github, "Report"), githubStep(t, github, "Keep the report")
	assert.Equal(t, []any{"always()", "always()"}, []any{report["if"], keep["if"]})
	file := at(t, keep, "with", "path").(string)
	assert.Equal(t, "kubectl locust report gate --output markdown >>\"$GITHUB_STEP_SUMMARY\"\n"+
		"kubectl locust report gate --output junit --output-file "+file+"\n", report["run"])

	assert.Equal(t, "always", at(t, gitlab, "artifacts", "when"))
	assert.Equal(t, []any{
		"kubectl locust report gate --output junit --output-file " + at(t, gitlab, "artifacts", "reports", "junit").(string),
		"kubectl locust report gate --output markdown --output-file " + at(t, gitlab, "artifacts", "paths", 0).(string),
		"kubectl logs job/gate-master --tail 100",
	}, at(t, gitlab, "after_script"), "GitLab runs these after a failure too")
}

// TestArgoWorkflow checks that the resource template ends with each final phase, and creates the same test as gate.yaml.
func TestArgoWorkflow(t *testing.T) {
	resource := at(t, documents(t, read(t, "argo-workflow.yaml"))["WorkflowTemplate"], "spec", "templates", 0, "resource")
	assert.Equal(t, "status.phase == "+v2.PhaseSucceeded, at(t, resource, "successCondition"))
	assert.Equal(t, "status.phase == "+v2.PhaseFailed, at(t, resource, "failureCondition"))
	sameTest(t, at(t, resource, "manifest").(string))
}

func TestArgoRollouts(t *testing.T) {
	sameTest(t, at(t, documents(t, read(t, "argo-rollouts.yaml"))["ConfigMap"], "data", "gate.yaml").(string))
}

func sameTest(t *testing.T, manifest string) {
	t.Helper()
	var gate, own v2.LocustTest
	require.NoError(t, yaml.UnmarshalStrict([]byte(read(t, "gate.yaml")), &gate))
	require.NoError(t, yaml.UnmarshalStrict([]byte(manifest), &own))
	assert.Equal(t, gate.Spec, own.Spec)
	assert.Equal(t, gate.TypeMeta, own.TypeMeta)
	assert.Contains(t, []string{gate.Name, ""}, own.Name)
}

// TestKustomization checks that the gate's name, and nothing else, gets the suffix of the release.
func TestKustomization(t *testing.T) {
	built := built(t, "docs", "recipes")
	var gate v2.LocustTest
	require.NoError(t, yaml.UnmarshalStrict([]byte(built), &gate))
	assert.Equal(t, "gate-v1", gate.Name)
	gate.Name = "gate"
	own, err := yaml.Marshal(gate)
	require.NoError(t, err)
	sameTest(t, string(own))
}

// built returns what kustomize builds from a folder.
func built(t *testing.T, folder ...string) string {
	t.Helper()
	all, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(append([]string{root}, folder...)...))
	require.NoError(t, err)
	text, err := all.AsYaml()
	require.NoError(t, err)
	return string(text)
}

// TestGitHubActions lints the workflow.
func TestGitHubActions(t *testing.T) {
	linter, err := actionlint.NewLinter(os.Stderr, &actionlint.LinterOptions{})
	require.NoError(t, err)
	problems, err := linter.Lint("load-test.yaml", []byte(read(t, "github-actions.yaml")), nil)
	require.NoError(t, err)
	assert.Empty(t, problems)
}

// TestRoles checks that the role that recipes bind exists.
func TestRoles(t *testing.T) {
	roles, err := os.ReadFile(filepath.Join(root, "config", "rbac", "user_roles.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(roles), "name: locusttest-editor-role\n")
	for _, file := range []string{"tekton.yaml", "argo-workflow.yaml", "argo-rollouts.yaml"} {
		all := documents(t, read(t, file))
		assert.Equal(t, "locust-k8s-operator-locusttest-editor-role", at(t, all["RoleBinding"], "roleRef", "name"))
		assert.Equal(t, at(t, all["ServiceAccount"], "metadata", "name"), at(t, all["RoleBinding"], "subjects", 0, "name"))
	}
}
