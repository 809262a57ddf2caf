package validation

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// bomb is a spec of 17 KiB that expands to many gigabytes: each word of the command is a variable of maximum length.
func bomb(s *v2.LocustTestSpec) {
	s.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "A", Value: strings.Repeat("x", 1000)}}}
	for name := 'B'; name <= 'H'; name++ {
		before := fmt.Sprintf("$(%c)", name-1)
		s.Env.Variables = append(s.Env.Variables, corev1.EnvVar{Name: string(name), Value: before + before})
	}
	s.Master.Command = strings.Repeat("$(H) ", 3200)
}

// TestExpansion_Memory: memory use is bounded for any spec.
func TestExpansion_Memory(t *testing.T) {
	const most = 32 << 20
	variables := func(n int, value string) edit {
		return func(s *v2.LocustTestSpec) {
			s.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "V", Value: value}}}
			for i := range n {
				s.Env.Variables = append(s.Env.Variables, corev1.EnvVar{Name: fmt.Sprintf("V%d", i), Value: "$(V)"})
			}
		}
	}
	long := strings.Repeat("x", locustcli.MaxWord-1)
	for name, edits := range map[string][]edit{
		"doubling variables and a command of them": {bomb},
		"the same in arguments of the worker":      {bomb, func(s *v2.LocustTestSpec) { s.Worker.Command, s.Master.Command = s.Master.Command, "-f a.py" }},
		"long variables":                           {variables(255, long)},
		"as many as Linux allows":                  {variables(6, long), func(s *v2.LocustTestSpec) { s.Master.Command = "-f a.py" + strings.Repeat(" $(V)", 7) }},
		"two halves that do not fit":               {variables(1, long), func(s *v2.LocustTestSpec) { s.Master.Command = strings.Repeat("$(V)$(V) ", 1700) }},
		"many short words":                         {func(s *v2.LocustTestSpec) { s.Master.Command = strings.Repeat("- ", 8000) }},
		"a long variable, nothing closed":          {variables(0, strings.Repeat("$(", locustcli.MaxWord/2-1))},
		"many dollars":                             {func(s *v2.LocustTestSpec) { s.Master.Command = strings.Repeat("$", 16000) }},
	} {
		test := builder.MakeShop(edits...)
		for what, call := range map[string]func(){
			"Validate":       func() { Validate(test) },
			"Warnings":       func() { Warnings(test) },
			"ConfigFor":      func() { resources.ConfigFor(&test.Spec) },
			"BuildService":   func() { resources.BuildService(test) },
			"BuildMasterJob": func() { _, _ = resources.BuildMasterJob(test, &resources.PodDefaults{}) },
			"BuildWorkerJob": func() { _, _ = resources.BuildWorkerJob(test, &resources.PodDefaults{}) },
		} {
			t.Run(name+"/"+what, func(t *testing.T) {
				started := time.Now()
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				call()
				runtime.ReadMemStats(&after)
				assert.Less(t, (after.TotalAlloc-before.TotalAlloc)>>20, uint64(most>>20), "MiB allocated, collected or not")
				t.Logf("%d KiB in %s", (after.TotalAlloc-before.TotalAlloc)>>10, time.Since(started))
			})
		}
	}
}
