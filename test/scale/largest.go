package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// fills are functions that make a spec as large as the operator admits.
var fills = map[string]func(*v2.LocustTestSpec){
	// The maximum number of bytes. The strings are unique to each test, so that no memory is shared.
	"text": func(spec *v2.LocustTestSpec) {
		const size, part = v2.MaxSpecBytes - 4<<10, 1000
		for i := range size / (part + 3) { // two quotes and a comma
			text := fmt.Sprintf("%s-%d-", spec.Master.Annotations[annotationEnd], i)
			spec.Master.ExtraArgs = append(spec.Master.ExtraArgs, text+strings.Repeat("x", part-len(text)))
		}
	},
	// The maximum number of values. A value takes much more memory than its JSON.
	"values": func(spec *v2.LocustTestSpec) {
		terms := make([]corev1.PodAffinityTerm, (v2.MaxValues-100)/2)
		for i := range terms {
			terms[i].TopologyKey = "a"
		}
		spec.Scheduling.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}}
	},
}
