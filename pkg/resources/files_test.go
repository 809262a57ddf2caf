package resources

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// TestInlineFiles: annotations of the pod hold the files, and a volume shows them under their names.
func TestInlineFiles(t *testing.T) {
	test := builder.MakeShop(func(s *v2.LocustTestSpec) {
		s.TestFiles = &v2.TestFilesConfig{Inline: map[string]v2.InlineFile{"test.py": "run()", "Data.CSV": "a,b"}}
		s.Worker.Annotations = map[string]string{"note": "mine", "locust.io/file-0": "mine"}
	})
	pod := workerOf(t, test).Spec.Template
	assert.Equal(t, map[string]string{"note": "mine", "locust.io/file-0": "a,b", "locust.io/file-1": "run()"}, pod.Annotations)
	field := func(n string) *corev1.ObjectFieldSelector {
		return &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['locust.io/file-" + n + "']"}
	}
	assert.Equal(t, []corev1.Volume{{Name: "locust-src", VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{
		Items: []corev1.DownwardAPIVolumeFile{{Path: "Data.CSV", FieldRef: field("0")}, {Path: "test.py", FieldRef: field("1")}},
	}}}}, pod.Spec.Volumes)
	assert.Equal(t, []corev1.VolumeMount{{Name: "locust-src", ReadOnly: true, MountPath: "/lotest/src"}}, pod.Spec.Containers[0].VolumeMounts)

	master := masterOf(t, test).Spec.Template.Annotations
	assert.Equal(t, "run()", master["locust.io/file-1"])
	assert.Equal(t, reporterSource, master[AnnotationReporter])
}
