package main

import (
	"encoding/json"
	"maps"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// currentOperator are the responses of a cluster with an operator that supports everything.
var currentOperator = map[string]string{
	"/version":                      `{"gitVersion":"v1.37.2"}`,
	"/apis/locust.io":               `{"preferredVersion":{"version":"v2"},"versions":[{"version":"v1"},{"version":"v2"},{"version":"v1alpha1"}]}`,
	"/apis/locust.io/v1":            `{"resources":[{"name":"locusttests"},{"name":"locusttests/status"}]}`,
	"/apis/locust.io/v2":            `{"resources":[{"name":"locusttests"}]}`,
	"/apis/locust.io/v1alpha1":      `{"resources":[{"name":"locustreports"}]}`,
	"/openapi/v3/apis/locust.io/v2": `{"components":{"schemas":{"io.locust.v2.LocustTestList":{},"io.locust.v2.LocustTest":{"properties":{"spec":{"properties":{"image":{},"stop":{"type":"boolean"}}}}}}}}`,
	"/apis/apps/v1/deployments": `{"items":[{"metadata":{"namespace":"load-system","name":"operator"},"status":{"readyReplicas":2},
		"spec":{"template":{"spec":{"containers":[{"image":"registry.example.com/operator:v3.1.0"}]}}}}]}`,
}

// changed returns currentOperator with other responses.
func changed(changes map[string]string) map[string]string {
	responses := maps.Clone(currentOperator)
	maps.Copy(responses, changes)
	return responses
}

func TestVersion_Cluster(t *testing.T) {
	for name, row := range map[string]struct {
		responses map[string]string
		want      []string
		not       []string
	}{
		"everything": {currentOperator, []string{
			"Kubernetes:    v1.37.2\n", "Operator:      registry.example.com/operator:v3.1.0 in load-system\n", "LocustTest:    v2, v1\n",
			"LocustReport:  supported\n", "spec.stop:     supported\n",
		}, []string{"not supported", "unknown"}},
		"not installed": {map[string]string{"/version": `{"gitVersion":"v1.37.2"}`}, []string{
			"Operator:    not installed: the cluster does not serve LocustTests; see docs/install.md\n",
		}, []string{"supported", "spec.stop"}},
		"an operator without reports and stop": {changed(map[string]string{
			"/apis/locust.io":               `{"preferredVersion":{"version":"v2"},"versions":[{"version":"v2"},{"version":"v1"}]}`,
			"/openapi/v3/apis/locust.io/v2": `{"components":{"schemas":{"io.locust.v2.LocustTest":{"properties":{"spec":{"properties":{"image":{}}}}}}}}`,
		}), []string{
			"LocustReport:  not supported: the operator is older than reports; upgrade it", "spec.stop:     not supported: the operator is older than stopping a test",
		}, nil},
		"the first operator": {changed(map[string]string{
			"/apis/locust.io": `{"preferredVersion":{"version":"v1"},"versions":[{"version":"v1"}]}`,
		}), []string{"LocustTest:    v1\n", "spec.stop:     not supported"}, nil},
		"no schema": {changed(map[string]string{"/openapi/v3/apis/locust.io/v2": forbidden}), []string{"spec.stop:     unknown\n"}, nil},
		"view rights": {changed(map[string]string{"/apis/apps/v1/deployments": forbidden, "/apis/apps/v1/namespaces/locust-k8s-operator-system/deployments": forbidden}), []string{
			"Operator:      unknown: its image needs the permission to list Deployments in locust-k8s-operator-system\n", "spec.stop:     supported\n",
		}, nil},
		"rights in the operator's namespace": {changed(map[string]string{"/apis/apps/v1/deployments": forbidden,
			"/apis/apps/v1/namespaces/locust-k8s-operator-system/deployments": `{"items":[{"metadata":{"namespace":"locust-k8s-operator-system"},"spec":{"template":{"spec":{"containers":[{"image":"op:1"}]}}}}]}`,
		}), []string{"Operator:      op:1 in locust-k8s-operator-system (no pod is ready)\n"}, nil},
		"an image with an escape sequence": {changed(map[string]string{
			"/apis/apps/v1/deployments": `{"items":[{"spec":{"template":{"spec":{"containers":[{"image":"a\u001b[2Jb"}]}}}}]}`,
		}), []string{"a\ufffd[2Jb"}, []string{"\x1b"}},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := runCommand(t, "version", "--server", serveAPI(t, row.responses))
			assert.Zero(t, code, stderr)
			assert.Contains(t, stdout, "Plugin: ")
			for _, text := range row.want {
				assert.Contains(t, stdout, text)
			}
			for _, text := range row.not {
				assert.NotContains(t, stdout, text)
			}
		})
	}
}

func TestVersion_Formats(t *testing.T) {
	url := serveAPI(t, currentOperator)
	for format, decode := range map[string]func([]byte, any) error{
		"json": json.Unmarshal, "yaml": func(data []byte, into any) error { return yaml.UnmarshalStrict(data, into) },
	} {
		stdout, stderr, code := runCommand(t, "version", "--server", url, "-o", format)
		require.Zero(t, code, stderr)
		var v versions
		require.NoError(t, decode([]byte(stdout), &v))
		assert.Equal(t, "v1.37.2", v.Kubernetes)
		assert.True(t, v.Operator.Installed)
		assert.Equal(t, []string{"v2", "v1"}, v.Operator.LocustTestVersions)
		assert.True(t, *v.Operator.Reports)
		assert.True(t, *v.Operator.Stop)
		assert.Equal(t, []operatorDeployment{{"load-system", "operator", "registry.example.com/operator:v3.1.0", 2}}, v.Operator.Deployments)
	}
	_, stderr, code := runCommand(t, "version", "-o", "xml")
	assert.Equal(t, exitError, code)
	assert.Contains(t, stderr, "choose json or yaml")
}

func TestVersion_WithoutCluster(t *testing.T) {
	stdout, stderr, code := runCommand(t, "version", "--client")
	assert.Zero(t, code)
	assert.Contains(t, stdout, "Plugin:  "+pluginVersion()+" (go")
	assert.Empty(t, stderr)

	stdout, stderr, code = runCommand(t, "version", "--server", "http://127.0.0.1:1")
	assert.Equal(t, exitError, code)
	assert.Contains(t, stdout, "Plugin: ", "what is known is printed")
	assert.Contains(t, stderr, "http://127.0.0.1:1")
	assert.Contains(t, stderr, "kubectl cluster-info")

	_, stderr, code = runCommand(t, "version", "--server", serveAPI(t, changed(map[string]string{"/apis/locust.io": forbidden})))
	assert.Equal(t, exitError, code)
	assert.Contains(t, stderr, "discover the API group locust.io")
}
