package validation

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPackageIsPure checks by the imports that this package, the builders and the command line have no access to clients, clocks and loggers.
func TestPackageIsPure(t *testing.T) {
	standard := []string{"embed", "encoding/json", "errors", "fmt", "maps", "path", "regexp", "slices", "strconv", "strings", "time"}
	units := []string{"Duration", "Hour", "Minute", "Second"} // of package time; the rest is a clock
	modules := []string{
		"k8s.io/api/", "k8s.io/apimachinery/", "mvdan.cc/sh/v3/expand", "mvdan.cc/sh/v3/syntax",
		"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2", "github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli",
		"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources",
	}

	var files []string
	for _, pattern := range []string{"*.go", "../resources/*.go", "../locustcli/*.go"} {
		found, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, found, pattern)
		files = append(files, found...)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, spec := range file.Imports {
			path, err := strconv.Unquote(spec.Path.Value)
			require.NoError(t, err)
			allowed := slices.Contains(standard, path) ||
				slices.ContainsFunc(modules, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
			assert.True(t, allowed, "%s imports %s: no client, clock or logger belongs here", name, path)
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if selector, ok := node.(*ast.SelectorExpr); ok {
				if from, ok := selector.X.(*ast.Ident); ok && from.Name == "time" {
					assert.Contains(t, units, selector.Sel.Name, "%s uses the clock", name)
				}
			}
			return true
		})
	}
}
