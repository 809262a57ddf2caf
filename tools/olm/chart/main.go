// Chart prints the manifests of the Operator Lifecycle Manager, rendered from the Helm chart in its Go module: first the CRDs,
// then, after a line "# the rest", everything else. It omits the catalog of public operators.
//
//	chart VALUES.yaml
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

const module = "github.com/operator-framework/operator-lifecycle-manager"

// publicCatalog is the template of the omitted catalog: its image is in a registry on the internet.
const publicCatalog = "upstream-operators.catalogsource.yaml"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return errors.New("usage: chart VALUES.yaml")
	}
	dir, err := exec.CommandContext(context.Background(), "go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return fmt.Errorf("find the module %s: %w", module, err)
	}
	olm, err := loader.LoadDir(filepath.Join(strings.TrimSpace(string(dir)), "deploy", "chart"))
	if err != nil {
		return fmt.Errorf("load the chart: %w", err)
	}
	values, err := chartutil.ReadValuesFile(args[0])
	if err != nil {
		return fmt.Errorf("read %s: %w", args[0], err)
	}
	text, err := render(olm, values)
	if err != nil {
		return err
	}
	_, err = fmt.Print(text)
	return err
}

func render(olm *chart.Chart, values chartutil.Values) (string, error) {
	all, err := chartutil.ToRenderValues(olm, values, chartutil.ReleaseOptions{Name: "olm", Namespace: "olm", IsInstall: true}, nil)
	if err != nil {
		return "", fmt.Errorf("merge the values: %w", err)
	}
	files, err := engine.Render(olm, all)
	if err != nil {
		return "", fmt.Errorf("render the chart: %w", err)
	}
	var out strings.Builder
	write := func(text string) {
		if text = strings.TrimSpace(text); text != "" {
			out.WriteString("---\n" + strings.TrimPrefix(text, "---\n") + "\n")
		}
	}
	for _, crd := range olm.CRDObjects() {
		write(string(crd.File.Data))
	}
	out.WriteString("# the rest\n")
	var names []string
	for name := range files {
		if base := filepath.Base(name); !strings.HasPrefix(base, "_") && !strings.HasSuffix(base, publicCatalog) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		write(files[name])
	}
	return out.String(), nil
}
