package v1

import (
	"fmt"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/controller-runtime/pkg/conversion"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// The conversion is lossless in both directions. v2 to v1 keeps the fields that v1 lacks in an annotation; v1 to v2 merges
// the v1 fields into the spec from the annotation. For every field there is a pair of functions:
//
//	fromV2(v2 value)             returns the v1 value
//	merge(v2 value, v1 value)    returns the v2 value that converts to the v1 value, with all else unchanged
//
// so that merge(x, fromV2(x)) is x (nothing is lost) and fromV2(merge(x, y)) is y (the writer wins). The API server
// requires nothing else.

var _ conversion.Convertible = &LocustTest{}

// ConvertTo converts the test to v2. It keeps an annotation AnnotationV2Spec that cannot be parsed, because one stored v1
// object must not fail a list of all tests; with CheckAnnotation the admission webhook rejects it and the reconciler
// reports it. The DecodeError of a test is kept in the same way. ConvertTo fails for a test with a marker, because writing
// it would lose its v2-only fields.
func (t *LocustTest) ConvertTo(hub conversion.Hub) error {
	dst, ok := hub.(*v2.LocustTest)
	if !ok {
		return fmt.Errorf("cannot convert %T to %T", t, hub)
	}
	if t.DecodeError != nil {
		// No test of this size can run, so the v2 object holds only the error.
		t.ObjectMeta.DeepCopyInto(&dst.ObjectMeta)
		setMarker(&dst.ObjectMeta, notDecoded+t.DecodeError.Error())
		return nil
	}
	if err := errNotWritable[t.Annotations[AnnotationV2Spec]]; err != nil {
		return err
	}
	t.ObjectMeta.DeepCopyInto(&dst.ObjectMeta)
	rest, err := unmarshalData(t.Annotations)
	if err == nil {
		dropData(&dst.ObjectMeta)
	} else {
		rest = emptyV2Spec()
	}
	dst.Spec = mergeIntoV2(rest, t.Spec.DeepCopy())
	t.Status.DeepCopyInto(&dst.Status)
	return nil
}

// ConvertFrom converts a test from v2. If the v2-only fields exceed MaxV2SpecBytes, or the spec cannot be decoded, the
// result has a marker and cannot be converted back.
func (t *LocustTest) ConvertFrom(hub conversion.Hub) error {
	src, ok := hub.(*v2.LocustTest)
	if !ok {
		return fmt.Errorf("cannot convert %T to %T", hub, t)
	}
	src.ObjectMeta.DeepCopyInto(&t.ObjectMeta)
	src.Status.DeepCopyInto(&t.Status)
	if src.DecodeError != nil {
		t.Spec = LocustTestSpec{}
		setMarker(&t.ObjectMeta, unreadable)
		return nil
	}
	t.Spec = specFromV2(src.Spec.DeepCopy())
	return marshalData(&t.ObjectMeta, &src.Spec, &t.Spec)
}

// emptyV2Spec returns a v2 spec with the schema's defaults for all fields that v1 lacks. So a test that was written in v1
// is the same with and without the API server's defaults, and needs no annotation.
func emptyV2Spec() *v2.LocustTestSpec {
	return &v2.LocustTestSpec{Master: v2.MasterSpec{Autostart: new(v2.DefaultAutostart), Reporter: new(v2.DefaultReporter)}, LoadGuarantee: v2.DefaultLoadGuarantee}
}

func specFromV2(spec *v2.LocustTestSpec) LocustTestSpec {
	v1 := LocustTestSpec{
		MasterCommandSeed: spec.Master.Command,
		WorkerCommandSeed: spec.Worker.Command,
		WorkerReplicas:    spec.Worker.Replicas,
		Image:             spec.Image,
		ImagePullPolicy:   spec.ImagePullPolicy,
		ImagePullSecrets:  secretNames(spec.ImagePullSecrets),
		Labels:            podMaps(spec.Master.Labels, spec.Worker.Labels),
		Annotations:       podMaps(spec.Master.Annotations, spec.Worker.Annotations),
	}
	if files := spec.TestFiles; files != nil {
		v1.ConfigMap, v1.LibConfigMap = files.ConfigMapRef, files.LibConfigMapRef
	}
	if scheduling := spec.Scheduling; scheduling != nil {
		if required := commonLabels(requiredNodes(scheduling.Affinity)); len(required) > 0 {
			v1.Affinity = &Affinity{NodeAffinity: &NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: required}}
		}
		v1.Tolerations = tolerationsFromV2(scheduling.Tolerations)
	}
	return v1
}

