package main

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"
)

// pluginPlatforms are those of the Makefile.
var pluginPlatforms = []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64", "windows/amd64"}

// smallPrograms are the smallest programs of Go, by platform.
var smallPrograms = sync.OnceValues(func() (map[string]string, error) {
	found := map[string]string{}
	for _, platform := range pluginPlatforms {
		built, err := smallest(platform)
		if err != nil {
			return nil, err
		}
		found[platform] = built
	}
	return found, nil
})

// unpacked is a file of an archive.
type unpacked struct {
	data    string
	mode    os.FileMode
	changed time.Time
}

// unpack returns the files of a tar.gz or zip.
func unpack(t *testing.T, archive string) map[string]unpacked {
	t.Helper()
	found := map[string]unpacked{}
	if strings.HasSuffix(archive, ".zip") {
		r, err := zip.OpenReader(archive)
		require.NoError(t, err)
		defer func() { _ = r.Close() }()
		for _, file := range r.File {
			content, err := file.Open()
			require.NoError(t, err)
			data, err := io.ReadAll(content)
			require.NoError(t, err)
			found[file.Name] = unpacked{string(data), file.Mode(), file.Modified.UTC()}
		}
		return found
	}
	data, err := os.ReadFile(archive)
	require.NoError(t, err)
	compressed, err := gzip.NewReader(bytes.NewReader(data))
	require.NoError(t, err)
	for r := tar.NewReader(compressed); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return found
		}
		require.NoError(t, err)
		assert.Zero(t, header.Uid+header.Gid, header.Name)
		assert.Empty(t, header.Uname+header.Gname, header.Name)
		data, err := io.ReadAll(r)
		require.NoError(t, err)
		found[header.Name] = unpacked{string(data), header.FileInfo().Mode(), header.ModTime.UTC()}
	}
}

// smallRelease writes the archives and the krew manifest of small programs, as tools/release.sh does for the plugin.
func smallRelease(t *testing.T, dist string) (archives []string) {
	t.Helper()
	programs, err := smallPrograms()
	require.NoError(t, err)
	for _, platform := range pluginPlatforms {
		program := write(t, programs[platform], t.TempDir(), "any-name")
		name, err := release(t, "archive", "-program", program, "-name", "kubectl-locust", "-version", "1.2.3", "-platform", platform,
			"-created", "1700000000", "-dist", dist, filepath.Join(root, "LICENSE"), filepath.Join(root, "cmd", "kubectl-locust", "kubectl_complete-locust"))
		require.NoError(t, err)
		archives = append(archives, filepath.Join(dist, name))
	}
	manifest, err := release(t, append([]string{"krew", "-name", "kubectl-locust", "-version", "1.2.3", "-url", "https://example.com/v1.2.3"}, archives...)...)
	require.NoError(t, err)
	write(t, manifest, dist, "locust.yaml")
	return archives
}

func TestArchive(t *testing.T) {
	dist, again := t.TempDir(), t.TempDir()
	archives := smallRelease(t, dist)
	smallRelease(t, again)
	programs, err := smallPrograms()
	require.NoError(t, err)
	var names []string
	for i, archive := range archives {
		names = append(names, filepath.Base(archive))
		files := unpack(t, archive)
		program := "kubectl-locust"
		if strings.HasPrefix(pluginPlatforms[i], "windows/") {
			program += ".exe"
		}
		assert.Len(t, files, 3)
		assert.Equal(t, programs[pluginPlatforms[i]], files[program].data)
		assert.Equal(t, os.FileMode(0o755), files[program].mode)
		assert.Contains(t, files["LICENSE"].data, "Apache License")
		assert.Equal(t, os.FileMode(0o644), files["LICENSE"].mode)
		assert.Contains(t, files["kubectl_complete-locust"].data, "kubectl-locust __complete")
		assert.Equal(t, os.FileMode(0o755), files["kubectl_complete-locust"].mode)
		for name, file := range files {
			assert.Equal(t, time.Unix(1_700_000_000, 0).UTC(), file.changed, name)
		}
		first, err := os.ReadFile(archive)
		require.NoError(t, err)
		second, err := os.ReadFile(filepath.Join(again, filepath.Base(archive)))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(first, second), "the same content gives the same archive")
	}
	assert.Equal(t, []string{
		"kubectl-locust_1.2.3_linux_amd64.tar.gz", "kubectl-locust_1.2.3_linux_arm64.tar.gz",
		"kubectl-locust_1.2.3_darwin_amd64.tar.gz", "kubectl-locust_1.2.3_darwin_arm64.tar.gz", "kubectl-locust_1.2.3_windows_amd64.zip",
	}, names)
}

