package locust

import (
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/rest"
)

// Paths of the web API (web.py).
const (
	pathStats = "/stats/requests"
	pathCSV   = "/stats/requests/csv"
)

// Target is the web UI of one master. It is the master's pod, not its Service: a user who may edit Services in a namespace
// could point one to a master of another namespace, whose results the operator would then publish.
type Target struct {
	// Namespace and Pod identify the master's pod for the API server.
	Namespace, Pod string
	// IP is the pod's address, for a client that connects directly.
	IP string
	// Port is the port that the master's container listens on.
	Port int32
	// BasePath is the prefix of all paths (--web-base-path); empty if there is none. Leading and trailing slashes are
	// optional.
	BasePath string
	// TLS is true if the web UI uses HTTPS (--tls-cert).
	TLS bool
}

// route defines how a client connects to a target.
type route struct {
	// check rejects a target that is incomplete, or would not be a pod.
	check func(t Target) error
	// address returns the URL of a page; the target must have passed check.
	address func(t Target, page string) *url.URL
}

// path returns the path of a page below the base path. ".." in the base path cannot escape it: through the API server that
// would be another resource, requested with the operator's permissions.
func (t Target) path(page string) string { return path.Join("/", path.Join("/", t.BasePath), page) }

func (t Target) checkPort() error {
	if len(validation.IsValidPortNum(int(t.Port))) > 0 {
		return &requestError{reason: "the port is not valid"}
	}
	return nil
}

// directRoute connects to the pod's address, so that DNS and Services cannot redirect the request.
var directRoute = route{check: Target.checkDirect, address: Target.directURL}

// checkDirect rejects addresses that no pod has unless its status was forged: requests would reach the operator itself, or
// services for its node only, such as a cloud's metadata.
func (t Target) checkDirect() error {
	if t.IP == "" {
		return &requestError{reason: "the pod has no IP address yet"}
	}
	ip, err := netip.ParseAddr(t.IP)
	ip = ip.Unmap()
	switch {
	case err != nil || ip.Zone() != "":
		return &requestError{reason: "the pod's IP address is not valid"}
	case ip.IsLoopback(), ip.IsUnspecified(), ip.IsMulticast(), ip.IsLinkLocalUnicast():
		return &requestError{reason: "the pod's IP address is of a kind that no pod has, such as loopback or link-local"}
	}
	return t.checkPort()
}

func (t Target) directURL(page string) *url.URL {
	u := &url.URL{Scheme: "http", Host: net.JoinHostPort(t.IP, strconv.Itoa(int(t.Port))), Path: t.path(page)}
	if t.TLS {
		u.Scheme = "https"
	}
	return u
}

// checkProxied rejects names that would change the path to another resource of the API server.
func (t Target) checkProxied() error {
	switch {
	case len(validation.IsDNS1123Label(t.Namespace)) > 0:
		return &requestError{reason: "the namespace has no valid name"}
	case len(validation.IsDNS1123Subdomain(t.Pod)) > 0:
		return &requestError{reason: "the pod has no valid name"}
	}
	return t.checkPort()
}

// proxyRoute returns the route through the API server: the subresource "proxy" of the pod.
func proxyRoute(cfg *rest.Config) (route, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.APIPath, cfg.GroupVersion = "/api", &corev1.SchemeGroupVersion
	server, api, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return route{}, err
	}
	return route{check: Target.checkProxied, address: func(t Target, page string) *url.URL {
		pod := t.Pod + ":" + strconv.Itoa(int(t.Port))
		if t.TLS {
			pod = "https:" + pod
		}
		u := *server
		u.Path = path.Join("/", u.Path, api, "namespaces", t.Namespace, "pods", pod, "proxy") + t.path(page)
		return &u
	}}, nil
}
