package validation

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// validateReferences checks the names of ConfigMaps and Secrets. With an invalid name the pods would wait
// forever.
func validateReferences(spec *v2.LocustTestSpec, root *field.Path) field.ErrorList {
	var errs field.ErrorList
	optional := func(path *field.Path, kind, name string) {
		if name != "" {
			errs = append(errs, validateObjectName(path, kind, name)...)
		}
	}
	for i, secret := range spec.ImagePullSecrets {
		optional(root.Child("imagePullSecrets").Index(i).Child("name"), "Secret", secret.Name)
	}
	if files := spec.TestFiles; files != nil {
		optional(root.Child("testFiles", "configMapRef"), "ConfigMap", files.ConfigMapRef)
		optional(root.Child("testFiles", "libConfigMapRef"), "ConfigMap", files.LibConfigMapRef)
	}

	env := spec.Env
	if env == nil {
		return errs
	}
	at := root.Child("env")
	for i, ref := range env.ConfigMapRefs {
		errs = append(errs, validateObjectName(at.Child("configMapRefs").Index(i).Child("name"), "ConfigMap", ref.Name)...)
	}
	for i, ref := range env.SecretRefs {
		errs = append(errs, validateObjectName(at.Child("secretRefs").Index(i).Child("name"), "Secret", ref.Name)...)
	}
	for i, mount := range env.SecretMounts {
		errs = append(errs, validateObjectName(at.Child("secretMounts").Index(i).Child("name"), "Secret", mount.Name)...)
	}
	return errs
}

func validateObjectName(path *field.Path, kind, name string) field.ErrorList {
	if name == "" {
		return field.ErrorList{field.Required(path, "name a "+kind+" of the test's namespace")}
	}
	if problems := validation.IsDNS1123Subdomain(name); len(problems) > 0 {
		return field.ErrorList{field.Invalid(path, resources.Excerpt(name),
			"no "+kind+" can have this name: "+strings.Join(problems, "; ")+"; correct the name")}
	}
	return nil
}

// validateInline checks names and sizes of inline files. Names are those of keys in a ConfigMap.
func validateInline(files *v2.TestFilesConfig, at *field.Path) field.ErrorList {
	if files == nil || len(files.Inline) == 0 {
		return nil
	}
	inline := at.Child("inline")
	var errs field.ErrorList
	if files.ConfigMapRef != "" {
		errs = append(errs, field.Invalid(inline, fmt.Sprintf("%d files", len(files.Inline)), "cannot be combined with configMapRef; put all files in one of them"))
	}
	if len(files.Inline) > v2.MaxInlineFiles {
		errs = append(errs, field.TooMany(inline, len(files.Inline), v2.MaxInlineFiles))
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(files.Inline)) {
		errs = append(errs, invalid(inline.Key(resources.Excerpt(name)), name, "no file can have this name: ", validation.IsConfigMapKey(name), "rename the file")...)
		size += len(name) + len(files.Inline[name])
	}
	if rest, nested := strings.CutPrefix(path.Clean(files.LibMountPath), path.Clean(files.SrcMountPath)+"/"); nested && files.LibConfigMapRef != "" {
		name, _, _ := strings.Cut(rest, "/")
		if _, taken := files.Inline[name]; taken {
			errs = append(errs, field.Invalid(at.Child("libMountPath"), resources.Excerpt(files.LibMountPath),
				fmt.Sprintf("the inline file %s is at this place; choose another path, or rename the file", resources.Excerpt(name))))
		}
	}
	encoded, err := json.Marshal(files.Inline)
	if err != nil {
		return append(errs, field.Invalid(inline, "", fmt.Sprintf("cannot be written as JSON: %v; correct the content", err)))
	}
	if size > v2.MaxInlineBytes || len(encoded) > v2.MaxInlineJSON {
		errs = append(errs, field.Invalid(inline, fmt.Sprintf("%d bytes, %d as JSON", size, len(encoded)), fmt.Sprintf(
			"must be no larger than %d bytes, and %d bytes as JSON, because all pods hold a copy; move files into a ConfigMap and name it in configMapRef",
			v2.MaxInlineBytes, v2.MaxInlineJSON)))
	}
	return errs
}

func sortedKeys(m map[string]string) []string {
	return slices.Sorted(maps.Keys(m))
}
