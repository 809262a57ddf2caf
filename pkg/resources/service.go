package resources

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// masterPort is a port of the master's Service and its target port in the container.
type masterPort struct {
	name               string
	service, container int32
}

// masterPorts returns the ports of the master, given a spec with its defaults. The Service's ports do not depend on the container's.
func masterPorts(spec *v2.LocustTestSpec) []masterPort {
	return []masterPort{
		{"master", PortMaster, PortMaster},
		{"master-bind", PortMasterBind, PortMasterBind},
		{"web", PortWeb, webAPI(MasterCommandFor(spec).Options).Port},
	}
}

// containerPorts returns the ports of the master's container, for information only. It leaves out duplicates: the number
// is the merge key of the list.
func containerPorts(spec *v2.LocustTestSpec) []corev1.ContainerPort {
	var ports []corev1.ContainerPort
	for _, p := range masterPorts(spec) {
		if !slices.ContainsFunc(ports, func(other corev1.ContainerPort) bool { return other.ContainerPort == p.container }) {
			ports = append(ports, corev1.ContainerPort{Name: p.name, ContainerPort: p.container, Protocol: corev1.ProtocolTCP})
		}
	}
	return ports
}

// BuildService returns the Service through which workers, and users of the web UI, reach the master.
func BuildService(test *v2.LocustTest) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: objectMeta(test, RoleMaster),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP,
			// The UID excludes a terminating master of an earlier test of the same name: the new workers would
			// connect to it, and be stopped by it.
			Selector: map[string]string{
				LabelPodName: MasterName(test.Name),
				LabelTestUID: string(test.UID),
			},
		},
	}
	for _, p := range masterPorts(WithDefaults(&test.Spec)) {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name:       p.name,
			Port:       p.service,
			TargetPort: intstr.FromInt32(p.container),
			Protocol:   corev1.ProtocolTCP,
		})
	}
	return service
}
