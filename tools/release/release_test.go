package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	spdxjson "github.com/spdx/tools-golang/json"
	"github.com/spdx/tools-golang/spdx/v2/common"
	"github.com/spdx/tools-golang/spdxlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

var architectures = []string{"amd64", "arm64", "ppc64le", "s390x"}

// startRegistry returns the address of an empty registry.
func startRegistry(t *testing.T) string {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func write(t *testing.T, text string, path ...string) string {
	t.Helper()
	file := filepath.Join(path...)
	require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
	require.NoError(t, os.WriteFile(file, []byte(text), 0o755))
	return file
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	require.NoError(t, err)
	return string(data)
}

// program is the smallest program of Go, by architecture.
var program = sync.OnceValues(func() (map[string]string, error) {
	found := map[string]string{}
	for _, arch := range architectures {
		built, err := smallest("linux/" + arch)
		if err != nil {
			return nil, err
		}
		found[arch] = built
	}
	return found, nil
})

// smallest builds the smallest program of Go for a platform.
func smallest(platform string) (string, error) {
	dir, err := os.MkdirTemp("", "program")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	source := filepath.Join(dir, "main.go")
	if err := os.WriteFile(source, []byte("package main\n\nfunc main() {}\n"), 0o600); err != nil {
		return "", err
	}
	system, arch, _ := strings.Cut(platform, "/")
	build := exec.Command("go", "build", "-trimpath", "-ldflags", "-s -w", "-o", filepath.Join(dir, "program"), source)
	build.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "program"))
	return string(data), err
}

// programs writes a cross-compiled program for each platform to a folder, as {arch}/PATH.
func programs(t *testing.T, path string) string {
	t.Helper()
	all, err := program()
	require.NoError(t, err)
	dir := t.TempDir()
	for arch, data := range all {
		write(t, data, dir, arch, path)
	}
	return filepath.Join(dir, "{arch}")
}

func release(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := run(t.Context(), args, &out)
	return strings.TrimSpace(out.String()), err
}

// TestImages pushes each image with the Dockerfile of this repository, and reads it back from the registry.
func TestImages(t *testing.T) {
	addr := startRegistry(t)
	tests := []struct {
		name, file, context string
		args                []string
		files               []string
		config              v1.Config
	}{
		{
			name: "operator", file: "Dockerfile", context: programs(t, "bin/manager"), args: []string{"-build-arg", "BASE=scratch"},
			files:  []string{"manager"},
			config: v1.Config{User: "65532:65532", Entrypoint: []string{"/manager"}},
		},
		{
			name: "scorecard", file: "test/scorecard/Dockerfile", context: programs(t, "scorecard"),
			args:   []string{"-build-arg", "BASE=scratch"},
			files:  []string{"scorecard"},
			config: v1.Config{User: "65532:65532", Entrypoint: []string{"/scorecard"}},
		},
		{
			name: "bundle", file: "bundle.Dockerfile", context: root,
			files: []string{
				"manifests/locust-k8s-operator.clusterserviceversion.yaml", "metadata/annotations.yaml", "tests/scorecard/config.yaml",
			},
			config: v1.Config{Labels: map[string]string{
				"operators.operatorframework.io.bundle.package.v1":   "locust-k8s-operator",
				"operators.operatorframework.io.bundle.manifests.v1": "manifests/",
			}},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := []string{"push", "-file", filepath.Join(root, test.file), "-context", test.context,
				"-annotation", "org.opencontainers.image.version=1.2.3", "-tag", addr + "/" + test.name + ":v1.2.3"}
			ref, err := release(t, append(args, test.args...)...)
			require.NoError(t, err)
			again, err := release(t, append(args, test.args...)...)
			require.NoError(t, err)
			assert.Equal(t, ref, again, "the same content has the same digest")
			_, err = release(t, "verify", ref)
			require.NoError(t, err)

			tagged, err := remote.Index(mustReference(t, addr+"/"+test.name+":v1.2.3"))
			require.NoError(t, err)
			digest, err := tagged.Digest()
			require.NoError(t, err)
			assert.Equal(t, ref, addr+"/"+test.name+"@"+digest.String(), "the tag is the printed digest")
			manifest, err := tagged.IndexManifest()
			require.NoError(t, err)
			assert.Equal(t, "1.2.3", manifest.Annotations["org.opencontainers.image.version"])
			var found []string
			for _, descriptor := range manifest.Manifests {
				found = append(found, descriptor.Platform.Architecture)
				image, err := tagged.Image(descriptor.Digest)
				require.NoError(t, err)
				config, err := image.ConfigFile()
				require.NoError(t, err)
				assert.Equal(t, "linux/"+descriptor.Platform.Architecture, config.Platform().String())
				assert.Equal(t, test.config.User, config.Config.User)
				assert.Equal(t, test.config.Entrypoint, config.Config.Entrypoint)
				assert.Equal(t, "1.2.3", config.Config.Labels["org.opencontainers.image.version"])
				for name, value := range test.config.Labels {
					assert.Equal(t, value, config.Config.Labels[name], name)
				}
				assert.Subset(t, content(t, image), test.files)
			}
			assert.Equal(t, architectures, found)
		})
	}
}

