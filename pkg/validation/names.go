package validation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// The rules of this file are those of the API server for pods (Kubernetes API reference, PodSpec). It would reject the
// Jobs, or accept a reference that can never be resolved; these checks report it when the test is written.

func validateScheduling(scheduling *v2.SchedulingConfig, path *field.Path) field.ErrorList {
	if scheduling == nil {
		return nil
	}
	var errs field.ErrorList
	if name := scheduling.RuntimeClassName; name != nil && *name != "" {
		errs = invalid(path.Child("runtimeClassName"), *name, "no RuntimeClass can have this name: ", validation.IsDNS1123Subdomain(*name), "correct the name")
	}
	selector := path.Child("nodeSelector")
	for _, key := range sortedKeys(scheduling.NodeSelector) {
		errs = append(errs, validateLabelKey(selector.Key(key), key)...)
		errs = append(errs, validateLabelValue(selector.Key(key), scheduling.NodeSelector[key])...)
	}
	for i := range scheduling.Tolerations {
		errs = append(errs, validateToleration(&scheduling.Tolerations[i], path.Child("tolerations").Index(i))...)
	}
	return append(errs, validateAffinity(scheduling.Affinity, path.Child("affinity"))...)
}

// invalid returns an error for each problem that a function of apimachinery found in a value.
func invalid(path *field.Path, value, intro string, problems []string, remedy string) field.ErrorList {
	var errs field.ErrorList
	for _, problem := range problems {
		errs = append(errs, field.Invalid(path, resources.Excerpt(value), intro+problem+"; "+remedy))
	}
	return errs
}

func validateLabelKey(path *field.Path, key string) field.ErrorList {
	return invalid(path, key, "", validation.IsQualifiedName(key), "correct the label's name")
}

func validateLabelValue(path *field.Path, value string) field.ErrorList {
	return invalid(path, value, "", validation.IsValidLabelValue(value), "correct the label's value")
}

func validateToleration(t *corev1.Toleration, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if t.Key != "" {
		errs = append(errs, validateLabelKey(path.Child("key"), t.Key)...)
	} else if t.Operator != corev1.TolerationOpExists {
		errs = append(errs, field.Invalid(path.Child("operator"), resources.Excerpt(string(t.Operator)), "must be Exists when there is no key, which tolerates all taints; choose Exists, or name a key"))
	}
	switch t.Operator {
	case "", corev1.TolerationOpEqual:
		errs = append(errs, validateLabelValue(path.Child("value"), t.Value)...)
	case corev1.TolerationOpExists:
		if t.Value != "" {
			errs = append(errs, field.Invalid(path.Child("value"), resources.Excerpt(t.Value), "must be empty with operator Exists; remove it"))
		}
	}
	// Other operators and effects may belong to a newer Kubernetes: the API server rejects unknown ones.
	if t.TolerationSeconds != nil && t.Effect != corev1.TaintEffectNoExecute {
		errs = append(errs, field.Invalid(path.Child("effect"), resources.Excerpt(string(t.Effect)), "must be NoExecute with tolerationSeconds; change it, or remove tolerationSeconds"))
	}
	return errs
}

