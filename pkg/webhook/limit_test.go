package webhook

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	ctrlwebhook "sigs.k8s.io/controller-runtime/pkg/webhook"
)

// serve serves a handler behind the limits, over HTTP/1.1 as cmd/manager does.
func serve(t *testing.T, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	limited := NewServer(ctrlwebhook.Options{})
	limited.Register("/", handler)
	limited.Register(conversionPath, handler)
	server := httptest.NewUnstartedServer(limited.WebhookMux())
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func post(t *testing.T, server *httptest.Server, body io.Reader) (int, string) {
	t.Helper()
	return postTo(t, server, "/", body)
}

func postTo(t *testing.T, server *httptest.Server, path string, body io.Reader) (int, string) {
	t.Helper()
	response, err := server.Client().Post(server.URL+path, "application/json", body)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(text)
}

// unsized hides the size of a reader, so that the body is sent in chunks.
type unsized struct{ io.Reader }

func TestLimit_Size(t *testing.T) {
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		assert.NoError(t, err)
		assert.LessOrEqual(t, n, int64(maxBody))
	})
	for name, row := range map[string]struct {
		body func() io.Reader
		code int
	}{
		"small":     {func() io.Reader { return strings.NewReader("{}") }, 200},
		"empty":     {func() io.Reader { return nil }, 200},
		"large":     {func() io.Reader { return bytes.NewReader(make([]byte, maxBody)) }, 200},
		"too large": {func() io.Reader { return bytes.NewReader(make([]byte, maxBody+1)) }, 413},
		"many objects": {func() io.Reader {
			return strings.NewReader(`{"request":{"objects":[` + strings.Repeat(`{},`, maxValues) + `{}]}}`)
		}, 413},
		"one large object": {func() io.Reader {
			return strings.NewReader(`{"kind":"ConversionReview","request":{"objects":[{"spec":{"x":[` + strings.Repeat(`0,`, maxReviewValues) + `0]}}]}}`)
		}, 200},
		"a large user": {func() io.Reader {
			return strings.NewReader(`{"kind":"AdmissionReview","request":{"userInfo":{"extra":{"x":[` + strings.Repeat(`0,`, maxReviewValues) + `0]}}}}`)
		}, 413},
		"many large objects": {func() io.Reader {
			return strings.NewReader(`{"kind":"ConversionReview","apiVersion":"","request":{"uid":"","desiredAPIVersion":"","objects":[` + strings.Repeat(`{"x":[`+strings.Repeat(`{},`, 4000)+`{}]},`, 60) + `{}]}}`)
		}, 413},
		"many small objects": {func() io.Reader {
			return strings.NewReader(`{"kind":"","apiVersion":"","request":{"uid":"","desiredAPIVersion":"","objects":[` + strings.Repeat(`{"x":[`+strings.Repeat(`{},`, 300)+`{}]},`, 500) + `{}]}}`)
		}, 200},
		"chunked":            {func() io.Reader { return unsized{strings.NewReader("{}")} }, 200},
		"chunked, too large": {func() io.Reader { return unsized{bytes.NewReader(make([]byte, maxBody+1))} }, 413},
	} {
		t.Run(name, func(t *testing.T) {
			path := "/"
			if strings.Contains(name, "object") {
				path = conversionPath
			}
			code, text := postTo(t, server, path, row.body())
			for range 9 {
				if code != http.StatusServiceUnavailable {
					break
				}
				code, text = postTo(t, server, path, row.body()) // a slow machine may still be handling the previous request
			}
			assert.Equal(t, row.code, code, text)
			if code == 413 {
				assert.Contains(t, text, "make the LocustTest smaller")
			}
		})
	}
}

// TestLimit_Concurrency: large requests are handled one by one, and small ones do not wait for them.
func TestLimit_Concurrency(t *testing.T) {
	var mu sync.Mutex
	active, most := 0, 0
	release := make(chan struct{})
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) {
		if r.ContentLength <= smallBody {
			return
		}
		mu.Lock()
		active++
		most = max(most, active)
		mu.Unlock()
		<-release
		mu.Lock()
		active--
		mu.Unlock()
	})
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() { post(t, server, bytes.NewReader(make([]byte, smallBody+1))) })
	}
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return active == maxLargeRequests }, 10*time.Second, time.Millisecond)
	for range maxSmallRequests + 1 { // while large ones are being handled
		code, text := post(t, server, strings.NewReader("{}"))
		assert.Equal(t, 200, code, text)
	}
	close(release)
	group.Wait()
	assert.Equal(t, maxLargeRequests, most)
}

