package resources

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// PodDefaults are the operator's settings for the pods of all tests, where a spec sets nothing. The zero value adds nothing.
type PodDefaults struct {
	Master RoleDefaults `json:"master,omitzero"`
	Worker RoleDefaults `json:"worker,omitzero"`
	// Scheduling, and secrets to pull images.
	ImagePullSecrets  []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`
	NodeSelector      map[string]string             `json:"nodeSelector,omitempty"`
	Tolerations       []corev1.Toleration           `json:"tolerations,omitempty"`
	PriorityClassName string                        `json:"priorityClassName,omitempty"`
	RuntimeClassName  string                        `json:"runtimeClassName,omitempty"`
	// PlatformUser leaves user and group of the processes to the platform, as OpenShift requires it; otherwise they are those of
	// the Locust image.
	PlatformUser bool `json:"-"`
}

// RoleDefaults are defaults for one role.
type RoleDefaults struct {
	// Resources apply by name: a spec that sets a request or a limit of cpu gets neither from here, but those of memory.
	Resources corev1.ResourceRequirements `json:"resources,omitzero"`
}

// ParsePodDefaults decodes JSON. It returns all errors, each with its field.
func ParsePodDefaults(text []byte) (PodDefaults, error) {
	var d PodDefaults
	if len(text) == 0 {
		return d, nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		return d, err
	}
	return d, d.validate()
}

func (d *PodDefaults) validate() error {
	var errs []error
	name := func(field, value string) {
		for _, problem := range validation.IsDNS1123Subdomain(value) {
			errs = append(errs, fmt.Errorf("%s: %q: %s", field, value, problem))
		}
	}
	for role, of := range map[string]corev1.ResourceRequirements{"master": d.Master.Resources, "worker": d.Worker.Resources} {
		if len(of.Claims) > 0 {
			errs = append(errs, fmt.Errorf("%s.resources.claims: not supported; a claim belongs to one pod", role))
		}
		for key, limit := range of.Limits {
			if request, set := of.Requests[key]; set && request.Cmp(limit) > 0 {
				errs = append(errs, fmt.Errorf("%s.resources.requests.%s: %s is above the limit %s", role, key, request.String(), limit.String()))
			}
		}
		for _, list := range []corev1.ResourceList{of.Requests, of.Limits} {
			for key, quantity := range list {
				if quantity.Sign() < 0 {
					errs = append(errs, fmt.Errorf("%s.resources: %s of %s is negative", role, quantity.String(), key))
				}
			}
		}
	}
	for i, secret := range d.ImagePullSecrets {
		name(fmt.Sprintf("imagePullSecrets[%d].name", i), secret.Name)
	}
	if d.PriorityClassName != "" {
		name("priorityClassName", d.PriorityClassName)
	}
	if d.RuntimeClassName != "" {
		name("runtimeClassName", d.RuntimeClassName)
	}
	for key, value := range d.NodeSelector {
		for _, problem := range append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...) {
			errs = append(errs, fmt.Errorf("nodeSelector: %q: %q: %s", key, value, problem))
		}
	}
	return errors.Join(errs...)
}

// applyTo sets the fields of a spec that have a default and are not set. The spec must be a copy.
func (d *PodDefaults) applyTo(spec *v2.LocustTestSpec) {
	fillResources(&spec.Master.Resources, d.Master.Resources)
	fillResources(&spec.Worker.Resources, d.Worker.Resources)
	if len(spec.ImagePullSecrets) == 0 {
		spec.ImagePullSecrets = slices.Clone(d.ImagePullSecrets)
	}
	if spec.Scheduling == nil {
		spec.Scheduling = &v2.SchedulingConfig{}
	}
	scheduling := spec.Scheduling
	if len(scheduling.NodeSelector) == 0 {
		scheduling.NodeSelector = maps.Clone(d.NodeSelector)
	}
	if len(scheduling.Tolerations) == 0 {
		scheduling.Tolerations = slices.Clone(d.Tolerations)
	}
	if scheduling.RuntimeClassName == nil && d.RuntimeClassName != "" {
		scheduling.RuntimeClassName = &d.RuntimeClassName
	}
}

func fillResources(spec *corev1.ResourceRequirements, defaults corev1.ResourceRequirements) {
	given := map[corev1.ResourceName]bool{}
	for _, list := range []corev1.ResourceList{spec.Requests, spec.Limits} {
		for name := range list {
			given[name] = true
		}
	}
	fill := func(list *corev1.ResourceList, defaults corev1.ResourceList) {
		for name, quantity := range defaults {
			if given[name] {
				continue
			}
			if *list == nil {
				*list = corev1.ResourceList{}
			}
			(*list)[name] = quantity.DeepCopy()
		}
	}
	fill(&spec.Requests, defaults.Requests)
	fill(&spec.Limits, defaults.Limits)
}