// simplePush returns the arguments that push an image with the file x of the returned folder.
func simplePush(t *testing.T, addr string) (args []string, dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, "x", dir, "x")
	file := write(t, "FROM scratch\nCOPY x /x\n", dir, "Dockerfile")
	return []string{"push", "-file", file, "-context", dir, "-tag", addr + "/x:v1"}, dir
}

func mustReference(t *testing.T, text string) name.Reference {
	t.Helper()
	ref, err := name.ParseReference(text)
	require.NoError(t, err)
	return ref
}

// content returns the files of an image. Programs are checked: they must be of the image's platform.
func content(t *testing.T, image v1.Image) []string {
	t.Helper()
	config, err := image.ConfigFile()
	require.NoError(t, err)
	var names []string
	for files := tar.NewReader(mutate.Extract(image)); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		require.NoError(t, err)
		if header.Typeflag != tar.TypeReg {
			continue
		}
		names = append(names, header.Name)
		data, err := io.ReadAll(files)
		require.NoError(t, err)
		assert.NoError(t, checkMachine(data, *config.Platform()), header.Name)
		if strings.HasPrefix(string(data), "\x7fELF") {
			assert.Equal(t, int64(0o755), header.Mode, header.Name)
		}
	}
}

// TestPush_Base checks that each platform gets its own base, and that none gets the base of another.
func TestPush_Base(t *testing.T) {
	addr := startRegistry(t)
	file := write(t, "ARG BASE\nFROM ${BASE}\nCOPY top /top\nCMD [\"serve\"]\n", t.TempDir(), "Dockerfile")
	dir := t.TempDir()
	write(t, "top", dir, "top")
	baseFile := write(t, "FROM scratch\nCOPY base /base\nENTRYPOINT [\"/base\"]\n", t.TempDir(), "Dockerfile")
	_, err := release(t, "push", "-file", baseFile, "-context", programs(t, "base"), "-tag", addr+"/base:1",
		"-platforms", "linux/amd64,linux/s390x")
	require.NoError(t, err)

	args := []string{"push", "-file", file, "-context", dir, "-build-arg", "BASE=" + addr + "/base:1", "-tag", addr + "/top:1",
		"-platforms"}
	_, err = release(t, append(args, "linux/amd64,linux/arm64")...)
	assert.ErrorContains(t, err, "linux/arm64")
	ref, err := release(t, append(args, "linux/amd64,linux/s390x")...)
	require.NoError(t, err)
	index, err := remote.Index(mustReference(t, ref))
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	require.Len(t, manifest.Manifests, 2)
	for _, descriptor := range manifest.Manifests {
		image, err := index.Image(descriptor.Digest)
		require.NoError(t, err)
		assert.Equal(t, []string{"top", "base"}, content(t, image))
		config, err := image.ConfigFile()
		require.NoError(t, err)
		assert.Equal(t, []string{"/base"}, config.Config.Entrypoint)
		assert.Equal(t, []string{"serve"}, config.Config.Cmd)
	}

	single, err := random.Image(10, 1)
	require.NoError(t, err)
	require.NoError(t, remote.Write(mustReference(t, addr+"/single:1"), single))
	_, err = release(t, "push", "-file", file, "-context", dir, "-build-arg", "BASE="+addr+"/single:1", "-tag", addr+"/top:2")
	assert.ErrorContains(t, err, "is for")
}

// TestPush_Immutable checks that a released tag is not replaced by accident.
func TestPush_Immutable(t *testing.T) {
	addr := startRegistry(t)
	args, dir := simplePush(t, addr)
	write(t, "one", dir, "x")
	first, err := release(t, args...)
	require.NoError(t, err)
	write(t, "two", dir, "x")
	_, err = release(t, args...)
	require.ErrorContains(t, err, "another image")
	second, err := release(t, append(args, "-overwrite")...)
	require.NoError(t, err)
	assert.NotEqual(t, first, second)
}

