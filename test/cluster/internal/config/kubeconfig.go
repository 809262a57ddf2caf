package config

import (
	"fmt"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/pki"
)

// Server returns the URL of the API server.
func Server() string { return fmt.Sprintf("https://%s:%d", layout.NodeIP, layout.APIPort) }

// Kubeconfig renders a self-contained kubeconfig of one user.
func Kubeconfig(user string, ca []byte, pair pki.Pair) ([]byte, error) {
	return toYAML(object{
		"apiVersion": "v1",
		"kind":       "Config",
		"clusters": []object{{"name": "local", "cluster": object{
			"server": Server(), "certificate-authority-data": ca}}},
		"users": []object{{"name": user, "user": object{
			"client-certificate-data": pair.Cert, "client-key-data": pair.Key}}},
		"contexts":        []object{{"name": "local", "context": object{"cluster": "local", "user": user}}},
		"current-context": "local",
	})
}
