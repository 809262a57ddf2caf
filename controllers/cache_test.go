package controllers

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// TestKeptFinalizers: the finalizer to remove is kept, wherever it is in the list.
func TestKeptFinalizers(t *testing.T) {
	many := append(make([]string, 20), cleanupFinalizer)
	assert.Equal(t, append(make([]string, maxFinalizers), cleanupFinalizer), keptFinalizers(many))
	assert.Equal(t, []string{cleanupFinalizer, "x"}, keptFinalizers([]string{cleanupFinalizer, "x"}))
	assert.Empty(t, keptFinalizers(nil))
}

// TestStripTest: metadata of any size does not stay in memory, and an invalid annotation is reported.
func TestStripTest(t *testing.T) {
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{
		Name: "t", Namespace: "ns", UID: "u", ResourceVersion: "7", Generation: 3,
		Labels: map[string]string{"a": "b"}, Annotations: map[string]string{"a": strings.Repeat("x", 1<<18)},
		Finalizers: make([]string, 100), ManagedFields: make([]metav1.ManagedFieldsEntry, 1), OwnerReferences: make([]metav1.OwnerReference, 1),
	}, Spec: v2.LocustTestSpec{Image: "locust:1"}}
	kept, err := stripTest(test)
	require.NoError(t, err)
	assert.Equal(t, &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{
		Name: "t", Namespace: "ns", UID: "u", ResourceVersion: "7", Generation: 3, Finalizers: make([]string, maxFinalizers),
	}, Spec: v2.LocustTestSpec{Image: "locust:1"}}, kept)

	test.Annotations = map[string]string{v1.AnnotationV2Spec: "{"}
	_, err = stripTest(test)
	require.NoError(t, err)
	require.NotNil(t, test.DecodeError)
	assert.Contains(t, test.DecodeError.Field, v1.AnnotationV2Spec)
	again := test.DecodeError
	_, err = stripTest(test)
	require.NoError(t, err)
	assert.Same(t, again, test.DecodeError, "a transform may be called twice")
	_, err = stripTest("something else")
	assert.NoError(t, err)
}

// TestStripPod: only masters need their address.
func TestStripPod(t *testing.T) {
	pod := &corev1.Pod{Status: corev1.PodStatus{PodIP: "fd00::7"}}
	pod.Labels = map[string]string{resources.LabelTestName: "shop", resources.LabelPodName: "shop-master"}
	assert.Equal(t, "fd00::7", stripPod(pod).Status.PodIP)
	pod.Labels[resources.LabelPodName] = "shop-worker"
	assert.Empty(t, stripPod(pod).Status.PodIP)
}
