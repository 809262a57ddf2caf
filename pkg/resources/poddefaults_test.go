package resources

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

const allPodDefaults = `{
	"master": {"resources": {"requests": {"cpu": "250m", "memory": "128Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}}},
	"worker": {"resources": {"requests": {"cpu": "500m"}}},
	"imagePullSecrets": [{"name": "registry"}],
	"nodeSelector": {"pool": "load"},
	"tolerations": [{"key": "load", "operator": "Exists"}],
	"priorityClassName": "low",
	"runtimeClassName": "gvisor"
}`

func parsed(t *testing.T, text string) *PodDefaults {
	t.Helper()
	defaults, err := ParsePodDefaults([]byte(text))
	require.NoError(t, err)
	return &defaults
}

// podsWith returns the pods of the master and of a worker.
func podsWith(t *testing.T, test *v2.LocustTest, defaults *PodDefaults) (master, worker corev1.PodSpec) {
	t.Helper()
	masterJob, err := BuildMasterJob(test, defaults)
	require.NoError(t, err)
	workerJob, err := BuildWorkerJob(test, defaults)
	require.NoError(t, err)
	return masterJob.Spec.Template.Spec, workerJob.Spec.Template.Spec
}

func TestPodDefaults(t *testing.T) {
	defaults := parsed(t, allPodDefaults)
	test := builder.MakeShop()
	before := asJSON(t, test)
	master, worker := podsWith(t, test, defaults)
	assert.JSONEq(t, `{"requests":{"cpu":"250m","memory":"128Mi"},"limits":{"cpu":"1","memory":"1Gi"}}`, asJSON(t, master.Containers[0].Resources))
	assert.JSONEq(t, `{"requests":{"cpu":"500m"}}`, asJSON(t, worker.Containers[0].Resources))
	for _, pod := range []corev1.PodSpec{master, worker} {
		assert.Equal(t, []corev1.LocalObjectReference{{Name: "registry"}}, pod.ImagePullSecrets)
		assert.Equal(t, map[string]string{"pool": "load"}, pod.NodeSelector)
		assert.Equal(t, []corev1.Toleration{{Key: "load", Operator: "Exists"}}, pod.Tolerations)
		assert.Equal(t, "low", pod.PriorityClassName)
		assert.Equal(t, "gvisor", *pod.RuntimeClassName)
	}
	assert.Equal(t, before, asJSON(t, test), "the test is unchanged")

	// The run records the spec without defaults, so that changed defaults are no drift.
	job, err := BuildMasterJob(test, defaults)
	require.NoError(t, err)
	assert.NotContains(t, job.Annotations[AnnotationRunSpec], "gvisor")
}

// TestPodDefaults_SpecFirst checks that a default never overrides what a spec sets.
func TestPodDefaults_SpecFirst(t *testing.T) {
	own := builder.MakeShop(func(spec *v2.LocustTestSpec) {
		spec.Master.Resources.Limits = corev1.ResourceList{"memory": resource.MustParse("64Mi")}
		spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "mine"}}
		spec.Scheduling = &v2.SchedulingConfig{NodeSelector: map[string]string{"pool": "mine"}, Tolerations: []corev1.Toleration{{Key: "mine"}}, RuntimeClassName: new("")}
	})
	master, worker := podsWith(t, own, parsed(t, allPodDefaults))
	assert.JSONEq(t, `{"requests":{"cpu":"250m"},"limits":{"cpu":"1","memory":"64Mi"}}`, asJSON(t, master.Containers[0].Resources),
		"no request of memory, which could be above the limit")
	for _, pod := range []corev1.PodSpec{master, worker} {
		assert.Equal(t, []corev1.LocalObjectReference{{Name: "mine"}}, pod.ImagePullSecrets)
		assert.Equal(t, map[string]string{"pool": "mine"}, pod.NodeSelector)
		assert.Equal(t, []corev1.Toleration{{Key: "mine"}}, pod.Tolerations)
		assert.Nil(t, pod.RuntimeClassName)
	}
}

func TestPlatformUser(t *testing.T) {
	const seccomp = `"seccompProfile":{"type":"RuntimeDefault"}`
	for name, c := range map[string]struct {
		security *v2.SecurityConfig
		want     string
	}{
		"nothing set": {nil, `{"runAsNonRoot":true,` + seccomp + `}`},
		"own group":   {&v2.SecurityConfig{PodSecurityContext: &corev1.PodSecurityContext{RunAsGroup: new(int64(0))}}, `{"runAsGroup":0,"runAsNonRoot":true,` + seccomp + `}`},
		"own user":    {&v2.SecurityConfig{PodSecurityContext: &corev1.PodSecurityContext{RunAsUser: new(int64(7))}}, `{"runAsUser":7,"runAsNonRoot":true,` + seccomp + `}`},
		"even root":   {&v2.SecurityConfig{PodSecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(false)}}, `{"runAsNonRoot":false,` + seccomp + `}`},
	} {
		test := builder.MakeShop(func(spec *v2.LocustTestSpec) { spec.Security = c.security })
		master, _ := podsWith(t, test, &PodDefaults{PlatformUser: true})
		assert.JSONEq(t, c.want, asJSON(t, master.SecurityContext), name)
		_, chosen := ChosenUser(&test.Spec, true)
		assert.False(t, chosen, name)
	}
}

func TestParsePodDefaults(t *testing.T) {
	for text, want := range map[string]string{
		`{"worker": {"resource": {}}}`: `unknown field "resource"`,
		`[]`:                           "cannot unmarshal array",
		`{"master": {"resources": {"limits": {"cpu": "many"}}}}`: "quantities must match",
	} {
		_, err := ParsePodDefaults([]byte(text))
		assert.ErrorContains(t, err, want, text)
	}
	none, err := ParsePodDefaults(nil)
	require.NoError(t, err)
	assert.Equal(t, PodDefaults{}, none)
}
