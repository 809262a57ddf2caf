package webhook

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
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
	limited := Limit(ctrlwebhook.NewServer(ctrlwebhook.Options{}))
	limited.Register("/", handler)
	server := httptest.NewUnstartedServer(limited.WebhookMux())
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

func post(t *testing.T, server *httptest.Server, body io.Reader) (int, string) {
	t.Helper()
	response, err := server.Client().Post(server.URL, "application/json", body)
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
		body io.Reader
		code int
	}{
		"small":              {strings.NewReader("{}"), 200},
		"empty":              {nil, 200},
		"large":              {bytes.NewReader(make([]byte, maxBody)), 200},
		"too large":          {bytes.NewReader(make([]byte, maxBody+1)), 413},
		"many objects":       {strings.NewReader(`{"request":{"objects":[` + strings.Repeat(`{},`, maxValues) + `{}]}}`), 413},
		"one large object":   {strings.NewReader(`{"request":{"objects":[{"spec":{"x":[` + strings.Repeat(`{},`, maxValues) + `{}]}}]}}`), 200},
		"many large objects": {strings.NewReader(`{"kind":"","apiVersion":"","request":{"uid":"","desiredAPIVersion":"","objects":[` + strings.Repeat(`{"x":[`+strings.Repeat(`{},`, 4000)+`{}]},`, 60) + `{}]}}`), 413},
		"many small objects": {strings.NewReader(`{"kind":"","apiVersion":"","request":{"uid":"","desiredAPIVersion":"","objects":[` + strings.Repeat(`{"x":[`+strings.Repeat(`{},`, 300)+`{}]},`, 500) + `{}]}}`), 200},
		"chunked":            {unsized{strings.NewReader("{}")}, 200},
		"chunked, too large": {unsized{bytes.NewReader(make([]byte, maxBody+1))}, 413},
	} {
		t.Run(name, func(t *testing.T) {
			code, text := post(t, server, row.body)
			assert.Equal(t, row.code, code, text)
			if code == 413 {
				assert.Contains(t, text, "--chunk-size")
			}
		})
	}
}

// TestLimit_Concurrency: large requests are answered one by one, and small ones do not wait for them.
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
	require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return active == largeAtOnce }, 10*time.Second, time.Millisecond)
	for range smallAtOnce + 1 {
		code, text := post(t, server, strings.NewReader("{}"))
		assert.Equal(t, 200, code, text)
	}
	close(release)
	group.Wait()
	assert.Equal(t, largeAtOnce, most)
}

// TestLimit_Waiting: a request whose turn does not come is refused.
func TestLimit_Waiting(t *testing.T) {
	release := make(chan struct{})
	server := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	codes := make(chan int, largeAtOnce+1)
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

// TestLimit_SlowBody: a client that does not send the body that it announced is cut off.
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
