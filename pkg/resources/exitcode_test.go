package resources

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestExitCodeOnError(t *testing.T) {
	for name, tc := range map[string]struct {
		command  string
		variable string
		want     int32
	}{
		"not given":         {"", "", 1},
		"argument":          {"--exit-code-on-error 3", "", 3},
		"variable":          {"", "4", 4},
		"argument wins":     {"--exit-code-on-error=0", "4", 0},
		"no number at all":  {"--exit-code-on-error many", "", 1},
		"the last one wins": {"--exit-code-on-error 3 --exit-code-on-error 5", "", 5},
	} {
		t.Run(name, func(t *testing.T) {
			spec := &v2.LocustTestSpec{Image: "locust"}
			spec.Master.Command = "--locustfile /t.py " + tc.command
			if tc.variable != "" {
				spec.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "LOCUST_EXIT_CODE_ON_ERROR", Value: tc.variable}}}
			}
			assert.Equal(t, tc.want, ConfigFor(spec).ExitCodeOnError)
		})
	}
}
