package status

import (
	"testing"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// TestObservation_Counts: expected workers are worker pods times processes, by the spec of the run.
func TestObservation_Counts(t *testing.T) {
	test := builder.MakeLocustTest("shop").Workers(3).Obj()
	test.Spec.Worker.Command += " --processes 2"
	obs := Observation{Test: test}
	assert.EqualValues(t, 6, obs.expectedWorkers())
	obs.Run = resources.NewRun(builder.MakeLocustTest("shop").Workers(4).Obj())
	assert.EqualValues(t, 4, obs.expectedWorkers())
	assert.True(t, obs.Stopped(), "it has no Jobs")
}

// TestIsOrphan: a pod whose Job was deleted without its pods.
func TestIsOrphan(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{Phase: corev1.PodRunning}}
	assert.True(t, IsOrphan(pod))
	pod.OwnerReferences = []metav1.OwnerReference{{UID: "job", Controller: new(true)}}
	assert.False(t, IsOrphan(pod))
	assert.True(t, ownedBy(pod, &batchv1.Job{ObjectMeta: metav1.ObjectMeta{UID: "job"}}))
}
