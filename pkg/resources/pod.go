package resources

import (
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// roleSpec holds the parts of a spec that apply to one role only.
type roleSpec struct {
	args        []string
	reporter    bool // whether the master loads it
	resources   corev1.ResourceRequirements
	labels      map[string]string
	annotations map[string]string
}

// roleSpecFor takes a spec with its defaults.
func roleSpecFor(test string, spec *v2.LocustTestSpec, role Role) roleSpec {
	if role == RoleMaster {
		m, command := &spec.Master, MasterCommandFor(spec)
		return roleSpec{command.Args, command.Reporter, m.Resources, m.Labels, podAnnotations(spec, m.Annotations, command.Reporter)}
	}
	w := &spec.Worker
	return roleSpec{workerArgs(test, spec), false, w.Resources, w.Labels, podAnnotations(spec, w.Annotations, false)}
}

// podTemplate builds the pods of a role from a copy of a spec with its defaults.
func podTemplate(test *v2.LocustTest, spec *v2.LocustTestSpec, defaults *PodDefaults, role Role) corev1.PodTemplateSpec {
	defaults.applyTo(spec)
	own := roleSpecFor(test.Name, spec, role)
	volumes, mounts := VolumesAndMounts(spec, role)
	podSecurity, containerSecurity := securityContexts(spec, defaults.PlatformUser)

	container := corev1.Container{
		Name:            objectName(test.Name, role),
		Image:           spec.Image,
		ImagePullPolicy: spec.ImagePullPolicy,
		Args:            own.args, // the image's entrypoint is locust
		Env:             envVars(spec, role),
		EnvFrom:         envFrom(spec),
		Resources:       own.resources,
		VolumeMounts:    mounts,
		SecurityContext: containerSecurity,
		// The end of a failed container's log becomes its termination message, so the operator reads the
		// cause of a failure from the pod's status, which outlives the log.
		TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
	}
	if role == RoleMaster {
		container.Ports = containerPorts(spec)
	}

	pod := corev1.PodSpec{
		RestartPolicy:     corev1.RestartPolicyNever,
		Containers:        []corev1.Container{container},
		Volumes:           volumes,
		ImagePullSecrets:  spec.ImagePullSecrets,
		PriorityClassName: defaults.PriorityClassName,
		SecurityContext:   podSecurity,
		// A load test does not need the Kubernetes API.
		AutomountServiceAccountToken: new(false),
		// Service links add variables for every Service of the namespace: hundreds of tests overflow the environment (E2BIG),
		// and a Service named "locust-web" sets LOCUST_WEB_PORT=tcp://..., which Locust reads as its own option.
		EnableServiceLinks: new(false),
	}
	if s := spec.Scheduling; s != nil {
		pod.Affinity = s.Affinity
		pod.Tolerations = s.Tolerations
		pod.NodeSelector = s.NodeSelector
		if name := s.RuntimeClassName; name != nil && *name != "" { // the API server rejects an empty name
			pod.RuntimeClassName = name
		}
	}
	template := corev1.PodTemplateSpec{ObjectMeta: podMeta(test, role, own), Spec: pod}
	if own.reporter {
		addReporter(&template)
	}
	return template
}
