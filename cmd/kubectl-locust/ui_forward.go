package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// podDialer opens a connection to a pod through the API server.
type podDialer interface {
	Dial(protocols ...string) (httpstream.Connection, string, error)
}

// portForwardDialer returns a dialer as kubectl has it: SPDY in a websocket, or SPDY alone for an API server or a proxy that refuses websockets.
func portForwardDialer(config *rest.Config, to *url.URL) (podDialer, error) {
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	websocket, err := portforward.NewSPDYOverWebsocketDialerForStreaming(to, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the API server: %w", err)
	}
	plain := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, to)
	return fallbackDialer{websocket, plain}, nil
}

// fallbackDialer is client-go's FallbackDialer that keeps the type of an error: SPDY has only its text.
type fallbackDialer struct{ websocket, plain podDialer }

// Dial opens a connection.
func (d fallbackDialer) Dial(protocols ...string) (httpstream.Connection, string, error) {
	connection, protocol, err := d.websocket.Dial(protocols...)
	if !httpstream.IsUpgradeFailure(err) && !httpstream.IsHTTPSProxyError(err) {
		return connection, protocol, err
	}
	connection, protocol, plainErr := d.plain.Dial(protocols...)
	var refused *httpstream.UpgradeFailureError
	if status := apierrors.APIStatus(nil); plainErr != nil && errors.As(err, &refused) && errors.As(refused.Cause, &status) {
		return nil, "", refused.Cause
	}
	return connection, protocol, plainErr
}

// portForward forwards connections to a port of a pod. client-go's PortForwarder ends when the pod refuses one of them, for example while
// Locust starts; this one makes a new connection to the pod, as the runtimes need it.
type portForward struct {
	dialer podDialer
	port   int32
	// failed is called with the error of a connection. It may be called concurrently.
	failed func(error)

	mu         sync.Mutex
	connection httpstream.Connection
	// replaced are former connections that may still be in use.
	replaced []httpstream.Connection
	requests int
}

// forwardRefusedError reports that the API server refuses to forward to the pod, so that further attempts are of no use.
type forwardRefusedError struct{ error }

// serve forwards the connections of a listener until the context is done.
func (f *portForward) serve(ctx context.Context, listener net.Listener) {
	stop := context.AfterFunc(ctx, func() { _ = listener.Close() })
	defer stop()
	for {
		local, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer func() { _ = local.Close() }()
			pod, err := f.dial()
			if err == nil {
				if err = exchange(local, pod); err != nil {
					f.replace(pod.connection)
				}
			}
			if err != nil && ctx.Err() == nil {
				f.failed(err)
			}
		}()
	}
}

// exchange copies in both directions until the pod has sent all.
func exchange(local net.Conn, pod *podConn) error {
	go func() {
		_, _ = io.Copy(pod, local)
		_ = pod.data.Close() // the pod may still answer
	}()
	_, _ = io.Copy(local, pod)
	return pod.Close()
}

// dial opens a connection to the port of the pod.
func (f *portForward) dial() (*podConn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connection != nil {
		select {
		case <-f.connection.CloseChan():
			f.connection = nil
		default:
		}
	}
	if f.connection == nil {
		connection, protocol, err := f.dialer.Dial(portforward.PortForwardProtocolV1Name)
		switch {
		case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err), apierrors.IsNotFound(err):
			return nil, forwardRefusedError{err}
		case err != nil:
			return nil, fmt.Errorf("connect to the pod: %w", err)
		case protocol != portforward.PortForwardProtocolV1Name:
			_ = connection.Close()
			return nil, fmt.Errorf("connect to the pod: the server chose the protocol %q", protocol)
		}
		f.connection = connection
	}
	f.requests++
	headers := http.Header{}
	headers.Set(corev1.PortHeader, strconv.Itoa(int(f.port)))
	headers.Set(corev1.PortForwardRequestIDHeader, strconv.Itoa(f.requests))
	headers.Set(corev1.StreamType, corev1.StreamTypeError)
	failures, err := f.connection.CreateStream(headers)
	if err != nil {
		return nil, f.broken(err)
	}
	_ = failures.Close() // nothing is sent on it
	headers.Set(corev1.StreamType, corev1.StreamTypeData)
	data, err := f.connection.CreateStream(headers)
	if err != nil {
		return nil, f.broken(err)
	}
	return newPodConn(f.connection, failures, data), nil
}

// broken drops the connection, so that the next one is new.
func (f *portForward) broken(err error) error {
	_ = f.connection.Close()
	f.connection = nil
	return fmt.Errorf("connect to the pod: %w", err)
}

// replace makes the next dial use another connection to the pod.
func (f *portForward) replace(failed httpstream.Connection) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connection == failed {
		f.connection, f.replaced = nil, append(f.replaced, failed)
	}
}

// close ends all connections.
func (f *portForward) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.connection != nil {
		f.replaced = append(f.replaced, f.connection)
	}
	for _, connection := range f.replaced {
		_ = connection.Close()
	}
	f.connection, f.replaced = nil, nil
}

// podConn is one connection to a port of a pod.
type podConn struct {
	net.Conn       // nil; deadlines are not supported
	connection     httpstream.Connection
	failures, data httpstream.Stream
	failure        chan error
	closing        sync.Once
	result         error
}

func newPodConn(connection httpstream.Connection, failures, data httpstream.Stream) *podConn {
	c := &podConn{connection: connection, failures: failures, data: data, failure: make(chan error, 1)}
	go func() {
		message, err := io.ReadAll(io.LimitReader(failures, 4096))
		switch {
		case len(message) > 0:
			c.failure <- errors.New(string(message))
		default:
			c.failure <- err
		}
	}()
	return c
}

// Read reads from the pod.
func (c *podConn) Read(p []byte) (int, error) { return c.data.Read(p) }

// Write writes to the pod.
func (c *podConn) Write(p []byte) (int, error) { return c.data.Write(p) }

// Close ends the connection, and returns the error that the kubelet has reported for it.
func (c *podConn) Close() error {
	c.closing.Do(func() {
		_ = c.data.Reset() // otherwise unread data would block the error
		select {
		case c.result = <-c.failure:
		case <-time.After(time.Second):
		}
		c.connection.RemoveStreams(c.failures, c.data)
	})
	return c.result
}

// LocalAddr returns a placeholder: streams have no address.
func (c *podConn) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr returns a placeholder: streams have no address.
func (c *podConn) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline does nothing: streams have no deadlines.
func (c *podConn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing: streams have no deadlines.
func (c *podConn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing: streams have no deadlines.
func (c *podConn) SetWriteDeadline(time.Time) error { return nil }

// insecureTLS accepts the certificate that the user has given to Locust: it is not for 127.0.0.1, and nothing is sent to the probed page.
func insecureTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // see above
}
