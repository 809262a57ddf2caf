package validation

import (
	"strings"
	"testing"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func scheduling(s v2.SchedulingConfig) edit {
	return func(spec *v2.LocustTestSpec) { spec.Scheduling = &s }
}

func toleration(t corev1.Toleration) edit {
	return scheduling(v2.SchedulingConfig{Tolerations: []corev1.Toleration{t}})
}

func affinity(a corev1.Affinity) edit { return scheduling(v2.SchedulingConfig{Affinity: &a}) }

func nodeTerm(term corev1.NodeSelectorTerm) edit {
	return affinity(corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{NodeSelectorTerms: []corev1.NodeSelectorTerm{term}}}})
}

func expression(key string, operator corev1.NodeSelectorOperator, values ...string) edit {
	return nodeTerm(corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: key, Operator: operator, Values: values}}})
}

func podTerm(term corev1.PodAffinityTerm) edit {
	return affinity(corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{term}}})
}

func preferred(term corev1.PodAffinityTerm) edit {
	return affinity(corev1.Affinity{PodAffinity: &corev1.PodAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.WeightedPodAffinityTerm{{Weight: 1, PodAffinityTerm: term}}}})
}

// mounted adds a volume that the workers mount.
func mounted(name string, source corev1.VolumeSource) edit {
	return func(s *v2.LocustTestSpec) {
		s.Volumes = []corev1.Volume{{Name: name, VolumeSource: source}}
		s.VolumeMounts = []v2.TargetedVolumeMount{builder.Targeted(name, "/data", v2.MountTargetWorker)}
	}
}

func reference(name string) corev1.LocalObjectReference {
	return corev1.LocalObjectReference{Name: name}
}

func TestValidateNames(t *testing.T) {
	key := func(name, key string) *corev1.SecretKeySelector {
		return &corev1.SecretKeySelector{LocalObjectReference: reference(name), Key: key}
	}
	for name, row := range map[string]struct {
		edit         edit
		path, remedy string
	}{
		"runtime class":             {scheduling(v2.SchedulingConfig{RuntimeClassName: new("Not_A_Name")}), "spec.scheduling.runtimeClassName", "no RuntimeClass can have this name"},
		"node selector, key":        {scheduling(v2.SchedulingConfig{NodeSelector: map[string]string{"a b": "x"}}), "spec.scheduling.nodeSelector[a b]", "label's name"},
		"node selector, value":      {scheduling(v2.SchedulingConfig{NodeSelector: map[string]string{"a": "x y"}}), "spec.scheduling.nodeSelector[a]", "label's value"},
		"toleration, key":           {toleration(corev1.Toleration{Key: "a b", Operator: "Exists"}), "spec.scheduling.tolerations[0].key", "label's name"},
		"toleration, value":         {toleration(corev1.Toleration{Key: "a", Value: "x y"}), "spec.scheduling.tolerations[0].value", "label's value"},
		"toleration, value, Exists": {toleration(corev1.Toleration{Key: "a", Operator: "Exists", Value: "x"}), "spec.scheduling.tolerations[0].value", "remove it"},
		"toleration of all, Equal":  {toleration(corev1.Toleration{Value: "x"}), "spec.scheduling.tolerations[0].operator", "choose Exists, or name a key"},
		"toleration, seconds":       {toleration(corev1.Toleration{Operator: "Exists", TolerationSeconds: new(int64(1))}), "spec.scheduling.tolerations[0].effect", "remove tolerationSeconds"},
		"node terms":                {affinity(corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{}}}), "spec.scheduling.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms", "add a term"},
		"node label":                {expression("a b", "Exists"), "spec.scheduling.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]", "correct the expression"},
		"node label without values": {expression("a", "In"), "spec.scheduling.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]", "correct the expression"},
		"node label, operator":      {expression("a", "Equals", "x"), "spec.scheduling.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0].operator", "choose In"},
		"node label, no number":     {expression("a", "Gt", "x"), "spec.scheduling.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchExpressions[0]", "correct the expression"},
		"node field":                {nodeTerm(corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.labels", Operator: "In", Values: []string{"x"}}}}), "spec.scheduling.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms[0].matchFields[0]", "use matchExpressions"},
		"preferred node": {affinity(corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{PreferredDuringSchedulingIgnoredDuringExecution: []corev1.PreferredSchedulingTerm{
			{Preference: corev1.NodeSelectorTerm{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "a b", Operator: "Exists"}}}}}}}), "spec.scheduling.affinity.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].preference.matchExpressions[0]", "correct the expression"},
		"no topology key": {podTerm(corev1.PodAffinityTerm{}), "spec.scheduling.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey", "name a label of nodes"},
		"topology key":    {preferred(corev1.PodAffinityTerm{TopologyKey: "a b"}), "spec.scheduling.affinity.podAffinity.preferredDuringSchedulingIgnoredDuringExecution[0].podAffinityTerm.topologyKey", "label's name"},
		"namespace":       {podTerm(corev1.PodAffinityTerm{TopologyKey: "a", Namespaces: []string{"A"}}), "spec.scheduling.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespaces[0]", "correct the name"},
		"label selector":  {podTerm(corev1.PodAffinityTerm{TopologyKey: "a", LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"a b": "x"}}}), "spec.scheduling.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].labelSelector.matchLabels", "correct the selector"},
		"namespace selector": {podTerm(corev1.PodAffinityTerm{TopologyKey: "a", NamespaceSelector: &metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "a", Operator: "Is"}}}}),
			"spec.scheduling.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].namespaceSelector.matchExpressions[0].operator", "correct the selector"},
		"secret of a variable":    {builder.Variables(corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: key("A", "a")}}), "spec.env.variables[0].valueFrom.secretKeyRef.name", "no Secret can have this name"},
		"key of a variable":       {builder.Variables(corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: key("a", "a/b")}}), "spec.env.variables[0].valueFrom.secretKeyRef.key", "correct the key"},
		"ConfigMap of a variable": {builder.Variables(corev1.EnvVar{Name: "A", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{Key: "a"}}}), "spec.env.variables[0].valueFrom.configMapKeyRef.name", "name a ConfigMap"},
		"volume":                  {mounted("a_b", corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}), "spec.volumes[0].name", "rename the volume"},
		"ConfigMap of a volume":   {mounted("v", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: reference("A")}}), "spec.volumes[0].configMap.name", "no ConfigMap can have this name"},
		"Secret of a volume":      {mounted("v", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "a_b"}}), "spec.volumes[0].secret.secretName", "no Secret can have this name"},
		"key of a volume":         {mounted("v", corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "a", Items: []corev1.KeyToPath{{Key: "a/b", Path: "a"}}}}), "spec.volumes[0].secret.items[0].key", "correct the key"},
		"path of a key":           {mounted("v", corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: reference("a"), Items: []corev1.KeyToPath{{Key: "a", Path: "../a"}}}}), "spec.volumes[0].configMap.items[0].path", "relative path"},
		"claim":                   {mounted("v", corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: "A"}}), "spec.volumes[0].persistentVolumeClaim.claimName", "no PersistentVolumeClaim can have this name"},
		"projected ConfigMap":     {mounted("v", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{ConfigMap: &corev1.ConfigMapProjection{LocalObjectReference: reference("A")}}}}}), "spec.volumes[0].projected.sources[0].configMap.name", "no ConfigMap can have this name"},
		"projected Secret":        {mounted("v", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{Secret: &corev1.SecretProjection{LocalObjectReference: reference("A")}}}}}), "spec.volumes[0].projected.sources[0].secret.name", "no Secret can have this name"},
		"resource": {func(s *v2.LocustTestSpec) {
			s.Master.Resources.Limits = corev1.ResourceList{"gpu": resource.MustParse("1")}
		}, "spec.master.resources.limits[gpu]", "has no domain"},
		"resource with a blank": {func(s *v2.LocustTestSpec) {
			s.Worker.Resources.Requests = corev1.ResourceList{"x y": resource.MustParse("1")}
		}, "spec.worker.resources.requests[x y]", "correct the resource's name"},
		"a name that is very long": {scheduling(v2.SchedulingConfig{RuntimeClassName: new(strings.Repeat("a", 5000))}), "spec.scheduling.runtimeClassName", "correct the name"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := Validate(builder.MakeShop(row.edit))
			require.Len(t, errs, 1, "one mistake, one message")
			assert.Equal(t, row.path, errs[0].Field)
			assert.Contains(t, errs[0].Error(), row.remedy)
			assert.Less(t, len(errs[0].Error()), 1024, "the message must fit in an event")
		})
	}
}

