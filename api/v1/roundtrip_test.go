package v1

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/resource"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/randfill"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// filler fills objects at random, so that each field is set in some of them.
func filler(seed int64) *randfill.Filler {
	few := []string{"a", "b", "c"}
	return randfill.NewWithSeed(seed).NilChance(0.4).NumElements(0, 3).MaxDepth(20).Funcs(
		func(s *string, c randfill.Continue) {
			*s = few[c.Intn(len(few))]
			if c.Intn(4) == 0 {
				*s = strings.ToValidUTF8(c.String(12), "?")
			}
		},
		func(q *resource.Quantity, c randfill.Continue) {
			*q = resource.MustParse(fmt.Sprintf("%d%s", c.Intn(5000), []string{"", "m", "Mi", "k"}[c.Intn(4)]))
			_ = q.String() // as a decoder leaves it
		},
		func(d *metav1.Duration, c randfill.Continue) {
			d.Duration = time.Duration(c.Intn(1e6)) * time.Millisecond
		},
		func(at *metav1.Time, c randfill.Continue) { at.Time = time.Unix(c.Int63n(2e9), 0) },
		func(i *intstr.IntOrString, c randfill.Continue) { *i = intstr.FromInt32(c.Int31n(1000)) },
		func(f *metav1.FieldsV1, _ randfill.Continue) { f.SetRawString(`{"f:spec":{}}`) },
		func(m *metav1.TypeMeta, _ randfill.Continue) { *m = metav1.TypeMeta{} },
		func(w *v2.WorkerSpec, c randfill.Continue) { c.FillNoCustom(w); w.Replicas = 1 + c.Int31n(500) },
		func(s *LocustTestSpec, c randfill.Continue) { c.FillNoCustom(s); s.WorkerReplicas = 1 + c.Int31n(500) },
		// v1 shows part of the node selectors: few keys and values, so that terms have labels in common.
		func(e *corev1.NodeSelectorRequirement, c randfill.Continue) {
			c.FillNoCustom(e)
			e.Key = few[c.Intn(len(few))]
			if c.Intn(3) > 0 {
				e.Operator, e.Values = corev1.NodeSelectorOpIn, []string{few[c.Intn(2)]}
			}
		},
		func(m *metav1.ObjectMeta, c randfill.Continue) {
			c.FillNoCustom(m)
			delete(m.Annotations, AnnotationV2Spec)
		},
	)
}

// viaJSON returns the object as the webhook receives it: encoded and decoded.
func viaJSON[T any](t testing.TB, object *T) *T {
	t.Helper()
	raw, err := json.Marshal(object)
	require.NoError(t, err)
	var read T
	require.NoError(t, json.Unmarshal(raw, &read))
	return &read
}

func toV1(t testing.TB, test *v2.LocustTest) *LocustTest {
	t.Helper()
	before := test.DeepCopy()
	var converted LocustTest
	require.NoError(t, converted.ConvertFrom(test))
	require.Equal(t, before, test, "the source stays as it is")
	return viaJSON(t, &converted)
}

func toV2(t testing.TB, test *LocustTest) *v2.LocustTest {
	t.Helper()
	before := test.DeepCopy()
	var converted v2.LocustTest
	require.NoError(t, test.ConvertTo(&converted))
	require.Equal(t, before, test, "the source stays as it is")
	return viaJSON(t, &converted)
}

func requireSame(t *testing.T, want, got any, format string, args ...any) {
	t.Helper()
	if !equality.Semantic.DeepEqual(want, got) {
		require.Equalf(t, want, got, format, args...)
		require.Failf(t, "different", format, args...)
	}
}

// TestRoundTrip_V2: a test that is read in v1 and written back is unchanged, and the annotation is never stored.
func TestRoundTrip_V2(t *testing.T) {
	fill := filler(1)
	for i := range roundTrips {
		var test v2.LocustTest
		fill.Fill(&test)
		test = *viaJSON(t, &test)
		back := toV2(t, toV1(t, &test))
		requireSame(t, &test, back, "object %d", i)
		require.NotContains(t, back.Annotations, AnnotationV2Spec)
	}
}

// TestRoundTrip_V1: a test that is written in v1 is read back unchanged.
func TestRoundTrip_V1(t *testing.T) {
	fill := filler(2)
	for i := range roundTrips {
		var test LocustTest
		fill.Fill(&test)
		test = *viaJSON(t, &test)
		normalize(&test)
		back := toV1(t, toV2(t, &test))
		requireSame(t, &test, back, "object %d", i)
		require.NotContains(t, back.Annotations, AnnotationV2Spec, "v1 has all fields of the test")
	}
}

