package v1

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// TestConvertTo_BadAnnotation: the annotation is kept, so that a stored v1 test does not fail a list in v2, and
// CheckAnnotation finds it.
func TestConvertTo_BadAnnotation(t *testing.T) {
	for name, row := range map[string]struct{ text, detail string }{
		"not JSON":       {"{", "correct it, or remove it"},
		"unknown field":  {`{"imag":"x"}`, `unknown field "imag"`},
		"slow quantity":  {`{"master":{"resources":{"limits":{"cpu":"1111111111111111111e20000000"}}}}`, "spec.master.resources.limits[cpu]"},
		"not a quantity": {`{"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1e1.5"}}]}`, "spec.volumes[0].emptyDir.sizeLimit"},
		"too many bytes": {`{"image":"` + string(make([]byte, MaxV2SpecBytes)) + `"}`, "more than 131072"},
	} {
		t.Run(name, func(t *testing.T) {
			test := &LocustTest{Spec: LocustTestSpec{Image: "i", MasterCommandSeed: "m", WorkerCommandSeed: "w", WorkerReplicas: 2}}
			test.Annotations = map[string]string{AnnotationV2Spec: row.text, "a": "b"}
			converted := &v2.LocustTest{}
			require.NoError(t, test.ConvertTo(converted))
			assert.Equal(t, test.Annotations, converted.Annotations)
			assert.Equal(t, "i", converted.Spec.Image)
			assert.EqualValues(t, 2, converted.Spec.Worker.Replicas)

			CheckAnnotation(converted)
			bad := converted.DecodeError
			require.NotNil(t, bad)
			converted.DecodeError = nil
			assert.Equal(t, "metadata.annotations[locust.io/v2-spec]", bad.Field)
			assert.Contains(t, bad.Detail, row.detail)

			back := &LocustTest{}
			require.NoError(t, back.ConvertFrom(converted))
			assert.Equal(t, test, back, "v1 clients see the faulty annotation")
			back.Annotations[AnnotationV2Spec] = `{"master":{"autostart":false}}`
			require.NoError(t, back.ConvertTo(converted))
			assert.NotContains(t, converted.Annotations, AnnotationV2Spec, "corrected")
			assert.False(t, *converted.Spec.Master.Autostart)
		})
	}
	valid := &v2.LocustTest{}
	CheckAnnotation(valid)
	assert.Nil(t, valid.DecodeError)
}

// TestConvertFrom_Undecodable: a v2 test with an undecodable spec can be read in v1, and a write cannot overwrite it.
func TestConvertFrom_Undecodable(t *testing.T) {
	test := &v2.LocustTest{}
	require.NoError(t, json.Unmarshal([]byte(`{"metadata":{"name":"bad"},"spec":{"master":{"resources":{"limits":{"cpu":"1e1.5"}}}},"status":{"phase":"Failed"}}`), test))
	require.NotNil(t, test.DecodeError)
	read := toV1(t, test)
	assert.Equal(t, "bad", read.Name)
	assert.Equal(t, v2.PhaseFailed, read.Status.Phase)
	err := read.ConvertTo(&v2.LocustTest{})
	require.ErrorContains(t, err, "cannot be decoded")
	assert.ErrorContains(t, err, "correct it in locust.io/v2")
}

// TestUnmarshal_TooLarge: a test that exceeds the limits is neither decoded nor converted, and the error gives the reason.
func TestUnmarshal_TooLarge(t *testing.T) {
	pairs := make([]string, 20_000)
	for i := range pairs {
		pairs[i] = fmt.Sprintf(`"k%d":""`, i)
	}
	many := "{" + strings.Join(pairs, ",") + "}"
	for name, row := range map[string]struct{ text, field string }{
		"labels": {`{"metadata":{"name":"t","labels":` + many + `},"spec":{"image":"i"}}`, "metadata"},
		"values": {`{"metadata":{"name":"t"},"spec":{"image":"i","labels":{"master":` + many + `}}}`, "spec"},
	} {
		t.Run(name, func(t *testing.T) {
			var test LocustTest
			require.NoError(t, json.Unmarshal([]byte(row.text), &test))
			assert.Equal(t, "t", test.Name)
			assert.Equal(t, LocustTestSpec{}, test.Spec)
			require.NotNil(t, test.DecodeError)
			assert.Equal(t, row.field, test.DecodeError.Field)
			converted := &v2.LocustTest{}
			require.NoError(t, test.ConvertTo(converted), "it must not fail a list in v2")
			assert.Equal(t, "t", converted.Name)
			CheckAnnotation(converted)
			assert.Contains(t, converted.DecodeError.Detail, "must contain no more than")
		})
	}

	// v2 rejects it with a DecodeError.
	large := &LocustTest{Spec: LocustTestSpec{Image: "i", Annotations: &PodMaps{Master: map[string]string{"a": strings.Repeat("x", v2.MaxSpecBytes)}}}}
	converted := &v2.LocustTest{}
	require.NoError(t, viaJSON(t, large).ConvertTo(converted))
	read := viaJSON(t, converted)
	require.NotNil(t, read.DecodeError)
	assert.Contains(t, read.DecodeError.Detail, "no larger than")
}

// TestMarkers: the API server rejects converted objects with too many annotations, and the whole list with them.
func TestMarkers(t *testing.T) {
	full := map[string]string{"a": strings.Repeat("x", 256<<10-1)}
	for name, test := range map[string]*v2.LocustTest{
		"too large":  {Spec: v2.LocustTestSpec{Master: v2.MasterSpec{Autostart: new(false)}}},
		"unreadable": {DecodeError: &v2.DecodeError{Field: "spec"}},
	} {
		test.Annotations = full
		var read LocustTest
		require.NoError(t, read.ConvertFrom(test), name)
		assert.NoError(t, apivalidation.ValidateAnnotationsSize(read.Annotations), name)
		assert.Error(t, read.ConvertTo(&v2.LocustTest{}), name)
	}
}

// TestAnnotation_Evasions: JSON that could decode differently a second time is checked as it is decoded.
func TestAnnotation_Evasions(t *testing.T) {
	for name, text := range map[string]string{
		"number that underflows": `{"master":{"resources":{"limits":{"cpu":1e-1000000000}}}}`,
		"duplicate key":          `{"master":{"resources":{"limits":{"cpu":"1111111111111111111e40000000","cpu":"1"}}}}`,
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			test := &LocustTest{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{AnnotationV2Spec: text}}}
			converted := &v2.LocustTest{}
			assert.NoError(t, test.ConvertTo(converted), name)
			CheckAnnotation(converted)
			var spec v2.LocustTestSpec
			_ = json.Unmarshal([]byte(text), &spec)
			_, _ = v2.UnmarshalSpecStrict([]byte(text))
		}()
		select {
		case <-done:
		case <-time.After(time.Minute):
			require.Fail(t, "the conversion does not end", name) // it would take hours
		}
	}
	_, err := v2.UnmarshalSpecStrict([]byte(`{"master":{"resources":{"limits":{"cpu":"2","cpu":"1"}}}}`))
	assert.ErrorContains(t, err, "duplicate")
}
