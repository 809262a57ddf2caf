//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/samples"
)

// sccCRD makes the API server serve the group by which the operator recognizes OpenShift.
const sccCRD = `apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: securitycontextconstraints.security.openshift.io
spec:
  group: security.openshift.io
  scope: Cluster
  names: {kind: SecurityContextConstraints, plural: securitycontextconstraints, singular: securitycontextconstraints}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
`

// TestOpenShift runs tests under policies that act as OpenShift's restricted-v2: they refuse foreign users and groups, and assign the
// namespace's own. Another policy refuses containers without requests and limits, which the operator's defaults add.
func TestOpenShift(t *testing.T) {
	s := newFixture(t)
	disturbed.add(t)
	deadline := map[string]string{"LOCUST_OPERATOR_STARTUP_DEADLINE": startupDeadline.String()}
	t.Cleanup(func() { require.NoError(t, configureOperator(context.Background(), deadline)) }) // when the group is gone
	t.Cleanup(func() {
		crd := &unstructured.Unstructured{}
		require.NoError(t, yaml.Unmarshal([]byte(sccCRD), &crd.Object))
		require.NoError(t, client.IgnoreNotFound(k8s.Delete(context.Background(), crd)))
		eventually(t, "the group of OpenShift is gone", func() bool {
			groups, err := clientset.Discovery().ServerGroups()
			return err == nil && !slices.ContainsFunc(groups.Groups, func(g metav1.APIGroup) bool { return g.Name == "security.openshift.io" })
		})
	})
	s.mustKubectl("apply", "-f", s.file(sccCRD))
	s.mustKubectl("wait", "--for=condition=Established", "crd/securitycontextconstraints.security.openshift.io")
	class := &schedulingv1.PriorityClass{ObjectMeta: metav1.ObjectMeta{Name: "e2e-load"}, Value: -1, PreemptionPolicy: ptr.To(corev1.PreemptNever)}
	require.NoError(t, k8s.Create(t.Context(), class))
	t.Cleanup(func() { _ = k8s.Delete(context.Background(), class) })
	require.NoError(t, configureOperator(t.Context(), map[string]string{"LOCUST_OPERATOR_STARTUP_DEADLINE": startupDeadline.String(),
		"LOCUST_OPERATOR_POD_DEFAULTS": `{master: {resources: &r {requests: {cpu: 10m, memory: 32Mi}, limits: {cpu: "2", memory: 512Mi}}}, worker: {resources: *r}, priorityClassName: e2e-load}`}))

	// JSONPatch needs the pod's security context, which all pods here have.
	const assigned = int64(1000660000)
	s.mutate("", "pods", fmt.Sprintf(`has(object.spec.securityContext.runAsUser) ? [] : [
		JSONPatch{op: "add", path: "/spec/securityContext/runAsUser", value: %[1]d},
		JSONPatch{op: "add", path: "/spec/securityContext/fsGroup", value: %[1]d}]`, assigned))
	foreign, withoutResources := probePod().Spec, probePod().Spec
	withoutResources.SecurityContext.RunAsUser = nil
	eventually(t, "the policy assigns a user", func() bool {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "probe"}, Spec: *withoutResources.DeepCopy()}
		require.NoError(t, k8s.Create(t.Context(), pod, client.DryRunAll))
		return ptr.Deref(pod.Spec.SecurityContext.RunAsUser, 0) == assigned
	})
	s.refusePods("a foreign user or group", foreign,
		`[object.spec.securityContext.?runAsUser.orValue(0) == 1000660000,
		  !has(object.spec.securityContext.runAsGroup),
		  object.spec.securityContext.?fsGroup.orValue(0) == 1000660000,
		  object.spec.containers.all(c, !has(c.securityContext.runAsUser) && !has(c.securityContext.runAsGroup))].all(ok, ok)`)
	s.requireSamplesAdmitted()
	s.refusePods("a container without requests and limits", withoutResources,
		`object.spec.containers.all(c, ["cpu", "memory"].all(r, r in c.?resources.requests.orValue({}) && r in c.?resources.limits.orValue({})))`)

	who := locustBase + `
class User(HttpUser):
    host = HOST
    wait_time = constant(0.25)
    @task
    def ask(self):
        self.client.get("/hit/" + KEY, name="/%d:%d" % (os.getuid(), os.getgid()))
`
	s.configMap("who", map[string]string{"locustfile.py": who})
	test := s.create(s.test("who", 6, func(spec *v2.LocustTestSpec) { spec.TestFiles.ConfigMapRef = "who" }))
	s.sampleTarget(withoutUser)
	for _, path := range []string{"v2/minimal.yaml", "v2/security.yaml", "v2/inline.yaml", "v1/minimal.yaml"} {
		manifest, err := os.ReadFile(filepath.Join(samplesDir, path))
		require.NoError(t, err)
		s.mustKubectl("apply", "-f", s.file(strings.ReplaceAll(string(manifest), samples.Image, locustImage)))
	}
	final := s.UntilPhase(test, v2.PhaseSucceeded)
	hasEndpoints("/1000660000:0")(t, s, test, final)
	for _, role := range []resources.Role{resources.RoleMaster, resources.RoleWorker} {
		pod := s.job(test, role).Spec.Template.Spec
		assert.Equal(t, "512Mi", pod.Containers[0].Resources.Limits.Memory().String())
		assert.Equal(t, "e2e-load", pod.PriorityClassName)
	}
	for _, name := range []string{"minimal", "security", "first", "v1-minimal"} {
		s.UntilPhase(s.get(name), v2.PhaseSucceeded)
	}
}

