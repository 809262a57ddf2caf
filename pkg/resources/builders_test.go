package resources

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

type edit func(*v2.LocustTestSpec)

// makeTest returns a minimal valid test with the edits applied.
func makeTest(edits ...edit) *v2.LocustTest {
	test := builder.MakeLocustTest("shop.load").Namespace("perf").Stored("uid-1", 3, time.Time{}).
		Locustfile("/lotest/src/test.py").Args("--users 10").Workers(3).Obj()
	for _, e := range edits {
		e(&test.Spec)
	}
	return test
}

func masterOf(t *testing.T, test *v2.LocustTest) *batchv1.Job {
	t.Helper()
	job, err := BuildMasterJob(test)
	require.NoError(t, err)
	return job
}

func workerOf(t *testing.T, test *v2.LocustTest) *batchv1.Job {
	t.Helper()
	job, err := BuildWorkerJob(test)
	require.NoError(t, err)
	return job
}

func container(job *batchv1.Job) corev1.Container {
	return job.Spec.Template.Spec.Containers[0]
}

func asJSON(t *testing.T, v any) string {
	t.Helper()
	encoded, err := json.Marshal(v)
	require.NoError(t, err)
	return string(encoded)
}

// noReporter disables the reporter, which would only add to the expected pod.
func noReporter(s *v2.LocustTestSpec) { s.Master.Reporter = new(false) }

// everything sets most fields to valid values.
func everything(s *v2.LocustTestSpec) {
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
	s.VolumeMounts = []v2.TargetedVolumeMount{{VolumeMount: corev1.VolumeMount{Name: "data", MountPath: "/data"}}}
	s.Security = &v2.SecurityConfig{
		PodSecurityContext:       &corev1.PodSecurityContext{},
		ContainerSecurityContext: &corev1.SecurityContext{},
	}
	s.Observability = &v2.ObservabilityConfig{OpenTelemetry: &v2.OpenTelemetryConfig{
		Enabled: true, Endpoint: "http://otel:4317", ExtraEnvVars: map[string]string{"OTEL_RESOURCE_ATTRIBUTES": "a=b"},
	}}
}
