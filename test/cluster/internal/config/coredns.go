package config

import (
	_ "embed"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
)

//go:embed coredns.yaml
var coredns string

// CoreDNS renders the manifests of the cluster's name server.
func CoreDNS() string {
	return strings.NewReplacer("@DOMAIN@", layout.Domain, "@IMAGE@", layout.CoreDNSImage, "@DNS@", layout.DNSIP).Replace(coredns)
}
