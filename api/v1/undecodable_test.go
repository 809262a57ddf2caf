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

// TestConvertTo_BadAnnotation: the annotation goes along, so that a test that is stored as v1 breaks no list of v2, and
// is found there.
func TestConvertTo_BadAnnotation(t *testing.T) {
	for name, row := range map[string]struct{ text, detail string }{
		"no JSON":                {"{", "correct it, or remove it"},
		"unknown field":          {`{"imag":"x"}`, `unknown field "imag"`},
		"slow quantity":          {`{"master":{"resources":{"limits":{"cpu":"1111111111111111111e20000000"}}}}`, "spec.master.resources.limits[cpu]"},
		"no quantity":            {`{"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1e1.5"}}]}`, "spec.volumes[0].emptyDir.sizeLimit"},
		"more than may be in it": {`{"image":"` + string(make([]byte, MaxV2SpecBytes)) + `"}`, "more than 131072"},
	} {
		t.Run(name, func(t *testing.T) {
			test := &LocustTest{Spec: LocustTestSpec{Image: "i", MasterCommandSeed: "m", WorkerCommandSeed: "w", WorkerReplicas: 2}}
			test.Annotations = map[string]string{AnnotationV2Spec: row.text, "a": "b"}
			converted := &v2.LocustTest{}
			require.NoError(t, test.ConvertTo(converted))
			assert.Equal(t, test.Annotations, converted.Annotations)
			assert.Equal(t, "i", converted.Spec.Image)
			assert.EqualValues(t, 2, converted.Spec.Worker.Replicas)

			bad := CheckAnnotation(converted)
			require.NotNil(t, bad)
			assert.Equal(t, "metadata.annotations[locust.io/v2-spec]", bad.Field)
			assert.Contains(t, bad.Detail, row.detail)

			back := &LocustTest{}
			require.NoError(t, back.ConvertFrom(converted))
			assert.Equal(t, test, back, "who reads it in v1 sees what is wrong")
			back.Annotations[AnnotationV2Spec] = `{"master":{"autostart":false}}`
			require.NoError(t, back.ConvertTo(converted))
			assert.NotContains(t, converted.Annotations, AnnotationV2Spec, "corrected")
			assert.False(t, *converted.Spec.Master.Autostart)
		})
	}
	assert.Nil(t, CheckAnnotation(&v2.LocustTest{}))
}

// TestConvertFrom_Undecodable: a test of v2 whose spec cannot be decoded is read in v1, and cannot be lost by a write.
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

// TestUnmarshal_TooLarge: what is beyond the bounds is neither decoded nor converted, and the error says why.
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
			require.NoError(t, test.ConvertTo(converted), "it must not break a list of v2")
			assert.Equal(t, "t", converted.Name)
			assert.Contains(t, CheckAnnotation(converted).Detail, "must contain no more than")
		})
	}

	// v2 refuses it, and says so.
	large := &LocustTest{Spec: LocustTestSpec{Image: "i", Annotations: &PodMaps{Master: map[string]string{"a": strings.Repeat("x", v2.MaxSpecBytes)}}}}
	converted := &v2.LocustTest{}
	require.NoError(t, viaJSON(t, large).ConvertTo(converted))
	read := viaJSON(t, converted)
	require.NotNil(t, read.DecodeError)
	assert.Contains(t, read.DecodeError.Detail, "no larger than")
}

// TestMarks: the API server refuses converted objects with more annotations than it allows, and with them the whole list.
func TestMarks(t *testing.T) {
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

// TestAnnotation_Evasions: JSON that reads differently the second time is checked as it is decoded.
func TestAnnotation_Evasions(t *testing.T) {
	for name, text := range map[string]string{
		"number that underflows": `{"master":{"resources":{"limits":{"cpu":1e-1000000000}}}}`,
		"given twice":            `{"master":{"resources":{"limits":{"cpu":"1111111111111111111e40000000","cpu":"1"}}}}`,
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			test := &LocustTest{ObjectMeta: metav1.ObjectMeta{Annotations: map[string]string{AnnotationV2Spec: text}}}
			converted := &v2.LocustTest{}
			assert.NoError(t, test.ConvertTo(converted), name)
			_ = CheckAnnotation(converted)
			var spec v2.LocustTestSpec
			_ = json.Unmarshal([]byte(text), &spec)
			_, _ = v2.UnmarshalSpecStrict([]byte(text))
		}()
		select {
		case <-done:
		case <-time.After(time.Minute):
			require.Fail(t, "it takes for ever", name) // it would take hours
		}
	}
	_, err := v2.UnmarshalSpecStrict([]byte(`{"master":{"resources":{"limits":{"cpu":"2","cpu":"1"}}}}`))
	assert.ErrorContains(t, err, "duplicate")
}
