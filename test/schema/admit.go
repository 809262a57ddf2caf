package schema

import (
	"context"
	"fmt"
	"os"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// Version is one version of a CRD.
type Version struct {
	// APIVersion and Kind are those of its objects.
	APIVersion, Kind string

	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

// Read returns the versions of a CRD in a YAML file, by name.
func Read(path string) (map[string]*Version, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var crd apiextensionsv1.CustomResourceDefinition
	if err := yaml.UnmarshalStrict(raw, &crd); err != nil {
		return nil, fmt.Errorf("parse %s: %w", path, err)
	}
	versions := map[string]*Version{}
	for _, v := range crd.Spec.Versions {
		var internal apiextensions.CustomResourceValidation
		if err := apiextensionsv1.Convert_v1_CustomResourceValidation_To_apiextensions_CustomResourceValidation(v.Schema, &internal, nil); err != nil {
			return nil, fmt.Errorf("version %s: %w", v.Name, err)
		}
		structural, err := structuralschema.NewStructural(internal.OpenAPIV3Schema)
		if err != nil {
			return nil, fmt.Errorf("version %s: %w", v.Name, err)
		}
		validator, _, err := validation.NewSchemaValidator(internal.OpenAPIV3Schema)
		if err != nil {
			return nil, fmt.Errorf("version %s: %w", v.Name, err)
		}
		versions[v.Name] = &Version{
			APIVersion: crd.Spec.Group + "/" + v.Name, Kind: crd.Spec.Names.Kind,
			structural: structural, schema: validator, rules: cel.NewValidator(structural, true, celconfig.PerCallLimit),
		}
	}
	return versions, nil
}

// Check returns an error if a manifest has unknown or duplicate fields, or if Admit refuses it.
func (v *Version) Check(ctx context.Context, manifest []byte) error {
	var object map[string]any
	if err := yaml.UnmarshalStrict(manifest, &object); err != nil {
		return err
	}
	tracking := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	if unknown := pruning.PruneWithOptions(object, v.structural, true, tracking); len(unknown) > 0 {
		return fmt.Errorf("unknown fields: %s", strings.Join(unknown, ", "))
	}
	return v.Admit(ctx, object)
}

// Admit prunes, defaults and validates a new object as the API server does. It returns the first error.
func (v *Version) Admit(ctx context.Context, object map[string]any) error {
	pruning.Prune(object, v.structural, true)
	defaulting.PruneNonNullableNullsWithoutDefaults(object, v.structural)
	defaulting.Default(object, v.structural)
	if errs := validation.ValidateCustomResource(nil, object, v.schema); len(errs) > 0 {
		return errs[0]
	}
	if errs := listtype.ValidateListSetsAndMaps(nil, v.structural, object); len(errs) > 0 {
		return errs[0]
	}
	if errs, _ := v.rules.Validate(ctx, nil, v.structural, object, nil, celconfig.RuntimeCELCostBudget); len(errs) > 0 {
		return errs[0]
	}
	return nil
}

// AdmitUpdate validates a change of an admitted object as the API server does, transition rules included. It returns the first error.
func (v *Version) AdmitUpdate(ctx context.Context, object, old map[string]any) error {
	if errs := validation.ValidateCustomResourceUpdate(nil, object, old, v.schema); len(errs) > 0 {
		return errs[0]
	}
	if errs, _ := v.rules.Validate(ctx, nil, v.structural, object, old, celconfig.RuntimeCELCostBudget); len(errs) > 0 {
		return errs[0]
	}
	return nil
}