// TestLimit_Waiting: a request that gets no slot in time is refused.
func TestLimit_Waiting(t *testing.T) {
	release := make(chan struct{})
	server := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	codes := make(chan int, maxLargeRequests+1)
	for range cap(codes) {
		go func() {
			response, err := server.Client().Post(server.URL, "application/json", bytes.NewReader(make([]byte, smallBody+1)))
			if err != nil {
				codes <- 0
				return
			}
			_ = response.Body.Close()
			codes <- response.StatusCode
		}()
	}
	assert.Equal(t, 503, <-codes)
	close(release)
	assert.Equal(t, 200, <-codes)
}

// TestLimit_SlowBody: the connection of a client that does not send the announced body is closed.
func TestLimit_SlowBody(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("the body was never complete") })
	reader, writer := io.Pipe()
	defer func() { _ = writer.Close() }()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, reader)
	require.NoError(t, err)
	request.ContentLength = 100
	go func() { _, _ = writer.Write([]byte("{")) }()
	response, err := server.Client().Do(request)
	if err != nil {
		return // the connection was closed
	}
	defer func() { _ = response.Body.Close() }()
	assert.Equal(t, http.StatusBadRequest, response.StatusCode)
}

// TestLimit_SlowClients: clients that send their bodies slowly hold no slots that others need.
func TestLimit_SlowClients(t *testing.T) {
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var group sync.WaitGroup
	for range 2 * maxSmallRequests {
		reader, writer := io.Pipe()
		group.Go(func() { _, _ = writer.Write([]byte("{")); <-ctx.Done(); _ = writer.Close() })
		group.Go(func() {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, reader)
			if err != nil {
				return
			}
			request.ContentLength = 100
			if response, err := server.Client().Do(request); err == nil {
				_ = response.Body.Close()
			}
			_ = reader.Close()
		})
	}
	for range 10 {
		code, text := post(t, server, strings.NewReader("{}"))
		assert.Equal(t, 200, code, text)
	}
	cancel()
	group.Wait()
}

// TestServer: connections and headers are limited, and the server stops with its context.
func TestServer(t *testing.T) {
	example := httptest.NewUnstartedServer(nil)
	example.StartTLS()
	defer example.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	port := free.Addr().(*net.TCPAddr).Port
	require.NoError(t, free.Close())
	server := NewServer(ctrlwebhook.Options{Host: "127.0.0.1", Port: port, TLSOpts: []func(*tls.Config){func(c *tls.Config) {
		c.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &example.TLS.Certificates[0], nil }
	}}})
	server.Register("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	assert.Error(t, server.StartedChecker()(nil))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Start(ctx) }()
	require.Eventually(t, func() bool { return server.StartedChecker()(nil) == nil }, 10*time.Second, time.Millisecond)

	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	get := func(header string) (int, error) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address, nil)
		require.NoError(t, err)
		request.Header.Set("X-Padding", header)
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}, Timeout: time.Second} //nolint:gosec // the certificate is not the point
		response, err := client.Do(request)
		if err != nil {
			return 0, err
		}
		return response.StatusCode, response.Body.Close()
	}
	code, err := get("")
	require.NoError(t, err)
	assert.Equal(t, 200, code)
	code, err = get(strings.Repeat("x", 4*maxHeader))
	assert.True(t, err != nil || code == http.StatusRequestHeaderFieldsTooLarge, "%d %v", code, err)

	var idle []net.Conn
	for range maxConnections {
		connection, err := net.Dial("tcp", address)
		require.NoError(t, err)
		idle = append(idle, connection)
	}
	_, err = get("")
	assert.Error(t, err, "no more connections are accepted")
	for _, connection := range idle {
		_ = connection.Close()
	}
	assert.Eventually(t, func() bool { code, err := get(""); return err == nil && code == 200 }, 10*time.Second, 10*time.Millisecond)
	cancel()
	assert.NoError(t, <-ended)

	missing := NewServer(ctrlwebhook.Options{Host: "127.0.0.1", Port: port, CertDir: t.TempDir()})
	assert.ErrorContains(t, missing.Start(t.Context()), "read the webhook certificate")
}

// TestServer_Drain checks that clients close their connections after the next response.
func TestServer_Drain(t *testing.T) {
	limited := NewServer(ctrlwebhook.Options{})
	limited.Register("/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server := httptest.NewServer(limited.WebhookMux())
	t.Cleanup(server.Close)
	closes := func() bool {
		t.Helper()
		response, err := server.Client().Post(server.URL, "application/json", nil)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		return response.Close
	}
	assert.False(t, closes())
	limited.Drain()
	assert.True(t, closes())
}