// mergeIntoV2 merges a v1 spec into the v2 spec from the annotation, which it modifies.
func mergeIntoV2(rest *v2.LocustTestSpec, v1 *LocustTestSpec) v2.LocustTestSpec {
	spec := *rest
	spec.Master.Command, spec.Worker.Command = v1.MasterCommandSeed, v1.WorkerCommandSeed
	spec.Worker.Replicas = max(v1.WorkerReplicas, 1) // the schema's default
	spec.Image, spec.ImagePullPolicy = v1.Image, v1.ImagePullPolicy
	spec.ImagePullSecrets = mergeSecrets(spec.ImagePullSecrets, v1.ImagePullSecrets)
	spec.Master.Labels, spec.Worker.Labels = v1.Labels.byRole()
	spec.Master.Annotations, spec.Worker.Annotations = v1.Annotations.byRole()
	spec.TestFiles = mergeTestFiles(spec.TestFiles, v1.ConfigMap, v1.LibConfigMap)

	var scheduling v2.SchedulingConfig
	if spec.Scheduling != nil {
		scheduling = *spec.Scheduling
	}
	scheduling.Affinity = mergeAffinity(scheduling.Affinity, v1.requiredLabels())
	scheduling.Tolerations = mergeTolerations(scheduling.Tolerations, v1.Tolerations)
	if spec.Scheduling != nil || !equality.Semantic.DeepEqual(scheduling, v2.SchedulingConfig{}) {
		spec.Scheduling = &scheduling
	}
	return spec
}

func secretNames(secrets []corev1.LocalObjectReference) []string {
	var names []string
	for _, secret := range secrets {
		names = append(names, secret.Name)
	}
	return names
}

func mergeSecrets(before []corev1.LocalObjectReference, names []string) []corev1.LocalObjectReference {
	if slices.Equal(secretNames(before), names) {
		return before
	}
	var secrets []corev1.LocalObjectReference
	for _, name := range names {
		secrets = append(secrets, corev1.LocalObjectReference{Name: name})
	}
	return secrets
}

func podMaps(master, worker map[string]string) *PodMaps {
	if len(master) == 0 && len(worker) == 0 {
		return nil
	}
	return &PodMaps{Master: master, Worker: worker}
}

func (m *PodMaps) byRole() (master, worker map[string]string) {
	if m == nil {
		return nil, nil
	}
	return m.Master, m.Worker
}

func mergeTestFiles(before *v2.TestFilesConfig, configMap, libConfigMap string) *v2.TestFilesConfig {
	if before == nil {
		if configMap == "" && libConfigMap == "" {
			return nil
		}
		before = &v2.TestFilesConfig{SrcMountPath: v2.DefaultSrcMountPath, LibMountPath: v2.DefaultLibMountPath}
	}
	before.ConfigMapRef, before.LibConfigMapRef = configMap, libConfigMap
	return before
}

func tolerationFromV2(t corev1.Toleration) Toleration {
	return Toleration{Key: t.Key, Operator: t.Operator, Value: t.Value, Effect: t.Effect}
}

func tolerationsFromV2(tolerations []corev1.Toleration) []Toleration {
	var converted []Toleration
	for _, t := range tolerations {
		converted = append(converted, tolerationFromV2(t))
	}
	return converted
}

// mergeTolerations keeps the tolerationSeconds, which v1 lacks, of the tolerations that v1 still contains.
func mergeTolerations(before []corev1.Toleration, wanted []Toleration) []corev1.Toleration {
	if slices.Equal(tolerationsFromV2(before), wanted) {
		return before
	}
	before = slices.Clone(before)
	var tolerations []corev1.Toleration
	for _, w := range wanted {
		toleration := corev1.Toleration{Key: w.Key, Operator: w.Operator, Value: w.Value, Effect: w.Effect}
		if i := slices.IndexFunc(before, func(b corev1.Toleration) bool { return tolerationFromV2(b) == w }); i >= 0 {
			toleration = before[i]
			before = slices.Delete(before, i, i+1)
		}
		tolerations = append(tolerations, toleration)
	}
	return tolerations
}

func (s *LocustTestSpec) requiredLabels() map[string]string {
	if s.Affinity == nil || s.Affinity.NodeAffinity == nil {
		return nil
	}
	return s.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

func requiredNodes(affinity *corev1.Affinity) *corev1.NodeSelector {
	if affinity == nil || affinity.NodeAffinity == nil {
		return nil
	}
	return affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution
}

func mergeAffinity(before *corev1.Affinity, labels map[string]string) *corev1.Affinity {
	if maps.Equal(commonLabels(requiredNodes(before)), labels) {
		return before
	}
	var affinity corev1.Affinity
	if before != nil {
		affinity = *before
	}
	var node corev1.NodeAffinity
	if affinity.NodeAffinity != nil {
		node = *affinity.NodeAffinity
	}
	node.RequiredDuringSchedulingIgnoredDuringExecution = mergeLabels(node.RequiredDuringSchedulingIgnoredDuringExecution, labels)
	affinity.NodeAffinity = &node
	if equality.Semantic.DeepEqual(node, corev1.NodeAffinity{}) {
		affinity.NodeAffinity = nil
	}
	if equality.Semantic.DeepEqual(affinity, corev1.Affinity{}) {
		return nil
	}
	return &affinity
}
