package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
)

// packageTypes holds the types that a package declares, by name.
type packageTypes map[string]declaredType

// declaredType is one type declaration, with the imports of its file: local name to path.
type declaredType struct {
	expr    ast.Expr
	imports map[string]string
}

// readPackage parses the Go files of a folder, except tests. Parsing the source is sufficient and needs neither the
// module's dependencies nor a successful build.
func readPackage(dir string) (packageTypes, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	types := packageTypes{}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		imports := map[string]string{}
		for _, spec := range file.Imports {
			target, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, fmt.Errorf("import in %s: %w", name, err)
			}
			local := path.Base(target)
			if spec.Name != nil {
				local = spec.Name.Name
			}
			imports[local] = target
		}
		for _, decl := range file.Decls {
			general, ok := decl.(*ast.GenDecl)
			if !ok {
				continue
			}
			for _, spec := range general.Specs {
				if typ, ok := spec.(*ast.TypeSpec); ok {
					types[typ.Name.Name] = declaredType{expr: typ.Type, imports: imports}
				}
			}
		}
	}
	if len(types) == 0 {
		return nil, fmt.Errorf("no Go types in %s", dir)
	}
	return types, nil
}

// isCoreType reports whether a type is from k8s.io/api. Types of k8s.io/apimachinery (times, conditions, object
// metadata) are small and keep their descriptions.
func isCoreType(selector *ast.SelectorExpr, imports map[string]string) bool {
	pkg, ok := selector.X.(*ast.Ident)
	return ok && strings.HasPrefix(imports[pkg.Name], "k8s.io/api/")
}

// isDuration reports whether a type is metav1.Duration.
func isDuration(selector *ast.SelectorExpr, imports map[string]string) bool {
	pkg, ok := selector.X.(*ast.Ident)
	return ok && imports[pkg.Name] == "k8s.io/apimachinery/pkg/apis/meta/v1" && selector.Sel.Name == "Duration"
}

// jsonName returns the property name of a field, or "" if the fields of its type are inlined.
func jsonName(field *ast.Field) string {
	tag := ""
	if field.Tag != nil {
		if unquoted, err := strconv.Unquote(field.Tag.Value); err == nil {
			tag = reflect.StructTag(unquoted).Get("json")
		}
	}
	name, _, _ := strings.Cut(tag, ",")
	if name == "" && len(field.Names) > 0 {
		name = field.Names[0].Name
	}
	return name
}
