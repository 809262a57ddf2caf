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

// Target is the web UI of one master. It is the master's pod, not its Service: who may edit Services in a namespace could
// point one at a master of another namespace, whose results the operator would then show.
type Target struct {
	// Namespace and Pod name the master's pod, by which the API server knows it.
	Namespace, Pod string
	// IP is the pod's own address, for a client that asks directly.
	IP string
	// Port is the one that the master's container listens at.
	Port int32
	// BasePath is the path before all others (--web-base-path); empty when there is none. Slashes around it do not
	// matter.
	BasePath string
	// TLS is true when the web UI speaks HTTPS (--tls-cert).
	TLS bool
}

// route is how a client reaches a target.
type route struct {
	// check refuses a target that cannot be reached, or would be something else than a pod.
	check func(t Target) error
	// address is that of a page; the target has been checked.
	address func(t Target, page string) *url.URL
}

// path is where a page is below the base path. Dots in the base path cannot lead out of it: on the way through the API
// server that would be another of its resources, asked for with the operator's own rights.
func (t Target) path(page string) string { return path.Join("/", path.Join("/", t.BasePath), page) }

func (t Target) checkPort() error {
	if len(validation.IsValidPortNum(int(t.Port))) > 0 {
		return &requestError{reason: "the port is not valid"}
	}
	return nil
}

// directRoute asks the pod at its address, so that no DNS and no Service has a say.
var directRoute = route{check: Target.checkDirect, address: Target.directURL}

// checkDirect refuses addresses that no pod has but in a cluster that is broken or lied to: the operator itself, and what
// only its node should reach, such as the metadata of a cloud, would be asked.
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

// checkProxied refuses names that would make another resource of the API server of it.
func (t Target) checkProxied() error {
	switch {
	case len(validation.IsDNS1123Label(t.Namespace)) > 0:
		return &requestError{reason: "the namespace has no valid name"}
	case len(validation.IsDNS1123Subdomain(t.Pod)) > 0:
		return &requestError{reason: "the pod has no valid name"}
	}
	return t.checkPort()
}

// proxyRoute asks through the API server: the subresource "proxy" of the pod.
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
