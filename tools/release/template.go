package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// catalogTemplate is a template of the schema olm.template.basic, as far as a release changes it.
type catalogTemplate struct {
	Schema  string           `json:"schema"`
	Entries []map[string]any `json:"entries"`
}

// template sets the bundle image of a version in the template of the catalog, which has it by tag. Those of other versions must be by
// digest. With alone, only this version stays, for a registry that has no other.
func template(text []byte, version, bundle string, alone bool) ([]byte, error) {
	var t catalogTemplate
	if err := yaml.UnmarshalStrict(text, &t); err != nil {
		return nil, err
	}
	var kept []map[string]any
	var errs []error
	bundles, named := 0, 0
	for _, entry := range t.Entries {
		switch entry["schema"] {
		case "olm.bundle":
			image, _ := entry["image"].(string)
			switch {
			case strings.HasSuffix(image, "-bundle:v"+version):
				entry["image"] = bundle
				bundles++
			case alone:
				continue
			case !strings.Contains(image, "@sha256:"):
				errs = append(errs, fmt.Errorf("the bundle %s has no digest: replace it by that in images.txt of its release", image))
			}
		case "olm.channel":
			channel, _ := entry["entries"].([]any)
			isVersion := func(e any) bool {
				fields, _ := e.(map[string]any)
				name, _ := fields["name"].(string)
				return strings.HasSuffix(name, ".v"+version)
			}
			if i := slices.IndexFunc(channel, isVersion); i >= 0 {
				named++
				if alone {
					entry["entries"] = []any{map[string]any{"name": channel[i].(map[string]any)["name"]}}
				}
			} else if alone {
				continue
			}
		}
		kept = append(kept, entry)
	}
	if bundles != 1 || named == 0 {
		errs = append(errs, fmt.Errorf("the template has no version %s: add it to the channels and to the bundles", version))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	t.Entries = kept
	return yaml.Marshal(t)
}
