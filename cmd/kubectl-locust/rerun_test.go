package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// endedTest returns a test that has been stopped.
func endedTest(name string, changes ...func(*v2.LocustTest)) *v2.LocustTest {
	test := newRunTest()
	test.Name, test.UID = name, "uid-old"
	test.Labels = map[string]string{"team": "shop", "app.kubernetes.io/instance": "argo", "kustomize.toolkit.fluxcd.io/name": "flux"}
	test.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "{}"}
	test.Spec.Stop = true
	test.Status.Phase = v2.PhaseFailed
	for _, change := range changes {
		change(test)
	}
	return test
}

func rerunDetached(t *testing.T, c client.WithWatch, name string, replace bool) (*v2.LocustTest, error) {
	t.Helper()
	err := plainApp(&strings.Builder{}).rerun(t.Context(), c, client.ObjectKey{Namespace: "perf", Name: name}, startOptions{replace: replace, detach: true})
	if err != nil {
		return nil, err
	}
	var list v2.LocustTestList
	require.NoError(t, c.List(t.Context(), &list))
	for i := range list.Items {
		if list.Items[i].UID != "uid-old" {
			return &list.Items[i], nil
		}
	}
	require.Fail(t, "no new test")
	return nil, nil
}

func TestRerun(t *testing.T) {
	old := endedTest("shop-bcdfg")
	c := newFakeClient(t, interceptor.Funcs{}, old)
	test, err := rerunDetached(t, c, old.Name, false)
	require.NoError(t, err)
	assert.Regexp(t, "^shop-[a-z0-9]{5}$", test.Name)
	assert.NotEqual(t, old.Name, test.Name)
	assert.False(t, test.Spec.Stop, "otherwise it never starts")
	assert.Empty(t, test.Status.Phase)
	assert.Equal(t, map[string]string{"team": "shop"}, test.Labels, "tools would delete a test with their labels")
	assert.Empty(t, test.Annotations)
	want := old.Spec.DeepCopy()
	want.Stop = false
	assert.Equal(t, *want, test.Spec)
	assert.Len(t, objectsIn(t, c), 2, "the old one stays")
}

func TestRerunReplaces(t *testing.T) {
	old := endedTest("nightly")
	c := newFakeClient(t, interceptor.Funcs{}, old)
	test, err := rerunDetached(t, c, old.Name, true)
	require.NoError(t, err)
	assert.Equal(t, "nightly", test.Name)
	assert.Equal(t, []string{"LocustTest nightly"}, objectsIn(t, c))
}

func ownedFiles(name string, owner *v2.LocustTest) *corev1.ConfigMap {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "perf", Name: name}, Data: map[string]string{"a.py": "a"}, BinaryData: map[string][]byte{"b": {0xff}}}
	if owner != nil {
		cm.OwnerReferences = []metav1.OwnerReference{{APIVersion: "locust.io/v2", Kind: "LocustTest", Name: owner.Name, UID: owner.UID}}
	}
	return cm
}

func TestRerunCopiesItsFiles(t *testing.T) {
	inTestFiles := func(test *v2.LocustTest) { test.Spec.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "shop-files-xxxxx"} }
	inVolume := func(test *v2.LocustTest) {
		test.Spec.TestFiles = nil
		test.Spec.Volumes = []corev1.Volume{{Name: "files", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "shop-files-xxxxx"}}}}}
		test.Spec.VolumeMounts = []v2.TargetedVolumeMount{{VolumeMount: corev1.VolumeMount{Name: "files", MountPath: "/lotest/src"}}}
	}
	for name, test := range map[string]struct {
		change  func(*v2.LocustTest)
		replace bool
	}{"test files": {inTestFiles, false}, "volume": {inVolume, false}, "replaced": {inTestFiles, true}} {
		t.Run(name, func(t *testing.T) {
			old := endedTest("shop", test.change)
			c := newFakeClient(t, interceptor.Funcs{}, old, ownedFiles("shop-files-xxxxx", old))
			got, err := rerunDetached(t, c, "shop", test.replace)
			require.NoError(t, err)
			refs := configMapNames(&got.Spec)
			require.Len(t, refs, 1)
			assert.NotEqual(t, "shop-files-xxxxx", *refs[0], "the original is deleted with the old test")
			var cm corev1.ConfigMap
			require.NoError(t, c.Get(t.Context(), client.ObjectKey{Namespace: "perf", Name: *refs[0]}, &cm))
			assert.Equal(t, ownedFiles("", nil).Data, cm.Data)
			assert.Equal(t, ownedFiles("", nil).BinaryData, cm.BinaryData)
			assert.True(t, isOwnedBy(&cm, got.UID))
			assert.Equal(t, got.Name, cm.Labels[resources.LabelTestName])
		})
	}
}

func TestRerunKeepsOtherConfigMaps(t *testing.T) {
	for name, cm := range map[string]*corev1.ConfigMap{"of the user": ownedFiles("shop-files-mine", nil), "with another name": ownedFiles("files", nil)} {
		t.Run(name, func(t *testing.T) {
			old := endedTest("shop", func(test *v2.LocustTest) { test.Spec.TestFiles = &v2.TestFilesConfig{ConfigMapRef: cm.Name} })
			test, err := rerunDetached(t, newFakeClient(t, interceptor.Funcs{}, old, cm), "shop", false)
			require.NoError(t, err)
			assert.Equal(t, cm.Name, test.Spec.TestFiles.ConfigMapRef)
		})
	}
	old := endedTest("shop", func(test *v2.LocustTest) { test.Spec.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "shop-files-xxxxx"} })
	c := newFakeClient(t, interceptor.Funcs{}, old)
	_, err := rerunDetached(t, c, "shop", true)
	assert.ErrorContains(t, err, "read the ConfigMap perf/shop-files-xxxxx with the files of the test")
	assert.Equal(t, []string{"LocustTest shop"}, objectsIn(t, c), "the old test is not deleted for a new one that cannot run")
}

func TestRerunOfADeletedTest(t *testing.T) {
	report := &v1alpha1.LocustReport{ObjectMeta: metav1.ObjectMeta{Namespace: "perf", Name: "shop-12345678", Labels: map[string]string{resources.LabelTestName: "shop"}},
		Test: v1alpha1.Test{Name: "shop"}}
	c := newFakeClient(t, interceptor.Funcs{}, report)
	for _, name := range []string{"shop", "shop-12345678"} {
		_, err := rerunDetached(t, c, name, false)
		assert.ErrorContains(t, err, "the test perf/shop was deleted, and its spec with it: the report shop-12345678 has only its result")
	}
	_, err := rerunDetached(t, c, "other", false)
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
}