func TestPush_Refused(t *testing.T) {
	addr := startRegistry(t)
	dir := t.TempDir()
	write(t, "x", dir, "x")
	amd64 := strings.ReplaceAll(programs(t, "program"), "{arch}", "amd64")
	for name, test := range map[string]struct{ file, context, want string }{
		"a command":                   {"FROM scratch\nCOPY x /x\nRUN true\n", dir, "RUN"},
		"two stages":                  {"FROM scratch AS a\nFROM scratch\nCOPY x /x\n", dir, "2 stages"},
		"a copy from another stage":   {"FROM scratch\nCOPY --from=other x /x\n", dir, "another stage"},
		"an owner":                    {"FROM scratch\nCOPY --chown=1 x /x\n", dir, "chown"},
		"a shell":                     {"FROM scratch\nCOPY x /x\nENTRYPOINT x\n", dir, "shell"},
		"a missing file":              {"FROM scratch\nCOPY y /y\n", dir, "no such file"},
		"no files":                    {"FROM scratch\nUSER 1\n", dir, "no files"},
		"a program of one platform":   {"FROM scratch\nCOPY program /program\n", amd64, "EM_X86_64 and cannot run on linux/arm64"},
		"a base that does not exist":  {"FROM " + addr + "/none:1\nCOPY x /x\n", dir, "base image"},
		"an argument that is unknown": {"ARG OTHER\nFROM scratch\nCOPY x /x\n", dir, "no ARG BASE"},
	} {
		t.Run(name, func(t *testing.T) {
			file := write(t, test.file, t.TempDir(), "Dockerfile")
			args := []string{"push", "-file", file, "-context", test.context, "-tag", addr + "/refused:1"}
			if strings.Contains(test.file, "ARG") {
				args = append(args, "-build-arg", "BASE=scratch")
			}
			_, err := release(t, args...)
			assert.ErrorContains(t, err, test.want)
			_, err = remote.Head(mustReference(t, addr+"/refused:1"))
			assert.Error(t, err, "nothing is pushed")
		})
	}
}

// TestVerify_Refused checks that each kind of wrong index is found.
func TestVerify_Refused(t *testing.T) {
	addr := startRegistry(t)
	dir := t.TempDir()
	write(t, "x", dir, "x")
	args := []string{"push", "-file", write(t, "FROM scratch\nCOPY x /x\n", dir, "Dockerfile"), "-context", dir}
	three, err := release(t, append(args, "-tag", addr+"/three:1", "-platforms", "linux/amd64,linux/arm64,linux/ppc64le")...)
	require.NoError(t, err)
	_, err = release(t, "verify", three)
	assert.ErrorContains(t, err, `missing: ["linux/s390x"]`)
	_, err = release(t, "verify", "-platforms", "linux/amd64,linux/arm64", three)
	assert.ErrorContains(t, err, `repeated: ["linux/ppc64le"]`)
	_, err = release(t, "verify", addr+"/three:1")
	assert.Error(t, err, "a tag is not enough")
	_, err = release(t, "verify")
	assert.ErrorContains(t, err, "no image")
	_, err = release(t, "verify", strings.Split(three, "@")[0]+"@sha256:"+strings.Repeat("0", 64))
	assert.ErrorContains(t, err, "pull")

	// An image of another platform than the index promises.
	index, err := remote.Index(mustReference(t, three))
	require.NoError(t, err)
	manifest, err := index.IndexManifest()
	require.NoError(t, err)
	image, err := index.Image(manifest.Manifests[0].Digest)
	require.NoError(t, err)
	wrong := mutate.AppendManifests(index, mutate.IndexAddendum{
		Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}},
	})
	require.NoError(t, remote.WriteIndex(mustReference(t, addr+"/wrong:1"), wrong))
	digest, err := wrong.Digest()
	require.NoError(t, err)
	_, err = release(t, "verify", addr+"/wrong@"+digest.String())
	assert.ErrorContains(t, err, "mismatched Architecture")
}

func TestVerify_Files(t *testing.T) {
	addr := startRegistry(t)
	args, _ := simplePush(t, addr)
	ref, err := release(t, args...)
	require.NoError(t, err)
	check := func(text string) error {
		_, err := release(t, "verify", "-images", addr+"/", "-in", filepath.Dir(write(t, text, t.TempDir(), "sub", "file.yaml")))
		return err
	}
	assert.NoError(t, check("containers:\n- image: "+ref+"\n  name: x\n- image: other.example.com/y:1\n"))
	assert.ErrorContains(t, check("- image: "+ref+"\n- image: "+addr+"/x:v1\n"), "file.yaml:2: "+addr+"/x:v1 has no digest")
	assert.ErrorContains(t, check("containerImage: \""+addr+"/x\"\n"), "has no digest")
	assert.ErrorContains(t, check("image: other.example.com/y:1\n"), "references no image")
	assert.ErrorContains(t, check("image: "+strings.Split(ref, "@")[0]+"@sha256:"+strings.Repeat("0", 64)+"\n"), "pull")
}

