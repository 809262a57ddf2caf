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
	// Timeout bounds one call of Stats, all its requests together.
	Timeout = 2 * time.Second
	// maxErrorBody bounds the body of a response with an error status in bytes.
	maxErrorBody = 16 << 10
	// maxHeader bounds the header of a response in bytes; Locust's has a few hundred, plus a cookie and the reporter's line.
	// A header of many short lines takes many times as much memory.
	maxHeader = 16 << 10
	// maxCertificates bounds the certificates of a master in bytes; they stay in memory as long as the connection.
	maxCertificates = 32 << 10
	// loginNotConfigured begins the response of a web UI whose login is not set up (web.py, auth_required_if_enabled).
	loginNotConfigured = "Locust auth exception"

	// A master is polled every few seconds, so its connection is kept for several polls: one for each of a few hundred
	// masters.
	idleTimeout = 20 * time.Second
	maxIdle     = 300
)

// Client gets statistics from masters. It is safe for concurrent use.
type Client struct {
	http    *http.Client
	route   route
	timeout time.Duration
	// proxied is true if requests go through the API server.
	proxied bool
}

// DialContext opens a connection, like net.Dialer.DialContext.
type DialContext func(ctx context.Context, network, address string) (net.Conn, error)

// Option configures a Client.
type Option func(*options)

type options struct {
	timeout time.Duration
	dial    DialContext
}

// WithTimeout replaces Timeout.
func WithTimeout(timeout time.Duration) Option { return func(o *options) { o.timeout = timeout } }

// WithDialContext sets the function that opens the connections of NewDirect, for example to a test server.
func WithDialContext(dial DialContext) Option { return func(o *options) { o.dial = dial } }

func applyOptions(opts []Option) options {
	o := options{timeout: Timeout, dial: (&net.Dialer{Timeout: Timeout}).DialContext}
	for _, change := range opts {
		change(&o)
	}
	return o
}

// NewDirect returns a client for use inside the cluster: it connects to the IP address of the master's pod.
func NewDirect(opts ...Option) *Client {
	o := applyOptions(opts)
	var protocols http.Protocols
	protocols.SetHTTP1(true) // gevent's server supports no other
	transport := &http.Transport{
		Proxy:       nil, // the environment's proxy is for destinations outside the cluster
		DialContext: o.dial,
		// Users have self-signed certificates, for any name. Nothing secret is sent, and the response is untrusted even
		// from a verified server, because the locustfile can change it.
		TLSClientConfig:        &tls.Config{InsecureSkipVerify: true, VerifyPeerCertificate: checkCertificateSize},
		TLSHandshakeTimeout:    o.timeout,
		DisableCompression:     true, // a small response could decompress to a large one
		MaxIdleConns:           maxIdle,
		MaxIdleConnsPerHost:    1,
		IdleConnTimeout:        idleTimeout,
		MaxResponseHeaderBytes: maxHeader,
		Protocols:              &protocols,
	}
	return &Client{http: withoutRedirects(&http.Client{Transport: transport}), route: directRoute, timeout: o.timeout}
}

// checkCertificateSize rejects certificates that are too large.
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

// NewProxy returns a client for use outside the cluster: it connects through the API server of cfg, whose user needs the
// permission "get pods/proxy". cfg's rate limit does not apply.
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

// proxyTransport returns a transport with cfg's credentials and the bounds of NewDirect, because the responses that come
// through the API server are the masters'. HTTP/2 would buffer up to 4 MiB of each response before it is decoded.
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

// withoutRedirects returns a copy of the client without redirects, cookies and timeout; Stats sets a deadline.
func withoutRedirects(client *http.Client) *http.Client {
	return &http.Client{
		Transport:     client.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Stats gets the master's statistics. Once the load has stopped, average, percentiles, endpoints and requests per second
// come from the CSV, which has the 95th percentile in all versions and the rate over the whole run. Without the CSV they
// come from the JSON: the rate is that of the last seconds then, and Exact is false.
//
// See Reason and the Err variables for errors.
func (c *Client) Stats(ctx context.Context, t Target) (*report.Report, error) {
	if err := c.route.check(t); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, ErrNoAnswer)
	defer cancel()

	r, consistent, err := c.statsAndCSV(ctx, t)
	if err != nil || consistent {
		return r, err
	}
	// The JSON may be up to two seconds old (web.py, memoize), the CSV is current: try again.
	if again, _, err := c.statsAndCSV(ctx, t); err == nil {
		r = again
	}
	return r, nil
}

// statsAndCSV gets the JSON, and the CSV once the load has stopped. consistent is false if the two have different counts.
func (c *Client) statsAndCSV(ctx context.Context, t Target) (r *report.Report, consistent bool, err error) {
	if r, err = c.getStats(ctx, t); err != nil {
		return nil, false, err
	}
	if r.State != report.StateStopped {
		return r, true, nil
	}
	var run *report.Stats
	header, err := c.get(ctx, t, pathCSV, func(body io.Reader) (err error) { run, err = report.DecodeCSV(body); return err })
	if err != nil {
		return r, true, nil
	}
	if run.Requests != r.Requests || run.Failures != r.Failures {
		return r, false, nil
	}
	run.Errors, run.ErrorCount = r.Errors, r.ErrorCount
	r.Stats, r.Exact = *run, true
	r.AddDetails(report.DecodeReportHeader(header.Get(report.ReportHeader)))
	return r, true, nil
}

// getStats gets the JSON.
func (c *Client) getStats(ctx context.Context, t Target) (r *report.Report, err error) {
	header, err := c.get(ctx, t, pathStats, func(body io.Reader) (err error) { r, err = report.DecodeStats(body); return err })
	if err != nil {
		return nil, err
	}
	r.Target, r.Delivery = report.DecodeHeader(header.Get(report.TargetHeader))
	return r, nil
}

// get requests a page, and decodes it while it is received.
func (c *Client) get(ctx context.Context, t Target, page string, decode func(body io.Reader) error) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.route.address(t, page).String(), http.NoBody)
	if err != nil {
		return nil, &requestError{reason: "the address is not valid", causes: []error{err}}
	}
	// Keep the transport from requesting gzip.
	req.Header.Set("Accept-Encoding", "identity")
	// The reporter sends its report with the CSV only to the operator: proxies refuse large headers.
	req.Header.Set(report.TargetHeader, "report")

	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.transportError(ctx, err)
	}
	defer func() { _ = resp.Body.Close() }()

	if resp.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody)) // a partial body is enough
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

// decodingError returns the error for a response that could not be decoded.
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
