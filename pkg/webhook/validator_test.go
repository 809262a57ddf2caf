package webhook

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/validation"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func makeTest() *v2.LocustTest {
	return builder.MakeLocustTest("shop").Namespace("perf").Locustfile("a.py").Workers(1).Obj()
}

func TestValidator_Create(t *testing.T) {
	warnings, err := Validator{}.ValidateCreate(t.Context(), makeTest())
	require.NoError(t, err)
	assert.Empty(t, warnings)

	bad := makeTest()
	bad.Spec.Image = "locust:latest"
	bad.Spec.Master.Labels = map[string]string{"managed-by": "me"}
	bad.Spec.Worker.Replicas = 501
	warnings, err = Validator{}.ValidateCreate(t.Context(), bad)
	assert.Len(t, warnings, 1)
	require.True(t, apierrors.IsInvalid(err), "%v", err)
	assert.ErrorContains(t, err, "spec.master.labels[managed-by]")
	assert.ErrorContains(t, err, "spec.worker.replicas: Invalid value: 501")
}

func TestValidator_Update(t *testing.T) {
	started := func(test *v2.LocustTest) {
		test.Status.Conditions = []metav1.Condition{{Type: v2.ConditionTypeReady, Status: metav1.ConditionTrue}}
	}
	for name, row := range map[string]struct {
		status, change func(*v2.LocustTest)
		warnings       int
		refused        bool
	}{
		"nothing":                  {nil, func(*v2.LocustTest) {}, 0, false},
		"before the run":           {nil, func(test *v2.LocustTest) { test.Spec.Worker.Replicas = 7 }, 0, false},
		"to an invalid spec":       {nil, func(test *v2.LocustTest) { test.Spec.Worker.Replicas = 501 }, 0, true},
		"in the run":               {started, func(test *v2.LocustTest) { test.Spec.Worker.Replicas = 7 }, 1, false},
		"after the run":            {func(test *v2.LocustTest) { test.Status.Phase = v2.PhaseFailed }, func(test *v2.LocustTest) { test.Spec.Worker.Replicas = 7 }, 1, false},
		"only a label":             {started, func(test *v2.LocustTest) { test.Labels = map[string]string{"a": "b"} }, 0, false},
		"a default is written out": {started, func(test *v2.LocustTest) { test.Spec.Master.Autostart = new(true) }, 0, false},
		"while it is being deleted": {started, func(test *v2.LocustTest) {
			test.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)}
			test.Spec.Image = ""
		}, 0, false},
		"to an image without a version": {started, func(test *v2.LocustTest) { test.Spec.Image = "locust" }, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			before := makeTest()
			if row.status != nil {
				row.status(before)
			}
			after := before.DeepCopy()
			row.change(after)
			warnings, err := Validator{}.ValidateUpdate(t.Context(), before, after)
			assert.Len(t, warnings, row.warnings)
			assert.Equal(t, row.refused, err != nil, "%v", err)
		})
	}

	old := makeTest()
	old.Spec.Worker.Replicas = 501 // admitted before the rule existed
	labeled := old.DeepCopy()
	labeled.Labels = map[string]string{"a": "b"}
	_, err := Validator{}.ValidateUpdate(t.Context(), old, labeled)
	assert.NoError(t, err)
}

// TestValidator_WarningsBounded: the warnings keep the limits of the API server.
func TestValidator_WarningsBounded(t *testing.T) {
	test := makeTest()
	test.Spec.Image = strings.Repeat("ö", 300)
	for i := range 30 {
		test.Spec.Volumes = append(test.Spec.Volumes, corev1.Volume{Name: fmt.Sprintf("%d-%s", i, strings.Repeat("v", 50))})
	}
	warnings, _ := Validator{}.ValidateCreate(t.Context(), test)
	require.Len(t, warnings, maxWarnings)
	assert.Equal(t, "and 20 more warnings", warnings[maxWarnings-1], "31 in all")
	total := 0
	for _, warning := range warnings {
		assert.LessOrEqual(t, len(warning), 256)
		assert.Equal(t, warning, strings.ToValidUTF8(warning, "?"))
		total += len(warning)
	}
	assert.Less(t, total, 4096)
}

// TestValidator_V1: errors and warnings for a v1 request contain v1 field paths.
func TestValidator_V1(t *testing.T) {
	bad := makeTest()
	bad.Spec.Master.Labels = map[string]string{"managed-by": "me"}
	bad.Spec.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "A"}
	bad.Spec.ImagePullSecrets = []corev1.LocalObjectReference{{Name: "A"}}
	bad.Spec.Master.Command += " --expect-workers 3"
	ctx := admission.NewContextWithRequest(t.Context(), admission.Request{AdmissionRequest: admissionv1.AdmissionRequest{
		RequestKind: &metav1.GroupVersionKind{Group: "locust.io", Version: "v1", Kind: "LocustTest"},
	}})
	warnings, err := Validator{}.ValidateCreate(ctx, bad)
	require.Error(t, err)
	require.Len(t, warnings, 1)
	assert.Contains(t, warnings[0], "spec.masterCommandSeed: --expect-workers is managed by the operator (spec.workerReplicas)")
	assert.ErrorContains(t, err, "spec.imagePullSecrets[0]: ")
	assert.ErrorContains(t, err, "spec.labels.master[managed-by]")
	assert.ErrorContains(t, err, "spec.configMap")
	assert.NotContains(t, err.Error(), "testFiles")
}

func TestValidator_Delete(t *testing.T) {
	warnings, err := Validator{}.ValidateDelete(t.Context(), makeTest())
	assert.NoError(t, err)
	assert.Empty(t, warnings)
	assert.Contains(t, validation.ChangeIgnored, "delete and create")
}
