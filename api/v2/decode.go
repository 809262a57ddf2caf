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

// The API server checks a custom resource against its schema, not against the Go types that it is decoded into. One
// object that these refuse would fail the list of all LocustTests, and with it every cache: that of the operator, and
// that of the API server for locust.io/v1. So a LocustTest with a spec that cannot be decoded, or only at a cost, is
// decoded without its spec, and its DecodeError says why.

const (
	// MaxSpecBytes of a spec as JSON. The Jobs carry it in an annotation, and the API server allows 256 KiB for all
	// annotations of an object.
	MaxSpecBytes = 200 << 10

	// MaxValues is the largest number of JSON values in a spec. "{}" takes three bytes in a list, and up to 250 bytes in
	// memory. A spec that fills all its bounded lists has some 3,000.
	MaxValues = 5_000

	// maxMetadataValues is the same for metadata, where managedFields name each field of the spec again, once for each
	// of its managers.
	maxMetadataValues = 20_000

	// QuantityPattern is what the schema and the decoder accept as a quantity: the serialization format of
	// resource.Quantity, but for exponents of more than two digits and for fractions in exponents. resource.Quantity
	// refuses fractions only when it decodes, and computes 10^exponent when it rounds or compares.
	QuantityPattern = `^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?[0-9]{1,2}))?$`

	// MaxQuantityLength in bytes.
	MaxQuantityLength = 32

	// maxResources of a list of limits or requests. A quantity takes up to 270 bytes in memory.
	maxResources = 64
)

var (
	wellFormedQuantity = regexp.MustCompile(QuantityPattern)
	quantityType       = reflect.TypeFor[resource.Quantity]()
	unmarshalerType    = reflect.TypeFor[json.Unmarshaler]()
)

// DecodeError says which field of a spec cannot be decoded, why, and what to do about it.
type DecodeError struct {
	// Field is the path of the field, for example "spec.master.resources.limits[cpu]".
	Field string
	// Value is an excerpt of its value, or its size.
	Value string
	// Detail is the reason and the remedy.
	Detail string
}

// Error implements error.
func (e *DecodeError) Error() string { return e.FieldError().Error() }

// FieldError returns the same as a field.Error.
func (e *DecodeError) FieldError() *field.Error {
	return &field.Error{Type: field.ErrorTypeInvalid, Field: e.Field, BadValue: e.Value, Detail: e.Detail}
}

// UnmarshalJSON decodes a LocustTest. It fails only on what is not an object with valid metadata: a spec that cannot be
// decoded is left empty, but for worker.replicas, and reported in DecodeError, and so are labels, annotations and references of metadata that has
// too many of them.
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

// decodeReplicas decodes the one field that the status shows. It returns 0 when even that cannot be decoded.
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
// what identifies the test and what delays its deletion, and returns a DecodeError.
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

// UnmarshalSpecStrict decodes a spec like UnmarshalJSON and refuses fields that are unknown or given twice.
func UnmarshalSpecStrict(data []byte) (*LocustTestSpec, error) {
	checked, refused := checkSpec(data)
	if refused != nil {
		return nil, refused
	}
	var tree any
	twice, err := kjson.UnmarshalStrict(data, &tree)
	if err != nil {
		return nil, err
	}
	spec := &plainSpec{}
	unknown, err := kjson.UnmarshalStrict(checked, spec)
	if wrong := slices.Concat(twice, unknown); err == nil && len(wrong) > 0 {
		err = wrong[0]
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

// UnmarshalJSON decodes a status. A field that cannot be decoded, or has more than MaxValues values, is left out: the
// status is derived again anyway.
func (s *LocustTestStatus) UnmarshalJSON(data []byte) error {
	before := *s
	if CountValues(data, math.MaxInt) <= MaxValues && kjson.UnmarshalCaseSensitivePreserveInts(data, (*plainStatus)(s)) == nil {
		return nil
	}
	*s = before
	const mostFields = 100 // the API server prunes unknown ones
	var fields map[string]json.RawMessage
	if CountValues(data, 1) > mostFields || kjson.UnmarshalCaseSensitivePreserveInts(data, &fields) != nil {
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

// checkSpec reports what makes a spec impossible or costly to decode. Its own cost is linear in the size, which is
// checked first. It returns the JSON of what it has checked: fields that are given twice and numbers with any exponent are
// in data, but not there.
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

// CheckValues reports whether the JSON of a field has more values than most.
func CheckValues(path string, data []byte, most int) *DecodeError {
	n := CountValues(data, math.MaxInt)
	if n <= most {
		return nil
	}
	return &DecodeError{Field: path, Value: fmt.Sprintf("%d values", n), Detail: fmt.Sprintf(
		"must contain no more than %d values; remove labels or list items, or move data into a ConfigMap", most)}
}

func sizeOf(data []byte) string { return fmt.Sprintf("%d bytes", len(data)) }

// CountValues counts the values in JSON that lie no deeper than depth lists and objects: the first one, one behind each
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

// checkValue walks a JSON value along the Go type that it is for, and returns the first one that the type's own
// UnmarshalJSON refuses. Others, such as a string in place of a number, are left to the decoder: they cost nothing, and
// its error names the field.
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

// fieldType is the type of the struct's field with a name in JSON; nil when there is none.
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
	const most = 60
	runes := []rune(value)
	if len(runes) <= most {
		return value
	}
	return string(runes[:most]) + "..."
}
