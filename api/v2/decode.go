package v2

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation/field"
	kjson "sigs.k8s.io/json"
)

// The API server validates a custom resource against its schema, not against the Go types that it is decoded into. One
// object that the Go types reject would fail the list of all LocustTests, and with it every cache: the operator's, and the
// API server's for locust.io/v1. So a LocustTest whose spec cannot be decoded, or is costly to decode, is decoded without
// its spec, and DecodeError holds the reason.

const (
	// MaxSpecBytes is the maximum size of a spec as JSON. The Jobs hold it in an annotation, and the API server allows
	// 256 KiB for all annotations of an object.
	MaxSpecBytes = 200 << 10

	// MaxInlineFiles is the maximum number of inline files, for objects that the schema has not checked.
	MaxInlineFiles = 32
	// MaxInlineBytes is the maximum size of all inline files and their names. The API server allows 256 KiB of annotations for an
	// object; the pods hold the files in annotations.
	MaxInlineBytes = 64 << 10
	// MaxInlineJSON is the maximum size of the inline files as JSON: the annotation of kubectl apply holds it as JSON within JSON.
	MaxInlineJSON = 96 << 10

	// MaxValues is the maximum number of JSON values in a spec. "{}" takes three bytes in a list, and up to 250 bytes in
	// memory. A spec that fills all its bounded lists has about 3,000 values.
	MaxValues = 5_000

	// maxMetadataValues is the maximum number of JSON values in the metadata, where managedFields lists each field of the
	// spec again, once for each of its managers.
	maxMetadataValues = 20_000

	// QuantityPattern is the pattern for quantities in the schema and the decoder: the serialization format of
	// resource.Quantity, except for exponents of more than two digits and for fractions in exponents. resource.Quantity
	// rejects fractions only when it decodes, and computes 10^exponent when it rounds or compares.
	QuantityPattern = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]{1,2}))?$`

	// MaxQuantityLength is the maximum length of a quantity in bytes.
	MaxQuantityLength = 32

	// maxResources bounds a list of limits or requests. A quantity takes up to 270 bytes in memory.
	maxResources = 64
)

var (
	wellFormedQuantity = regexp.MustCompile(QuantityPattern)
	quantityType       = reflect.TypeFor[resource.Quantity]()
	unmarshalerType    = reflect.TypeFor[json.Unmarshaler]()
)

// DecodeError is the error for a field that cannot be decoded, with the reason and the remedy.
type DecodeError struct {
	// Field is the path of the field, for example "spec.master.resources.limits[cpu]".
	Field string
	// Value is an excerpt of the value, or its size.
	Value string
	// Detail is the reason and the remedy.
	Detail string
}

// Error implements error.
func (e *DecodeError) Error() string { return e.FieldError().Error() }

// FieldError returns the error as a field.Error.
func (e *DecodeError) FieldError() *field.Error {
	return &field.Error{Type: field.ErrorTypeInvalid, Field: e.Field, BadValue: e.Value, Detail: e.Detail}
}

// UnmarshalJSON decodes a LocustTest. It fails only if the JSON is not an object with valid metadata. If the spec cannot be
// decoded, it sets DecodeError and leaves the spec empty, except for worker.replicas. If the metadata has too many labels,
// annotations or references, it sets DecodeError and leaves them out.
func (t *LocustTest) UnmarshalJSON(data []byte) error {
	object := struct {
		*metav1.TypeMeta `json:",inline"`
		Metadata         json.RawMessage   `json:"metadata"`
		Spec             json.RawMessage   `json:"spec"`
		Status           *LocustTestStatus `json:"status"`
	}{TypeMeta: &t.TypeMeta, Status: &t.Status}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &object); err != nil {
		return err
	}
	var err error
	if t.DecodeError, err = DecodeMetadata(object.Metadata, &t.ObjectMeta); err != nil || len(object.Spec) == 0 {
		return err
	}
	if err := decodeSpec(object.Spec, &t.Spec); err != nil {
		t.Spec, t.DecodeError = LocustTestSpec{}, err
		t.Spec.Worker.Replicas = decodeReplicas(object.Spec)
	}
	return nil
}

// decodeReplicas decodes the only field that the status needs. It returns 0 if it cannot be decoded.
func decodeReplicas(spec []byte) int32 {
	var only struct {
		Worker struct {
			Replicas int32 `json:"replicas"`
		} `json:"worker"`
	}
	if kjson.UnmarshalCaseSensitivePreserveInts(spec, &only) != nil {
		return 0
	}
	return only.Worker.Replicas
}

// DecodeMetadata decodes the metadata of a test in any version. If it has too many values, DecodeMetadata decodes only
// the identity of the test and its finalizers, and returns a DecodeError.
func DecodeMetadata(data []byte, metadata *metav1.ObjectMeta) (*DecodeError, error) {
	if len(data) == 0 {
		return nil, nil
	}
	tooMany := CheckValues("metadata", data, maxMetadataValues)
	if tooMany == nil {
		return nil, kjson.UnmarshalCaseSensitivePreserveInts(data, metadata)
	}
	var identity struct {
		Name              string       `json:"name"`
		Namespace         string       `json:"namespace"`
		UID               types.UID    `json:"uid"`
		ResourceVersion   string       `json:"resourceVersion"`
		Generation        int64        `json:"generation"`
		CreationTimestamp metav1.Time  `json:"creationTimestamp"`
		DeletionTimestamp *metav1.Time `json:"deletionTimestamp"`
		Finalizers        []string     `json:"finalizers"`
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &identity); err != nil {
		return nil, err
	}
	*metadata = metav1.ObjectMeta{
		Name: identity.Name, Namespace: identity.Namespace, UID: identity.UID, ResourceVersion: identity.ResourceVersion,
		Generation: identity.Generation, CreationTimestamp: identity.CreationTimestamp, DeletionTimestamp: identity.DeletionTimestamp,
		Finalizers: identity.Finalizers,
	}
	return tooMany, nil
}

// UnmarshalJSON decodes a spec that is within MaxSpecBytes and MaxValues and whose quantities match
// QuantityPattern. The error is a *DecodeError.
func (s *LocustTestSpec) UnmarshalJSON(data []byte) error {
	refused := decodeSpec(data, s)
	if refused == nil {
		return nil // a nil *DecodeError is not a nil error
	}
	return refused
}

// UnmarshalSpecStrict decodes a spec like UnmarshalJSON and rejects unknown and duplicate fields.
func UnmarshalSpecStrict(data []byte) (*LocustTestSpec, error) {
	checked, refused := checkSpec(data)
	if refused != nil {
		return nil, refused
	}
	var tree any
	duplicates, err := kjson.UnmarshalStrict(data, &tree)
	if err != nil {
		return nil, err
	}
	spec := &plainSpec{}
	unknown, err := kjson.UnmarshalStrict(checked, spec)
	if strictErrs := slices.Concat(duplicates, unknown); err == nil && len(strictErrs) > 0 {
		err = strictErrs[0]
	}
	return (*LocustTestSpec)(spec), err
}

// plainSpec and plainStatus have no UnmarshalJSON.
type (
	plainSpec   LocustTestSpec
	plainStatus LocustTestStatus
)

func decodeSpec(data []byte, spec *LocustTestSpec) *DecodeError {
	checked, refused := checkSpec(data)
	if refused != nil {
		return refused
	}
	if err := kjson.UnmarshalCaseSensitivePreserveInts(checked, (*plainSpec)(spec)); err != nil {
		return &DecodeError{Field: "spec", Value: sizeOf(data), Detail: fmt.Sprintf("cannot be decoded: %v; correct the field", err)}
	}
	return nil
}

// UnmarshalJSON decodes a status. It leaves out a field that cannot be decoded, or has more than MaxValues values, because
// the status is derived again anyway.
func (s *LocustTestStatus) UnmarshalJSON(data []byte) error {
	before := *s
	if CountValues(data, math.MaxInt) <= MaxValues && kjson.UnmarshalCaseSensitivePreserveInts(data, (*plainStatus)(s)) == nil {
		return nil
	}
	*s = before
	const maxFields = 100 // the API server prunes unknown ones
	var fields map[string]json.RawMessage
	if CountValues(data, 1) > maxFields || kjson.UnmarshalCaseSensitivePreserveInts(data, &fields) != nil {
		return nil
	}
	for name, value := range fields {
		if CountValues(value, math.MaxInt) > MaxValues {
			continue
		}
		single, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err == nil && kjson.UnmarshalCaseSensitivePreserveInts(single, &plainStatus{}) == nil {
			_ = kjson.UnmarshalCaseSensitivePreserveInts(single, (*plainStatus)(s))
		}
	}
	return nil
}

// checkSpec returns an error if a spec is impossible or costly to decode. Its own cost is linear in the size, which it
// checks first. It returns the checked JSON, without the duplicate fields and extreme exponents that data may contain.
func checkSpec(data []byte) (checked []byte, refused *DecodeError) {
	if len(data) > MaxSpecBytes {
		return nil, &DecodeError{Field: "spec", Value: sizeOf(data), Detail: fmt.Sprintf(
			"must be no larger than %d bytes as JSON; move data into a ConfigMap and name it in testFiles, env or volumes", MaxSpecBytes)}
	}
	if refused := CheckValues("spec", data, MaxValues); refused != nil {
		return nil, refused
	}
	var spec any
	if err := kjson.UnmarshalCaseSensitivePreserveInts(data, &spec); err != nil {
		return nil, &DecodeError{Field: "spec", Value: sizeOf(data), Detail: fmt.Sprintf("is not JSON: %v; correct it", err)}
	}
	if refused := checkValue(field.NewPath("spec"), spec, reflect.TypeFor[plainSpec]()); refused != nil {
		return nil, refused
	}
	checked, err := json.Marshal(spec)
	if err != nil {
		return nil, &DecodeError{Field: "spec", Value: sizeOf(data), Detail: fmt.Sprintf("cannot be decoded: %v; correct it", err)}
	}
	return checked, nil
}

// CheckValues returns an error if the JSON of a field has more than limit values.
func CheckValues(path string, data []byte, limit int) *DecodeError {
	n := CountValues(data, math.MaxInt)
	if n <= limit {
		return nil
	}
	return &DecodeError{Field: path, Value: fmt.Sprintf("%d values", n), Detail: fmt.Sprintf(
		"must contain no more than %d values; remove labels or list items, or move data into a ConfigMap", limit)}
}

func sizeOf(data []byte) string { return fmt.Sprintf("%d bytes", len(data)) }

// CountValues counts the values in JSON that are nested in at most depth lists and objects: the first value, one after each
// comma, and the first one of each list and object that is not empty.
func CountValues(data []byte, depth int) int {
	count, level := 1, 0
	inString, opened := false, false
	for i := 0; i < len(data); i++ {
		c := data[i]
		if inString {
			if c == '\\' {
				i++
			}
			inString = c != '"'
			continue
		}
		switch c {
		case ' ', '\t', '\r', '\n':
			continue
		case '}', ']':
			level, opened = level-1, false
			continue
		}
		if (opened || c == ',') && level <= depth {
			count++
		}
		opened = c == '{' || c == '['
		inString = c == '"'
		if opened {
			level++
		}
	}
	return count
}

// checkValue walks a JSON value along its Go type, and returns an error for the first value that the type's own
// UnmarshalJSON rejects. Other mistakes, such as a string in place of a number, are left to the decoder: they are cheap,
// and its error names the field.
func checkValue(path *field.Path, value any, typ reflect.Type) *DecodeError {
	for typ.Kind() == reflect.Pointer {
		typ = typ.Elem()
	}
	if reflect.PointerTo(typ).Implements(unmarshalerType) {
		return checkLeaf(path, value, typ)
	}
	switch value := value.(type) {
	case map[string]any:
		if typ.Kind() == reflect.Map && typ.Elem() == quantityType && len(value) > maxResources {
			return &DecodeError{Field: path.String(), Value: fmt.Sprintf("%d resources", len(value)), Detail: fmt.Sprintf(
				"must name no more than %d resources; remove some", maxResources)}
		}
		for _, key := range slices.Sorted(maps.Keys(value)) {
			var err *DecodeError
			switch typ.Kind() {
			case reflect.Map:
				err = checkValue(path.Key(key), value[key], typ.Elem())
			case reflect.Struct:
				if member := fieldType(typ, key); member != nil {
					err = checkValue(path.Child(key), value[key], member)
				}
			}
			if err != nil {
				return err
			}
		}
	case []any:
		if typ.Kind() != reflect.Slice {
			return nil
		}
		for i, item := range value {
			if err := checkValue(path.Index(i), item, typ.Elem()); err != nil {
				return err
			}
		}
	}
	return nil
}

func checkLeaf(path *field.Path, value any, typ reflect.Type) *DecodeError {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return &DecodeError{Field: path.String(), Detail: fmt.Sprintf("cannot be decoded: %v; correct it", err)}
	}
	raw := bytes.TrimSpace(text.Bytes())
	shown := excerpt(strings.Trim(string(raw), `"`))
	if typ == quantityType && value != nil {
		number := strings.Trim(string(raw), `"`)
		if len(number) > MaxQuantityLength || !wellFormedQuantity.MatchString(number) {
			return &DecodeError{Field: path.String(), Value: shown, Detail: fmt.Sprintf(
				`must be a quantity of at most %d characters, with no more than two digits in an exponent, for example "500m" or "2Gi"; correct it`, MaxQuantityLength)}
		}
	}
	if err := reflect.New(typ).Interface().(json.Unmarshaler).UnmarshalJSON(raw); err != nil {
		return &DecodeError{Field: path.String(), Value: shown, Detail: fmt.Sprintf("cannot be decoded: %v; correct it", err)}
	}
	return nil
}

// fieldType returns the type of the struct field with a JSON name; nil if there is none.
func fieldType(typ reflect.Type, name string) reflect.Type {
	for i := range typ.NumField() {
		member := typ.Field(i)
		tag, _, _ := strings.Cut(member.Tag.Get("json"), ",")
		if tag == name {
			return member.Type
		}
		if tag == "" && member.Anonymous && member.Type.Kind() == reflect.Struct {
			if inlined := fieldType(member.Type, name); inlined != nil {
				return inlined
			}
		}
	}
	return nil
}

// excerpt shortens a value for a message.
func excerpt(value string) string {
	const limit = 60
	runes := []rune(value)
	if len(runes) <= limit {
		return value
	}
	return string(runes[:limit]) + "..."
}
