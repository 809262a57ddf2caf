//go:build olm

package olm

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
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
		load(t, ns, "one", "2s", "")
		one := untilPhase(t, ns, "one", "Succeeded")
		v1 := get(t, "-n", ns, "locusttests.v1.locust.io", "one")
		assert.Equal(t, at(one, "status"), at(v1, "status"))
	}
	requireRemoved := func(t *testing.T) {
		t.Helper()
		eventually(t, "all objects are deleted", func() bool {
			return len(get(t, "crd", "locusttests.locust.io")) == 0 && len(get(t, "namespace", "locust-k8s-operator-system")) == 0
		})
	}

	t.Run("install", func(t *testing.T) {
		target(t, "install")
		ns := namespace(t)
		load(t, ns, "one", "2s", "")
		assert.Empty(t, text(get(t, "-n", ns, "locusttest", "one"), "status", "phase"), "there is no operator yet")
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
		kubectl(t, "-n", "locust-k8s-operator-system", "rollout", "status", "deployment/locust-k8s-operator-controller-manager", "--timeout=3m")
		requireWorking(t)
		kubectl(t, "delete", "-f", file)
		requireRemoved(t)
	})
}
