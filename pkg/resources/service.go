package resources

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// masterPort is a port of the master's Service, and the one of its container that it leads to.
type masterPort struct {
	name               string
	service, container int32
}

// masterPorts are the ports of the master of a spec. The Service has the same ones whatever the container's are.
func masterPorts(spec *v2.LocustTestSpec) []masterPort {
	return []masterPort{
		{"master", PortMaster, PortMaster},
		{"master-bind", PortMasterBind, PortMasterBind},
		{"web", PortWeb, WebAPIFor(spec).Port},
	}
}

// containerPorts only inform. A number that is taken already is left out: it is the key by which the API server
// merges changes to the list.
func containerPorts(spec *v2.LocustTestSpec) []corev1.ContainerPort {
	var ports []corev1.ContainerPort
	for _, p := range masterPorts(spec) {
		if !slices.ContainsFunc(ports, func(other corev1.ContainerPort) bool { return other.ContainerPort == p.container }) {
			ports = append(ports, corev1.ContainerPort{Name: p.name, ContainerPort: p.container, Protocol: corev1.ProtocolTCP})
		}
	}
	return ports
}

// BuildService makes the Service that workers, and users of the web UI, reach the master by.
func BuildService(test *v2.LocustTest) *corev1.Service {
	service := &corev1.Service{
		ObjectMeta: objectMeta(test, RoleMaster),
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP,
			// The UID keeps the Service off a terminating master of an earlier test of the same name: the new
			// workers would connect to it, and be sent home with it.
			Selector: map[string]string{
				LabelPodName: MasterName(test.Name),
				LabelTestUID: string(test.UID),
			},
		},
	}
	for _, p := range masterPorts(&test.Spec) {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name:       p.name,
			Port:       p.service,
			TargetPort: intstr.FromInt32(p.container),
			Protocol:   corev1.ProtocolTCP,
		})
	}
	return service
}
