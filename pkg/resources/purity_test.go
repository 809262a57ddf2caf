package resources

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPackageIsPure checks by the imports that the package has no access to clients, clocks and loggers.
func TestPackageIsPure(t *testing.T) {
	standard := []string{"embed", "encoding/json", "errors", "fmt", "maps", "path", "regexp", "slices", "strconv", "strings", "time"}
	units := []string{"Duration", "Hour", "Minute", "Second"} // of package time; the rest is a clock
	modules := []string{
		"k8s.io/api/", "k8s.io/apimachinery/",
		"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2", "github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli",
	}

	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".go") || strings.HasSuffix(entry.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), entry.Name(), nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			allowed := slices.Contains(standard, path) ||
				slices.ContainsFunc(modules, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
			assert.True(t, allowed, "%s imports %s: no client, clock or logger belongs here", entry.Name(), path)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok {
				if from, ok := selector.X.(*ast.Ident); ok && from.Name == "time" {
					assert.Contains(t, units, selector.Sel.Name, "%s uses the clock", entry.Name())
				}
			}
			return true
		})
	}
}
