//go:build olm

package olm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// TestHelm installs the chart of the release from a registry, runs its demo, upgrades it while a test runs, installs a second
// release, removes both, and takes over from the 2.x chart, as described in docs/install.md and docs/migrate.md.
func TestHelm(t *testing.T) {
	const (
		first, firstNamespace   = "locust-k8s-operator", framework.OperatorNamespace
		second, secondNamespace = "second", "olm-testhelm-second"
		crdName                 = "locusttests.locust.io"
	)
	helm := func(args ...string) (string, error) { return run(t, "", setting(t, "HELM"), args...) }
	must := func(out string, err error) string {
		t.Helper()
		require.NoError(t, err)
		return out
	}
	// release runs helm install or helm upgrade.
	release := func(verb, name, namespace string, args ...string) (string, error) {
		common := []string{verb, name, "oci://" + registry + "/charts/locust-k8s-operator", "--version", setting(t, "OLM_OLD"), "--plain-http",
			"--namespace", namespace, "--timeout", "3m", "--set", "test.image=" + setting(t, "LOCUST_IMAGE")}
		return helm(append(common, args...)...)
	}
	kubectl(t, "delete", "crd", crdName, "--ignore-not-found")
	t.Cleanup(func() {
		for _, args := range [][]string{
			{"uninstall", first, "--namespace", firstNamespace, "--ignore-not-found"}, {"uninstall", second, "--namespace", secondNamespace, "--ignore-not-found"},
		} {
			_, err := helm(args...)
			assert.NoError(t, err)
		}
		kubectl(t, "delete", "namespace", firstNamespace, secondNamespace, "--ignore-not-found")
		kubectl(t, "delete", "crd", crdName, "--ignore-not-found")
	})

	_, err := release("install", first, firstNamespace, "--create-namespace", "--set", "replica=3")
	require.ErrorContains(t, err, "additional properties 'replica' not allowed")
	_, err = release("install", first, firstNamespace, "--create-namespace", "--set", "kafka.enabled=true")
	require.ErrorContains(t, err, "kafka is a value of the 2.x chart: set the variables in spec.env of each LocustTest")
	must(release("install", first, firstNamespace, "--create-namespace", "--wait"))
	pods := operatorPods(t, firstNamespace)
	assert.Len(t, pods, framework.OperatorReplicas)
	for _, pod := range pods {
		assert.Equal(t, setting(t, "OLM_OLD_IMAGE"), pod.Spec.Containers[0].Image, "by digest")
	}
	demo := func(name, namespace string) {
		t.Helper()
		must(helm("test", name, "--namespace", namespace))
		assert.Contains(t, kubectl(t, "logs", name+"-demo", "--namespace", namespace), "\nSucceeded\n")
	}
	demo(first, firstNamespace)

	ns := namespace(t)
	load(t, ns, "runs", "40s")
	untilPhase(t, ns, "runs", v2.PhaseRunning)
	must(release("install", second, secondNamespace, "--create-namespace", "--set", "crds.install=false,certificates=none"))
	eventually(t, "the second operator reports the first", func() bool {
		pods := operatorPods(t, secondNamespace)
		return len(pods) > 0 && strings.Contains(terminationMessage(&pods[0]), "another operator already runs the LocustTests of all namespaces: its leader is")
	})
	must(release("upgrade", first, firstNamespace, "--set", "watchNamespaces={"+ns+"}", "--wait"))
	must(release("upgrade", second, secondNamespace, "--set", "crds.install=false,certificates=none,watchNamespaces={"+secondNamespace+"}", "--wait"))
	demo(second, secondNamespace)
	runs := untilPhase(t, ns, "runs", v2.PhaseSucceeded)
	require.NotNil(t, runs.Status.TestResult)
	assert.Zero(t, runs.Status.TestResult.FailedRequests)

	must(helm("uninstall", second, "--namespace", secondNamespace, "--wait"))
	must(helm("uninstall", first, "--namespace", firstNamespace, "--wait"))
	assert.NotEmpty(t, read[apiextensionsv1.CustomResourceDefinition](t, "", crdName).Name, "the CRD stays")
	assert.Equal(t, runs.Status, read[v2.LocustTest](t, ns, "runs").Status, "and with it the tests")

	// Releases of the 2.x chart had the CRD in the folder crds, later ones in their templates.
	values := filepath.Join("..", "..", "..", "tools", "chart", "testdata", "from-2.x.yaml")
	for _, crd := range []string{"crds/crd.yaml", "templates/crd.yaml"} {
		kubectl(t, "delete", "crd", crdName)
		must(helm("install", first, operator2Chart(t, crd), "--namespace", firstNamespace, "--wait"))
		o := leaveByOperator2(t, "80s")
		manifest := must(helm("get", "manifest", first, "--namespace", firstNamespace))
		inRelease := strings.HasPrefix(crd, "templates/")
		assert.Equal(t, inRelease, strings.Contains(manifest, "kind: CustomResourceDefinition"))
		args := []string{"--values", values, "--wait"}
		kubectl(t, "-n", firstNamespace, "scale", "deployment", "locust-operator", "--replicas", "0")
		if !inRelease {
			_, err = release("upgrade", first, firstNamespace, args...)
			require.ErrorContains(t, err, crdName+`" in namespace "" exists and cannot be imported into the current release`)
			args = append(args, "--take-ownership")
		}
		must(release("upgrade", first, firstNamespace, args...))
		deployments := strings.Fields(kubectl(t, "-n", firstNamespace, "get", "deployments", "-o", "name"))
		assert.Equal(t, []string{"deployment.apps/" + framework.OperatorDeployment}, deployments)
		o.requireTakenOver(t)
		requireWorking(t)
		must(helm("uninstall", first, "--namespace", firstNamespace, "--wait"))
	}
}

// operator2Chart writes a chart with what matters of the 2.x chart: a Deployment of another name, and the CRD in a file.
func operator2Chart(t *testing.T, crdFile string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: locust-k8s-operator\nversion: 2.3.0\n",
		crdFile:      crdOfOperator2(t, nil),
		"templates/deployment.yaml": `apiVersion: apps/v1
kind: Deployment
metadata:
  name: locust-operator
spec:
  selector: {matchLabels: {app.kubernetes.io/name: locust-k8s-operator}}
  template:
    metadata: {labels: {app.kubernetes.io/name: locust-k8s-operator}}
    spec:
      containers: [{name: operator, image: "` + setting(t, "LOCUST_IMAGE") + `", command: [sleep, infinity]}]
`,
	} {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return folder
}

// terminationMessage returns the last message of the operator's container.
func terminationMessage(pod *corev1.Pod) string {
	for _, status := range pod.Status.ContainerStatuses {
		for _, state := range []corev1.ContainerState{status.State, status.LastTerminationState} {
			if state.Terminated != nil && state.Terminated.Message != "" {
				return state.Terminated.Message
			}
		}
	}
	return ""
}
