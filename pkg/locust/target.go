package locust

import (
	"net"
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

// Target is the web UI of one master.
type Target struct {
	// Namespace and Service are where the master's Service is.
	Namespace, Service string
	// Port is the Service's port of the web UI.
	Port int32
	// BasePath is the path before all others (--web-base-path); empty when there is none. Slashes around it do not
	// matter.
	BasePath string
	// TLS is true when the web UI speaks HTTPS (--tls-cert).
	TLS bool
}

// check refuses what would make another address of it than that of a Service.
func (t Target) check() error {
	switch {
	case len(validation.IsDNS1123Label(t.Namespace)) > 0:
		return &requestError{reason: "the namespace has no valid name"}
	case len(validation.IsDNS1123Label(t.Service)) > 0:
		return &requestError{reason: "the Service has no valid name"}
	case len(validation.IsValidPortNum(int(t.Port))) > 0:
		return &requestError{reason: "the port is not valid"}
	}
	return nil
}

// path is where a page is below the base path. Dots in the base path cannot lead out of it: on the way through the API
// server that would be another of its resources, asked for with the operator's own rights.
func (t Target) path(page string) string { return path.Join("/", path.Join("/", t.BasePath), page) }

// direct is the address of a page by the Service's DNS name, for which the cluster's domain need not be known.
func direct(t Target, page string) *url.URL {
	u := &url.URL{
		Scheme: "http",
		Host:   net.JoinHostPort(t.Service+"."+t.Namespace+".svc", strconv.Itoa(int(t.Port))),
		Path:   t.path(page),
	}
	if t.TLS {
		u.Scheme = "https"
	}
	return u
}

// viaProxy gives the addresses of pages through the API server: the subresource "proxy" of the Service.
func viaProxy(cfg *rest.Config) (func(t Target, page string) *url.URL, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.APIPath, cfg.GroupVersion = "/api", &corev1.SchemeGroupVersion
	server, api, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return nil, err
	}
	return func(t Target, page string) *url.URL {
		service := t.Service + ":" + strconv.Itoa(int(t.Port))
		if t.TLS {
			service = "https:" + service
		}
		u := *server
		u.Path = path.Join("/", u.Path, api, "namespaces", t.Namespace, "services", service, "proxy") + t.path(page)
		return &u
	}, nil
}
