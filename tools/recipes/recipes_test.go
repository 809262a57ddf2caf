package recipes

import (
	"os"
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
			return at(t, documents(t, text)[""], "jobs", "load-test", "steps", 1, "run").(string)
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
