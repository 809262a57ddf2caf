package resources

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

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

// ParsePodDefaults decodes JSON, and refuses unknown fields.
func ParsePodDefaults(text []byte) (PodDefaults, error) {
	var d PodDefaults
	if len(text) == 0 {
		return d, nil
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&d)
	return d, err
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
