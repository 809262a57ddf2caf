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

// The server cannot authenticate its clients: any pod that reaches the port can send requests, and a request needs several
// times its size in memory. These limits apply to all clients together.
const (
	// maxConnections is the maximum number of open connections. The API server keeps a few for each of its replicas.
	maxConnections = 256
	// maxHeader is the maximum size of a request's headers in bytes, and headerTimeout the time to send them. A connection
	// without a request is closed after idleTimeout.
	maxHeader     = 16 << 10
	headerTimeout = 2 * time.Second
	idleTimeout   = 90 * time.Second

	// maxBody is the maximum size of a request body in bytes. The API server accepts objects of 3 MiB from clients; an
	// admission review contains two objects. Objects are converted one by one.
	maxBody = 7 << 20
	// smallBody is the maximum body size of a small request, in bytes. Small requests do not wait for large ones.
	smallBody = 512 << 10

	// maxValues is the maximum number of JSON values in the upper maxDepth levels of a body, above the fields of an object's
	// metadata and spec.
	maxValues, maxDepth = 10_000, 4
	// maxReviewValues is the maximum number of JSON values in all levels of a body. It does not apply to a conversion of at
	// most fewObjects objects, because the decoders limit each object, but not their sum.
	maxReviewValues, fewObjects = 200_000, 5

	// maxLargeRequests and maxSmallRequests are the maximum numbers of concurrent requests, and maxReads that of small requests
	// whose body is being read.
	maxLargeRequests = 1
	maxSmallRequests = 16
	maxReads         = 128

	// readTimeout is how long a client may take to send a body, and waitTimeout how long a request may wait for a slot. The API
	// server waits 5 s for admission.
	readTimeout = time.Second
	waitTimeout = 2 * time.Second
)

// Server is a webhook server that limits concurrent connections and requests. It serves HTTP/1.1 only: the requests of one
// HTTP/2 connection share a window, so large requests waiting for a slot would block small ones.
type Server struct {
	ctrlwebhook.Server

	options               ctrlwebhook.Options
	reading, small, large slots
	listening, draining   atomic.Bool
}

var _ ctrlwebhook.Server = &Server{}

// slots are acquired by sending and released by receiving.
type slots chan struct{}

// NewServer returns a Server with the given options. CertName, KeyName and ClientCAName are not used.
func NewServer(options ctrlwebhook.Options) *Server {
	return &Server{
		Server: ctrlwebhook.NewServer(options), options: options,
		reading: make(slots, maxReads), small: make(slots, maxSmallRequests), large: make(slots, maxLargeRequests),
	}
}

// Register implements ctrlwebhook.Server.
func (s *Server) Register(path string, hook http.Handler) {
	s.Server.Register(path, s.limit(path, hook))
}

// Start implements ctrlwebhook.Server. The server of controller-runtime does not limit connections and headers sufficiently.
func (s *Server) Start(ctx context.Context) error {
	config := &tls.Config{NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12}
	for _, change := range s.options.TLSOpts {
		change(config)
	}
	if config.GetCertificate == nil {
		watcher, err := certwatcher.New(filepath.Join(s.options.CertDir, "tls.crt"), filepath.Join(s.options.CertDir, "tls.key"))
		if err != nil {
			return fmt.Errorf("read the webhook certificate: %w", err)
		}
		config.GetCertificate = watcher.GetCertificate
		go func() { _ = watcher.Start(ctx) }() // ends with the context
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

// Drain makes the server close each connection after the next response on it. The API server keeps connections to a pod that is no
// longer an endpoint of the Service, and a request on a connection that the server closes at that moment would fail.
func (s *Server) Drain() { s.draining.Store(true) }

// StartedChecker implements ctrlwebhook.Server.
func (s *Server) StartedChecker() healthz.Checker {
	return func(*http.Request) error {
		if !s.listening.Load() {
			return errors.New("the webhook server is not listening yet")
		}
		return nil
	}
}

func (s *Server) limit(path string, hook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.draining.Load() {
			w.Header().Set("Connection", "close")
		}
		if r.ContentLength > maxBody {
			refuseSize(w)
			return
		}
		// Large bodies are read one by one. A slow client with a small body holds no slot for handling.
		reading, handling := s.reading, s.small
		if r.ContentLength > smallBody || r.ContentLength < 0 {
			reading, handling = s.large, nil
		}
		ctx, cancel := context.WithTimeout(r.Context(), waitTimeout)
		defer cancel()
		if !reading.acquire(ctx) {
			refuseBusy(w)
			return
		}
		body, err := readBody(w, r)
		if handling != nil {
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
			http.Error(w, "cannot read the request body: "+err.Error(), http.StatusBadRequest)
			return
		}
		if handling != nil {
			if !handling.acquire(ctx) {
				refuseBusy(w)
				return
			}
			defer func() { <-handling }()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		hook.ServeHTTP(w, r)
	})
}

// acquire acquires a slot. It reports whether one was free before the context ended.
func (s slots) acquire(ctx context.Context) bool {
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
	// A ConversionReview has seven values above its objects.
	if path == conversionPath && v2.CountValues(body, 3) <= 7+fewObjects {
		return false
	}
	return v2.CountValues(body, math.MaxInt) > maxReviewValues
}

// conversionPath is the path at which controller-runtime registers the conversion webhook.
const conversionPath = "/convert"

// readBody reads the body within readTimeout.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	connection := http.NewResponseController(w)
	if err := connection.SetReadDeadline(time.Now().Add(readTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	// The buffer grows with the received data: a client cannot reserve memory by announcing a large body.
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

// refuseBusy responds 503 with Retry-After, so that the API server's client retries.
func refuseBusy(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "1")
	http.Error(w, "too many concurrent requests; try again", http.StatusServiceUnavailable)
}
