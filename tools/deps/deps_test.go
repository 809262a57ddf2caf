// Package deps checks docs/dependencies.md against the go.mod files.
package deps

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
)

const root = "../.."

// sections maps the sections of the page to the modules whose direct dependencies they must explain.
var sections = map[string][]string{
	"## The operator": {"."},
	"## The developer tools": {
		"tools", "tools/lint", "tools/operator-sdk", "tools/olm", "tools/kwok", "tools/supply", "tools/observability",
		"tools/release", "tools/actionlint", "tools/chart", "tools/recipes", "tools/krew",
	},
	"## The embedded cluster": {"test/cluster"},
}

func TestEveryDirectDependencyIsExplained(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs", "dependencies.md"))
	if err != nil {
		t.Fatal(err)
	}
	for heading, modules := range sections {
		_, text, found := strings.Cut(string(page), heading)
		if !found {
			t.Fatalf("docs/dependencies.md has no section %q", heading)
		}
		text, _, _ = strings.Cut(text, "\n## ")
		for _, module := range modules {
			for _, dependency := range direct(t, module) {
				if !strings.Contains(text, "| `"+dependency+"` |") {
					t.Errorf("docs/dependencies.md: section %q has no line for %s of %s/go.mod; explain why it is needed", heading, dependency, module)
				}
			}
		}
	}
}

// direct returns the direct requirements of a module, including the modules of its tools.
func direct(t *testing.T, module string) []string {
	t.Helper()
	path := filepath.Join(root, module, "go.mod")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file, err := modfile.Parse(path, data, nil)
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, require := range file.Require {
		isTool := false
		for _, tool := range file.Tool {
			isTool = isTool || tool.Path == require.Mod.Path || strings.HasPrefix(tool.Path, require.Mod.Path+"/")
		}
		if isTool || !require.Indirect {
			found = append(found, require.Mod.Path)
		}
	}
	return found
}