// TestArchive_Refused checks that no archive has a program of another platform.
func TestArchive_Refused(t *testing.T) {
	programs, err := smallPrograms()
	require.NoError(t, err)
	dist := t.TempDir()
	for _, of := range pluginPlatforms {
		program := write(t, programs[of], t.TempDir(), "program")
		for _, platform := range pluginPlatforms {
			_, err := release(t, "archive", "-program", program, "-name", "x", "-version", "1.2.3", "-platform", platform, "-dist", dist)
			if of == platform {
				assert.NoError(t, err)
			} else {
				assert.Error(t, err, "a program for %s in an archive for %s", of, platform)
			}
		}
	}
	text := write(t, "text", t.TempDir(), "program")
	for _, platform := range append([]string{"plan9/amd64"}, pluginPlatforms...) {
		_, err := release(t, "archive", "-program", text, "-name", "x", "-version", "1.2.3", "-platform", platform, "-dist", dist)
		assert.ErrorContains(t, err, "is no program for "+platform)
	}
}

// TestKrew has krew's own programs validate the manifest and install each archive.
func TestKrew(t *testing.T) {
	dist := t.TempDir()
	archives := smallRelease(t, dist)
	checkKrew(t, filepath.Join(dist, "locust.yaml"), "1.2.3", "https://example.com/v1.2.3", archives)
}

// checkKrew checks a manifest and its archives.
func checkKrew(t *testing.T, manifest, version, address string, archives []string) {
	t.Helper()
	data, err := os.ReadFile(manifest)
	require.NoError(t, err)
	var plugin krewPlugin
	require.NoError(t, yaml.UnmarshalStrict(data, &plugin))
	assert.Equal(t, "locust", plugin.Metadata.Name)
	assert.Equal(t, "v"+version, plugin.Spec.Version)
	assert.Less(t, len(plugin.Spec.ShortDescription), 50, "krew's guidelines")
	require.Len(t, plugin.Spec.Platforms, len(archives))

	tools, err := exec.CommandContext(t.Context(), filepath.Join(root, "tools", "build.sh"), "krew", "validate-krew-manifest").Output()
	require.NoError(t, err)
	krew, validator, _ := strings.Cut(strings.TrimSpace(string(tools)), "\n")
	out, err := exec.CommandContext(t.Context(), validator, "-skip-install", "-manifest", manifest).CombinedOutput()
	require.NoError(t, err, string(out))

	for i, archive := range archives {
		platform := plugin.Spec.Platforms[i]
		assert.Equal(t, address+"/"+filepath.Base(archive), platform.URI)
		home := t.TempDir()
		install := exec.CommandContext(t.Context(), krew, "install", "--manifest", manifest, "--archive", archive)
		install.Env = append(os.Environ(), "KREW_ROOT="+home, "KREW_OS="+platform.Selector.MatchLabels["os"],
			"KREW_ARCH="+platform.Selector.MatchLabels["arch"], "KREW_NO_UPGRADE_CHECK=1")
		out, err := install.CombinedOutput()
		require.NoError(t, err, string(out))
		installed := filepath.Join(home, "store", "locust", "v"+version)
		assert.Equal(t, unpack(t, archive)[platform.Bin].data, read(t, installed, platform.Bin))
		assert.FileExists(t, filepath.Join(installed, "LICENSE"))
		linked, err := os.Stat(filepath.Join(home, "bin", platform.Bin))
		require.NoError(t, err, "kubectl finds the plugin by this name")
		assert.NotZero(t, linked.Mode()&0o100)
	}

	// A changed archive is refused.
	changed := write(t, "changed", t.TempDir(), filepath.Base(archives[0]))
	install := exec.CommandContext(t.Context(), krew, "install", "--manifest", manifest, "--archive", changed)
	install.Env = append(os.Environ(), "KREW_ROOT="+t.TempDir(), "KREW_OS="+plugin.Spec.Platforms[0].Selector.MatchLabels["os"],
		"KREW_ARCH="+plugin.Spec.Platforms[0].Selector.MatchLabels["arch"], "KREW_NO_UPGRADE_CHECK=1")
	out, err = install.CombinedOutput()
	require.Error(t, err)
	assert.Contains(t, string(out), "checksum")
}

func TestKrew_Refused(t *testing.T) {
	other := write(t, "x", t.TempDir(), "kubectl-locust_1.2.4_linux_amd64.tar.gz")
	_, err := release(t, "krew", "-name", "kubectl-locust", "-version", "1.2.3", "-url", "https://example.com", other)
	assert.ErrorContains(t, err, "not named like an archive of kubectl-locust 1.2.3")
	_, err = release(t, "krew", "-name", "kubectl-locust", "-version", "1.2.3", "-url", "https://example.com")
	assert.ErrorContains(t, err, "no archive")
}