// requireSamplesAdmitted checks that the API server admits the pods of all samples, without running them.
func (s *fixture) requireSamplesAdmitted() {
	s.t.Helper()
	all, err := samples.Read(samplesDir)
	require.NoError(s.t, err)
	admitted := 0
	for _, sample := range all {
		tests, err := sample.LocustTests()
		require.NoError(s.t, err)
		for _, test := range tests {
			test.Namespace = s.namespace
			for _, build := range []func(*v2.LocustTest, *resources.PodDefaults) (*batchv1.Job, error){resources.BuildMasterJob, resources.BuildWorkerJob} {
				job, err := build(test, &resources.PodDefaults{PlatformUser: true})
				require.NoError(s.t, err)
				pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: "sample-"}, Spec: job.Spec.Template.Spec}
				pod.Spec.PriorityClassName = "" // of no class that exists here
				assert.NoError(s.t, k8s.Create(s.t.Context(), pod, client.DryRunAll), sample.Path)
				admitted++
			}
		}
	}
	assert.Greater(s.t, admitted, 40)
}

// withoutUser removes the user from a manifest, with the command of docs/openshift.md.
func withoutUser(manifest string) string {
	var kept []string
	for line := range strings.Lines(manifest) {
		if !strings.Contains(line, "runAsUser: 1000") {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}

// refusePods creates an admission policy that refuses pods in the fixture's namespace unless the CEL expression is true. It
// waits until the policy refuses the probe, which satisfies all other policies: the API server names only one.
func (s *fixture) refusePods(what string, probe corev1.PodSpec, expression string) {
	s.t.Helper()
	name := s.namespace + "-" + strings.ReplaceAll(what, " ", "-")
	policy := &admissionv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: ptr.To(admissionv1.Fail),
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}}}},
			Validations: []admissionv1.Validation{{Expression: expression, Message: what}},
		},
	}
	binding := &admissionv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionv1.ValidationAction{admissionv1.Deny},
			MatchResources: &admissionv1.MatchResources{NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}}}},
	}
	for _, object := range []client.Object{policy, binding} {
		require.NoError(s.t, k8s.Create(context.Background(), object))
		s.t.Cleanup(func() { _ = k8s.Delete(context.Background(), object) })
	}
	eventually(s.t, "the policy refuses "+what, func() bool {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "probe"}, Spec: *probe.DeepCopy()}
		err := k8s.Create(context.Background(), pod, client.DryRunAll)
		return err != nil && strings.Contains(err.Error(), what)
	})
}