// normalize removes empty pointers and maps.
func normalize(test *LocustTest) {
	s := &test.Spec
	for _, m := range []**PodMaps{&s.Labels, &s.Annotations} {
		if master, worker := (*m).byRole(); len(master) == 0 && len(worker) == 0 {
			*m = nil
		}
	}
	if len(s.requiredLabels()) == 0 {
		s.Affinity = nil
	}
}

// TestRoundTrip_Edit: v1 shows the change of a v1 client afterwards, and the rest of the v2 spec is unchanged.
func TestRoundTrip_Edit(t *testing.T) {
	fill := filler(3)
	edited := reflect.TypeFor[LocustTestSpec]()
	for i := range roundTrips {
		var test v2.LocustTest
		var desired LocustTest
		fill.Fill(&test)
		fill.Fill(&desired)
		normalize(&desired)
		test = *viaJSON(t, &test)
		inV1 := toV1(t, &test)
		field := edited.Field(i % edited.NumField())
		reflect.ValueOf(&inV1.Spec).Elem().FieldByIndex(field.Index).Set(reflect.ValueOf(desired.Spec).FieldByIndex(field.Index))
		inV1 = viaJSON(t, inV1)

		after := toV2(t, inV1)
		requireSame(t, &inV1.Spec, &toV1(t, after).Spec, "object %d: v1 shows the edit of %s", i, field.Name)
		blank(&test.Spec, field.Name)
		blank(&after.Spec, field.Name)
		requireSame(t, &test, after, "object %d: the edit of %s changes nothing else", i, field.Name)
	}
}

// blank clears the fields of a v2 spec that an edit of a v1 field may change.
func blank(spec *v2.LocustTestSpec, field string) {
	switch field {
	case "MasterCommandSeed":
		spec.Master.Command = ""
	case "WorkerCommandSeed":
		spec.Worker.Command = ""
	case "WorkerReplicas":
		spec.Worker.Replicas = 0
	case "Image":
		spec.Image = ""
	case "ImagePullPolicy":
		spec.ImagePullPolicy = ""
	case "ImagePullSecrets":
		spec.ImagePullSecrets = nil
	case "Labels":
		spec.Master.Labels, spec.Worker.Labels = nil, nil
	case "Annotations":
		spec.Master.Annotations, spec.Worker.Annotations = nil, nil
	case "ConfigMap", "LibConfigMap":
		if files := spec.TestFiles; files != nil {
			if field == "ConfigMap" {
				files.ConfigMapRef = ""
			} else {
				files.LibConfigMapRef = ""
			}
			defaults := v2.TestFilesConfig{SrcMountPath: v2.DefaultSrcMountPath, LibMountPath: v2.DefaultLibMountPath}
			if equality.Semantic.DeepEqual(*files, v2.TestFilesConfig{}) || equality.Semantic.DeepEqual(*files, defaults) {
				spec.TestFiles = nil
			}
		}
	case "Affinity", "Tolerations":
		scheduling := spec.Scheduling
		if scheduling == nil {
			return
		}
		if field == "Tolerations" {
			scheduling.Tolerations = nil
		} else if affinity := scheduling.Affinity; affinity != nil {
			if affinity.NodeAffinity != nil {
				affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution = nil
				if len(affinity.NodeAffinity.PreferredDuringSchedulingIgnoredDuringExecution) == 0 {
					affinity.NodeAffinity = nil
				}
			}
			if *affinity == (corev1.Affinity{}) {
				scheduling.Affinity = nil
			}
		}
		if equality.Semantic.DeepEqual(*scheduling, v2.SchedulingConfig{}) {
			spec.Scheduling = nil
		}
	}
}

// TestTooLarge: a test that exceeds the limit can be read, and the error of a write includes the remedy.
func TestTooLarge(t *testing.T) {
	few := map[string]string{"note": "short"}
	for name, c := range map[string]struct {
		annotations map[string]string
		bytes       int
		fits        bool
	}{
		"a little":                        {few, 1000, true},
		"just below the limit":            {few, MaxV2SpecBytes - 200, true},
		"above the limit":                 {few, MaxV2SpecBytes, false},
		"above the limit with the others": {map[string]string{"note": strings.Repeat("n", 200<<10)}, 60 << 10, false},
		"below the limit with the others": {map[string]string{"note": strings.Repeat("n", 200<<10)}, 50 << 10, true},
	} {
		t.Run(name, func(t *testing.T) {
			test := &v2.LocustTest{Spec: v2.LocustTestSpec{Image: "i", Worker: v2.WorkerSpec{Replicas: 1}}}
			test.Annotations = c.annotations
			test.Spec.Master.ExtraArgs = []string{strings.Repeat("x", c.bytes)}
			read := toV1(t, test)
			assert.Equal(t, "i", read.Spec.Image)
			require.NoError(t, apivalidation.ValidateAnnotationsSize(read.Annotations), "the API server refuses more")
			if c.fits {
				requireSame(t, test, toV2(t, read), "nothing is lost")
				return
			}
			err := read.ConvertTo(&v2.LocustTest{})
			require.ErrorContains(t, err, AnnotationV2Spec)
			assert.ErrorContains(t, err, "edit it in locust.io/v2")
		})
	}
}