func validateAffinity(affinity *corev1.Affinity, path *field.Path) field.ErrorList {
	if affinity == nil {
		return nil
	}
	var errs field.ErrorList
	if node := affinity.NodeAffinity; node != nil {
		at := path.Child("nodeAffinity")
		if required := node.RequiredDuringSchedulingIgnoredDuringExecution; required != nil {
			terms := at.Child("requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
			if len(required.NodeSelectorTerms) == 0 {
				errs = append(errs, field.Required(terms, "add a term, or remove the requirement"))
			}
			for i, term := range required.NodeSelectorTerms {
				errs = append(errs, validateNodeTerm(term, terms.Index(i))...)
			}
		}
		for i, preferred := range node.PreferredDuringSchedulingIgnoredDuringExecution {
			errs = append(errs, validateNodeTerm(preferred.Preference, at.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("preference"))...)
		}
	}
	if pods := affinity.PodAffinity; pods != nil {
		errs = append(errs, validatePodTerms(pods.RequiredDuringSchedulingIgnoredDuringExecution, pods.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAffinity"))...)
	}
	if pods := affinity.PodAntiAffinity; pods != nil {
		errs = append(errs, validatePodTerms(pods.RequiredDuringSchedulingIgnoredDuringExecution, pods.PreferredDuringSchedulingIgnoredDuringExecution, path.Child("podAntiAffinity"))...)
	}
	return errs
}

// nodeOperators maps the operators of node selectors to those of package labels.
var nodeOperators = map[corev1.NodeSelectorOperator]selection.Operator{
	corev1.NodeSelectorOpIn: selection.In, corev1.NodeSelectorOpNotIn: selection.NotIn,
	corev1.NodeSelectorOpExists: selection.Exists, corev1.NodeSelectorOpDoesNotExist: selection.DoesNotExist,
	corev1.NodeSelectorOpGt: selection.GreaterThan, corev1.NodeSelectorOpLt: selection.LessThan,
}

func validateNodeTerm(term corev1.NodeSelectorTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i, expression := range term.MatchExpressions {
		at := path.Child("matchExpressions").Index(i)
		operator, known := nodeOperators[expression.Operator]
		if !known {
			errs = append(errs, field.Invalid(at.Child("operator"), resources.Excerpt(string(expression.Operator)), "is not supported; choose In, NotIn, Exists, DoesNotExist, Gt or Lt"))
			continue
		}
		if _, err := labels.NewRequirement(expression.Key, operator, expression.Values); err != nil {
			errs = append(errs, field.Invalid(at, resources.Excerpt(expression.Key), resources.Excerpt(err.Error())+"; correct the expression"))
		}
	}
	for i, match := range term.MatchFields {
		at := path.Child("matchFields").Index(i)
		if match.Key != metav1.ObjectNameField || len(match.Values) != 1 || (match.Operator != corev1.NodeSelectorOpIn && match.Operator != corev1.NodeSelectorOpNotIn) {
			errs = append(errs, field.Invalid(at, resources.Excerpt(match.Key), "must compare metadata.name with one value by In or NotIn; correct it, or use matchExpressions"))
		}
	}
	return errs
}

func validatePodTerms(required []corev1.PodAffinityTerm, preferred []corev1.WeightedPodAffinityTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range required {
		errs = append(errs, validatePodTerm(&required[i], path.Child("requiredDuringSchedulingIgnoredDuringExecution").Index(i))...)
	}
	for i := range preferred {
		errs = append(errs, validatePodTerm(&preferred[i].PodAffinityTerm, path.Child("preferredDuringSchedulingIgnoredDuringExecution").Index(i).Child("podAffinityTerm"))...)
	}
	return errs
}

func validatePodTerm(term *corev1.PodAffinityTerm, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	if term.TopologyKey == "" {
		errs = append(errs, field.Required(path.Child("topologyKey"), "name a label of nodes, for example kubernetes.io/hostname"))
	} else {
		errs = append(errs, validateLabelKey(path.Child("topologyKey"), term.TopologyKey)...)
	}
	for i, name := range term.Namespaces {
		errs = append(errs, invalid(path.Child("namespaces").Index(i), name, "no namespace can have this name: ", validation.IsDNS1123Label(name), "correct the name")...)
	}
	for _, selector := range []struct {
		name     string
		selector *metav1.LabelSelector
	}{{"labelSelector", term.LabelSelector}, {"namespaceSelector", term.NamespaceSelector}} {
		for _, err := range metav1validation.ValidateLabelSelector(selector.selector, metav1validation.LabelSelectorValidationOptions{}, path.Child(selector.name)) {
			err.BadValue = resources.Excerpt(fmt.Sprint(err.BadValue))
			err.Detail += "; correct the selector"
			errs = append(errs, err)
		}
	}
	return errs
}

// validateResources checks the names of resources: Kubernetes' own, or with a domain.
func validateResources(required corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, list := range []struct {
		name      string
		resources corev1.ResourceList
	}{{"limits", required.Limits}, {"requests", required.Requests}} {
		for _, name := range slices.Sorted(maps.Keys(list.resources)) {
			at := path.Child(list.name).Key(string(name))
			problems := validation.IsQualifiedName(string(name))
			own := []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory, corev1.ResourceEphemeralStorage}
			if len(problems) == 0 && !strings.Contains(string(name), "/") && !slices.Contains(own, name) && !strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix) {
				problems = []string{"is not a resource of Kubernetes and has no domain, as in example.com/gpu"}
			}
			errs = append(errs, invalid(at, string(name), "", problems, "correct the resource's name")...)
		}
	}
	return errs
}

// validateSources checks the names of ConfigMaps and Secrets that single variables refer to.
func validateSources(env *v2.EnvConfig, path *field.Path) field.ErrorList {
	if env == nil {
		return nil
	}
	var errs field.ErrorList
	for i, variable := range env.Variables {
		from := variable.ValueFrom
		if from == nil {
			continue
		}
		at := path.Child("variables").Index(i).Child("valueFrom")
		if ref := from.ConfigMapKeyRef; ref != nil {
			errs = append(errs, validateObjectName(at.Child("configMapKeyRef", "name"), "ConfigMap", ref.Name)...)
			errs = append(errs, validateDataKey(at.Child("configMapKeyRef", "key"), ref.Key)...)
		}
		if ref := from.SecretKeyRef; ref != nil {
			errs = append(errs, validateObjectName(at.Child("secretKeyRef", "name"), "Secret", ref.Name)...)
			errs = append(errs, validateDataKey(at.Child("secretKeyRef", "key"), ref.Key)...)
		}
	}
	return errs
}

func validateDataKey(path *field.Path, key string) field.ErrorList {
	return invalid(path, key, "", validation.IsConfigMapKey(key), "correct the key")
}

// validateVolumeNames checks the name of each volume, and of the ConfigMaps, Secrets and claims that it refers to.
func validateVolumeNames(volumes []corev1.Volume, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for i := range volumes {
		volume, at := &volumes[i], path.Index(i)
		errs = append(errs, invalid(at.Child("name"), volume.Name, "", validation.IsDNS1123Label(volume.Name), "rename the volume and its mounts")...)
		if source := volume.ConfigMap; source != nil {
			errs = append(errs, validateFiles(at.Child("configMap"), "name", "ConfigMap", source.Name, source.Items)...)
		}
		if source := volume.Secret; source != nil {
			errs = append(errs, validateFiles(at.Child("secret"), "secretName", "Secret", source.SecretName, source.Items)...)
		}
		if source := volume.PersistentVolumeClaim; source != nil {
			errs = append(errs, validateObjectName(at.Child("persistentVolumeClaim", "claimName"), "PersistentVolumeClaim", source.ClaimName)...)
		}
		if volume.Projected == nil {
			continue
		}
		for j, source := range volume.Projected.Sources {
			at := at.Child("projected", "sources").Index(j)
			if source.ConfigMap != nil {
				errs = append(errs, validateFiles(at.Child("configMap"), "name", "ConfigMap", source.ConfigMap.Name, source.ConfigMap.Items)...)
			}
			if source.Secret != nil {
				errs = append(errs, validateFiles(at.Child("secret"), "name", "Secret", source.Secret.Name, source.Secret.Items)...)
			}
		}
	}
	return errs
}

// validateFiles checks the object that a volume has its files from, and its chosen keys.
func validateFiles(path *field.Path, nameField, kind, name string, items []corev1.KeyToPath) field.ErrorList {
	errs := validateObjectName(path.Child(nameField), kind, name)
	for i, item := range items {
		path := path.Child("items").Index(i)
		errs = append(errs, validateDataKey(path.Child("key"), item.Key)...)
		if item.Path == "" || strings.HasPrefix(item.Path, "/") || slices.Contains(strings.Split(item.Path, "/"), "..") {
			errs = append(errs, field.Invalid(path.Child("path"), resources.Excerpt(item.Path), "must be a relative path without \"..\"; correct it"))
		}
	}
	return errs
}
