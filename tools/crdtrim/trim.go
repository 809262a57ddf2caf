package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"path/filepath"

	"sigs.k8s.io/yaml"
)

// object is a JSON object: the CRD, or one schema in it.
type object = map[string]any

// versionSize is the size of one version as compact JSON.
type versionSize struct {
	version string
	bytes   int
}

// trimCRD returns the CRD without the descriptions below core types, and with tightened patterns. It reads the types from the
// packages in api, which have the names of the CRD's versions; the root type has the name of its kind.
func trimCRD(in []byte, api string) (out []byte, sizes []versionSize, err error) {
	var crd object
	// Keep the format of numbers; a float64 would turn large ones into 1e+06.
	keepNumbers := func(d *json.Decoder) *json.Decoder { d.UseNumber(); return d }
	if err := yaml.Unmarshal(in, &crd, keepNumbers); err != nil {
		return nil, nil, fmt.Errorf("parse: %w", err)
	}
	spec, _ := crd["spec"].(object)
	names, _ := spec["names"].(object)
	kind, _ := names["kind"].(string)
	versions, _ := spec["versions"].([]any)
	if kind == "" || len(versions) == 0 {
		return nil, nil, errors.New("not a CustomResourceDefinition: it has no kind or no version")
	}

	for _, entry := range versions {
		version, _ := entry.(object)
		name, _ := version["name"].(string)
		root, ok := at(version, "schema", "openAPIV3Schema")
		if !ok {
			return nil, nil, fmt.Errorf("version %q has no schema", name)
		}
		types, err := readPackage(filepath.Join(api, name))
		if err != nil {
			return nil, nil, fmt.Errorf("types of version %s: %w", name, err)
		}
		if _, ok := types[kind]; !ok {
			return nil, nil, fmt.Errorf("types of version %s: no type %s", name, kind)
		}
		types.trim(root, &ast.Ident{Name: kind}, nil)
		tighten(root)

		compact, err := json.Marshal(version)
		if err != nil {
			return nil, nil, fmt.Errorf("version %s: %w", name, err)
		}
		sizes = append(sizes, versionSize{version: name, bytes: len(compact)})
	}

	out, err = yaml.Marshal(crd)
	if err != nil {
		return nil, nil, fmt.Errorf("write: %w", err)
	}
	return append([]byte("---\n"), out...), sizes, nil
}

// trim walks a Go type together with its schema, and removes the descriptions below every core type. imports
// are those of the file that uses the type.
func (p packageTypes) trim(schema object, expr ast.Expr, imports map[string]string) {
	switch typ := expr.(type) {
	case *ast.StarExpr:
		p.trim(schema, typ.X, imports)
	case *ast.ArrayType:
		if items, ok := at(schema, "items"); ok {
			p.trimElement(items, typ.Elt, imports)
		}
	case *ast.MapType:
		if values, ok := at(schema, "additionalProperties"); ok {
			p.trimElement(values, typ.Value, imports)
		}
	case *ast.SelectorExpr:
		if isCoreType(typ, imports) {
			stripBelow(schema)
		}
		if isDuration(typ, imports) {
			tightenDuration(schema)
		}
	case *ast.Ident:
		if declared, ok := p[typ.Name]; ok {
			p.trim(schema, declared.expr, declared.imports)
		}
	case *ast.StructType:
		p.trimStruct(schema, typ, imports)
	}
}

// trimElement trims the schema of an element of a list or a map. The description of the element is that of its type, not of the field,
// so it is removed as well if the type is a core type.
func (p packageTypes) trimElement(schema object, expr ast.Expr, imports map[string]string) {
	if selector, ok := expr.(*ast.SelectorExpr); ok && isCoreType(selector, imports) {
		delete(schema, "description")
	}
	p.trim(schema, expr, imports)
}

func (p packageTypes) trimStruct(schema object, typ *ast.StructType, imports map[string]string) {
	properties, _ := at(schema, "properties")
	own := map[string]bool{}
	for _, field := range typ.Fields.List {
		name := jsonName(field)
		if name == "" {
			continue
		}
		own[name] = true
		if property, ok := at(properties, name); ok {
			p.trim(property, field.Type, imports)
		}
	}
	for _, field := range typ.Fields.List {
		if jsonName(field) != "" {
			continue
		}
		// An embedded type: its fields are among ours.
		selector, ok := field.Type.(*ast.SelectorExpr)
		if !ok {
			p.trim(schema, field.Type, imports)
			continue
		}
		if !isCoreType(selector, imports) {
			continue
		}
		for name, property := range properties {
			if inherited, ok := property.(object); ok && !own[name] {
				delete(inherited, "description")
				stripBelow(inherited)
			}
		}
	}
}

// stripBelow removes the descriptions inside a schema, but not its own. A property with the name
// "description" is kept.
func stripBelow(schema object) {
	for _, child := range children(schema) {
		delete(child, "description")
		stripBelow(child)
	}
}

// children returns the schemas directly inside a schema.
func children(schema object) []object {
	var found []object
	add := func(value any) {
		if child, ok := value.(object); ok {
			found = append(found, child)
		}
	}
	for _, keyword := range []string{"items", "additionalProperties", "not"} {
		add(schema[keyword])
	}
	for _, keyword := range []string{"properties", "patternProperties"} {
		named, _ := schema[keyword].(object)
		for _, value := range named {
			add(value)
		}
	}
	for _, keyword := range []string{"allOf", "anyOf", "oneOf"} {
		list, _ := schema[keyword].([]any)
		for _, value := range list {
			add(value)
		}
	}
	return found
}

// at returns the object at a path of keys.
func at(from object, path ...string) (object, bool) {
	for _, key := range path {
		next, ok := from[key].(object)
		if !ok {
			return nil, false
		}
		from = next
	}
	return from, true
}
