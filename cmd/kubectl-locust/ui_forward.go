package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

const (
	// localAddress is where the port is open: only for this machine.
	localAddress = "127.0.0.1"
	// forwardingFailed is client-go's log message for an error that the kubelet reports for a connection.
	forwardingFailed = "An error occurred forwarding"
)

// portForwardDialer returns a dialer as kubectl has it: SPDY in a websocket, or SPDY alone for an API server or a proxy that refuses websockets.
func portForwardDialer(config *rest.Config, to *url.URL) (fallbackDialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return fallbackDialer{}, fmt.Errorf("connect to the API server: %w", err)
	}
	websocket, err := portforward.NewSPDYOverWebsocketDialerForStreamingWithLogger(logr.Discard(), to, config)
	if err != nil {
		return fallbackDialer{}, fmt.Errorf("connect to the API server: %w", err)
	}
	plain := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)
	return fallbackDialer{websocket: websocket, plain: plain}, nil
}

// fallbackDialer is client-go's FallbackDialer that keeps the type of an error: SPDY and the PortForwarder have only its text.
type fallbackDialer struct {
	websocket, plain httpstream.Dialer
	// failure is the error of the last Dial.
	failure error
}

// Dial opens a connection to a pod through the API server.
func (d *fallbackDialer) Dial(protocols ...string) (httpstream.Connection, string, error) {
	connection, protocol, err := d.websocket.Dial(protocols...)
	if httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) {
		refused := err
		if connection, protocol, err = d.plain.Dial(protocols...); err != nil {
			err = statusOr(refused, err)
		}
	}
	d.failure = err
	return connection, protocol, err
}

// statusOr returns the API server's status in the error of an upgrade, or another error if it has none.
func statusOr(err, other error) error {
	var upgrade *httpstream.UpgradeFailureError
	if status := apierrors.APIStatus(nil); errors.As(err, &upgrade) && errors.As(upgrade.Cause, &status) {
		return upgrade.Cause
	}
	return other
}

// isRefusal reports whether the API server refuses to forward to the pod, so that further attempts are of no use.
func isRefusal(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}

// forwarder forwards a local port to a port of a pod. client-go's PortForwarder ends when the pod refuses one connection, for example while
// Locust starts; forwarder starts another one on the same local port.
type forwarder struct {
	dialer fallbackDialer
	// port is the port of the pod, local the one on this machine: 0 until the first PortForwarder has chosen a free one.
	port  int32
	local uint16
}

// forwarding is a PortForwarder that accepts connections.
type forwarding struct {
	stop context.CancelFunc
	// ended has the reason once the PortForwarder has ended; nil after stop.
	ended <-chan error
}

// start returns when the local port is open. The port is closed again when the context is done.
func (f *forwarder) start(ctx context.Context) (*forwarding, error) {
	running, stop := context.WithCancel(ctx)
	dialer, failures, ready := f.dialer, make(failureLog, 1), make(chan struct{})
	pod, err := portforward.NewOnAddressesForStreamingWithContext(logr.NewContext(running, logr.New(failures)), &dialer,
		[]string{localAddress}, []string{fmt.Sprintf("%d:%d", f.local, f.port)}, ready, nil, nil)
	if err != nil {
		stop()
		return nil, err
	}
	ended := make(chan error, 1)
	go func() {
		defer stop()
		err := pod.ForwardPorts()
		select {
		case err = <-failures: // says more than that the connection is lost
		default:
		}
		ended <- err
	}()

	select {
	case <-ready:
		ports, err := pod.GetPorts()
		if err != nil {
			stop()
			return nil, err
		}
		f.local = ports[0].Local
		return &forwarding{stop: stop, ended: ended}, nil
	case err := <-ended:
		if dialer.failure != nil {
			err = fmt.Errorf("connect to the pod: %w", dialer.failure)
		}
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// keep replaces each PortForwarder that has ended until the context is done, or the API server refuses. failed is called with each error.
func (f *forwarder) keep(ctx context.Context, current *forwarding, failed func(error)) {
	err := <-current.ended
	for ctx.Err() == nil {
		failed(err)
		if isRefusal(err) {
			return
		}
		select {
		case <-time.After(uiInterval):
		case <-ctx.Done():
			return
		}
		if current, err = f.start(ctx); err == nil {
			err = <-current.ended
		}
	}
}

// url returns the address of the web UI on this machine.
func (f *forwarder) url(web resources.WebAPI) string {
	scheme := "http"
	if web.TLS {
		scheme = "https"
	}
	return fmt.Sprintf("%s://%s:%d%s/", scheme, localAddress, f.local, strings.TrimRight(web.BasePath, "/"))
}

// failureLog has the first error that the kubelet reports: client-go only logs it.
type failureLog chan error

// Error implements logr.LogSink.
func (l failureLog) Error(err error, message string, _ ...any) {
	if message != forwardingFailed {
		return // for example, a browser has closed its connection
	}
	select {
	case l <- err:
	default:
	}
}

// Init implements logr.LogSink.
func (l failureLog) Init(logr.RuntimeInfo) {}

// Enabled implements logr.LogSink.
func (l failureLog) Enabled(int) bool { return false }

// Info implements logr.LogSink.
func (l failureLog) Info(int, string, ...any) {}

// WithValues implements logr.LogSink.
func (l failureLog) WithValues(...any) logr.LogSink { return l }

// WithName implements logr.LogSink.
func (l failureLog) WithName(string) logr.LogSink { return l }