func TestValidateNames_Accepts(t *testing.T) {
	for name, edit := range map[string]edit{
		"resources": func(s *v2.LocustTestSpec) {
			s.Master.Resources.Limits = corev1.ResourceList{"cpu": resource.MustParse("1"), "example.com/gpu": resource.MustParse("1"), "hugepages-2Mi": resource.MustParse("2Mi")}
		},
		"empty runtime class": scheduling(v2.SchedulingConfig{RuntimeClassName: new("")}),
		"runtime class":       scheduling(v2.SchedulingConfig{RuntimeClassName: new("gvisor.example")}),
		"tolerates all":       toleration(corev1.Toleration{Operator: "Exists"}),
		"newer operator":      toleration(corev1.Toleration{Key: "a", Operator: "Lt", Value: "5"}),
		"tolerates for long":  toleration(corev1.Toleration{Key: "a", Operator: "Exists", Effect: "NoExecute", TolerationSeconds: new(int64(1))}),
		"node":                nodeTerm(corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{{Key: "metadata.name", Operator: "In", Values: []string{"n"}}}}),
		"empty term":          nodeTerm(corev1.NodeSelectorTerm{}),
		"labels":              expression("kubernetes.io/arch", "NotIn", "arm64", "s390x"),
		"numbers":             expression("cores", "Gt", "4"),
		"pods": podTerm(corev1.PodAffinityTerm{TopologyKey: "kubernetes.io/hostname", Namespaces: []string{"perf"}, NamespaceSelector: &metav1.LabelSelector{},
			LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}}),
		"volume": mounted("v", corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			Secret: &corev1.SecretProjection{LocalObjectReference: reference("s"), Items: []corev1.KeyToPath{{Key: "a.b", Path: "c/d"}}}}}}}),
	} {
		t.Run(name, func(t *testing.T) {
			test := builder.MakeShop(edit)
			assert.Empty(t, Validate(test))
			job, err := resources.BuildWorkerJob(test, &resources.PodDefaults{})
			require.NoError(t, err)
			if name := job.Spec.Template.Spec.RuntimeClassName; name != nil {
				assert.NotEmpty(t, *name, "the API server refuses an empty name in a pod")
			}
		})
	}
}
