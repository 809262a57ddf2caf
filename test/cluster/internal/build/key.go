package build

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
)

// modulePath is the first line of this module's go.mod.
const modulePath = "module github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster"

// sources are the files that determine the binaries, besides the Go version
// and the processor architecture. go.sum pins the content of every module.
var sources = []string{"go.mod", "go.sum", "kube-all/main.go", "coredns/main.go", "pause/main.go"}

var kubernetesRequire = regexp.MustCompile(`(?m)^\s*k8s\.io/kubernetes (v\S+)$`)

// errNoModule is returned if the sources are not found.
var errNoModule = errors.New("module test/cluster not found: run this inside the repository")

// FindModule returns the folder of this module: the current folder, one of
// its parents, or test/cluster below one of them.
func FindModule() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the current folder: %w", err)
	}
	for {
		for _, candidate := range []string{dir, filepath.Join(dir, "test", "cluster")} {
			if isModule(candidate) {
				return candidate, nil
			}
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errNoModule
		}
		dir = parent
	}
}

func isModule(dir string) bool {
	f, err := os.Open(filepath.Join(dir, "go.mod"))
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // read only
	head := make([]byte, len(modulePath)+1)
	if _, err := io.ReadFull(f, head); err != nil {
		return false
	}
	return string(head) == modulePath+"\n"
}

// KubernetesVersion returns the pinned version, such as v1.37.2, from go.mod.
func KubernetesVersion(module string) (string, error) {
	data, err := os.ReadFile(filepath.Join(module, "go.mod"))
	if err != nil {
		return "", fmt.Errorf("read go.mod: %w", err)
	}
	m := kubernetesRequire.FindSubmatch(data)
	if m == nil {
		return "", errors.New("go.mod does not require k8s.io/kubernetes")
	}
	return string(m[1]), nil
}

// Key returns the name of the folder of the binaries: the Kubernetes version and a
// short hash of everything that determines them.
func Key(module, goVersion string) (string, error) {
	version, err := KubernetesVersion(module)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s %s\n", goVersion, runtime.GOARCH)
	for _, name := range sources {
		data, err := os.ReadFile(filepath.Join(module, name))
		if err != nil {
			return "", fmt.Errorf("read a source of the build: %w", err)
		}
		fmt.Fprintf(sum, "%s %d\n", name, len(data))
		sum.Write(data)
	}
	return version + "-" + hex.EncodeToString(sum.Sum(nil))[:10], nil
}
