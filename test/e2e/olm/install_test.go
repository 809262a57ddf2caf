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
	"k8s.io/utils/ptr"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/samples"
)

// requireWorking runs the first example of the bundle, and reads its result in v1 too.
func requireWorking(t *testing.T) {
	t.Helper()
	ns := namespace(t)
	example, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "samples", "v2", "inline.yaml"))
	require.NoError(t, err)
	require.Contains(t, string(example), samples.Image)
	_, err = run(t, strings.ReplaceAll(string(example), samples.Image, setting(t, "LOCUST_IMAGE")), "kubectl", "apply", "-n", ns, "-f", "-")
	require.NoError(t, err)
	first := untilPhase(t, ns, "first", "Succeeded")
	assert.Equal(t, first.Status, read[v1.LocustTest](t, ns, "first").Status)
}

// TestOrdinaryPaths checks the installation methods without OLM, as described in docs/install.md, and the
// takeover from the 2.x operator by one file, as described in docs/migrate.md.
func TestOrdinaryPaths(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	img := "IMG=" + setting(t, "OLM_OLD_IMAGE")
	target := func(t *testing.T, args ...string) {
		t.Helper()
		_, err := run(t, "", "make", append([]string{"-C", root}, args...)...)
		require.NoError(t, err)
	}
	requireRemoved := func(t *testing.T) {
		t.Helper()
		eventually(t, "all objects are deleted", func() bool {
			crd := read[apiextensionsv1.CustomResourceDefinition](t, "", "locusttests.locust.io")
			return crd.Name == "" && read[corev1.Namespace](t, "", framework.OperatorNamespace).Name == ""
		})
	}

	t.Run("install", func(t *testing.T) {
		target(t, "install")
		ns := namespace(t)
		load(t, ns, "one", "2s")
		assert.Empty(t, read[v2.LocustTest](t, ns, "one").Status.Phase, "there is no operator yet")
		target(t, "uninstall")
		requireRemoved(t)
	})
	t.Run("deploy", func(t *testing.T) {
		target(t, "deploy", img)
		requireWorking(t)
		target(t, "undeploy", img)
		requireRemoved(t)
	})
	t.Run("one-file", func(t *testing.T) {
		file := filepath.Join(setting(t, "OLM_RELEASE"), "install.yaml")
		kubectl(t, "apply", "--server-side", "-f", file)
		deployment := "deployment/" + framework.OperatorDeployment
		kubectl(t, "-n", framework.OperatorNamespace, "rollout", "status", deployment, "--timeout=3m")
		requireWorking(t)
		for _, pod := range operatorPods(t, framework.OperatorNamespace) {
			assert.Equal(t, setting(t, "OLM_OLD_IMAGE"), pod.Spec.Containers[0].Image)
		}
		kubectl(t, "delete", "-f", file)
		requireRemoved(t)
	})
	t.Run("one-file-from-2x", func(t *testing.T) {
		apply(t, crdOfOperator2(t, conversionOfOperator2))
		kubectl(t, "annotate", "crd", "locusttests.locust.io", "cert-manager.io/inject-ca-from=locust-k8s-operator-system/serving-cert")
		o := leaveByOperator2(t, "60s")
		_, err := run(t, strings.ReplaceAll(installedByOperator2, "IMAGE", setting(t, "LOCUST_IMAGE")), "kubectl", "apply", "-f", "-")
		require.NoError(t, err)

		// As in docs/migrate.md.
		kubectl(t, "-n", framework.OperatorNamespace, "delete", "deployment", framework.OperatorDeployment)
		kubectl(t, "delete", "validatingwebhookconfiguration", "locust-k8s-operator-validating-webhook-configuration", "--ignore-not-found")
		kubectl(t, "annotate", "crd", "locusttests.locust.io", "cert-manager.io/inject-ca-from-")
		file := filepath.Join(setting(t, "OLM_RELEASE"), "install.yaml")
		kubectl(t, "apply", "--server-side", "--force-conflicts", "-f", file)
		kubectl(t, "-n", framework.OperatorNamespace, "rollout", "status", "deployment/"+framework.OperatorDeployment, "--timeout=3m")
		kubectl(t, "-n", framework.OperatorNamespace, "delete", "service/locust-k8s-operator-webhook-service",
			"service/locust-k8s-operator-controller-manager-metrics-service", "--ignore-not-found")
		o.requireTakenOver(t)
		requireWorking(t)
		crdNow := read[apiextensionsv1.CustomResourceDefinition](t, "", "locusttests.locust.io")
		assert.Contains(t, crdNow.Spec.Versions[1].Schema.OpenAPIV3Schema.Properties["spec"].Properties, "successCriteria", "the CRD is replaced")
		assert.NotContains(t, crdNow.Annotations, "cert-manager.io/inject-ca-from")
		assert.Equal(t, "locust-k8s-operator-webhook", crdNow.Spec.Conversion.Webhook.ClientConfig.Service.Name)
		kubectl(t, "delete", "-f", file)
		requireRemoved(t)
	})
}

// conversionOfOperator2 is the conversion of the CRD by the 2.x operator with webhooks.
var conversionOfOperator2 = &apiextensionsv1.CustomResourceConversion{Strategy: apiextensionsv1.WebhookConverter, Webhook: &apiextensionsv1.WebhookConversion{
	ConversionReviewVersions: []string{"v1"},
	ClientConfig: &apiextensionsv1.WebhookClientConfig{Service: &apiextensionsv1.ServiceReference{
		Namespace: framework.OperatorNamespace, Name: "locust-k8s-operator-webhook-service", Path: ptr.To("/convert")}},
}}

// installedByOperator2 has what matters of a 2.x operator installed with kustomize: the same namespace and name of the
// Deployment, and a webhook that refuses all writes because its operator is gone.
const installedByOperator2 = `
apiVersion: v1
kind: Namespace
metadata:
  name: locust-k8s-operator-system
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: locust-k8s-operator-controller-manager
  namespace: locust-k8s-operator-system
spec:
  selector: {matchLabels: {control-plane: controller-manager, app.kubernetes.io/name: locust-k8s-operator}}
  template:
    metadata: {labels: {control-plane: controller-manager, app.kubernetes.io/name: locust-k8s-operator}}
    spec:
      containers: [{name: manager, image: "IMAGE", command: [sleep, infinity]}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: locust-k8s-operator-validating-webhook-configuration
webhooks:
  - name: vlocusttest-v2.kb.io
    admissionReviewVersions: [v1]
    sideEffects: None
    failurePolicy: Fail
    clientConfig: {service: {namespace: locust-k8s-operator-system, name: locust-k8s-operator-webhook-service, path: /validate-locust-io-v2-locusttest}}
    rules: [{apiGroups: [locust.io], apiVersions: [v2], operations: [CREATE, UPDATE], resources: [locusttests]}]
`
