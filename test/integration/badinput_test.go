//go:build integration

package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// TestBadInput_Schema checks the errors of the API server's own validation.
func TestBadInput_Schema(t *testing.T) {
	ns := namespace(t)
	set := func(fields ...any) func(map[string]any) {
		return func(o map[string]any) {
			path := fields[:len(fields)-1]
			keys := make([]string, len(path))
			for i, p := range path {
				keys[i] = p.(string)
			}
			require.NoError(t, unstructured.SetNestedField(o, fields[len(fields)-1], keys...))
		}
	}
	for name, tc := range map[string]struct {
		change func(map[string]any)
		want   []string
	}{
		"name too long":       {set("metadata", "name", strings.Repeat("n", 52)), []string{"51 characters", "choose a shorter name"}},
		"unknown field":       {set("spec", "master", "comand", "x"), []string{`unknown field "spec.master.comand"`}},
		"no image":            {func(o map[string]any) { unstructured.RemoveNestedField(o, "spec", "image") }, []string{"spec.image"}},
		"image with a blank":  {set("spec", "image", "a b"), []string{"spec.image", "white space"}},
		"pull policy":         {set("spec", "imagePullPolicy", "Sometimes"), []string{"spec.imagePullPolicy", "IfNotPresent"}},
		"replicas 0":          {set("spec", "worker", "replicas", int64(0)), []string{"spec.worker.replicas", "greater than or equal to 1"}},
		"replicas 501":        {set("spec", "worker", "replicas", int64(501)), []string{"spec.worker.replicas", "less than or equal to 500"}},
		"empty command":       {set("spec", "master", "command", ""), []string{"spec.master.command"}},
		"blank command":       {set("spec", "worker", "command", " \n\t"), []string{"spec.worker.command", "--locustfile"}},
		"unbalanced quote":    {set("spec", "master", "command", `--host "http://x`), []string{"spec.master.command", "unbalanced quote", "close"}},
		"trailing backslash":  {set("spec", "worker", "command", `--tags a\`), []string{"spec.worker.command", "trailing backslash"}},
		"negative autoquit":   {set("spec", "master", "autoquit", map[string]any{"timeout": int64(-1)}), []string{"spec.master.autoquit.timeout"}},
		"relative mount path": {set("spec", "testFiles", map[string]any{"srcMountPath": "src"}), []string{"spec.testFiles.srcMountPath", "absolute path"}},
		"mount target":        {set("spec", "volumeMounts", []any{map[string]any{"name": "v", "mountPath": "/v", "target": "all"}}), []string{"spec.volumeMounts[0].target", "both"}},
		"otel without endpoint": {set("spec", "observability", map[string]any{"openTelemetry": map[string]any{"enabled": true}}),
			[]string{"openTelemetry", "endpoint is required"}},
		"variable twice": {set("spec", "env", map[string]any{"variables": []any{map[string]any{"name": "A", "value": "1"}, map[string]any{"name": "A", "value": "2"}}}),
			[]string{"spec.env.variables[1]", "Duplicate"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := toMap(t, newTest(ns, "bad"))
			tc.change(o)
			err := k8s.Create(t.Context(), &unstructured.Unstructured{Object: o}, client.FieldValidation(metav1.FieldValidationStrict))
			require.Error(t, err)
			for _, want := range tc.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
	for name, command := range map[string]string{
		"quotes":            `--host "http://x" --tags 'a b' --tags it\'s`,
		"quote in quotes":   `--tags "it's" '"'`,
		"lines":             "--locustfile /lotest/src/t.py\n  --host http://x\n",
		"escaped backslash": `--tags a\\`,
	} {
		t.Run("accepted: "+name, func(t *testing.T) {
			test := newTest(ns, "good")
			test.Spec.Master.Command = command
			require.NoError(t, k8s.Create(t.Context(), test, client.DryRunAll))
		})
	}
}

func toMap(t *testing.T, test *v2.LocustTest) map[string]any {
	t.Helper()
	o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(test)
	require.NoError(t, err)
	o["apiVersion"], o["kind"] = "locust.io/v2", "LocustTest"
	unstructured.RemoveNestedField(o, "status")
	unstructured.RemoveNestedField(o, "metadata", "creationTimestamp")
	return o
}

// TestBadInput_Condition checks that the operator refuses other errors in a condition, with the field and the
// remedy, and without endless retries.
func TestBadInput_Condition(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	op := startOperator(t, ns)
	for name, tc := range map[string]struct {
		change func(s *v2.LocustTestSpec)
		want   []string
	}{
		"mount-without-volume": {func(s *v2.LocustTestSpec) {
			s.VolumeMounts = []v2.TargetedVolumeMount{{VolumeMount: corev1.VolumeMount{Name: "data", MountPath: "/data"}}}
		}, []string{"spec.volumeMounts[0].name", "data"}},
		"mount-over-locustfile": {func(s *v2.LocustTestSpec) {
			s.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "files"}
			s.Volumes = []corev1.Volume{{Name: "data", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}
			s.VolumeMounts = []v2.TargetedVolumeMount{{VolumeMount: corev1.VolumeMount{Name: "data", MountPath: "/lotest/src"}}}
		}, []string{"spec.volumeMounts[0].mountPath", "/lotest/src"}},
		"env-of-the-operator": {func(s *v2.LocustTestSpec) {
			s.Observability = &v2.ObservabilityConfig{OpenTelemetry: &v2.OpenTelemetryConfig{Enabled: true, Endpoint: "http://otel:4317"}}
			s.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "OTEL_EXPORTER_OTLP_ENDPOINT", Value: "x"}}}
		}, []string{"spec.env.variables[0].name", "OTEL_EXPORTER_OTLP_ENDPOINT", "endpoint"}},
		"refused-by-the-api-server": {func(s *v2.LocustTestSpec) {
			s.Scheduling = &v2.SchedulingConfig{Tolerations: []corev1.Toleration{{Key: "dedicated", Operator: "Sometimes"}}}
		}, []string{"could not be created", "tolerations[0].operator"}},
		"bad-port-in-volume": {func(s *v2.LocustTestSpec) {
			s.Volumes = []corev1.Volume{{Name: "two", VolumeSource: corev1.VolumeSource{
				EmptyDir: &corev1.EmptyDirVolumeSource{}, HostPath: &corev1.HostPathVolumeSource{Path: "/x"}}}}
			s.VolumeMounts = []v2.TargetedVolumeMount{{VolumeMount: corev1.VolumeMount{Name: "two", MountPath: "/data"}}}
		}, []string{"could not be created", "more than 1 volume type"}},
	} {
		t.Run(name, func(t *testing.T) {
			test := newTest(ns, name)
			tc.change(&test.Spec)
			create(t, test)
			s := op.UntilPhase(test, v2.PhaseFailed)
			assert.Equal(t, v2.ReasonResourcesFailed, condition(s, v2.ConditionTypeReady).Reason)
			for _, want := range tc.want {
				assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, want)
			}
			before := op.requests.total("")
			time.Sleep(2 * time.Second)
			assert.LessOrEqual(t, op.requests.total(""), before+5, "no retry storm: %v", op.requests.snapshot())
		})
	}
}

