package v1

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

const (
	// AnnotationV2Spec holds, on a test in v1, the v2 fields that v1 lacks, as the JSON of a partial v2 spec. Tests in v2,
	// and in storage, do not have the annotation.
	AnnotationV2Spec = "locust.io/v2-spec"

	// MaxV2SpecBytes is the maximum size of the annotation. The API server allows 256 KiB for all annotations of an object,
	// which include kubectl's last-applied-configuration.
	MaxV2SpecBytes = 128 << 10

	// tooLarge replaces data that exceeds the limit, and unreadable marks a test that cannot be decoded (v2.LocustTest,
	// DecodeError). Such a test can be read in v1, also as part of a list, but not written.
	tooLarge   = "too large"
	unreadable = "unreadable"

	// notDecoded is the prefix of the DecodeError in the annotation of a v2 test converted from an undecodable v1 test.
	notDecoded = "cannot be decoded: "
)

// errNotWritable maps each marker to the reason why a test that was read in v1 cannot be written back.
var errNotWritable = map[string]error{
	tooLarge:   fmt.Errorf("the fields of this test that locust.io/v1 lacks exceed the annotation %s; edit it in locust.io/v2, or move data into a ConfigMap", AnnotationV2Spec),
	unreadable: errors.New("this test cannot be decoded and converted to locust.io/v1; correct it in locust.io/v2, or delete the test"),
}

// CheckAnnotation sets DecodeError of a test if its annotation AnnotationV2Spec cannot be parsed, unless it is set already.
func CheckAnnotation(test *v2.LocustTest) {
	if _, err := unmarshalData(test.Annotations); err != nil && test.DecodeError == nil {
		test.DecodeError = &v2.DecodeError{
			Field:  "metadata.annotations[" + AnnotationV2Spec + "]",
			Value:  fmt.Sprintf("%d bytes", len(test.Annotations[AnnotationV2Spec])),
			Detail: err.Error(),
		}
	}
}

// unmarshalData parses the v2 spec in the annotation. Without the annotation it returns emptyV2Spec.
func unmarshalData(annotations map[string]string) (*v2.LocustTestSpec, error) {
	text, ok := annotations[AnnotationV2Spec]
	if !ok {
		return emptyV2Spec(), nil
	}
	if err := errNotWritable[text]; err != nil {
		return nil, err
	}
	if reason, ok := strings.CutPrefix(text, notDecoded); ok {
		return nil, errors.New(reason)
	}
	const remedy = "correct it, or remove it and lose the fields that v1 lacks"
	if len(text) > MaxV2SpecBytes {
		return nil, fmt.Errorf("annotation %s has %d bytes, more than %d; %s", AnnotationV2Spec, len(text), MaxV2SpecBytes, remedy)
	}
	rest, err := v2.UnmarshalSpecStrict([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("annotation %s: %w; %s", AnnotationV2Spec, err, remedy)
	}
	return rest, nil
}

func dropData(meta *metav1.ObjectMeta) {
	delete(meta.Annotations, AnnotationV2Spec)
	if len(meta.Annotations) == 0 {
		meta.Annotations = nil
	}
}

// marshalData stores the v2-only fields of a spec in the annotation, if there are any.
func marshalData(meta *metav1.ObjectMeta, spec *v2.LocustTestSpec, v1 *LocustTestSpec) error {
	if _, err := unmarshalData(meta.Annotations); err == nil {
		dropData(meta)
	}
	if equality.Semantic.DeepEqual(mergeIntoV2(emptyV2Spec(), v1.DeepCopy()), *spec) {
		return nil
	}
	text, err := encode(v2OnlyFields(spec, v1))
	if err != nil {
		return err
	}
	setAnnotation(meta, string(text))
	if len(text) > MaxV2SpecBytes || apivalidation.ValidateAnnotationsSize(meta.Annotations) != nil {
		setMarker(meta, tooLarge)
	}
	return nil
}

// setMarker sets one of the markers of errNotWritable. The API server validates the annotations of converted objects, so the
// other annotations are dropped if they leave no room: a test with a marker cannot be written back anyway.
func setMarker(meta *metav1.ObjectMeta, text string) {
	setAnnotation(meta, text)
	if apivalidation.ValidateAnnotationsSize(meta.Annotations) != nil {
		meta.Annotations = map[string]string{AnnotationV2Spec: text}
	}
}

func setAnnotation(meta *metav1.ObjectMeta, text string) {
	if meta.Annotations == nil {
		meta.Annotations = map[string]string{}
	}
	meta.Annotations[AnnotationV2Spec] = text
}

// v2OnlyFields returns a spec without the values that mergeIntoV2 derives from v1 alone.
func v2OnlyFields(spec *v2.LocustTestSpec, v1 *LocustTestSpec) *v2.LocustTestSpec {
	rest := spec.DeepCopy()
	rest.Image, rest.ImagePullPolicy, rest.ImagePullSecrets = "", "", nil
	rest.Master.Command, rest.Master.Labels, rest.Master.Annotations = "", nil, nil
	rest.Worker.Command, rest.Worker.Labels, rest.Worker.Annotations = "", nil, nil
	rest.Worker.Replicas = 0
	if files := rest.TestFiles; files != nil {
		files.ConfigMapRef, files.LibConfigMapRef = "", ""
		if equality.Semantic.DeepEqual(mergeTestFiles(nil, v1.ConfigMap, v1.LibConfigMap), spec.TestFiles) {
			rest.TestFiles = nil
		}
	}
	if scheduling := rest.Scheduling; scheduling != nil {
		if equality.Semantic.DeepEqual(mergeTolerations(nil, v1.Tolerations), scheduling.Tolerations) {
			scheduling.Tolerations = nil
		}
		if equality.Semantic.DeepEqual(mergeAffinity(nil, v1.requiredLabels()), scheduling.Affinity) {
			scheduling.Affinity = nil
		}
		if equality.Semantic.DeepEqual(*scheduling, v2.SchedulingConfig{}) && (v1.Affinity != nil || len(v1.Tolerations) > 0) {
			rest.Scheduling = nil
		}
	}
	return rest
}

// encode marshals the rest without the required fields that v1 has: encoding/json would write them although they are
// empty. Map keys are sorted, so that equal specs yield equal annotations.
func encode(rest *v2.LocustTestSpec) ([]byte, error) {
	raw, err := json.Marshal(rest)
	if err != nil {
		return nil, fmt.Errorf("encode the annotation %s: %w", AnnotationV2Spec, err)
	}
	var fields map[string]any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(raw, &fields); err != nil {
		return nil, fmt.Errorf("encode the annotation %s: %w", AnnotationV2Spec, err)
	}
	delete(fields, "image")
	for _, role := range []string{"master", "worker"} {
		section, _ := fields[role].(map[string]any)
		delete(section, "command")
		delete(section, "replicas")
		if resources, _ := section["resources"].(map[string]any); len(resources) == 0 {
			delete(section, "resources")
		}
		if len(section) == 0 {
			delete(fields, role)
		}
	}
	return json.Marshal(fields)
}
