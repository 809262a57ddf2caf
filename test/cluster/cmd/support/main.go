// Support prints docs/support.md: what the tests run with, from the files that determine it.
package main

import (
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/build"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/locust"
)

//go:embed support.md.tmpl
var page string

// versions are the versions of the page, as their sources have them.
type versions struct {
	// Older are the versions of make test-kubernetes, oldest first.
	Older []string
	// Kubernetes is the version of the embedded cluster.
	Kubernetes string
	// MinKubeVersion is that of the ClusterServiceVersion, ChartKubeVersion that of the chart.
	MinKubeVersion, ChartKubeVersion     string
	Etcd, CoreDNS                        string
	Locust, DebianLocust                 string
	Platforms                            []string
	Helm, Kustomize, OLM, OPM, SDK, Kwok string
}

// tested is the platform on which the tests run.
const tested = "linux/amd64"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "support:", err)
		os.Exit(1)
	}
}

func run() error {
	module, err := build.FindModule()
	if err != nil {
		return err
	}
	v, err := read(filepath.Join(module, "..", ".."))
	if err != nil {
		return err
	}
	text, err := render(v)
	if err != nil {
		return err
	}
	_, err = os.Stdout.WriteString(text)
	return err
}

// read reads the versions from the files below the root of the repository.
func read(root string) (*versions, error) {
	v := &versions{Locust: tag(locust.Ref(locust.PyPI)), DebianLocust: tag(locust.Ref(locust.Debian))}
	for _, source := range []struct {
		value   *string
		file    string
		pattern string
	}{
		{&v.Kubernetes, "test/cluster/go.mod", required("k8s.io/kubernetes")},
		{&v.Etcd, "test/cluster/go.mod", required("go.etcd.io/etcd/server/v3")},
		{&v.CoreDNS, "test/cluster/go.mod", required("github.com/coredns/coredns")},
		{&v.Helm, "tools/chart/go.mod", required("helm.sh/helm/v3")},
		{&v.Kustomize, "tools/go.mod", required("sigs.k8s.io/kustomize/kustomize/v5")},
		{&v.OLM, "tools/olm/go.mod", required("github.com/operator-framework/operator-lifecycle-manager")},
		{&v.OPM, "tools/olm/go.mod", required("github.com/operator-framework/operator-registry")},
		{&v.SDK, "tools/operator-sdk/go.mod", required("github.com/operator-framework/operator-sdk")},
		{&v.Kwok, "tools/kwok/go.mod", required("sigs.k8s.io/kwok")},
		{&v.MinKubeVersion, "config/manifests/bases/locust-k8s-operator.clusterserviceversion.yaml", `(?m)^  minKubeVersion: (\S+)$`},
		{&v.ChartKubeVersion, "charts/locust-k8s-operator/Chart.yaml", `(?m)^kubeVersion: ">=(\S+)-0"$`},
	} {
		var err error
		if *source.value, err = find(filepath.Join(root, source.file), source.pattern); err != nil {
			return nil, err
		}
	}
	platforms, err := find(filepath.Join(root, "Makefile"), `(?m)^override ALL_PLATFORMS := (\S+)$`)
	if err != nil {
		return nil, err
	}
	v.Platforms = strings.Split(platforms, ",")
	older, err := os.ReadFile(filepath.Join(root, "test", "cluster", "older", "versions.txt"))
	if err != nil {
		return nil, fmt.Errorf("read the older versions: %w", err)
	}
	for _, line := range strings.Split(string(older), "\n") {
		if line != "" && !strings.HasPrefix(line, "#") {
			v.Older = append(v.Older, line)
		}
	}
	return v, nil
}

// required returns the pattern of a module's version in a go.mod file.
func required(module string) string {
	return `(?m)^(?:require |\t)` + regexp.QuoteMeta(module) + ` (v\S+)(?: // indirect)?$`
}

// find returns the first group of a pattern in a file.
func find(file, pattern string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("read a version: %w", err)
	}
	m := regexp.MustCompile(pattern).FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%s has no match of %s", file, pattern)
	}
	return string(m[1]), nil
}

// tag returns the tag of an image.
func tag(image string) string { return image[strings.LastIndex(image, ":")+1:] }

// minor returns the major and minor version, such as 1.30.
func minor(version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// minimum returns the oldest supported minor version of Kubernetes. It returns an error if the bundle and the chart admit
// another one than the oldest that is tested.
func (v *versions) minimum() (string, error) {
	if len(v.Older) == 0 {
		return "", fmt.Errorf("test/cluster/older/versions.txt has no version")
	}
	oldest := minor(v.Older[0])
	if csv, chart := minor(v.MinKubeVersion), minor(v.ChartKubeVersion); csv != oldest || chart != oldest {
		return "", fmt.Errorf("the minimum versions of Kubernetes differ: %s in test/cluster/older/versions.txt, "+
			"%s as minKubeVersion in config/manifests/bases, %s as kubeVersion of the chart", oldest, csv, chart)
	}
	return oldest, nil
}

// render returns the page.
func render(v *versions) (string, error) {
	minimum, err := v.minimum()
	if err != nil {
		return "", err
	}
	functions := template.FuncMap{
		"minimum": func() string { return minimum },
		"minor":   minor,
		"tested":  func(platform string) bool { return platform == tested },
	}
	parsed, err := template.New("support.md").Funcs(functions).Parse(page)
	if err != nil {
		return "", fmt.Errorf("parse the template: %w", err)
	}
	var text strings.Builder
	if err := parsed.Execute(&text, v); err != nil {
		return "", fmt.Errorf("execute the template: %w", err)
	}
	return text.String(), nil
}