// TestFiller: every field is set in some object.
func TestFiller(t *testing.T) {
	fill := filler(4)
	seenV1, seenV2 := map[string]bool{}, map[string]bool{}
	for range 2000 {
		var one LocustTest
		var two v2.LocustTest
		fill.Fill(&one)
		fill.Fill(&two)
		paths(reflect.ValueOf(one.Spec), "", seenV1)
		paths(reflect.ValueOf(two.Spec), "", seenV2)
	}
	for _, path := range fieldsOf(reflect.TypeFor[LocustTestSpec](), "") {
		assert.True(t, seenV1[path], "v1 %s is never set", path)
	}
	for _, path := range fieldsOf(reflect.TypeFor[v2.LocustTestSpec](), "") {
		assert.True(t, seenV2[path], "v2 %s is never set", path)
	}
}

const ours = "locust-k8s-operator/api"

// paths records the non-zero fields of this repository's types, down to the first field of another module's type.
func paths(v reflect.Value, at string, seen map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			paths(v.Elem(), at, seen)
		}
	case reflect.Slice:
		for i := range v.Len() {
			paths(v.Index(i), at, seen)
		}
	case reflect.Struct:
		if !strings.Contains(v.Type().PkgPath(), ours) {
			return
		}
		for i := range v.NumField() {
			if !v.Field(i).IsZero() {
				seen[at+"."+v.Type().Field(i).Name] = true
				paths(v.Field(i), at+"."+v.Type().Field(i).Name, seen)
			}
		}
	}
}

func fieldsOf(of reflect.Type, at string) []string {
	for of.Kind() == reflect.Pointer || of.Kind() == reflect.Slice {
		of = of.Elem()
	}
	if of.Kind() != reflect.Struct || !strings.Contains(of.PkgPath(), ours) {
		return nil
	}
	var all []string
	for i := range of.NumField() {
		path := at + "." + of.Field(i).Name
		all = append(append(all, path), fieldsOf(of.Field(i).Type, path)...)
	}
	return all
}

// FuzzAnnotation: for any annotation, the conversion succeeds in both directions or its error names the annotation.
func FuzzAnnotation(f *testing.F) {
	for _, seed := range []string{``, `null`, `{}`, `[]`, `{"master":{"autostart":false}}`, `{"Master":{}}`, `{"master":{"nonsense":1}}`,
		`{"volumes":[{"name":"a","emptyDir":{"sizeLimit":"1e1.5"}}]}`, `{"scheduling":{"affinity":{"nodeAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":{"nodeSelectorTerms":[{}]}}}}}`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		test := LocustTest{Spec: LocustTestSpec{Image: "i", MasterCommandSeed: "m", WorkerCommandSeed: "w", WorkerReplicas: 1}}
		test.Annotations = map[string]string{AnnotationV2Spec: text}
		var converted v2.LocustTest
		if err := test.ConvertTo(&converted); err != nil {
			assert.ErrorContains(t, err, AnnotationV2Spec)
			return
		}
		var back LocustTest
		if err := back.ConvertFrom(&converted); err != nil {
			assert.ErrorContains(t, err, AnnotationV2Spec)
			return
		}
		requireSame(t, test.Spec, back.Spec, "v1 is what it was")
	})
}

func BenchmarkConvert(b *testing.B) {
	full := &v2.LocustTest{}
	filler(5).NilChance(0).Fill(full)
	ordinary := &v2.LocustTest{Spec: v2.LocustTestSpec{
		Image: "locustio/locust:2.47.0", Master: v2.MasterSpec{Command: "--locustfile a.py", Autostart: new(true), Reporter: new(true)},
		Worker: v2.WorkerSpec{Command: "--locustfile a.py", Replicas: 5}, TestFiles: &v2.TestFilesConfig{ConfigMapRef: "files", SrcMountPath: v2.DefaultSrcMountPath, LibMountPath: v2.DefaultLibMountPath},
		LoadGuarantee: v2.LoadGuaranteeBasic,
	}}
	for name, test := range map[string]*v2.LocustTest{"ordinary": ordinary, "full": full} {
		inV1 := &LocustTest{}
		require.NoError(b, inV1.ConvertFrom(test))
		b.Run("to-v1/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, (&LocustTest{}).ConvertFrom(test))
			}
		})
		b.Run("to-v2/"+name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, inV1.ConvertTo(&v2.LocustTest{}))
			}
		})
	}
}
