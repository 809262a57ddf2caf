package builder

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Everything sets most fields to valid values.
func Everything(s *v2.LocustTestSpec) {
	s.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "registry"}}
	s.Master.Labels = map[string]string{"team": "shop"}
	s.Master.Annotations = map[string]string{"note": "master"}
	s.Master.ExtraArgs = []string{"--tags", "smoke test"}
	s.SuccessCriteria = &v2.SuccessCriteria{
		MaxFailureRatio: "0.01", MaxResponseTime: &v2.ResponseTimeLimits{P95: &metav1.Duration{Duration: time.Second}},
	}
	s.Worker.Labels = map[string]string{"team": "shop"}
	s.Worker.Annotations = map[string]string{"note": "worker"}
	s.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "files", LibConfigMapRef: "libs"}
	s.Scheduling = &v2.SchedulingConfig{
		Affinity:     &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{}},
		Tolerations:  []corev1.Toleration{{Key: "load", Operator: corev1.TolerationOpExists}},
		NodeSelector: map[string]string{"pool": "load"},
	}
	s.Env = &v2.EnvConfig{
		ConfigMapRefs: []v2.ConfigMapEnvSource{{Name: "settings"}},
		SecretRefs:    []v2.SecretEnvSource{{Name: "credentials"}},
		Variables:     []corev1.EnvVar{{Name: "PYTHONPATH", Value: "/own"}, {Name: "TARGET", Value: "shop"}},
		SecretMounts:  []v2.SecretMount{{Name: "tls", MountPath: "/etc/tls"}},
	}
	s.Volumes = []corev1.Volume{{Name: "data"}}
	s.VolumeMounts = []v2.TargetedVolumeMount{Targeted("data", "/data", "")}
	s.Security = &v2.SecurityConfig{
		PodSecurityContext:       &corev1.PodSecurityContext{},
		ContainerSecurityContext: &corev1.SecurityContext{},
	}
	ExtraEnv(map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "a=b"})(s)
}

// NoReporter disables the reporter, which would only add to the expected pod.
func NoReporter(s *v2.LocustTestSpec) { s.Master.Reporter = new(false) }

// TestFiles mounts a ConfigMap with sources and one with libraries.
func TestFiles(s *v2.LocustTestSpec) {
	s.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "c", LibConfigMapRef: "l"}
}

// Variables sets the variables of all pods.
func Variables(vars ...corev1.EnvVar) func(*v2.LocustTestSpec) {
	return func(s *v2.LocustTestSpec) { s.Env = &v2.EnvConfig{Variables: vars} }
}

// OpenTelemetry enables OpenTelemetry.
func OpenTelemetry(s *v2.LocustTestSpec) {
	s.Observability = &v2.ObservabilityConfig{OpenTelemetry: &v2.OpenTelemetryConfig{Enabled: true, Endpoint: "http://otel:4317"}}
}

// OpenTelemetryOff sets an endpoint without enabling OpenTelemetry.
func OpenTelemetryOff(s *v2.LocustTestSpec) {
	OpenTelemetry(s)
	s.Observability.OpenTelemetry.Enabled = false
}

// ExtraEnv enables OpenTelemetry with additional variables.
func ExtraEnv(vars map[string]string) func(*v2.LocustTestSpec) {
	return func(s *v2.LocustTestSpec) {
		OpenTelemetry(s)
		s.Observability.OpenTelemetry.ExtraEnvVars = vars
	}
}

// Targeted returns the mount of a volume in the pods of a role; both if empty.
func Targeted(name, path string, target v2.MountTarget) v2.TargetedVolumeMount {
	return v2.TargetedVolumeMount{VolumeMount: corev1.VolumeMount{Name: name, MountPath: path}, Target: target}
}
