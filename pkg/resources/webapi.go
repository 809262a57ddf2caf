package resources

import (
	"fmt"
	"strconv"
	"strings"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// WebAPI is the address of Locust's web API on the master.
type WebAPI struct {
	// Port of the master's container.
	Port int32
	// BasePath is the prefix of every path: empty, or with a leading and without a trailing slash.
	BasePath string
	// TLS reports whether it is served over HTTPS.
	TLS bool
	// Unreachable is the reason why it cannot be used from outside the pod, as a clause of a sentence; empty if it can.
	Unreachable string
}

// WebAPIFor reads the address of the web API from the arguments and variables of a spec. It uses the default for a value
// that Locust would reject, because Locust reports the error.
func WebAPIFor(spec *v2.LocustTestSpec) WebAPI {
	opts := masterOptions(withDefaults(spec))
	return WebAPI{
		Port:        webPort(opts),
		BasePath:    webBasePath(opts),
		TLS:         opts.value(optTLSCert) != "" && opts.value(optTLSKey) != "", // main.py: both, or plain HTTP
		Unreachable: webUnreachable(opts),
	}
}

func webPort(opts options) int32 {
	port, err := strconv.ParseInt(strings.TrimSpace(opts.value(optWebPort)), 10, 32)
	if err != nil || port < 1 || port > 65535 {
		return PortWeb
	}
	return int32(port)
}

func webBasePath(opts options) string {
	path := opts.value(optWebBasePath)
	if !strings.HasPrefix(path, "/") || strings.Contains(path, "$(") {
		return "" // Locust requires the slash; the variable is unknown here
	}
	return strings.TrimRight(path, "/")
}

func webUnreachable(opts options) string {
	host := opts.value(optWebHost)
	switch {
	case opts.isHeadless():
		return "Locust runs with --headless, which has no web API"
	case host == "localhost" || host == "::1" || strings.HasPrefix(host, "127."):
		return fmt.Sprintf("--web-host %s makes the web API unreachable from outside the pod", excerpt(host))
	case opts.isOn(optWebLogin):
		return "with --web-login the web API requires a login"
	case opts.isGiven(optWebAuth):
		return "with --web-auth the web API requires a login"
	}
	return ""
}
