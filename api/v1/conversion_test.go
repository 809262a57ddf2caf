package v1

import (
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func expression(key string, operator corev1.NodeSelectorOperator, values ...string) corev1.NodeSelectorRequirement {
	return corev1.NodeSelectorRequirement{Key: key, Operator: operator, Values: values}
}

func in(key string, values ...string) corev1.NodeSelectorRequirement {
	return expression(key, corev1.NodeSelectorOpIn, values...)
}

func term(expressions ...corev1.NodeSelectorRequirement) corev1.NodeSelectorTerm {
	return corev1.NodeSelectorTerm{MatchExpressions: expressions}
}

// TestMergeLabels: requirements that v1 cannot express survive an edit of the labels.
func TestMergeLabels(t *testing.T) {
	type terms = []corev1.NodeSelectorTerm
	type labels = map[string]string
	notIn, exists := expression("zone", corev1.NodeSelectorOpNotIn, "b"), expression("gpu", corev1.NodeSelectorOpExists)
	onNode := corev1.NodeSelectorTerm{MatchFields: []corev1.NodeSelectorRequirement{in("metadata.name", "n1")}}
	for name, c := range map[string]struct {
		before terms
		common labels
		wanted labels
		after  terms
	}{
		"no labels, no change":              {nil, nil, nil, nil},
		"a first label":                     {nil, nil, labels{"b": "2", "a": "1"}, terms{term(in("a", "1"), in("b", "2"))}},
		"another value":                     {terms{term(in("a", "1"))}, labels{"a": "1"}, labels{"a": "2"}, terms{term(in("a", "2"))}},
		"the last label removed":            {terms{term(in("a", "1"))}, labels{"a": "1"}, nil, nil},
		"other operators stay":              {terms{term(in("a", "1"), notIn, exists)}, labels{"a": "1"}, labels{"a": "2"}, terms{term(notIn, exists, in("a", "2"))}},
		"other operators stay alone":        {terms{term(in("a", "1"), notIn)}, labels{"a": "1"}, nil, terms{term(notIn)}},
		"many values stay":                  {terms{term(in("a", "1", "2"), in("b", "1"))}, labels{"b": "1"}, labels{"b": "2"}, terms{term(in("a", "1", "2"), in("b", "2"))}},
		"added to each term":                {terms{term(in("a", "1"), notIn), term(in("a", "1"), exists)}, labels{"a": "1"}, labels{"a": "2"}, terms{term(notIn, in("a", "2")), term(exists, in("a", "2"))}},
		"labels not in common stay":         {terms{term(in("a", "1"), in("b", "1")), term(in("a", "1"), in("b", "2"))}, labels{"a": "1"}, labels{"a": "1", "c": "3"}, terms{term(in("a", "1"), in("b", "1"), in("c", "3")), term(in("a", "1"), in("b", "2"), in("c", "3"))}},
		"fields of a node stay":             {terms{onNode}, nil, labels{"a": "1"}, terms{{MatchExpressions: []corev1.NodeSelectorRequirement{in("a", "1")}, MatchFields: onNode.MatchFields}}},
		"a term without other requirements": {terms{term(in("a", "1")), term(in("a", "1"), notIn)}, labels{"a": "1"}, nil, nil},
		"a term that matches no node stays": {terms{{}, term(in("a", "1"))}, labels{"a": "1"}, labels{"a": "2"}, terms{{}, term(in("a", "2"))}},
		"duplicate label, replaced":         {terms{term(in("a", "1"), in("a", "2"))}, nil, labels{"a": "3"}, terms{term(in("a", "3"))}},
	} {
		t.Run(name, func(t *testing.T) {
			var before *corev1.NodeSelector
			if c.before != nil {
				before = &corev1.NodeSelector{NodeSelectorTerms: c.before}
			}
			given := before.DeepCopy()
			if c.common == nil {
				assert.Empty(t, commonLabels(before))
			} else {
				assert.Equal(t, c.common, commonLabels(before))
			}
			after := mergeLabels(before, c.wanted)
			assert.Equal(t, given, before, "the input is not modified")
			if c.after == nil {
				assert.Nil(t, after)
				return
			}
			assert.Equal(t, c.after, after.NodeSelectorTerms)
			assert.Equal(t, c.wanted, orNil(commonLabels(after)), "v1 shows what it wrote")
		})
	}
}

func orNil(labels map[string]string) map[string]string {
	if len(labels) == 0 {
		return nil
	}
	return labels
}

// TestMergeTolerations: tolerationSeconds, which v1 lacks, stay with their toleration.
func TestMergeTolerations(t *testing.T) {
	timed := func(key string, seconds int64) corev1.Toleration {
		return corev1.Toleration{Key: key, Operator: corev1.TolerationOpExists, TolerationSeconds: &seconds}
	}
	before := []corev1.Toleration{timed("a", 1), timed("a", 2), timed("b", 3)}
	wanted := func(keys ...string) []Toleration {
		var all []Toleration
		for _, key := range keys {
			all = append(all, Toleration{Key: key, Operator: corev1.TolerationOpExists})
		}
		return all
	}
	untimed := corev1.Toleration{Key: "c", Operator: corev1.TolerationOpExists}
	assert.Equal(t, before, mergeTolerations(before, wanted("a", "a", "b")))
	assert.Equal(t, []corev1.Toleration{timed("b", 3), timed("a", 1), untimed}, mergeTolerations(before, wanted("b", "a", "c")), "in another order, with a new one")
	assert.Empty(t, mergeTolerations(before, nil))
	assert.Equal(t, []corev1.Toleration{untimed}, mergeTolerations(nil, wanted("c")))
}

// TestLoadGuarantee: v1 has no such field. The schema's default needs no annotation, other values are kept in it.
func TestLoadGuarantee(t *testing.T) {
	written := &LocustTest{Spec: LocustTestSpec{Image: "i", MasterCommandSeed: "m", WorkerCommandSeed: "w", WorkerReplicas: 2}}
	inV2 := toV2(t, written)
	assert.Equal(t, v2.LoadGuaranteeBasic, inV2.Spec.LoadGuarantee, "the default of a test that was written in v1")
	assert.Empty(t, toV1(t, inV2).Annotations)

	for _, guarantee := range []v2.LoadGuarantee{v2.LoadGuaranteeStrict, v2.LoadGuaranteeNone} {
		test := inV2.DeepCopy()
		test.Spec.LoadGuarantee = guarantee
		read := toV1(t, test)
		assert.JSONEq(t, `{"master":{"autostart":true,"reporter":true},"loadGuarantee":"`+string(guarantee)+`"}`, read.Annotations[AnnotationV2Spec])
		assert.Equal(t, test, toV2(t, read))

		read.Spec.WorkerReplicas = 3
		assert.Equal(t, guarantee, toV2(t, read).Spec.LoadGuarantee, "an edit in v1 leaves it alone")
		delete(read.Annotations, AnnotationV2Spec)
		assert.Equal(t, v2.LoadGuaranteeBasic, toV2(t, read).Spec.LoadGuarantee, "without the annotation it is the default")
	}

	written.Annotations = map[string]string{AnnotationV2Spec: `{"loadGuarantee":"None"}`}
	inV2 = toV2(t, written)
	assert.Equal(t, v2.LoadGuaranteeNone, inV2.Spec.LoadGuarantee, "an annotation written by hand")
	assert.Empty(t, inV2.Annotations)

	// If the annotation holds other v2 fields, it holds the default too, like other defaults.
	inV2.Spec.LoadGuarantee, inV2.Spec.Master.ExtraArgs = v2.LoadGuaranteeBasic, []string{"--tags", "a"}
	assert.Equal(t, inV2, toV2(t, toV1(t, inV2)))
}
