package locust

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"time"

	"k8s.io/client-go/rest"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

const (
	// Timeout is how long one call of Stats takes at most, all its requests together.
	Timeout = 2 * time.Second
	// maxErrorBody is how much is read of an answer that only says that there is none, in bytes.
	maxErrorBody = 16 << 10
	// maxHeader bounds the header of an answer in bytes; Locust's has some hundred, a cookie and the reporter's line come to
	// it. A header of many short lines takes many times as much memory.
	maxHeader = 16 << 10
	// maxCertificates bounds the certificates of a master in bytes; they are kept as long as the connection is.
	maxCertificates = 32 << 10
	// loginNotConfigured begins the answer of a web UI that asks for a login it has not set up (web.py, auth_required_if_enabled).
	loginNotConfigured = "Locust auth exception"

	// A master is asked every few seconds, so its connection is kept for a few times of that: for each of some hundred
	// masters one.
	idleTimeout = 20 * time.Second
	maxIdle     = 300
)

// Client asks masters for their statistics. It may be used by many at the same time.
type Client struct {
	http    *http.Client
	route     route
	timeout time.Duration
	// proxied is true when the API server stands in between.
	proxied bool
}

// DialContext makes a connection, as net.Dialer.DialContext does.
type DialContext func(ctx context.Context, network, address string) (net.Conn, error)

// Option changes a client.
type Option func(*options)

type options struct {
	timeout time.Duration
	dial    DialContext
}

// WithTimeout sets another time than Timeout.
func WithTimeout(timeout time.Duration) Option { return func(o *options) { o.timeout = timeout } }

// WithDialContext makes the connections of NewDirect in another way, such as to a server of a test.
func WithDialContext(dial DialContext) Option { return func(o *options) { o.dial = dial } }

func applyOptions(opts []Option) options {
	o := options{timeout: Timeout, dial: (&net.Dialer{Timeout: Timeout}).DialContext}
	for _, change := range opts {
		change(&o)
	}
	return o
}

// NewDirect is a client inside the cluster: it asks the master's pod at its own address.
func NewDirect(opts ...Option) *Client {
	o := applyOptions(opts)
	var protocols http.Protocols
	protocols.SetHTTP1(true) // gevent's server knows no other
	transport := &http.Transport{
		Proxy:       nil, // the environment's proxy is for the world outside
		DialContext: o.dial,
		// Users bring certificates that they have signed themselves, for whatever name. Nothing secret is sent, and the
		// answer would be trusted no more if it came from a known server: it is the locustfile's.
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: checkCertificateSize},
		TLSHandshakeTimeout:    o.timeout,
		DisableCompression:     true, // a small answer could unpack to a large one
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              &protocols,
	}
	return &Client{http: withoutRedirects(&http.Client{Transport: transport}), route: directRoute, timeout: o.timeout}
}

// checkCertificateSize refuses certificates that are too large.
func checkCertificateSize(certificates [][]byte, _ [][]*x509.Certificate) error {
	size := 0
	for _, certificate := range certificates {
		size += len(certificate)
	}
	if size > maxCertificates {
		return errors.New("tls: the certificates are too large")
	}
	return nil
}

// NewProxy is a client outside the cluster: it asks through the API server, as cfg says and with cfg's rights, which
// have to include "get pods/proxy". Requests are not held back by cfg's rate limit.
func NewProxy(cfg *rest.Config, opts ...Option) (*Client, error) {
	through, err := proxyRoute(cfg)
	if err != nil {
		return nil, err
	}
	transport, err := proxyTransport(cfg)
	if err != nil {
		return nil, err
	}
	return &Client{http: withoutRedirects(&http.Client{Transport: transport}), route: through, timeout: applyOptions(opts).timeout, proxied: true}, nil
}

