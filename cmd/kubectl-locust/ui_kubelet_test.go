package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/streaming/pkg/httpstream"
	"k8s.io/streaming/pkg/httpstream/spdy"
)

// fakeKubelet is an API server that forwards the ports of one pod to a server on this machine, by SPDY only.
type fakeKubelet struct {
	server      *httptest.Server
	connections atomic.Int32
	refusals    atomic.Int32
	// target returns where a port leads, or an error.
	target func(port string) (address string, err error)
	// status refuses all requests if it is not 0.
	status atomic.Int32
	// current is the last connection.
	current atomic.Pointer[httpstream.Connection]
}

// disconnect ends the last connection, as a restart of the API server does.
func (k *fakeKubelet) disconnect() { _ = (*k.current.Load()).Close() }

func startKubelet(t *testing.T, target func(port string) (string, error)) *fakeKubelet {
	t.Helper()
	k := &fakeKubelet{target: target}
	k.server = httptest.NewServer(k)
	t.Cleanup(k.server.Close)
	return k
}

func (k *fakeKubelet) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch status := int(k.status.Load()); {
	case status != 0:
		k.refusals.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","code":%d,"message":"user eve cannot create pods/portforward"}`, status)
		return
	case r.URL.Path != "/api/v1/namespaces/load/pods/master-1/portforward":
		w.WriteHeader(http.StatusNotFound)
		return
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		w.WriteHeader(http.StatusBadRequest) // as a proxy without websockets
		return
	}
	if _, err := httpstream.Handshake(r, w, []string{portforward.PortForwardProtocolV1Name}); err != nil {
		return
	}
	k.connections.Add(1)
	streams := make(chan httpstream.Stream, 100)
	connection := spdy.NewResponseUpgrader().UpgradeResponse(w, r, func(stream httpstream.Stream, _ <-chan struct{}) error {
		streams <- stream
		return nil
	})
	defer func() { _ = connection.Close() }()
	k.current.Store(&connection)
	failures := map[string]httpstream.Stream{}
	for {
		select {
		case stream := <-streams:
			id := stream.Headers().Get(corev1.PortForwardRequestIDHeader)
			if stream.Headers().Get(corev1.StreamType) == corev1.StreamTypeError {
				failures[id] = stream
				continue
			}
			go k.forward(stream, failures[id])
		case <-connection.CloseChan():
			return
		}
	}
}

func (k *fakeKubelet) forward(data, failures httpstream.Stream) {
	defer func() { _, _ = data.Close(), failures.Close() }()
	address, err := k.target(data.Headers().Get(corev1.PortHeader))
	if err != nil {
		fmt.Fprint(failures, err)
		return
	}
	pod, err := net.Dial("tcp", address)
	if err != nil {
		fmt.Fprint(failures, err)
		return
	}
	defer func() { _ = pod.Close() }()
	go func() {
		_, _ = io.Copy(pod, data)
		_ = pod.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(data, pod)
}

// locustUI is a server with the page of a web UI.
func locustUI(t *testing.T, start func(http.Handler) *httptest.Server) *httptest.Server {
	t.Helper()
	server := start(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "<title>Locust</title> %s", r.URL.Path)
	}))
	t.Cleanup(server.Close)
	return server
}
