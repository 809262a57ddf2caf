package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// TestEndedByItself: a container that ends because its pod is deleted or evicted has not ended by itself.
func TestEndedByItself(t *testing.T) {
	end := t0.Add(time.Minute)
	for name, test := range map[string]struct {
		change func(*corev1.Pod)
		want   bool
	}{
		"ended":                      {func(*corev1.Pod) {}, true},
		"deleted before":             {deletedAt(end.Add(-time.Second)), false},
		"deleted in the same second": {deletedAt(end), false},
		"deleted after":              {deletedAt(end.Add(time.Second)), true},
		"deleted by the kubelet":     {deletedByKubeletAt(end.Add(3 * time.Second)), false},
		"evicted before":             {disruptedAt(end.Add(-time.Second)), false},
		"evicted after":              {disruptedAt(end.Add(time.Second)), true},
	} {
		t.Run(name, func(t *testing.T) {
			s := running(t)
			s.endLocust(s.master(), end, 0)
			test.change(s.master())
			assert.Equal(t, test.want, endedByItself(s.master()))
			assert.False(t, endedByItself(s.worker(0)), "it runs")
		})
	}
}

// TestIsMaster: pods of the 2.x operator have no component label.
func TestIsMaster(t *testing.T) {
	pod := func(labels map[string]string) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Labels: labels}}
	}
	assert.True(t, IsMaster(pod(map[string]string{resources.LabelTestName: "a.b", resources.LabelPodName: "a-b-master"})))
	assert.False(t, IsMaster(pod(map[string]string{resources.LabelTestName: "a", resources.LabelPodName: "a-worker"})))
	assert.True(t, IsMaster(pod(map[string]string{resources.LabelComponent: "master"})))
	assert.False(t, IsMaster(pod(map[string]string{resources.LabelComponent: "worker", resources.LabelTestName: "a", resources.LabelPodName: "a-master"})))
}
