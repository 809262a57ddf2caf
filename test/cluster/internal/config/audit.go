package config

// AuditPolicy logs every request on the operator's own resources in full, the
// requests on what it manages without their bodies (Secrets must never get into
// a log), and nothing else.
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
		// The first stage tells nothing that a later one does not repeat.
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
