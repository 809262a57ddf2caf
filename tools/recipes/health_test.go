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

// TestHealth runs the check as Argo CD does: with the basic and the table library, and the object as obj.
func TestHealth(t *testing.T) {
	script, err := os.ReadFile(filepath.Join(root, "config", "argocd", "health.lua"))
	require.NoError(t, err)
	for file, want := range recorded {
		t.Run(file, func(t *testing.T) {
			l := lua.NewState(lua.Options{SkipOpenLibs: true})
			defer l.Close()
			for name, open := range map[string]lua.LGFunction{lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
				require.NoError(t, l.CallByParam(lua.P{Fn: l.NewFunction(open), NRet: 0, Protect: true}, lua.LString(name)))
			}
			l.SetGlobal("obj", value(l, object(t, file)))
			require.NoError(t, l.DoString(string(script)))
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
	env, err := cel.NewEnv(cel.Variable("status", cel.DynType), cel.OptionalTypes())
	require.NoError(t, err)
	states := map[string]string{"Healthy": check.Current, "Degraded": check.Failed, "Progressing": check.InProgress}
	for file, want := range recorded {
		status, _ := object(t, file)["status"].(map[string]any)
		if status == nil {
			status = map[string]any{}
		}
		for health, expression := range states {
			ast, issues := env.Compile(expression)
			require.NoError(t, issues.Err(), expression)
			program, err := env.Program(ast)
			require.NoError(t, err)
			result, _, err := program.Eval(map[string]any{"status": status})
			require.NoError(t, err, "%s: %s", file, expression)
			assert.Equal(t, health == want.health, result.Value(), "%s: %s", file, expression)
		}
	}
}
