package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"

	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Anything in the cluster that reaches the port can send requests, and a request takes several times its size in memory
// while it is answered. These bounds keep all requests together below a third of the Deployment's memory limit.
const (
	// maxBody is the largest request body in bytes. The API server accepts objects of 3 MiB from clients, and an
	// admission review has two of them. It converts objects one by one.
	maxBody = 7 << 20
	// smallBody is the largest body of a small request. Small requests do not wait for large ones.
	smallBody = 512 << 10

	// maxValues is the largest number of JSON values down to maxDepth levels: objects of a conversion, groups of a user.
	// What lies deeper belongs to the objects, whose decoders bound it.
	maxValues, maxDepth = 10_000, 4

	// maxReviewValues is the largest number of JSON values in a review of more than a few objects, all levels together.
	// The decoders bound one object, but not their sum.
	maxReviewValues, fewObjects = 200_000, 5

	// largeAtOnce and smallAtOnce are how many requests are answered at the same time.
	largeAtOnce = 1
	smallAtOnce = 16

	// readTimeout is how long a client may take to send a body, and waitTimeout how long a request waits for its turn. The
	// API server waits 5 s for admission.
	readTimeout = 2 * time.Second
	waitTimeout = 3 * time.Second
)

// Limit bounds the size, the number and the duration of the requests that a webhook server answers at the same time. It
// covers the handlers that are registered with the result.
func Limit(server ctrlwebhook.Server) ctrlwebhook.Server {
	return &limitedServer{Server: server, small: make(slots, smallAtOnce), large: make(slots, largeAtOnce)}
}

// NoHTTP2 makes a server speak HTTP/1.1 only. The requests of one HTTP/2 connection share a window: large ones that wait
// for their turn would keep small ones from being sent.
func NoHTTP2(c *tls.Config) { c.NextProtos = []string{"http/1.1"} }

type limitedServer struct {
	ctrlwebhook.Server
	small, large slots
}

// slots are taken by sending and given back by receiving.
type slots chan struct{}

// Register implements ctrlwebhook.Server.
func (s *limitedServer) Register(path string, hook http.Handler) {
	s.Server.Register(path, s.limit(hook))
}

func (s *limitedServer) limit(hook http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > maxBody {
			refuseSize(w)
			return
		}
		turn := s.small
		if r.ContentLength > smallBody || r.ContentLength < 0 {
			turn = s.large
		}
		ctx, cancel := context.WithTimeout(r.Context(), waitTimeout)
		defer cancel()
		select {
		case turn <- struct{}{}:
			defer func() { <-turn }()
		case <-ctx.Done():
			http.Error(w, "too many requests at the same time; try again", http.StatusServiceUnavailable)
			return
		}
		body, err := readBody(w, r)
		var size *http.MaxBytesError
		switch {
		case errors.As(err, &size):
			refuseSize(w)
			return
		case err != nil:
			http.Error(w, "the request body could not be read: "+err.Error(), http.StatusBadRequest)
			return
		}
		if hasTooManyValues(body) {
			refuseSize(w)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		hook.ServeHTTP(w, r)
	})
}

func hasTooManyValues(body []byte) bool {
	// Above the objects of a conversion there are seven values.
	objects := v2.CountValues(body, 3) - 7
	return v2.CountValues(body, maxDepth) > maxValues ||
		objects > fewObjects && v2.CountValues(body, math.MaxInt) > maxReviewValues
}

// readBody reads the body within readTimeout.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	connection := http.NewResponseController(w)
	if err := connection.SetReadDeadline(time.Now().Add(readTimeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	var body bytes.Buffer
	body.Grow(int(max(r.ContentLength, 0)) + bytes.MinRead)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		return nil, err
	}
	if err := connection.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, err
	}
	return body.Bytes(), nil
}

func refuseSize(w http.ResponseWriter) {
	http.Error(w, fmt.Sprintf("the request body is larger than %d bytes, or has too many values; list fewer objects at once (kubectl: --chunk-size), or use locust.io/v2, which needs no conversion", maxBody),
		http.StatusRequestEntityTooLarge)
}