// TestNamesThatMeet checks two tests that would share their objects, because their names differ only by a dot.
func TestNamesThatMeet(t *testing.T) {
	ns := namespace(t)
	op := startOperator(t, ns)
	first := create(t, newTest(ns, "shop-v1"))
	op.UntilReason(first, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	second := create(t, newTest(ns, "shop.v1"))
	s := op.UntilReason(second, v2.ConditionTypeReady, v2.ReasonResourcesFailed)
	assert.Equal(t, v2.PhasePending, s.Phase, "it can be corrected")
	assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, "not owned by this test: Service shop-v1-master")
}

// TestForeignService checks a name conflict with a Service of another owner, which is not in the operator's cache.
func TestForeignService(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	foreign := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "mine-master"},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(80)}}}}
	require.NoError(t, k8s.Create(t.Context(), foreign))
	op := startOperator(t, ns)
	test := create(t, newTest(ns, "mine"))
	s := op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesFailed)
	assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, "not owned by this test: Service mine-master")
	time.Sleep(3 * time.Second)
	assert.LessOrEqual(t, op.requests.total("POST services 409"), 2, "%v", op.requests.snapshot())

	require.NoError(t, k8s.Delete(t.Context(), foreign))
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
}

// TestQuota checks that a create that a quota refuses is retried, with few requests.
func TestQuota(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "none"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/jobs.batch": {}}}}
	require.NoError(t, k8s.Create(t.Context(), quota))
	eventually(t, "the quota is in force", func() bool {
		err := k8s.Get(t.Context(), client.ObjectKeyFromObject(quota), quota)
		return err == nil && len(quota.Status.Hard) > 0
	})
	op := startOperator(t, ns)
	test := create(t, newTest(ns, "poor"))
	s := op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesFailed)
	assert.Equal(t, v2.PhasePending, s.Phase)
	assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, "exceeded quota: none")
	before := op.requests.total("")
	time.Sleep(10 * time.Second)
	assert.LessOrEqual(t, op.requests.total("")-before, 10, "at most one request per second: %v", op.requests.snapshot())

	require.NoError(t, k8s.Delete(t.Context(), quota))
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	require.False(t, apierrors.IsNotFound(k8s.Get(t.Context(), client.ObjectKeyFromObject(test), test)))
}

// TestPolicy checks that a refusal by a ValidatingAdmissionPolicy, which has the code of an invalid object, is retried.
func TestPolicy(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	policy := &admissionv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: ns}, Spec: admissionv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
			Operations: []admissionv1.OperationType{admissionv1.Create},
			Rule:       admissionv1.Rule{APIGroups: []string{"batch"}, APIVersions: []string{"v1"}, Resources: []string{"jobs"}},
		}}}},
		Validations: []admissionv1.Validation{{Expression: "false", Message: "no Jobs today"}},
	}}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: ns}, Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{
		PolicyName: ns, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
		MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: ns}}},
	}}
	for _, object := range []client.Object{policy, binding} {
		require.NoError(t, k8s.Create(t.Context(), object))
		t.Cleanup(func() { _ = k8s.Delete(context.Background(), object) })
	}
	probe := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "probe"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "i"}}}}}}
	eventually(t, "the policy is in force", func() bool {
		return apierrors.IsInvalid(k8s.Create(t.Context(), probe.DeepCopy(), client.DryRunAll))
	})
	op := startOperator(t, ns)
	test := create(t, newTest(ns, "refused"))
	s := op.UntilReason(test, v2.ConditionTypePodsHealthy, v2.ReasonCreationError)
	assert.Equal(t, v2.PhasePending, s.Phase)
	assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, "no Jobs today")

	require.NoError(t, k8s.Delete(t.Context(), binding))
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
}
