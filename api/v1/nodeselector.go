package v1

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// In v1 the required nodes are a map of labels, all of which a node must have. In v2 they are terms, one of which must match,
// and each term has expressions, all of which must match. v1 shows the labels that all terms require (label In [value]), and
// writes its labels into each term, because they must hold whichever term matches.

// isLabel reports whether an expression requires one value of a label.
func isLabel(e corev1.NodeSelectorRequirement) bool {
	return e.Operator == corev1.NodeSelectorOpIn && len(e.Values) == 1
}

// isEmpty reports whether a term has no requirements; such a term matches no node (Kubernetes API, NodeSelectorTerm).
func isEmpty(term corev1.NodeSelectorTerm) bool {
	return len(term.MatchExpressions) == 0 && len(term.MatchFields) == 0
}

// termLabels returns the labels that a term requires exactly once.
func termLabels(term corev1.NodeSelectorTerm) map[string]string {
	labels, occurrences := map[string]string{}, map[string]int{}
	for _, e := range term.MatchExpressions {
		if isLabel(e) {
			labels[e.Key] = e.Values[0]
			occurrences[e.Key]++
		}
	}
	maps.DeleteFunc(labels, func(key, _ string) bool { return occurrences[key] > 1 })
	return labels
}

// commonLabels returns the labels that all terms require.
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

// mergeLabels replaces the common labels of a selector. It returns nil if nothing is required any more.
func mergeLabels(before *corev1.NodeSelector, labels map[string]string) *corev1.NodeSelector {
	common := commonLabels(before)
	var terms []corev1.NodeSelectorTerm
	merged := false
	if before != nil {
		for _, term := range before.NodeSelectorTerms {
			if !isEmpty(term) {
				if term = mergeTerm(term, common, labels); isEmpty(term) {
					return nil // the term requires nothing more, so any node matches
				}
				merged = true
			}
			terms = append(terms, term)
		}
	}
	if !merged && len(labels) > 0 {
		terms = append(terms, mergeTerm(corev1.NodeSelectorTerm{}, nil, labels))
	}
	if len(terms) == 0 {
		return nil
	}
	return &corev1.NodeSelector{NodeSelectorTerms: terms}
}

func mergeTerm(term corev1.NodeSelectorTerm, common, labels map[string]string) corev1.NodeSelectorTerm {
	missing := maps.Clone(labels)
	var expressions []corev1.NodeSelectorRequirement
	for _, e := range term.MatchExpressions {
		if !isLabel(e) {
			expressions = append(expressions, e)
			continue
		}
		value, wanted := labels[e.Key]
		_, wasCommon := common[e.Key]
		switch {
		case value == e.Values[0] && has(missing, e.Key):
			delete(missing, e.Key)
			expressions = append(expressions, e)
		case wanted || wasCommon: // replaced, duplicate, or removed
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