// proxyTransport has cfg's credentials and the bounds of NewDirect: what comes through the API server is the masters'.
// HTTP/2 would take in up to 4 MiB of each answer before it is decoded.
func proxyTransport(cfg *rest.Config) (http.RoundTripper, error) {
	server, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return nil, err
	}
	if server != nil {
		server.NextProtos = nil
	}
	proxy := cfg.Proxy
	if proxy == nil {
		proxy = http.ProxyFromEnvironment
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return rest.HTTPWrappersForConfig(cfg, &http.Transport{
		Proxy:                  proxy,
		DialContext:            cfg.Dial,
		TLSClientConfig:        server,
		TLSHandshakeTimeout:    Timeout,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    maxIdle,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              &protocols,
	})
}

// withoutRedirects is a copy of the client that follows no redirects and keeps no cookies; the time is bounded elsewhere.
func withoutRedirects(client *http.Client) *http.Client {
	return &http.Client{
		Transport:     client.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Stats asks the master for its statistics. When the load has stopped, average, percentiles, endpoints and requests per
// second are those of the CSV, which knows the 95th percentile in all versions and the rate over the whole run; when it
// cannot be had, they stay those of the JSON: the rate is that of the last seconds then, and Exact is false.
//
// For what went wrong see Reason and the Err variables.
func (c *Client) Stats(ctx context.Context, t Target) (*report.Report, error) {
	if err := c.route.check(t); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, ErrNoAnswer)
	defer cancel()

	r, agreed, err := c.statsAndCSV(ctx, t)
	if err != nil || agreed {
		return r, err
	}
	// The JSON may be up to two seconds old (web.py, memoize), the CSV is not: something came in between.
	if again, _, err := c.statsAndCSV(ctx, t); err == nil {
		r = again
	}
	return r, nil
}

// statsAndCSV asks for the JSON, and for the CSV when the load has stopped. Agreed is false when the two are of different
// moments.
func (c *Client) statsAndCSV(ctx context.Context, t Target) (r *report.Report, agreed bool, err error) {
	if r, err = c.getStats(ctx, t); err != nil {
		return nil, false, err
	}
	if r.State != report.StateStopped {
		return r, true, nil
	}
	var run *report.Stats
	if _, err := c.get(ctx, t, pathCSV, func(body io.Reader) (err error) { run, err = report.DecodeCSV(body); return err }); err != nil {
		return r, true, nil
	}
	if run.Requests != r.Requests || run.Failures != r.Failures {
		return r, false, nil
	}
	run.Errors = r.Errors
	r.Stats, r.Exact = *run, true
	return r, true, nil
}

// getStats asks for the JSON.
func (c *Client) getStats(ctx context.Context, t Target) (r *report.Report, err error) {
	header, err := c.get(ctx, t, pathStats, func(body io.Reader) (err error) { r, err = report.DecodeStats(body); return err })
	if err != nil {
		return nil, err
	}
	r.Target, r.Delivery = report.DecodeHeader(header.Get(report.TargetHeader))
	return r, nil
}

// get gets a page, and decodes it while it comes.
func (c *Client) get(ctx context.Context, t Target, page string, decode func(body io.Reader) error) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.route.address(t, page).String(), http.NoBody)
	if err != nil {
		return nil, &requestError{reason: "the address is not valid", causes: []error{err}}
	}
	// Or else the transport asks for gzip where it may, and unpacks it.
	req.Header.Set("Accept-Encoding", "identity")

	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()

	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // what is missing of it does not matter
		return nil, c.statusError(resp, body)
	}
	body := bufio.NewReaderSize(resp.Body, len(loginNotConfigured)) // the decoders have buffers of their own
	if start, _ := body.Peek(len(loginNotConfigured)); string(start) == loginNotConfigured {
		return nil, newRequestError(ErrLogin)
	}
	if err := decode(body); err != nil {
		return nil, c.decodingError(ctx, err)
	}
	return resp.Header, nil
}

// decodingError is the error for an answer that could not be decoded.
func (c *Client) decodingError(ctx context.Context, err error) error {
	var decoding *report.DecodeError
	switch {
	case errors.Is(err, report.ErrTooLarge):
		return newRequestError(ErrTooLarge)
	case errors.As(err, &decoding):
		return notLocustError(err)
	}
	return c.transportError(ctx, err)
}
