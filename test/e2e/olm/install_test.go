//go:build olm

package olm

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// TestOrdinaryPaths checks the installation methods without OLM, as described in docs/install.md.
func TestOrdinaryPaths(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	img := "IMG=" + setting(t, "OLM_NEW_IMAGE")
	target := func(t *testing.T, args ...string) {
		t.Helper()
		_, err := run(t, "", "make", append([]string{"-C", root}, args...)...)
		require.NoError(t, err)
	}
	requireWorking := func(t *testing.T) {
		t.Helper()
		ns := namespace(t)
		load(t, ns, "one", "2s")
		one := untilPhase(t, ns, "one", "Succeeded")
		assert.Equal(t, one.Status, read[v1.LocustTest](t, ns, "one").Status)
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
		target(t, "build-installer", img)
		file := filepath.Join(root, "dist", "install.yaml")
		kubectl(t, "apply", "-f", file)
		deployment := "deployment/" + framework.OperatorDeployment
		kubectl(t, "-n", framework.OperatorNamespace, "rollout", "status", deployment, "--timeout=3m")
		requireWorking(t)
		kubectl(t, "delete", "-f", file)
		requireRemoved(t)
	})
}
