// Package v1alpha1 contains the kinds of the API that may still change: LocustReport.
//
// +kubebuilder:object:generate=true
// +groupName=locust.io
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is locust.io/v1alpha1.
	GroupVersion = schema.GroupVersion{Group: "locust.io", Version: "v1alpha1"}

	// SchemeBuilder collects the types that AddToScheme registers.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers LocustReport and LocustReportList in a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &LocustReport{}, &LocustReportList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
