// Package v2 contains the hub and storage version of the LocustTest API.
//
// A LocustTest describes one distributed Locust load test. The operator runs it as a master Job, a
// worker Job and a Service, and reports its observations in the status subresource. A test runs once:
// changes of the spec after its Jobs were created do not affect the run (condition SpecDrifted).
//
// +kubebuilder:object:generate=true
// +groupName=locust.io
package v2

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

var (
	// GroupVersion is locust.io/v2.
	GroupVersion = schema.GroupVersion{Group: "locust.io", Version: "v2"}

	// SchemeBuilder collects the types that AddToScheme registers.
	SchemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers LocustTest and LocustTestList of locust.io/v2 in a scheme.
	AddToScheme = SchemeBuilder.AddToScheme
)

func addKnownTypes(scheme *runtime.Scheme) error {
	scheme.AddKnownTypes(GroupVersion, &LocustTest{}, &LocustTestList{})
	metav1.AddToGroupVersion(scheme, GroupVersion)
	return nil
}
