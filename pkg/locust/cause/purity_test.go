package cause

import (
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const reports = "github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"

// The package converts texts to texts: the standard library and pkg/locust/report only, no network, no files, no clock.
func TestPurity(t *testing.T) {
	pkg, err := build.ImportDir(".", 0)
	require.NoError(t, err)
	for _, path := range pkg.Imports {
		first, _, _ := strings.Cut(path, "/")
		assert.True(t, path == reports || !strings.Contains(first, "."), path)
		assert.NotRegexp(t, `^(net|os|log|syscall|unsafe|time)($|/)`, path)
	}
	for _, name := range pkg.GoFiles {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		require.NoError(t, err)
		ast.Inspect(file, func(n ast.Node) bool {
			if call, ok := n.(*ast.SelectorExpr); ok {
				if x, ok := call.X.(*ast.Ident); ok && x.Name == "time" {
					assert.NotContains(t, []string{"Now", "Since", "Until", "After", "Sleep", "Tick"}, call.Sel.Name, name)
				}
			}
			return true
		})
	}
}
