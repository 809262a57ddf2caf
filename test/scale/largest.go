package main

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// fills make the spec of a test as large as the operator admits.
var fills = map[string]func(*v2.LocustTestSpec){
	// As many bytes as may be: each test has texts of its own, so that none are shared in memory.
	"text": func(spec *v2.LocustTestSpec) {
		const size, part = v2.MaxSpecBytes - 4<<10, 1000
		for i := range size / (part + 3) { // two quotes and a comma
			text := fmt.Sprintf("%s-%d-", spec.Master.Annotations[annotationEnd], i)
			spec.Master.ExtraArgs = append(spec.Master.ExtraArgs, text+strings.Repeat("x", part-len(text)))
		}
	},
	// As many values as may be, each of which takes much more memory than bytes in JSON.
	"values": func(spec *v2.LocustTestSpec) {
		terms := make([]corev1.PodAffinityTerm, (v2.MaxValues-100)/2)
		for i := range terms {
			terms[i].TopologyKey = "a"
		}
		spec.Scheduling.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: terms}}
	},
}
