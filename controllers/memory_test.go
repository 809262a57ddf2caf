package controllers

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

func TestRunIsDecodedWhenAJobTellsAnother(t *testing.T) {
	tells := func(spec, generation string) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{
			resources.AnnotationRunSpec: spec, resources.AnnotationRunGeneration: generation,
		}}}
	}
	mem := &memory{}
	first, err := mem.runOf(tells(`{"image":"locust:1"}`, "1"))
	require.NoError(t, err)
	require.Equal(t, "locust:1", first.Spec.Image)
	again, err := mem.runOf(tells(`{"image":"locust:1"}`, "1"))
	require.NoError(t, err)
	assert.Same(t, first, again, "decoded once")

	for _, row := range []struct {
		name       string
		job        *batchv1.Job
		image      string
		generation int64
	}{
		{"another spec", tells(`{"image":"locust:2"}`, "1"), "locust:2", 1},
		{"another generation", tells(`{"image":"locust:2"}`, "2"), "locust:2", 2},
	} {
		run, err := mem.runOf(row.job)
		require.NoError(t, err, row.name)
		assert.Equal(t, row.image, run.Spec.Image, row.name)
		assert.Equal(t, row.generation, run.Generation, row.name)
	}

	_, err = mem.runOf(tells(`{"image":`, "2"))
	assert.Error(t, err, "what was decoded before does not hide damage")
	none, err := mem.runOf(&batchv1.Job{})
	require.NoError(t, err)
	assert.Nil(t, none)
}
