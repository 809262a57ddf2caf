package report

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Retained reports whether the test's report is kept when the test is deleted.
func Retained(test *v2.LocustTest) bool { return test.Spec.Report != nil && test.Spec.Report.Retain }

// HistoryLimit returns how many retained reports of the test's name are kept.
func HistoryLimit(test *v2.LocustTest) int {
	if test.Spec.Report == nil {
		return int(v2.DefaultHistoryLimit)
	}
	return int(ptr.Deref(test.Spec.Report.HistoryLimit, v2.DefaultHistoryLimit))
}

// Excess returns the retained reports of one test name beyond the limit, the oldest first. Reports with an owner are deleted with it and
// do not count. The report with the name own, that of the existing test, counts and is never in excess.
func Excess(reports []metav1.PartialObjectMetadata, own string, limit int) []metav1.PartialObjectMetadata {
	retained := slices.DeleteFunc(slices.Clone(reports), func(r metav1.PartialObjectMetadata) bool { return len(r.OwnerReferences) > 0 })
	slices.SortFunc(retained, func(a, b metav1.PartialObjectMetadata) int {
		return cmp.Or(compareBool(a.Name == own, b.Name == own), a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	return retained[:max(0, len(retained)-limit)]
}

// compareBool orders false before true.
func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}
