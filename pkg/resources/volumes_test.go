package resources

import (
	"testing"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func volumeNames(job *batchv1.Job) []string {
	var names []string
	for _, v := range job.Spec.Template.Spec.Volumes {
		names = append(names, v.Name)
	}
	return names
}

func mountsOf(job *batchv1.Job) map[string]string {
	mounts := map[string]string{}
	for _, m := range container(job).VolumeMounts {
		mounts[m.MountPath] = m.Name
	}
	return mounts
}

func TestVolumes_OnlyWhatTheRoleMounts(t *testing.T) {
	test := builder.MakeShop(builder.NoReporter, func(s *v2.LocustTestSpec) {
		s.Volumes = []corev1.Volume{{Name: "m"}, {Name: "w"}, {Name: "b"}, {Name: "unused"}}
		s.VolumeMounts = []v2.TargetedVolumeMount{
			builder.Targeted("m", "/x", v2.MountTargetMaster), builder.Targeted("w", "/x", v2.MountTargetWorker), builder.Targeted("b", "/b", ""),
		}
	})
	assert.Equal(t, []string{"m", "b"}, volumeNames(masterOf(t, test)))
	assert.Equal(t, []string{"w", "b"}, volumeNames(workerOf(t, test)))
	assert.Equal(t, map[string]string{"/x": "m", "/b": "b"}, mountsOf(masterOf(t, test)))
	assert.Equal(t, map[string]string{"/x": "w", "/b": "b"}, mountsOf(workerOf(t, test)))
}

func TestVolumes_OnePerSecret(t *testing.T) {
	test := builder.MakeShop(func(s *v2.LocustTestSpec) {
		s.Env = &v2.EnvConfig{SecretMounts: []v2.SecretMount{
			{Name: "a", MountPath: "/a"}, {Name: "b", MountPath: "/b"}, {Name: "a", MountPath: "/a2"},
		}}
	})
	job := workerOf(t, test)
	assert.Equal(t, []string{"locust-secret-0", "locust-secret-1"}, volumeNames(job))
	assert.Equal(t, map[string]string{"/a": "locust-secret-0", "/b": "locust-secret-1", "/a2": "locust-secret-0"}, mountsOf(job))
	for _, m := range container(job).VolumeMounts {
		assert.True(t, m.ReadOnly, m.MountPath)
	}
}

func TestVolumes_NoTestFiles(t *testing.T) {
	job := masterOf(t, builder.MakeShop(builder.NoReporter, noFiles))
	assert.Empty(t, job.Spec.Template.Spec.Volumes)
	assert.Empty(t, container(job).VolumeMounts)
}
