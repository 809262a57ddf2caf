package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"
	"sigs.k8s.io/controller-runtime/pkg/certwatcher"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// The server cannot identify its clients: whatever reaches the port can send requests, and a request takes several times
// its size in memory while it is answered. These bounds hold for all clients together.
const (
	// maxConnections is the largest number of open connections. The API server keeps a few for each of its replicas.
	maxConnections = 256
	// maxHeader is the largest size of a request's headers in bytes, and headerTimeout how long a client may take to
	// send them. A connection without a request is closed after idleTimeout.
	maxHeader     = 16 << 10
	headerTimeout = 2 * time.Second
	idleTimeout   = 90 * time.Second

	// maxBody is the largest request body in bytes. The API server accepts objects of 3 MiB from clients, and an
	// admission review has two of them. It converts objects one by one.
	maxBody = 7 << 20
	// smallBody is the largest body of a small request. Small requests do not wait for large ones.
	smallBody = 512 << 10

	// maxValues is the largest number of JSON values in the upper maxDepth levels of a body, above the fields of an
	// object's metadata and spec.
	maxValues, maxDepth = 10_000, 4
	// maxReviewValues is the largest number of JSON values in all levels of a body. A conversion of no more than
	// fewObjects may have more: the decoders bound each object, but not their sum.
	maxReviewValues, fewObjects = 200_000, 5

	// largeAtOnce and smallAtOnce are how many requests are answered at the same time, and readAtOnce of how many small
	// ones the body is read.
	largeAtOnce = 1
	smallAtOnce = 16
	readAtOnce  = 128

	// readTimeout is how long a client may take to send a body, and waitTimeout how long a request waits for its turn. The
	// API server waits 5 s for admission.
	readTimeout = time.Second
	waitTimeout = 2 * time.Second
)

// Server is a webhook server that bounds the connections and requests that it serves at the same time. It speaks HTTP/1.1
// only: the requests of one HTTP/2 connection share a window, so that large ones that wait for their turn would keep small
// ones from being sent.
type Server struct {
	ctrlwebhook.Server

	options               ctrlwebhook.Options
	reading, small, large slots
	listening             atomic.Bool
}

var _ ctrlwebhook.Server = &Server{}

// slots are taken by sending and given back by receiving.
type slots chan struct{}

// NewServer returns a Server with the given options. CertName, KeyName and ClientCAName are not used.
func NewServer(options ctrlwebhook.Options) *Server {
	return &Server{
		Server: ctrlwebhook.NewServer(options), options: options,
		reading: make(slots, readAtOnce), small: make(slots, smallAtOnce), large: make(slots, largeAtOnce),
	}
}

// Register implements ctrlwebhook.Server.
func (s *Server) Register(path string, hook http.Handler) {
	s.Server.Register(path, s.limit(path, hook))
}

// Start implements ctrlwebhook.Server. Controller-runtime's own server bounds neither connections nor headers well.
func (s *Server) Start(ctx context.Context) error {
	config := &tls.Config{NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	for _, change := range s.options.TLSOpts {
		change(config)
	}
	if config.GetCertificate == nil {
		watcher, err := certwatcher.New(filepath.Join(s.options.CertDir, "tls.crt"), filepath.Join(s.options.CertDir, "tls.key"))
		if err != nil {
			return fmt.Errorf("read the certificate of the webhooks: %w", err)
		}
		config.GetCertificate = watcher.GetCertificate
		go func() { _ = watcher.Start(ctx) }() // it ends with the context
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(s.options.Host, strconv.Itoa(s.options.Port)))
	if err != nil {
		return fmt.Errorf("listen for the webhooks: %w", err)
	}
	server := &http.Server{
		Handler: s.WebhookMux(), MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		finish, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		stopped <- server.Shutdown(finish)
	}()
	s.listening.Store(true)
	defer s.listening.Store(false)
	if err := server.Serve(tls.NewListener(netutil.LimitListener(listener, maxConnections), config)); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the webhooks: %w", err)
	}
	return <-stopped
}

// StartedChecker implements ctrlwebhook.Server.
func (s *Server) StartedChecker() healthz.Checker {
	return func(*http.Request) error {
		if !s.listening.Load() {
			return errors.New("the webhook server does not listen yet")
		}
		return nil
	}
}

func (s *Server) limit(path string, hook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			refuseSize(w)
			return
		}
		// Large bodies are read one by one. A client that is slow with a small one takes no turn.
		reading, turn := s.reading, s.small
		if r.ContentLength > smallBody || r.ContentLength < 0 {
			reading, turn = s.large, nil
		}
		ctx, cancel := context.WithTimeout(r.Context(), waitTimeout)
		defer cancel()
		if !reading.take(ctx) {
			refuseNow(w)
			return
		}
		body, err := readBody(w, r)
		if turn != nil {
			<-reading
		} else {
			defer func() { <-reading }()
		}
		var size *http.MaxBytesError
		switch {
		case errors.As(err, &size), err == nil && hasTooManyValues(path, body):
			refuseSize(w)
			return
		case err != nil:
			http.Error(w, "the request body could not be read: "+err.Error(), http.StatusBadRequest)
			return
		}
		if turn != nil {
			if !turn.take(ctx) {
				refuseNow(w)
				return
			}
			defer func() { <-turn }()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		hook.ServeHTTP(w, r)
	})
}

// take takes a slot, and reports whether there was one before the context ended.
func (s slots) take(ctx context.Context) bool {
	select {
	case s <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

func hasTooManyValues(path string, body []byte) bool {
	if v2.CountValues(body, maxDepth) > maxValues {
		return true
	}
	// In a conversion there are seven values above the objects.
	if path == conversionPath && v2.CountValues(body, 3) <= 7+fewObjects {
		return false
	}
	return v2.CountValues(body, math.MaxInt) > maxReviewValues
}

// conversionPath is where controller-runtime registers the conversion webhook.
const conversionPath = "/convert"

// readBody reads the body within readTimeout.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	connection := http.NewResponseController(w)
	if err := connection.SetReadDeadline(time.Now().Add(readTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	// The buffer grows as the body comes: a client has to send what it wants to be kept.
	var body bytes.Buffer
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		return nil, err
	}
	if err := connection.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return body.Bytes(), nil
}

func refuseSize(w http.ResponseWriter) {
	http.Error(w, fmt.Sprintf("the request body is larger than %d bytes, or has too many values; make the LocustTest smaller", maxBody),
		http.StatusRequestEntityTooLarge)
}

// refuseNow asks the client to come back, which the API server's client does.
func refuseNow(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "too many requests at the same time; try again", http.StatusServiceUnavailable)
}
