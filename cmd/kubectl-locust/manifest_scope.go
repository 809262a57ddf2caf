package main

import (
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"
)

// isNamespacedKind reports whether a kind is one of Kubernetes or of the operator that has namespaces.
func isNamespacedKind(kind schema.GroupKind) bool {
	switch kind.Group {
	case "", "apps", "batch", "autoscaling", "policy", "networking.k8s.io", "rbac.authorization.k8s.io", "coordination.k8s.io", "discovery.k8s.io", "locust.io":
		return !isClusterKind(kind)
	}
	return false
}

// isClusterKind reports whether a kind is one of Kubernetes that has no namespaces.
func isClusterKind(kind schema.GroupKind) bool {
	var kinds []string
	switch kind.Group {
	case "":
		kinds = []string{"Namespace", "Node", "PersistentVolume", "ComponentStatus"}
	case "networking.k8s.io":
		kinds = []string{"IngressClass", "IPAddress", "ServiceCIDR"}
	case "rbac.authorization.k8s.io":
		kinds = []string{"ClusterRole", "ClusterRoleBinding"}
	case "apiextensions.k8s.io", "admissionregistration.k8s.io", "apiregistration.k8s.io", "storage.k8s.io", "scheduling.k8s.io", "node.k8s.io":
		return kind.Kind != "CSIStorageCapacity"
	}
	return slices.Contains(kinds, kind.Kind)
}
