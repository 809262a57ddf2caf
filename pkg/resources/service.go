package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// masterPorts are the ports of the master's container and, under the same names, of its Service.
var masterPorts = []struct {
	name string
	port int32
}{
	{"master", PortMaster},
	{"master-bind", PortMasterBind},
	{"web", PortWeb},
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
	for _, p := range masterPorts {
		service.Spec.Ports = append(service.Spec.Ports, corev1.ServicePort{
			Name:       p.name,
			Port:       p.port,
			TargetPort: intstr.FromInt32(p.port),
			Protocol:   corev1.ProtocolTCP,
		})
	}
	return service
}
