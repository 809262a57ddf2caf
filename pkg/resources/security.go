package resources

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// locustUser is the UID and GID of the user "locust" in the Locust image.
const locustUser = int64(1000)

// securityContexts returns the contexts of the pod and its container. Unset fields get defaults that pass
// the restricted Pod Security Standard. With platformUser, the platform assigns the user.
func securityContexts(spec *v2.LocustTestSpec, platformUser bool) (*corev1.PodSecurityContext, *corev1.SecurityContext) {
	pod, container := &corev1.PodSecurityContext{}, &corev1.SecurityContext{}
	if spec.Security != nil {
		if spec.Security.PodSecurityContext != nil {
			pod = spec.Security.PodSecurityContext
		}
		if spec.Security.ContainerSecurityContext != nil {
			container = spec.Security.ContainerSecurityContext
		}
	}

	if pod.SeccompProfile == nil {
		pod.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}
	}
	defaultIdentity(pod, container, platformUser)
	defaultPrivileges(container)
	return pod, container
}

// defaultIdentity sets the user and group of the processes. They are one decision: the operator
// chooses them only if the user set none of them, in either context.
func defaultIdentity(pod *corev1.PodSecurityContext, container *corev1.SecurityContext, platformUser bool) {
	if pod.RunAsNonRoot != nil || container.RunAsNonRoot != nil {
		// With runAsNonRoot alone the platform chooses the user. OpenShift assigns a UID per namespace, and
		// rejects a fixed one.
		return
	}
	if pod.WindowsOptions != nil || container.WindowsOptions != nil {
		return // Windows users have names, not numbers
	}

	user := container.RunAsUser // wins over the pod's, as in Kubernetes
	if user == nil {
		user = pod.RunAsUser
	}
	if user == nil && platformUser {
		pod.RunAsNonRoot = new(true)
		return
	}
	if user == nil {
		// The image names its user. The kubelet cannot verify that a name is not root, and does not start the
		// container with runAsNonRoot unless the UID is a number.
		user = new(locustUser)
		pod.RunAsUser = user
		if pod.RunAsGroup == nil && container.RunAsGroup == nil {
			pod.RunAsGroup = new(locustUser)
		}
	}
	if *user != 0 {
		pod.RunAsNonRoot = new(true)
	}
}

// ChosenUser returns the UID that the operator chose for the pods of a spec; chosen is false if the spec or the platform
// decides.
func ChosenUser(spec *v2.LocustTestSpec, platformUser bool) (user int64, chosen bool) {
	given := &corev1.PodSecurityContext{}
	if spec.Security != nil && spec.Security.PodSecurityContext != nil {
		given = spec.Security.PodSecurityContext
	}
	pod, _ := securityContexts(WithDefaults(spec), platformUser)
	if given.RunAsUser != nil || pod.RunAsUser == nil {
		return 0, false
	}
	return *pod.RunAsUser, true
}

// defaultPrivileges drops the privileges that Locust never needs. The API server rejects "no escalation"
// together with privileged or CAP_SYS_ADMIN, so it is not set if the user requests these.
func defaultPrivileges(container *corev1.SecurityContext) {
	if container.Privileged != nil && *container.Privileged {
		return
	}
	if container.Capabilities == nil {
		container.Capabilities = &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}}
	}
	if container.AllowPrivilegeEscalation == nil && !slices.Contains(container.Capabilities.Add, "CAP_SYS_ADMIN") {
		container.AllowPrivilegeEscalation = new(false)
	}
}
