package recipes

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/cel-go/cel"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	lua "github.com/yuin/gopher-lua"
	"sigs.k8s.io/yaml"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

const root = "../.."

// recorded are LocustTests that were recorded on a real cluster, by file in testdata, with the health that they have.
var recorded = map[string]struct{ health, message string }{
	"new.yaml":             {"Progressing", "waiting for the operator"},
	"created.yaml":         {"Progressing", "WaitingForWorkers: Waiting for workers to connect"},
	"image-missing.yaml":   {"Progressing", "ErrImagePull"},
	"running.yaml":         {"Progressing", "TestInProgress: Test is running"},
	"workers-missing.yaml": {"Progressing", "WorkersMissing"},
	"succeeded.yaml":       {"Healthy", "TestSucceeded"},
	"failed-requests.yaml": {"Degraded", "TestFailed"},
	"not-started.yaml":     {"Degraded", "startup deadline"},
	"no-requests.yaml":     {"Degraded", "no request"},
}

func object(t *testing.T, file string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", file))
	require.NoError(t, err)
	var o map[string]any
	require.NoError(t, yaml.Unmarshal(data, &o))
	return o
}

// TestHealth runs the check of the ConfigMap as Argo CD does: with the basic and the table library, and the object as obj.
func TestHealth(t *testing.T) {
	var settings struct {
		Metadata struct{ Name string }
		Data     map[string]string
	}
	require.NoError(t, yaml.Unmarshal([]byte(built(t, "config", "argocd")), &settings))
	assert.Equal(t, "argocd-cm", settings.Metadata.Name)
	require.Len(t, settings.Data, 1)
	script := settings.Data["resource.customizations.health."+v2.GroupVersion.Group+"_LocustTest"]
	require.NotEmpty(t, script, "Argo CD finds the check by group and kind")
	for file, want := range recorded {
		t.Run(file, func(t *testing.T) {
			l := lua.NewState(lua.Options{SkipOpenLibs: true})
			defer l.Close()
			for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
				require.NoError(t, l.CallByParam(lua.P{Fn: l.NewFunction(open), NRet: 0, Protect: true}, lua.LString(name)))
			}
			l.SetGlobal("obj", value(l, object(t, file)))
			require.NoError(t, l.DoString(script))
			health, isTable := l.Get(-1).(*lua.LTable)
			require.True(t, isTable)
			assert.Equal(t, want.health, health.RawGetString("status").String())
			assert.Contains(t, health.RawGetString("message").String(), want.message)
		})
	}
}

func value(l *lua.LState, v any) lua.LValue {
	switch v := v.(type) {
	case map[string]any:
		table := l.NewTable()
		for key, field := range v {
			table.RawSetString(key, value(l, field))
		}
		return table
	case []any:
		table := l.NewTable()
		for _, item := range v {
			table.Append(value(l, item))
		}
		return table
	case string:
		return lua.LString(v)
	case float64:
		return lua.LNumber(v)
	case bool:
		return lua.LBool(v)
	}
	return lua.LNil
}

var codeBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// TestFlux evaluates the expressions of docs/gitops.md on the same objects: failed, in progress and current are exclusive.
func TestFlux(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "gitops.md"))
	require.NoError(t, err)
	var kustomization struct {
		Kind string
		Spec struct {
			HealthCheckExprs []struct{ Kind, Current, Failed, InProgress string }
		}
	}
	for _, block := range codeBlock.FindAllStringSubmatch(string(page), -1) {
		if strings.Contains(block[1], "kind: Kustomization") {
			require.NoError(t, yaml.Unmarshal([]byte(block[1]), &kustomization))
		}
	}
	require.Len(t, kustomization.Spec.HealthCheckExprs, 1)
	check := kustomization.Spec.HealthCheckExprs[0]
	env, err := cel.NewEnv(cel.OptionalTypes())
	require.NoError(t, err)
	states := map[string]string{"Healthy": check.Current, "Degraded": check.Failed, "Progressing": check.InProgress}
	for file, want := range recorded {
		for health, expression := range states {
			// Flux only parses an expression, so that it may use each field of the object.
			ast, issues := env.Parse(expression)
			require.NoError(t, issues.Err(), expression)
			program, err := env.Program(ast)
			require.NoError(t, err)
			o := object(t, file)
			result, _, err := program.Eval(o)
			if o["status"] == nil {
				assert.ErrorContains(t, err, "no such attribute", "%s: %s", file, expression)
				continue
			}
			require.NoError(t, err, "%s: %s", file, expression)
			assert.Equal(t, health == want.health, result.Value(), "%s: %s", file, expression)
		}
	}
}
