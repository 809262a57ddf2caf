package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"
)

func TestPackage(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	created, err := epoch()
	require.NoError(t, err)
	assert.Equal(t, int64(1700000000), created.Unix())
	const image = "localhost:5000/team/operator@" + digest
	path, err := run(folder, "9.9.9-rc.1", image, t.TempDir(), created)
	require.NoError(t, err)
	assert.Equal(t, "locust-k8s-operator-9.9.9-rc.1.tgz", filepath.Base(path))
	again, err := run(folder, "9.9.9-rc.1", image, t.TempDir(), created)
	require.NoError(t, err)
	assert.Equal(t, read(t, path), read(t, again), "the same commit gives the same file")

	c, err := loader.LoadFile(path)
	require.NoError(t, err)
	assert.Equal(t, []string{"9.9.9-rc.1", "9.9.9-rc.1"}, []string{c.Metadata.Version, c.Metadata.AppVersion})
	assert.Equal(t, "- name: manager\n  image: "+image+"\n", c.Metadata.Annotations[imagesAnnotation])
	for vals, want := range map[string]string{
		"":                               image,
		"image: {repository: mirror/op}": "mirror/op@" + digest,
		"image: {tag: dev}":              "localhost:5000/team/operator:dev",
		"image: {tag: dev, digest: '" + digest + "'}": "localhost:5000/team/operator:dev@" + digest,
	} {
		files, err := renderAll(c, release, system, values(t, vals))
		require.NoError(t, err)
		assert.Contains(t, files["locust-k8s-operator/templates/deployment.yaml"], "image: "+want+"\n", vals)
	}

	tagged, err := run(folder, "3.0.0", "localhost:5000/operator:v3.0.0", t.TempDir(), created)
	require.NoError(t, err)
	assert.FileExists(t, tagged)
	for image, want := range map[string]string{"": "-image", "localhost:5000/operator:dev": "has neither"} {
		_, err := run(folder, "3.0.0", image, t.TempDir(), created)
		assert.ErrorContains(t, err, want)
	}
}

// TestMetadata: version, images and what Chart.yaml repeats are those of the rest of the repository.
func TestMetadata(t *testing.T) {
	c, err := theChart()
	require.NoError(t, err)
	match := regexp.MustCompile(`(?m)^BUNDLE_VERSION \?= (.*)$`).FindStringSubmatch(read(t, root, "Makefile"))
	require.NotNil(t, match)
	assert.Equal(t, []string{match[1], match[1]}, []string{c.Metadata.Version, c.Metadata.AppVersion})
	var csv struct {
		Spec struct {
			Icon           []struct{ Base64data string }
			Keywords       []string
			Maintainers    []struct{ Name, Email string }
			MinKubeVersion string
		}
	}
	require.NoError(t, yaml.Unmarshal([]byte(read(t, root, "config", "manifests", "bases", "locust-k8s-operator.clusterserviceversion.yaml")), &csv))
	assert.Equal(t, "data:image/svg+xml;base64,"+csv.Spec.Icon[0].Base64data, c.Metadata.Icon)
	assert.Equal(t, csv.Spec.Keywords, c.Metadata.Keywords)
	assert.Equal(t, csv.Spec.Maintainers[0].Name, c.Metadata.Maintainers[0].Name)
	assert.Equal(t, csv.Spec.Maintainers[0].Email, c.Metadata.Maintainers[0].Email)
	assert.Equal(t, ">="+csv.Spec.MinKubeVersion+"-0", c.Metadata.KubeVersion)
	assert.Contains(t, read(t, root, "docs", "install.md"), "Kubernetes "+strings.TrimSuffix(csv.Spec.MinKubeVersion, ".0")+" or newer")
	assert.True(t, chartutil.IsCompatibleRange(c.Metadata.KubeVersion, "v1.30.4-gke.1"))
	assert.False(t, chartutil.IsCompatibleRange(c.Metadata.KubeVersion, "v1.29.9"))
	for name, text := range c.Metadata.Annotations {
		var parsed any
		require.NoError(t, yaml.Unmarshal([]byte(text), &parsed), name)
	}
	entries, err := os.ReadDir(filepath.Join(folder, "files"))
	require.NoError(t, err)
	assert.Len(t, entries, 9, "make generate has written the files")
}
