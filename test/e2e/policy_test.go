//go:build e2e

package e2e

import (
	"context"

	"github.com/stretchr/testify/require"
	admissionv1 "k8s.io/api/admissionregistration/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// mutateJobs creates an admission policy that mutates all new Jobs in the fixture's namespace. The CEL expression returns a
// list of JSONPatch; changed reports whether a Job has the change.
func (s *fixture) mutateJobs(expression string, changed func(*batchv1.Job) bool) {
	s.t.Helper()
	s.mutate("batch", "jobs", expression)
	eventually(s.t, "the policy for Jobs is in force", func() bool {
		job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "probe"}, Spec: batchv1.JobSpec{Template: probePod()}}
		require.NoError(s.t, k8s.Create(context.Background(), job, client.DryRunAll))
		return changed(job)
	})
}

// mutatePods does the same for pods; changed reports whether a pod has the change.
func (s *fixture) mutatePods(expression string, changed func(*corev1.Pod) bool) {
	s.t.Helper()
	s.mutate("", "pods", expression)
	eventually(s.t, "the policy for pods is in force", func() bool {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "probe"}, Spec: probePod().Spec}
		require.NoError(s.t, k8s.Create(context.Background(), pod, client.DryRunAll))
		return changed(pod)
	})
}

func (s *fixture) mutate(group, resource, expression string) {
	s.t.Helper()
	name := s.namespace + "-" + resource
	policy := &admissionv1.MutatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicySpec{
			FailurePolicy:      ptr.To(admissionv1.Fail),
			ReinvocationPolicy: admissionv1.NeverReinvocationPolicy,
			MatchConstraints: &admissionv1.MatchResources{ResourceRules: []admissionv1.NamedRuleWithOperations{{RuleWithOperations: admissionv1.RuleWithOperations{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{group}, APIVersions: []string{"v1"}, Resources: []string{resource}},
			}}}},
			Mutations: []admissionv1.Mutation{{
				PatchType: admissionv1.PatchTypeJSONPatch,
				JSONPatch: &admissionv1.JSONPatch{Expression: expression},
			}},
		},
	}
	binding := &admissionv1.MutatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionv1.MutatingAdmissionPolicyBindingSpec{PolicyName: name, MatchResources: &admissionv1.MatchResources{
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}},
		}},
	}
	for _, object := range []client.Object{policy, binding} {
		require.NoError(s.t, k8s.Create(context.Background(), object))
		s.t.Cleanup(func() { _ = k8s.Delete(context.Background(), object) })
	}
}

// probePod returns a pod that satisfies the restricted Pod Security Standard.
func probePod() corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{Spec: corev1.PodSpec{
		RestartPolicy:   corev1.RestartPolicyNever,
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: ptr.To(true), RunAsUser: ptr.To[int64](1000), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{Name: "probe", Image: locustImage, SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: ptr.To(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}}}},
	}}
}
