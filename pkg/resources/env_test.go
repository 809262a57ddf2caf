package resources

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func TestEnvVars(t *testing.T) {
	exporter := []corev1.EnvVar{
		{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "http://otel:4317"},
		{Name: "OTEL_EXPORTER_OTLP_PROTOCOL", Value: "grpc"},
		{Name: "OTEL_EXPORTER_OTLP_INSECURE", Value: "false"},
	}
	traces := corev1.EnvVar{Name: "OTEL_TRACES_EXPORTER", Value: "otlp"}
	metrics := corev1.EnvVar{Name: "OTEL_METRICS_EXPORTER", Value: "otlp"}
	with := func(more ...corev1.EnvVar) []corev1.EnvVar { return append(exporter[:3:3], more...) }

	for name, row := range map[string]struct {
		edits []edit
		want  []corev1.EnvVar
	}{
		"none":                    {nil, nil},
		"order of the user":       {[]edit{builder.Variables(corev1.EnvVar{Name: "B"}, corev1.EnvVar{Name: "A"})}, []corev1.EnvVar{{Name: "B"}, {Name: "A"}}},
		"libraries before user's": {[]edit{builder.TestFiles, builder.Variables(corev1.EnvVar{Name: "A"})}, []corev1.EnvVar{{Name: "PYTHONPATH", Value: "/opt/locust/lib"}, {Name: "A"}}},
		"libraries join the user's PYTHONPATH": {
			[]edit{builder.TestFiles, builder.Variables(corev1.EnvVar{Name: "A"}, corev1.EnvVar{Name: "PYTHONPATH", Value: "/own"})},
			[]corev1.EnvVar{{Name: "A"}, {Name: "PYTHONPATH", Value: "/own:/opt/locust/lib"}},
		},
		"libraries are in the user's PYTHONPATH": {
			[]edit{builder.TestFiles, builder.Variables(corev1.EnvVar{Name: "PYTHONPATH", Value: "/opt/locust/lib:/own"})},
			[]corev1.EnvVar{{Name: "PYTHONPATH", Value: "/opt/locust/lib:/own"}},
		},
		"OpenTelemetry, extra sorted, user's last": {
			[]edit{builder.TestFiles, builder.ExtraEnv(map[string]string{"OTEL_B": "2", "OTEL_A": "1"}), builder.Variables(corev1.EnvVar{Name: "A"})},
			with(traces, metrics, corev1.EnvVar{Name: "OTEL_A", Value: "1"}, corev1.EnvVar{Name: "OTEL_B", Value: "2"},
				corev1.EnvVar{Name: "PYTHONPATH", Value: "/opt/locust/lib"}, corev1.EnvVar{Name: "A"}),
		},
		"user turns traces off": {
			[]edit{builder.ExtraEnv(map[string]string{"OTEL_TRACES_EXPORTER": "none"})},
			with(metrics, corev1.EnvVar{Name: "OTEL_TRACES_EXPORTER", Value: "none"}),
		},
		"user turns metrics off": {
			[]edit{builder.OpenTelemetry, builder.Variables(corev1.EnvVar{Name: "OTEL_METRICS_EXPORTER", Value: "none"})},
			with(traces, corev1.EnvVar{Name: "OTEL_METRICS_EXPORTER", Value: "none"}),
		},
	} {
		t.Run(name, func(t *testing.T) {
			test := builder.MakeShop(row.edits...)
			assert.Equal(t, row.want, container(masterOf(t, test)).Env)
			assert.Equal(t, row.want, container(workerOf(t, test)).Env)
		})
	}
}

func TestEnvFrom(t *testing.T) {
	test := builder.MakeShop(func(s *v2.LocustTestSpec) {
		s.Env = &v2.EnvConfig{
			ConfigMapRefs: []v2.ConfigMapEnvSource{{Name: "b", Prefix: "B_"}, {Name: "a"}},
			SecretRefs:    []v2.SecretEnvSource{{Name: "s"}},
		}
	})
	assert.JSONEq(t,
		`[{"prefix":"B_","configMapRef":{"name":"b"}},{"configMapRef":{"name":"a"}},{"secretRef":{"name":"s"}}]`,
		asJSON(t, container(workerOf(t, test)).EnvFrom))
}

// TestKnownVariables: the value of a variable with a source is not known.
func TestKnownVariables(t *testing.T) {
	test := builder.MakeShop(builder.Variables(corev1.EnvVar{Name: "LOCUST_LOCUSTFILE", ValueFrom: &corev1.EnvVarSource{}}, corev1.EnvVar{Name: "A", Value: "a"}))
	assert.Equal(t, []locustcli.Variable{{Name: "A", Value: "a"}}, KnownVariables(&test.Spec, RoleMaster))
}
