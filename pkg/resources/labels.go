package resources

import (
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

const (
	// LabelTestName holds the test's name.
	LabelTestName = "performance-test-name"
	// LabelPodName holds the name of the Job, on its pods too.
	LabelPodName = "performance-test-pod-name"
	// LabelManagedBy always holds ManagedBy.
	LabelManagedBy = "managed-by"
	// ManagedBy is the value of LabelManagedBy.
	ManagedBy = "locust-k8s-operator"
	// LabelApp holds the test's name.
	LabelApp = "app"
	// LabelTestUID holds the UID of the LocustTest. It distinguishes pods of an earlier test of the same name:
	// their grace period may not be over, and they must neither count as workers of the new test nor connect to it.
	LabelTestUID = "locust.io/test-uid"
	// LabelComponent holds the Role; "master" on the Service.
	LabelComponent = "app.kubernetes.io/component"
)

// Recommended labels, https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/.
const (
	labelName       = "app.kubernetes.io/name"
	labelInstance   = "app.kubernetes.io/instance"
	labelPartOf     = "app.kubernetes.io/part-of"
	labelK8sManager = "app.kubernetes.io/managed-by"
)

// IdentityLabels are the label keys by which the operator selects its own objects. Users may not change them;
// the other labels of LabelsFor are informational, and users may override them.
var IdentityLabels = []string{
	LabelTestName, LabelPodName, LabelManagedBy, LabelTestUID, LabelComponent, labelK8sManager,
}

// LabelsFor returns the operator's labels for the objects of a role.
func LabelsFor(test *v2.LocustTest, role Role) map[string]string {
	return map[string]string{
		LabelTestName:  test.Name,
		LabelPodName:   objectName(test.Name, role),
		LabelManagedBy: ManagedBy,
		LabelApp:       test.Name,
		LabelTestUID:   string(test.UID),
		LabelComponent: string(role),

		labelName:       "locust",
		labelInstance:   test.Name,
		labelPartOf:     test.Name,
		labelK8sManager: ManagedBy,
	}
}

// ReportLabels returns the labels of the test's LocustReport: those by which reports are selected. A name that is too long for a label
// is left out. The label app.kubernetes.io/instance is not among them: Argo CD may delete an object with the name of an application in it.
func ReportLabels(test *v2.LocustTest) map[string]string {
	labels := map[string]string{
		LabelManagedBy: ManagedBy, LabelTestUID: string(test.UID),
		labelName: "locust", labelK8sManager: ManagedBy,
	}
	if len(test.Name) <= validation.LabelValueMaxLength {
		labels[LabelTestName] = test.Name
	}
	return labels
}

// podLabels returns the operator's labels, overridden by the user's except for IdentityLabels.
func podLabels(test *v2.LocustTest, role Role, own map[string]string) map[string]string {
	labels := LabelsFor(test, role)
	for key, value := range own {
		if !slices.Contains(IdentityLabels, key) {
			labels[key] = value
		}
	}
	return labels
}

func objectMeta(test *v2.LocustTest, role Role) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name:      objectName(test.Name, role),
		Namespace: test.Namespace,
		Labels:    LabelsFor(test, role),
		OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(test, v2.GroupVersion.WithKind("LocustTest")),
		},
	}
}

func podMeta(test *v2.LocustTest, role Role, own roleSpec) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Labels:      podLabels(test, role, own.labels),
		Annotations: maps.Clone(own.annotations),
	}
}
