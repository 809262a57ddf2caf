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

// The conversion is a lens. Reading in v1 shows what v1 has fields for, and remembers the rest of v2 in an annotation;
// writing in v1 puts what was written over what is remembered. For every field there is a pair:
//
//	shown(v2 value)            what v1 shows of it
//	put(v2 value, v1 value)    the v2 value that shows as the v1 value, and otherwise stays as it was
//
// so that put(x, shown(x)) is x, nothing is lost, and shown(put(x, y)) is y, the writer wins. The API server
// asks for nothing else.

var _ conversion.Convertible = &LocustTest{}

// ConvertTo writes the test as v2. An annotation AnnotationV2Spec that cannot be understood goes along: a test that is
// stored as v1 must not break a list of all tests. CheckAnnotation finds it there, for the admission webhook to refuse
// and for the reconciler to report. So does the error of a
// test that cannot be decoded. ConvertTo fails for a test that v1 cannot write, rather than lose what v1 does not
// show of it.
func (t *LocustTest) ConvertTo(hub conversion.Hub) error {
	dst, ok := hub.(*v2.LocustTest)
	if !ok {
		return fmt.Errorf("cannot convert %T to %T", t, hub)
	}
	if t.DecodeError != nil {
		// No test of this size can run. What a list of v2 shows of it is the error.
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

// ConvertFrom reads a test of v2. What v1 has no field for may be larger than MaxV2SpecBytes, or the spec may be one
// that cannot be decoded; then the result cannot be converted back.
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

// emptyV2Spec is what v2's schema makes of a test that says nothing but what v1 can say. A test that was written in v1 is the
// same with and without the API server's defaults, and needs no annotation.
func emptyV2Spec() *v2.LocustTestSpec {
	return &v2.LocustTestSpec{Master: v2.MasterSpec{Autostart: new(true), Reporter: new(true)}, LoadGuarantee: v2.LoadGuaranteeBasic}
}

// The defaults of v2's schema below testFiles.
const (
	defaultSrcMountPath = "/lotest/src"
	defaultLibMountPath = "/opt/locust/lib"
)

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

// mergeIntoV2 makes a v2 spec of what is remembered, which it uses up, and of what v1 says.
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
		before = &v2.TestFilesConfig{SrcMountPath: defaultSrcMountPath, LibMountPath: defaultLibMountPath}
	}
	before.ConfigMapRef, before.LibConfigMapRef = configMap, libConfigMap
	return before
}

func tolerationFromV2(t corev1.Toleration) Toleration {
	return Toleration{Key: t.Key, Operator: t.Operator, Value: t.Value, Effect: t.Effect}
}

func tolerationsFromV2(tolerations []corev1.Toleration) []Toleration {
	var shown []Toleration
	for _, t := range tolerations {
		shown = append(shown, tolerationFromV2(t))
	}
	return shown
}

// mergeTolerations finds each of v1's tolerations among those before, which may have tolerationSeconds.
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
