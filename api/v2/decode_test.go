package v2

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/api/resource"
)

const minimal = `"image":"locust","master":{"command":"-f a.py"},"worker":{"command":"-f a.py","replicas":3}`

func decode(t *testing.T, spec, status string) *LocustTest {
	t.Helper()
	var test LocustTest
	text := fmt.Sprintf(`{"apiVersion":"locust.io/v2","kind":"LocustTest","metadata":{"name":"shop","uid":"u"},"spec":%s,"status":%s}`, spec, status)
	require.NoError(t, json.Unmarshal([]byte(text), &test))
	assert.Equal(t, "shop", test.Name, "the metadata is always decoded")
	return &test
}

func TestUnmarshal(t *testing.T) {
	test := decode(t, `{`+minimal+`,"volumes":[{"name":"v","emptyDir":{"sizeLimit":"1Gi"}}]}`, `{"phase":"Running","workers":"3/3"}`)
	require.Nil(t, test.DecodeError)
	assert.EqualValues(t, 3, test.Spec.Worker.Replicas)
	assert.Equal(t, "1Gi", test.Spec.Volumes[0].EmptyDir.SizeLimit.String())
	assert.Equal(t, PhaseRunning, test.Status.Phase)
	assert.Equal(t, "locust.io/v2", test.APIVersion)

	again := decode(t, `{}`, `{}`)
	require.NoError(t, json.Unmarshal([]byte(`{"metadata":{"name":"shop"},"SPEC":{"image":"x"}}`), again))
	assert.Empty(t, again.Spec.Image, "names are case sensitive, as for the API server")
}

// TestUnmarshal_Rejected: the error names the field, and the rest of the object is decoded.
func TestUnmarshal_Rejected(t *testing.T) {
	slow := `"1111111111111111111e20000000"`
	for name, row := range map[string]struct{ spec, field, detail string }{
		"slow quantity":            {`{` + minimal + `,"volumes":[{"name":"v","emptyDir":{"sizeLimit":` + slow + `}}]}`, "spec.volumes[0].emptyDir.sizeLimit", "quantity"},
		"fraction in an exponent":  {`{"master":{"resources":{"limits":{"cpu":"1e1.5"}}}}`, "spec.master.resources.limits[cpu]", "quantity"},
		"large exponent":           {`{"worker":{"resources":{"requests":{"memory":"1e1000000000"}}}}`, "spec.worker.resources.requests[memory]", "quantity"},
		"large exponent, a number": {`{"worker":{"resources":{"requests":{"memory":1e300}}}}`, "spec.worker.resources.requests[memory]", "quantity"},
		"many digits":              {`{"master":{"resources":{"limits":{"cpu":"` + strings.Repeat("1", 33) + `"}}}}`, "spec.master.resources.limits[cpu]", "at most 32"},
		"divisor":                  {`{"env":{"variables":[{"name":"A","valueFrom":{"resourceFieldRef":{"divisor":` + slow + `}}}]}}`, "spec.env.variables[0].valueFrom.resourceFieldRef.divisor", "quantity"},
		"no quantity":              {`{"master":{"resources":{"limits":{"cpu":true}}}}`, "spec.master.resources.limits[cpu]", "quantity"},
		"duration":                 {`{"successCriteria":{"maxResponseTime":{"p95":"soon"}}}`, "spec.successCriteria.maxResponseTime.p95", "invalid duration"},
		"type":                     {`{"worker":{"replicas":"three"}}`, "spec", "replicas"},
		"no object":                {`7`, "spec", "cannot be decoded"},
		"size":                     {`{"image":"` + strings.Repeat("x", MaxSpecBytes) + `"}`, "spec", "ConfigMap"},
		"values":                   {`{"scheduling":{"tolerations":[` + strings.Repeat(`{},`, MaxValues) + `{}]}}`, "spec", "no more than 5000 values"},
	} {
		t.Run(name, func(t *testing.T) {
			test := decode(t, row.spec, `{"phase":"Running"}`)
			require.NotNil(t, test.DecodeError)
			assert.Equal(t, row.field, test.DecodeError.Field)
			assert.Contains(t, test.DecodeError.Detail, row.detail)
			assert.Less(t, len(test.DecodeError.Error()), 512, "it must fit in a condition")
			assert.Equal(t, LocustTestSpec{Worker: WorkerSpec{Replicas: test.Spec.Worker.Replicas}}, test.Spec, "a spec is decoded in full or not at all")
			assert.Equal(t, PhaseRunning, test.Status.Phase)

			var spec LocustTestSpec
			var refused *DecodeError
			require.ErrorAs(t, json.Unmarshal([]byte(row.spec), &spec), &refused)
			assert.Equal(t, test.DecodeError, refused)

			require.NoError(t, json.Unmarshal([]byte(`{"metadata":{},"spec":{`+minimal+`}}`), test))
			assert.Nil(t, test.DecodeError, "corrected")
		})
	}
	var test LocustTest
	assert.Error(t, json.Unmarshal([]byte(`[]`), &test))
}