func TestInspect(t *testing.T) {
	addr := startRegistry(t)
	args, _ := simplePush(t, addr)
	ref, err := release(t, args...)
	require.NoError(t, err)
	text, err := release(t, "inspect", ref)
	require.NoError(t, err)
	manifest, err := v1.ParseIndexManifest(strings.NewReader(text))
	require.NoError(t, err)
	assert.Len(t, manifest.Manifests, 4)
}

func TestNotes(t *testing.T) {
	changelog := `# Changelog

## [Unreleased]

- new

## [1.2.0] - 2026-02-01

### Added

- this [link](docs/x.md)

## [1.1.0] - 2026-01-01

- old

## [1.0.0] - 2025-01-01

[1.2.0]: https://example.com
`
	text, err := notes(changelog, "1.2.0")
	require.NoError(t, err)
	assert.Equal(t, "### Added\n\n- this [link](docs/x.md)", text)
	text, err = notes(changelog, "1.1.0")
	require.NoError(t, err)
	assert.Equal(t, "- old", text)
	for version, want := range map[string]string{
		"1.3.0": "no section", "1.2.0-rc.1": "no section", "1.0.0": "empty",
		"1.2": "not like", "v1.2.0": "not like", "Unreleased": "not like",
	} {
		_, err := notes(changelog, version)
		assert.ErrorContains(t, err, want, version)
	}
}

// TestSBOM checks the document of this test's own program, which has dependencies.
func TestSBOM(t *testing.T) {
	text, err := release(t, "sbom", "-program", os.Args[0], "-name", "release-test", "-version", "1.2.3", "-created", "1700000000")
	require.NoError(t, err)
	document, err := spdxjson.Read(strings.NewReader(text))
	require.NoError(t, err)
	assert.Equal(t, "SPDX-2.3", document.SPDXVersion)
	assert.Equal(t, "2023-11-14T22:13:20Z", document.CreationInfo.Created)
	described, err := spdxlib.GetDescribedPackageIDs(document)
	require.NoError(t, err)
	require.Equal(t, []common.ElementID{document.Packages[0].PackageSPDXIdentifier}, described)
	assert.Equal(t, "release-test", document.Packages[0].PackageName)
	data, err := os.ReadFile(os.Args[0])
	require.NoError(t, err)
	assert.Equal(t, fmt.Sprintf("%x", sha256.Sum256(data)), document.Packages[0].PackageChecksums[0].Value)

	info, ok := debug.ReadBuildInfo()
	require.True(t, ok)
	require.NotEmpty(t, info.Deps)
	want := map[string]bool{"pkg:golang/stdlib@" + strings.TrimPrefix(info.GoVersion, "go"): true}
	for _, module := range info.Deps {
		want["pkg:golang/"+strings.ToLower(module.Path)+"@"+strings.ReplaceAll(module.Version, "+", "%2B")] = true
	}
	found := map[string]bool{}
	for _, linked := range document.Packages[1:] {
		found[linked.PackageExternalReferences[0].Locator] = true
	}
	assert.Equal(t, want, found)

	_, err = release(t, "sbom", "-program", "main.go")
	assert.ErrorContains(t, err, "main.go")
}

// TestNextRelease checks that all places have the version of the Makefile.
func TestNextRelease(t *testing.T) {
	text := func(path ...string) string {
		data, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
		require.NoError(t, err)
		return string(data)
	}
	match := regexp.MustCompile(`(?m)^BUNDLE_VERSION \?= (.*)$`).FindStringSubmatch(text("Makefile"))
	require.NotNil(t, match)
	version := match[1]
	_, err := notes(text("CHANGELOG.md"), version)
	assert.NoError(t, err)
	template := text("catalog", "template.yaml")
	assert.Contains(t, template, "- name: locust-k8s-operator.v"+version+"\n")
	assert.Contains(t, template, "-bundle:v"+version+"\n")
	assert.Contains(t, text("bundle", "manifests", "locust-k8s-operator.clusterserviceversion.yaml"), "\n  version: "+version+"\n")
}
