//go:build release

package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRelease makes the next release with a temporary registry, and checks what `make release` pushes and writes.
func TestRelease(t *testing.T) {
	addr := startRegistry(t)
	version := bundleVersion(t)
	dist := t.TempDir()
	var architectures []string
	platforms := os.Getenv("RELEASE_PLATFORMS")
	for platform := range strings.SplitSeq(platforms, ",") {
		architectures = append(architectures, strings.TrimPrefix(platform, "linux/"))
	}
	pluginPlatforms := os.Getenv("RELEASE_PLUGIN_PLATFORMS")
	makeRelease := func(args ...string) (string, error) {
		fixed := []string{"-C", root, "release", "REGISTRY=" + addr, "DIST=" + dist, "PLATFORMS=" + platforms, "PLUGIN_PLATFORMS=" + pluginPlatforms}
		out, err := exec.CommandContext(t.Context(), "make", append(fixed, args...)...).CombinedOutput()
		return string(out), err
	}
	out, err := makeRelease("VERSION=99.0.0")
	require.Error(t, err)
	assert.Contains(t, out, "CHANGELOG.md: there is no section")
	assert.Empty(t, repositories(t, addr), "nothing is pushed without the version's section")

	out, err = makeRelease("VERSION=" + version)
	require.NoError(t, err, out)
	images := pushed(t, addr, dist, version)
	operator, bundle := images["locust-k8s-operator"], images["locust-k8s-operator-bundle"]

	t.Run("images", func(t *testing.T) {
		assert.Len(t, images, 4)
		for name, file := range map[string]string{
			"locust-k8s-operator": "manager", "locust-k8s-operator-scorecard": "scorecard",
			"locust-k8s-operator-bundle":  "manifests/locust-k8s-operator.clusterserviceversion.yaml",
			"locust-k8s-operator-catalog": "configs/catalog.yaml",
		} {
			index, err := remote.Index(mustReference(t, images[name]))
			require.NoError(t, err)
			manifest, err := index.IndexManifest()
			require.NoError(t, err)
			var found []string
			for _, descriptor := range manifest.Manifests {
				image, err := index.Image(descriptor.Digest)
				require.NoError(t, err)
				assert.Contains(t, content(t, image), file, name)
				found = append(found, descriptor.Platform.Architecture)
			}
			assert.Equal(t, architectures, found, name)
		}
		latest, err := remote.Head(mustReference(t, addr+"/locust-k8s-operator-catalog:latest"))
		require.NoError(t, err)
		assert.Equal(t, images["locust-k8s-operator-catalog"], addr+"/locust-k8s-operator-catalog@"+latest.Digest.String())
	})
	t.Run("install.yaml", func(t *testing.T) {
		text := read(t, dist, "install.yaml")
		assert.Contains(t, text, "image: "+operator+"\n")
		assert.Contains(t, text, "kind: CustomResourceDefinition\n")
		assert.NotContains(t, text, "controller:latest")
	})
	t.Run("bundle", func(t *testing.T) {
		csv := filepath.Join("manifests", "locust-k8s-operator.clusterserviceversion.yaml")
		text := read(t, dist, "bundle", csv)
		assert.Equal(t, 3, strings.Count(text, operator), "Deployment, containerImage and relatedImages")
		assert.Contains(t, text, "\n  version: "+version+"\n")
		assert.Contains(t, read(t, dist, "bundle", "tests", "scorecard", "config.yaml"), images["locust-k8s-operator-scorecard"])
		assert.Equal(t, text, fileOf(t, bundle, filepath.ToSlash(csv)), "the image has the same bundle")
	})
	t.Run("catalog", func(t *testing.T) {
		text := fileOf(t, images["locust-k8s-operator-catalog"], "configs/catalog.yaml")
		assert.Contains(t, text, "image: "+bundle+"\n")
		assert.Contains(t, text, "- image: "+operator+"\n", "related images")
	})
	t.Run("OperatorHub", func(t *testing.T) {
		operator := filepath.Join(dist, "operatorhub", "operators", "locust-k8s-operator")
		assert.Contains(t, read(t, operator, "ci.yaml"), "catalog_names: [latest]")
		assert.Contains(t, read(t, operator, "ci.yaml"), "  - AbdelrhmanHamouda\n")
		assert.Contains(t, read(t, operator, "catalog-templates", "basic.yaml"), "image: "+bundle+"\n")
		assert.DirExists(t, filepath.Join(operator, version, "metadata"))
		csv := "locust-k8s-operator.clusterserviceversion.yaml"
		assert.Equal(t, read(t, dist, "bundle", "manifests", csv), read(t, operator, version, "manifests", csv))
		text := read(t, dist, "operatorhub", "catalogs", "latest", "locust-k8s-operator", "catalog.yaml")
		assert.Contains(t, text, "image: "+bundle+"\n")
		assert.Contains(t, text, "type: olm.csv.metadata\n")
		assert.NotContains(t, text, "olm.bundle.object")
	})
	t.Run("chart", func(t *testing.T) {
		ref := strings.TrimSpace(read(t, dist, "chart.txt"))
		head, err := remote.Head(mustReference(t, addr+"/charts/locust-k8s-operator:"+version))
		require.NoError(t, err)
		assert.Equal(t, addr+"/charts/locust-k8s-operator@"+head.Digest.String(), ref)
		assert.FileExists(t, filepath.Join(dist, "locust-k8s-operator-"+version+".tgz"))
	})
	t.Run("SBOMs", func(t *testing.T) {
		for program, file := range map[string]string{"locust-k8s-operator": "manager", "locust-k8s-operator-scorecard": "scorecard"} {
			for _, arch := range architectures {
				document, err := spdxjson.Read(strings.NewReader(read(t, dist, program+"_"+version+"_linux_"+arch+".spdx.json")))
				require.NoError(t, err)
				assert.Equal(t, program, document.Packages[0].PackageName)
				var names []string
				for _, linked := range document.Packages {
					names = append(names, linked.PackageName)
				}
				assert.Subset(t, names, []string{"stdlib", "k8s.io/client-go"})
				sum := sha256.Sum256([]byte(fileOfPlatform(t, images[program], arch, file)))
				assert.Equal(t, hex.EncodeToString(sum[:]), document.Packages[0].PackageChecksums[0].Value, "the program in the image")
			}
		}
	})
	plugins := strings.Split(pluginPlatforms, ",")
	t.Run("plugin", func(t *testing.T) {
		var archives []string
		for _, platform := range plugins {
			base := filepath.Join(dist, "kubectl-locust_"+version+"_"+strings.ReplaceAll(platform, "/", "_"))
			bin, archive := "kubectl-locust", base+".tar.gz"
			if strings.HasPrefix(platform, "windows/") {
				bin, archive = "kubectl-locust.exe", base+".zip"
			}
			archives = append(archives, archive)
			files := unpack(t, archive)
			assert.Contains(t, files, "LICENSE")
			if platform == runtime.GOOS+"/"+runtime.GOARCH {
				out, err := exec.CommandContext(t.Context(), write(t, files[bin].data, t.TempDir(), bin), "version", "--client").CombinedOutput()
				require.NoError(t, err, string(out))
				assert.Contains(t, string(out), "v"+version)
				assert.Contains(t, files, "kubectl_complete-locust")
			}
			document, err := spdxjson.Read(strings.NewReader(read(t, base+".spdx.json")))
			require.NoError(t, err)
			sum := sha256.Sum256([]byte(files[bin].data))
			assert.Equal(t, hex.EncodeToString(sum[:]), document.Packages[0].PackageChecksums[0].Value, "the program in the archive")
		}
		address := "https://github.com/AbdelrhmanHamouda/locust-k8s-operator/releases/download/v" + version
		checkKrew(t, filepath.Join(dist, "locust.yaml"), version, address, archives)
	})
	t.Run("checksums", func(t *testing.T) {
		lines := strings.Split(strings.TrimSpace(read(t, dist, "checksums.txt")), "\n")
		assert.Len(t, lines, 5+2*len(architectures)+2*len(plugins),
			"install.yaml, images.txt, chart.txt, locust.yaml, the chart, two SBOMs for each platform, and an archive with its SBOM for each one of the plugin")
		for _, line := range lines {
			sum, file, _ := strings.Cut(line, "  ")
			actual := sha256.Sum256([]byte(read(t, dist, file)))
			assert.Equal(t, hex.EncodeToString(actual[:]), sum, file)
		}
	})
	t.Run("notes", func(t *testing.T) {
		text := read(t, dist, "notes.md")
		section, err := notes(read(t, root, "CHANGELOG.md"), version)
		require.NoError(t, err)
		assert.Contains(t, text, section[len(section)-200:])
		assert.NotContains(t, text, "](docs/")
		assert.Contains(t, text, operator)
	})
	t.Run("again", func(t *testing.T) {
		chart, checksums := read(t, dist, "chart.txt"), read(t, dist, "checksums.txt")
		require.NoError(t, os.RemoveAll(dist))
		out, err := makeRelease("VERSION=" + version)
		require.NoError(t, err, out)
		assert.Equal(t, chart, read(t, dist, "chart.txt"))
		assert.Equal(t, checksums, read(t, dist, "checksums.txt"), "the same commit gives the same files")
		assert.Equal(t, images, pushed(t, addr, dist, version), "the same commit gives the same digests")
	})
}