// TestUnmarshal_Status: a field that cannot be decoded is left out; the others stay.
func TestUnmarshal_Status(t *testing.T) {
	test := decode(t, `{`+minimal+`}`, `{"phase":"Succeeded","progress":{"currentUsers":1,"elapsed":"soon"},"conditions":[{"type":"Ready","status":"True"}]}`)
	assert.Nil(t, test.DecodeError)
	assert.Equal(t, PhaseSucceeded, test.Status.Phase)
	assert.Nil(t, test.Status.Progress)
	assert.Len(t, test.Status.Conditions, 1)

	test = decode(t, `{`+minimal+`}`, `{"phase":"Succeeded","conditions":[`+strings.Repeat(`{},`, MaxValues)+`{}]}`)
	assert.Equal(t, PhaseSucceeded, test.Status.Phase)
	assert.Empty(t, test.Status.Conditions)

	test = decode(t, `{`+minimal+`}`, `7`)
	assert.Equal(t, LocustTestStatus{}, test.Status)
}

// TestUnmarshal_Metadata: the identity of an object is always decoded.
func TestUnmarshal_Metadata(t *testing.T) {
	labels := &strings.Builder{}
	for i := range maxMetadataValues {
		fmt.Fprintf(labels, `,"l%d":""`, i)
	}
	var test LocustTest
	require.NoError(t, json.Unmarshal([]byte(`{"metadata":{"name":"shop","namespace":"perf","uid":"u","generation":3,"resourceVersion":"7","labels":{"a":"b"`+
		labels.String()+`}},"spec":{`+minimal+`}}`), &test))
	require.NotNil(t, test.DecodeError)
	assert.Equal(t, "metadata", test.DecodeError.Field)
	assert.Equal(t, "perf/shop/u/7", test.Namespace+"/"+test.Name+"/"+string(test.UID)+"/"+test.ResourceVersion)
	assert.EqualValues(t, 3, test.Generation)
	assert.Empty(t, test.Labels)
	assert.Equal(t, "locust", test.Spec.Image)
}

// TestUnmarshal_List: one undecodable test does not fail the list.
func TestUnmarshal_List(t *testing.T) {
	var list LocustTestList
	require.NoError(t, json.Unmarshal([]byte(`{"items":[{"metadata":{"name":"a"},"spec":{`+minimal+`}},{"metadata":{"name":"b"},"spec":{"master":{"resources":{"limits":{"cpu":"1e1.5"}}},"worker":{"replicas":3}}}]}`), &list))
	require.Len(t, list.Items, 2)
	assert.Nil(t, list.Items[0].DecodeError)
	assert.NotNil(t, list.Items[1].DecodeError)
	assert.EqualValues(t, 3, list.Items[1].Spec.Worker.Replicas, "the status shows it")
}

func TestUnmarshalSpecStrict(t *testing.T) {
	spec, err := UnmarshalSpecStrict([]byte(`{` + minimal + `}`))
	require.NoError(t, err)
	assert.Equal(t, "locust", spec.Image)
	for _, text := range []string{`{"imag":"x"}`, `{"image":"x","image":"y"}`, `{"image":5}`, `{"master":{"resources":{"limits":{"cpu":"1e1.5"}}}}`, `{`} {
		_, err := UnmarshalSpecStrict([]byte(text))
		assert.Error(t, err, text)
	}
}

func TestCountValues(t *testing.T) {
	for text, want := range map[string]int{
		`1`: 1, `{}`: 1, `[ ]`: 1, `[1]`: 2, `[{}, {} ,[]]`: 4, `{"a":1,"b":{"c":"x,{[\"]"}}`: 4, `["\\",","]`: 3, `[[[]]]`: 3, `{"a":"}"}`: 2,
	} {
		assert.Equal(t, want, CountValues([]byte(text), math.MaxInt), text)
	}
	for depth, want := range []int{1, 3, 5, 6} {
		assert.Equal(t, want, CountValues([]byte(`{"a":[1,{"b":2}],"c":[]}`), depth), depth)
	}
}

// TestQuantityPattern: Go decodes every quantity that the pattern accepts, and the CRD has the same pattern.
func TestQuantityPattern(t *testing.T) {
	for _, text := range []string{"1", "+1", "-1", ".5", "1.", "0.1", "1Ki", "1k", "1n", "1E", "1e3", "1E3", "1e+3", "1e-99", "9.9e99", "1" + strings.Repeat("0", 31)} {
		require.Regexp(t, QuantityPattern, text)
		_, err := resource.ParseQuantity(text)
		assert.NoError(t, err, text)
	}
	for _, text := range []string{"", "1e1.5", "1e.5", "1e100", "1e1000000000", "1K", "1ki", "e3", "1 Gi"} {
		assert.NotRegexp(t, QuantityPattern, text)
	}
	crd, err := os.ReadFile(filepath.Join("..", "..", "config", "crd", "bases", "locust.io_locusttests.yaml"))
	require.NoError(t, err)
	quantities := strings.Count(string(crd), "x-kubernetes-int-or-string: true")
	assert.Positive(t, quantities)
	assert.Equal(t, quantities, strings.Count(string(crd), "pattern: "+QuantityPattern+"\n"), "see tools/crdtrim")
}

func BenchmarkUnmarshal(b *testing.B) {
	text := []byte(`{"apiVersion":"locust.io/v2","kind":"LocustTest","metadata":{"name":"shop","uid":"u"},"spec":{` + minimal + `},"status":{"phase":"Running","workers":"3/3"}}`)
	b.ReportAllocs()
	for b.Loop() {
		var test LocustTest
		if err := json.Unmarshal(text, &test); err != nil {
			b.Fatal(err)
		}
	}
}
