// Package v1 contains the older, flat version of the LocustTest API. It is served, and deprecated: write v2.
//
// It is a spoke of the conversion; v2 is the hub and the storage version. The conversion is lossless: see conversion.go.
//
// +kubebuilder:object:generate=true
// +groupName=locust.io
package v1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is locust.io/v1.
	GroupVersion = schema.GroupVersion{Group: "locust.io", Version: "v1"}

	// SchemeBuilder collects the types that AddToScheme registers.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers LocustTest and LocustTestList of locust.io/v1 in a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &LocustTest{}, &LocustTestList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