// bundleVersion returns the version of the next release.
func bundleVersion(t *testing.T) string {
	match := regexp.MustCompile(`(?m)^BUNDLE_VERSION \?= (.*)$`).FindStringSubmatch(read(t, root, "Makefile"))
	require.NotNil(t, match)
	return match[1]
}

// pushed returns the references in images.txt by repository, which are checked against the tags in the registry.
func pushed(t *testing.T, addr, dist, version string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for ref := range strings.FieldsSeq(read(t, dist, "images.txt")) {
		repository, _, _ := strings.Cut(strings.TrimPrefix(ref, addr+"/"), "@")
		head, err := remote.Head(mustReference(t, addr+"/"+repository+":v"+version))
		require.NoError(t, err)
		assert.Equal(t, ref, addr+"/"+repository+"@"+head.Digest.String())
		found[repository] = ref
	}
	return found
}

func repositories(t *testing.T, addr string) []string {
	registry, err := name.NewRegistry(addr)
	require.NoError(t, err)
	all, err := remote.Catalog(context.Background(), registry)
	require.NoError(t, err)
	return all
}

func fileOf(t *testing.T, ref, path string) string { return fileOfPlatform(t, ref, "amd64", path) }

func fileOfPlatform(t *testing.T, ref, arch, path string) string {
	t.Helper()
	image, err := remote.Image(mustReference(t, ref), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: arch}))
	require.NoError(t, err)
	for files := tar.NewReader(mutate.Extract(image)); ; {
		header, err := files.Next()
		require.NoError(t, err, "%s of %s", path, ref)
		if header.Name != path {
			continue
		}
		var data bytes.Buffer
		_, err = io.Copy(&data, files)
		require.NoError(t, err)
		return data.String()
	}
}
