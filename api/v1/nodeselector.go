package v1

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// v1 says of nodes only: these labels, with these values, all of them. In v2 there are terms, of which one has to match, and
// in each term expressions, of which all have to. What v1 can show is what all terms have in common: label In [value].
// What it writes is put into each term, because it has to hold whichever of them matches.

// isLabel tells whether an expression says: this label, with this value.
func isLabel(e corev1.NodeSelectorRequirement) bool {
	return e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1
}

// isEmpty tells whether a term says nothing; such a term matches no node (Kubernetes API, NodeSelectorTerm).
func isEmpty(term corev1.NodeSelectorTerm) bool {
	return len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0
}

// termLabels a term are those that it says once.
func termLabels(term corev1.NodeSelectorTerm) map[string]string {
	labels, said := map[string]string{}, map[string]int{}
	for _, e := range term.MatchExpressions {
		if isLabel(e) {
			labels[e.Key] = e.Values[0]
			said[e.Key]++
		}
	}
	maps.DeleteFunc(labels, func(key, _ string) bool { return said[key] > 1 })
	return labels
}

// commonLabels are what all terms have in common; empty when they have nothing.
func commonLabels(selector *corev1.NodeSelector) map[string]string {
	if selector == nil {
		return nil
	}
	var common map[string]string
	for _, term := range selector.NodeSelectorTerms {
		if isEmpty(term) {
			continue
		}
		labels := termLabels(term)
		if common == nil {
			common = labels
			continue
		}
		maps.DeleteFunc(common, func(key, value string) bool {
			other, ok := labels[key]
			return !ok || other != value
		})
	}
	return common
}

// mergeLabels replaces what shownLabels shows; nil when nothing is required any more.
func mergeLabels(before *corev1.NodeSelector, labels map[string]string) *corev1.NodeSelector {
	shown := commonLabels(before)
	var terms []corev1.NodeSelectorTerm
	put := false
	if before != nil {
		for _, term := range before.NodeSelectorTerms {
			if !isEmpty(term) {
				if term = mergeTerm(term, shown, labels); isEmpty(term) {
					return nil // a term that asks for nothing more: any node will do
				}
				put = true
			}
			terms = append(terms, term)
		}
	}
	if !put && len(labels) > 0 {
		terms = append(terms, mergeTerm(corev1.NodeSelectorTerm{}, nil, labels))
	}
	if len(terms) == 0 {
		return nil
	}
	return &corev1.NodeSelector{NodeSelectorTerms: terms}
}

func mergeTerm(term corev1.NodeSelectorTerm, shown, labels map[string]string) corev1.NodeSelectorTerm {
	missing := maps.Clone(labels)
	var expressions []corev1.NodeSelectorRequirement
	for _, e := range term.MatchExpressions {
		if !isLabel(e) {
			expressions = append(expressions, e)
			continue
		}
		value, wanted := labels[e.Key]
		_, wasShown := shown[e.Key]
		switch {
		case value == e.Values[0] && has(missing, e.Key):
			delete(missing, e.Key)
			expressions = append(expressions, e)
		case wanted || wasShown: // replaced, said twice, or removed
		default:
			expressions = append(expressions, e)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(missing)) {
		expressions = append(expressions, corev1.NodeSelectorRequirement{Key: key, Operator: corev1.NodeSelectorOpIn, Values: []string{missing[key]}})
	}
	term.MatchExpressions = expressions
	return term
}

func has(labels map[string]string, key string) bool {
	_, ok := labels[key]
	return ok
}
