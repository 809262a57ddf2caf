package config

// AuditPolicy renders a policy that logs requests for the operator's resources with bodies,
// requests for the resources it manages without bodies (Secrets must not be logged),
// and no others.
func AuditPolicy() ([]byte, error) {
	group := func(name string, resources ...string) object {
		g := object{"group": name}
		if len(resources) > 0 {
			g["resources"] = resources
		}
		return g
	}
	return toYAML(object{
		"apiVersion": "audit.k8s.io/v1",
		"kind":       "Policy",
		// Later stages repeat the content of the first one.
		"omitStages": []string{"RequestReceived"},
		"rules": []object{
			{"level": "RequestResponse", "resources": []object{group("locust.io")}},
			{"level": "Metadata", "resources": []object{
				group("", "pods", "services", "events", "configmaps", "secrets"),
				group("batch", "jobs"),
				group("events.k8s.io", "events"),
				group("coordination.k8s.io", "leases"),
			}},
			{"level": "None"},
		},
	})
}
