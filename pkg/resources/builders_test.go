package resources

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

type edit = func(*v2.LocustTestSpec)

func masterOf(t *testing.T, test *v2.LocustTest) *batchv1.Job {
	t.Helper()
	job, err := BuildMasterJob(test, &PodDefaults{})
	require.NoError(t, err)
	return job
}

func workerOf(t *testing.T, test *v2.LocustTest) *batchv1.Job {
	t.Helper()
	job, err := BuildWorkerJob(test, &PodDefaults{})
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
