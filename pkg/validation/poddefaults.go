package validation

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

var (
	tolerationOperators = []corev1.TolerationOperator{"", corev1.TolerationOpExists, corev1.TolerationOpEqual, corev1.TolerationOpLt, corev1.TolerationOpGt}
	taintEffects        = []corev1.TaintEffect{"", corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
)

// ValidatePodDefaults returns the errors of the defaults for the pods of all tests. The API server would refuse the Jobs of every
// test, so it is stricter than Validate: it knows all operators and effects.
func ValidatePodDefaults(d *resources.PodDefaults) field.ErrorList {
	var errs field.ErrorList
	errs = append(errs, validateDefaultResources(d.Master.Resources, field.NewPath("master", "resources"))...)
	errs = append(errs, validateDefaultResources(d.Worker.Resources, field.NewPath("worker", "resources"))...)
	for i, secret := range d.ImagePullSecrets {
		errs = append(errs, validateObjectName(field.NewPath("imagePullSecrets").Index(i).Child("name"), "Secret", secret.Name)...)
	}
	if d.PriorityClassName != "" {
		errs = append(errs, validateObjectName(field.NewPath("priorityClassName"), "PriorityClass", d.PriorityClassName)...)
	}
	errs = append(errs, validateScheduling(&v2.SchedulingConfig{NodeSelector: d.NodeSelector, Tolerations: d.Tolerations, RuntimeClassName: &d.RuntimeClassName}, nil)...)
	for i, toleration := range d.Tolerations {
		at := field.NewPath("tolerations").Index(i)
		if !slices.Contains(tolerationOperators, toleration.Operator) {
			errs = append(errs, field.NotSupported(at.Child("operator"), toleration.Operator, tolerationOperators[1:]))
		}
		if !slices.Contains(taintEffects, toleration.Effect) {
			errs = append(errs, field.NotSupported(at.Child("effect"), toleration.Effect, taintEffects[1:]))
		}
	}
	return errs
}

func validateDefaultResources(defaults corev1.ResourceRequirements, path *field.Path) field.ErrorList {
	errs := validateResources(defaults, path)
	if len(defaults.Claims) > 0 {
		errs = append(errs, field.Forbidden(path.Child("claims"), "a claim belongs to one pod; remove it"))
	}
	for _, list := range []struct {
		name      string
		resources corev1.ResourceList
	}{{"limits", defaults.Limits}, {"requests", defaults.Requests}} {
		for _, name := range slices.Sorted(maps.Keys(list.resources)) {
			quantity := list.resources[name]
			at := path.Child(list.name).Key(string(name))
			if quantity.Sign() < 0 {
				errs = append(errs, field.Invalid(at, quantity.String(), "must not be negative"))
			}
			if limit, set := defaults.Limits[name]; set && quantity.Cmp(limit) > 0 {
				errs = append(errs, field.Invalid(at, quantity.String(), "is above the limit "+limit.String()+"; lower it, or raise the limit"))
			}
		}
	}
	return errs
}
