package locust

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/client-go/rest"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

var shop = Target{Namespace: "load", Pod: "shop-master-x7k2p", IP: "10.244.1.7", Port: 8089}

// sample returns a response of a real Locust.
func sample(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("report", "testdata", name))
	require.NoError(t, err)
	return data
}

// pages serves a page for each path.
func pages(pages map[string][]byte) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		page, ok := pages[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write(page)
	}
}

// respond returns a handler with the same response to every request.
func respond(code int, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(code)
		_, _ = w.Write([]byte(body))
	}
}

// dialing connects to the address for every target.
func dialing(address string) Option {
	return WithDialContext(func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	})
}

// longTimeout is for large responses, which take seconds under the race detector on a busy machine.
var longTimeout = WithTimeout(time.Minute)

// directTo returns a client that finds the handler at every address.
func directTo(t *testing.T, handler http.Handler, opts ...Option) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return NewDirect(append(opts, dialing(server.Listener.Addr().String()))...)
}

// proxyTo returns a client with the handler as its API server.
func proxyTo(t *testing.T, handler http.Handler, opts ...Option) *Client {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	client, err := NewProxy(&rest.Config{Host: server.URL}, opts...)
	require.NoError(t, err)
	return client
}

// statsOf returns the statistics of a master that answers.
func statsOf(t *testing.T, client *Client) *report.Report {
	t.Helper()
	r, err := client.Stats(t.Context(), shop)
	require.NoError(t, err)
	return r
}

func TestDirect_Running(t *testing.T) {
	var asked []string
	client := directTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.Method+" "+r.Host+r.RequestURI+" "+r.Proto)
		assert.Equal(t, "identity", r.Header.Get("Accept-Encoding"))
		assert.Empty(t, r.Header.Get("Cookie"))
		assert.Empty(t, r.Header.Get("Authorization"))
		w.Header().Set("Set-Cookie", "session=x")
		_, _ = w.Write(sample(t, "2.47-running.json"))
	}))
	for range 2 {
		r := statsOf(t, client)
		assert.Equal(t, report.StateRunning, r.State)
		assert.Equal(t, int64(1101), r.Requests)
		assert.InDelta(t, 36.8, r.RequestsPerSecond, 0)
	}
	const want = "GET 10.244.1.7:8089/stats/requests HTTP/1.1"
	assert.Equal(t, []string{want, want}, asked, "the CSV is requested only after the end of the load")
}

func TestDirect_Stopped(t *testing.T) {
	stopped, table := sample(t, "2.12-stopped.json"), sample(t, "2.12-stopped.csv")
	other := bytes.ReplaceAll(table, []byte(",Aggregated,1187,"), []byte(",Aggregated,1188,"))

	t.Run("figures of the whole run", func(t *testing.T) {
		r, err := directTo(t, pages(map[string][]byte{pathStats: stopped, pathCSV: table})).Stats(t.Context(), shop)
		require.NoError(t, err)
		assert.Equal(t, report.StateStopped, r.State)
		assert.InDelta(t, 36.018, r.RequestsPerSecond, 0.001)
		assert.Equal(t, 290*time.Millisecond, *r.P95)
		assert.Equal(t, 4*time.Millisecond, *r.Endpoints[0].P95)
		assert.Len(t, r.Errors, 3)
		assert.Equal(t, int32(2), r.Workers)
	})
	for name, page := range map[string][]byte{"no CSV": nil, "another page": []byte("<html>"), "too large": bytes.Repeat([]byte("x"), 2<<20)} {
		t.Run(name, func(t *testing.T) {
			known := map[string][]byte{pathStats: stopped}
			if page != nil {
				known[pathCSV] = page
			}
			r, err := directTo(t, pages(known)).Stats(t.Context(), shop)
			require.NoError(t, err)
			assert.Nil(t, r.P95)
			assert.InDelta(t, 37.5, r.RequestsPerSecond, 0)
			assert.False(t, r.Exact)
		})
	}
	t.Run("of different moments, then of the same", func(t *testing.T) {
		var asked atomic.Int32
		client := directTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			page := map[string][]byte{pathStats: stopped, pathCSV: table}[r.URL.Path]
			if asked.Add(1) == 2 {
				page = other
			}
			_, _ = w.Write(page)
		}))
		r := statsOf(t, client)
		assert.NotNil(t, r.P95)
		assert.Equal(t, int32(4), asked.Load())
	})
	t.Run("always of different moments", func(t *testing.T) {
		var asked atomic.Int32
		serve := pages(map[string][]byte{pathStats: stopped, pathCSV: other})
		client := directTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			serve(w, r)
		}))
		r := statsOf(t, client)
		assert.Nil(t, r.P95)
		assert.Equal(t, int32(4), asked.Load())
	})
	t.Run("gone before the second try", func(t *testing.T) {
		var asked atomic.Int32
		client := directTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if asked.Add(1) > 2 {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			pages(map[string][]byte{pathStats: stopped, pathCSV: other})(w, r)
		}))
		r := statsOf(t, client)
		assert.Equal(t, int64(1187), r.Requests)
	})
}

func TestDirect_TLS(t *testing.T) {
	server := httptest.NewTLSServer(pages(map[string][]byte{"/locust/ui" + pathStats: sample(t, "2.12-running.json")}))
	t.Cleanup(server.Close)
	client := NewDirect(dialing(server.Listener.Addr().String()))
	r, err := client.Stats(t.Context(), Target{IP: "fd00::7", Port: 443, BasePath: "/locust/ui/", TLS: true})
	require.NoError(t, err)
	assert.Equal(t, int64(1130), r.Requests)
}

// A certificate chain may have up to 256 KiB in TLS, and would be kept with the connection.
func TestDirect_LargeCertificates(t *testing.T) {
	server := httptest.NewUnstartedServer(pages(map[string][]byte{pathStats: sample(t, "2.12-running.json")}))
	server.StartTLS()
	t.Cleanup(server.Close)
	own := server.TLS.Certificates[0].Certificate[0]
	for len(bytes.Join(server.TLS.Certificates[0].Certificate, nil)) <= maxCertificates {
		server.TLS.Certificates[0].Certificate = append(server.TLS.Certificates[0].Certificate, own)
	}
	_, err := NewDirect(dialing(server.Listener.Addr().String())).Stats(t.Context(), Target{IP: "fd00::7", Port: 443, TLS: true})
	require.EqualError(t, err, "the TLS handshake failed")
}

func TestDirect_ProxyOfTheEnvironment(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	_, err := directTo(t, respond(200, string(sample(t, "2.47-ready.json")))).Stats(t.Context(), shop)
	require.NoError(t, err)
}

// All polls of a master use the same connection.
func TestDirect_Connections(t *testing.T) {
	var dialed atomic.Int32
	server := httptest.NewServer(pages(map[string][]byte{pathStats: sample(t, "2.47-stopped.json"), pathCSV: sample(t, "2.47-stopped.csv")}))
	t.Cleanup(server.Close)
	client := NewDirect(WithDialContext(func(ctx context.Context, network, _ string) (net.Conn, error) {
		dialed.Add(1)
		return (&net.Dialer{}).DialContext(ctx, network, server.Listener.Addr().String())
	}))
	for range 5 {
		_, err := client.Stats(t.Context(), shop)
		require.NoError(t, err)
	}
	assert.Equal(t, int32(1), dialed.Load())
}

func zipped(t *testing.T, data []byte) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

// Responses that are rejected on both routes.
func TestStats_Refused(t *testing.T) {
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    string
		is      error
	}{
		"login":             {respond(302, "", "Location", "/login?next=%2Fstats%2Frequests"), "requires a login (--web-login)", ErrLogin},
		"login, base path":  {respond(303, "", "Location", "/b/login?next=x"), "requires a login (--web-login)", ErrLogin},
		"login of 2.12":     {respond(401, "", "WWW-Authenticate", `Basic realm=""`), "requires a login (--web-login)", ErrLogin},
		"forbidden":         {respond(403, "no"), "requires a login (--web-login)", ErrLogin},
		"login not set up":  {respond(200, "Locust auth exception: The session is unavailable"), "requires a login (--web-login)", ErrLogin},
		"redirect":          {respond(302, "", "Location", "http://127.0.0.1:1/elsewhere"), "HTTP status 302", nil},
		"redirect nowhere":  {respond(302, ""), "HTTP status 302", nil},
		"error":             {respond(500, strings.Repeat("x", 100000)), "HTTP status 500", nil},
		"not found":         {respond(404, ""), "HTTP status 404", nil},
		"no content":        {respond(204, ""), "HTTP status 204", nil},
		"a page":            {respond(200, "<!doctype html>"), "the response is not from Locust: the document is not JSON", ErrNotLocust},
		"nothing":           {respond(200, ""), "the response is not from Locust: the document is empty", ErrNotLocust},
		"other JSON":        {respond(200, `{"stats":[]}`), "the response is not from Locust: state is missing", ErrNotLocust},
		"packed":            {respond(200, zipped(t, sample(t, "2.47-ready.json")), "Content-Encoding", "gzip"), "the response is not from Locust: the document is not JSON", ErrNotLocust},
		"large":             {respond(200, `{"state":"`+strings.Repeat("x", report.MaxResponseBytes)), "the response is larger than 1 MiB", ErrTooLarge},
		"large when packed": {respond(200, zipped(t, bytes.Repeat([]byte(" "), 1<<24)), "Content-Encoding", "gzip"), "the response is not from Locust: the document is not JSON", ErrNotLocust},
	} {
		t.Run(name, func(t *testing.T) {
			for route, client := range map[string]*Client{"direct": directTo(t, row.handler, longTimeout), "proxy": proxyTo(t, row.handler, longTimeout)} {
				r, err := client.Stats(t.Context(), shop)
				assert.Nil(t, r, route)
				require.Error(t, err, route)
				assert.Equal(t, row.want, Reason(err), route)
				assert.True(t, strings.HasPrefix(err.Error(), row.want), "%s: %v", route, err)
				if row.is != nil {
					require.ErrorIs(t, err, row.is, route)
				}
			}
		})
	}
}

// Exactly MaxResponseBytes are still read.
func TestStats_LargestAnswer(t *testing.T) {
	answer := string(sample(t, "2.47-ready.json"))
	answer += strings.Repeat(" ", report.MaxResponseBytes-len(answer))
	_, err := directTo(t, respond(200, answer), longTimeout).Stats(t.Context(), shop)
	require.NoError(t, err)
	_, err = directTo(t, respond(200, answer+" "), longTimeout).Stats(t.Context(), shop)
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestStats_NotLocustHasTheDetails(t *testing.T) {
	_, err := directTo(t, respond(200, "<html>")).Stats(t.Context(), shop)
	var decoding *report.DecodeError
	require.ErrorAs(t, err, &decoding)
	assert.EqualError(t, err, "the response is not from Locust: the document is not JSON: invalid character '<' looking for beginning of value")
}

func TestStats_TooSlow(t *testing.T) {
	const limit = 150 * time.Millisecond
	wait := func(r *http.Request) { <-r.Context().Done() }
	for name, handler := range map[string]http.HandlerFunc{
		"no header": func(_ http.ResponseWriter, r *http.Request) { wait(r) },
		"no body": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
			wait(r)
		},
		"byte by byte": func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				_, _ = w.Write([]byte(" "))
				w.(http.Flusher).Flush()
				time.Sleep(10 * time.Millisecond)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			for route, client := range map[string]*Client{
				"direct": directTo(t, handler, WithTimeout(limit)), "proxy": proxyTo(t, handler, WithTimeout(limit)),
			} {
				start := time.Now()
				_, err := client.Stats(t.Context(), shop)
				assert.Equal(t, "no answer within 0.15 s", Reason(err), route)
				require.ErrorIs(t, err, ErrNoAnswer, route)
				assert.Less(t, time.Since(start), 10*limit)
			}
		})
	}
	assert.Equal(t, "no answer within 2 s", Reason((&Client{timeout: Timeout}).timeoutError(nil)))
}

// If the CSV times out, the call stays within its timeout and returns the JSON.
func TestStats_SlowCSV(t *testing.T) {
	client := directTo(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == pathCSV {
			<-r.Context().Done()
			return
		}
		_, _ = w.Write(sample(t, "2.12-stopped.json"))
	}), WithTimeout(200*time.Millisecond))
	start := time.Now()
	r := statsOf(t, client)
	assert.Equal(t, int64(1187), r.Requests)
	assert.Less(t, time.Since(start), 2*time.Second)
}

func TestStats_CallersContext(t *testing.T) {
	client := directTo(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))

	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := client.Stats(ctx, shop)
	assert.Equal(t, "the request was canceled", Reason(err))
	require.ErrorIs(t, err, context.Canceled)

	ctx, cancel = context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err = client.Stats(ctx, shop)
	assert.Equal(t, "no answer in time", Reason(err))
	require.ErrorIs(t, err, ErrNoAnswer)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

func TestDirect_Network(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	free := listener.Addr().String()
	require.NoError(t, listener.Close())

	_, err = NewDirect(dialing(free)).Stats(t.Context(), shop)
	assert.Equal(t, "connection refused", Reason(err))
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
	require.ErrorIs(t, err, ErrRefused)

	for name, row := range map[string]struct {
		err  error
		want string
	}{
		"dropped":        {&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, "no answer within 2 s"},
		"no host":        {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.EHOSTUNREACH)}, "no route to the web UI"},
		"no net":         {&net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}, "no route to the web UI"},
		"reset":          {&net.OpError{Op: "read", Err: os.NewSyscallError("read", syscall.ECONNRESET)}, "the connection was closed without an answer"},
		"something else": {errors.New("at 0xc000123456: tcp 10.0.0.1:34567"), "the request failed"},
	} {
		t.Run(name, func(t *testing.T) {
			client := NewDirect(WithDialContext(func(context.Context, string, string) (net.Conn, error) { return nil, row.err }))
			_, err := client.Stats(t.Context(), shop)
			assert.Equal(t, row.want, Reason(err))
			assert.Equal(t, row.want, err.Error())
			require.ErrorIs(t, err, row.err)
		})
	}
}

// A server that closes the connection after a response or within it.
func TestDirect_BrokenOff(t *testing.T) {
	answering := func(answer string) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		t.Cleanup(func() { _ = listener.Close() })
		go func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				_, _ = conn.Read(make([]byte, 4096))
				_, _ = conn.Write([]byte(answer))
				_ = conn.Close()
			}
		}()
		return listener.Addr().String()
	}
	for name, row := range map[string]struct{ answer, want string }{
		"nothing":       {"", "the connection was closed without an answer"},
		"half a header": {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "the connection was closed without an answer"},
		"half a line":   {"HTTP/1.1 200 OK\r\nContent-", "does not speak HTTP"},
		"half a body":   {"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "the connection was closed without an answer"},
		"another":       {"SSH-2.0-OpenSSH_9.9\r\n", "does not speak HTTP"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewDirect(dialing(answering(row.answer))).Stats(t.Context(), shop)
			assert.Equal(t, row.want, Reason(err))
		})
	}
	t.Run("a long header", func(t *testing.T) {
		_, err := NewDirect(dialing(answering("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", 1<<20)))).Stats(t.Context(), shop)
		require.Error(t, err)
	})
	t.Run("HTTP instead of HTTPS", func(t *testing.T) {
		target := shop
		target.TLS = true
		_, err := directTo(t, respond(200, "")).Stats(t.Context(), target)
		assert.Equal(t, "does not speak TLS", Reason(err))
	})
	t.Run("another instead of HTTPS", func(t *testing.T) {
		target := shop
		target.TLS = true
		_, err := NewDirect(dialing(answering("SSH-2.0-OpenSSH_9.9\r\n"))).Stats(t.Context(), target)
		assert.Equal(t, "does not speak TLS", Reason(err))
	})
}

func TestTarget(t *testing.T) {
	proxied, err := proxyRoute(&rest.Config{Host: "https://10.0.0.1:6443"})
	require.NoError(t, err)
	const base = "https://10.0.0.1:6443/api/v1/namespaces/load/pods/"
	for name, row := range map[string]struct {
		change        func(*Target)
		direct, proxy string
	}{
		"plain": {func(*Target) {}, "http://10.244.1.7:8089/stats/requests", base + "shop-master-x7k2p:8089/proxy/stats/requests"},
		"TLS": {
			func(t *Target) { t.TLS = true },
			"https://10.244.1.7:8089/stats/requests", base + "https:shop-master-x7k2p:8089/proxy/stats/requests",
		},
		"base path": {
			func(t *Target) { t.BasePath = "a//b/" },
			"http://10.244.1.7:8089/a/b/stats/requests", base + "shop-master-x7k2p:8089/proxy/a/b/stats/requests",
		},
		"out of the base path": {
			func(t *Target) { t.BasePath = "/../../../../secrets/." },
			"http://10.244.1.7:8089/secrets/stats/requests", base + "shop-master-x7k2p:8089/proxy/secrets/stats/requests",
		},
		"signs": {
			func(t *Target) { t.BasePath = "/a b?c=#d%2e%2e/ü@x:y" },
			"http://10.244.1.7:8089/a%20b%3Fc=%23d%252e%252e/%C3%BC@x:y/stats/requests",
			base + "shop-master-x7k2p:8089/proxy/a%20b%3Fc=%23d%252e%252e/%C3%BC@x:y/stats/requests",
		},
	} {
		t.Run(name, func(t *testing.T) {
			target := shop
			row.change(&target)
			require.NoError(t, directRoute.check(target))
			require.NoError(t, proxied.check(target))
			assert.Equal(t, row.direct, directRoute.address(target, pathStats).String())
			assert.Equal(t, row.proxy, proxied.address(target, pathStats).String())
		})
	}
	sixth := shop
	sixth.IP = "fd00:10::7"
	assert.Equal(t, "http://[fd00:10::7]:8089/stats/requests", directRoute.address(sixth, pathStats).String())
}

func TestTarget_Refused(t *testing.T) {
	proxied, err := proxyRoute(&rest.Config{Host: "https://10.0.0.1:6443"})
	require.NoError(t, err)
	const none, invalid = "the pod's IP address is of a kind that no pod has, such as loopback or link-local", "the pod's IP address is not valid"
	for name, row := range map[string]struct {
		route  route
		change func(*Target)
		want   string
	}{
		"no address yet":   {directRoute, func(t *Target) { t.IP = "" }, "the pod has no IP address yet"},
		"a name":           {directRoute, func(t *Target) { t.IP = "shop-master.other.svc" }, invalid},
		"a port":           {directRoute, func(t *Target) { t.IP = "10.0.0.1:80" }, invalid},
		"a zone":           {directRoute, func(t *Target) { t.IP = "fd00::7%eth0" }, invalid},
		"a short form":     {directRoute, func(t *Target) { t.IP = "127.1" }, invalid},
		"loopback":         {directRoute, func(t *Target) { t.IP = "127.8.9.1" }, none},
		"loopback, IPv6":   {directRoute, func(t *Target) { t.IP = "::1" }, none},
		"loopback, mapped": {directRoute, func(t *Target) { t.IP = "::ffff:127.0.0.1" }, none},
		"unspecified":      {directRoute, func(t *Target) { t.IP = "0.0.0.0" }, none},
		"unspecified IPv6": {directRoute, func(t *Target) { t.IP = "::" }, none},
		"multicast":        {directRoute, func(t *Target) { t.IP = "224.0.0.1" }, none},
		"multicast, IPv6":  {directRoute, func(t *Target) { t.IP = "ff05::1" }, none},
		"metadata":         {directRoute, func(t *Target) { t.IP = "169.254.169.254" }, none},
		"metadata, mapped": {directRoute, func(t *Target) { t.IP = "::ffff:169.254.169.254" }, none},
		"link-local":       {directRoute, func(t *Target) { t.IP = "fe80::1" }, none},
		"no port":          {directRoute, func(t *Target) { t.Port = 0 }, "the port is not valid"},
		"port":             {directRoute, func(t *Target) { t.Port = 65536 }, "the port is not valid"},

		"no pod":         {proxied, func(t *Target) { t.Pod = "" }, "the pod has no valid name"},
		"a host":         {proxied, func(t *Target) { t.Pod = "x.example.com/" }, "the pod has no valid name"},
		"a path":         {proxied, func(t *Target) { t.Pod = "../../secrets" }, "the pod has no valid name"},
		"another scheme": {proxied, func(t *Target) { t.Pod = "https:x" }, "the pod has no valid name"},
		"no namespace":   {proxied, func(t *Target) { t.Namespace = "" }, "the namespace has no valid name"},
		"user info":      {proxied, func(t *Target) { t.Namespace = "a@b" }, "the namespace has no valid name"},
		"no port, proxy": {proxied, func(t *Target) { t.Port = 0 }, "the port is not valid"},
	} {
		t.Run(name, func(t *testing.T) {
			target := shop
			row.change(&target)
			dialed := false
			client := NewDirect(WithDialContext(func(context.Context, string, string) (net.Conn, error) {
				dialed = true
				return nil, errors.New("x")
			}))
			client.route = row.route
			_, err := client.Stats(t.Context(), target)
			assert.Equal(t, row.want, Reason(err))
			assert.False(t, dialed)
		})
	}
	// The API server identifies a pod by its name alone, which may contain dots.
	assert.NoError(t, proxied.check(Target{Namespace: "load", Pod: "a.b-master-0", Port: 8089}))
}

// The API server may be behind a path, and has its own credentials.
func TestProxy(t *testing.T) {
	var asked string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Path + " " + r.Header.Get("Authorization") + " " + r.Header.Get("Accept-Encoding")
		_, _ = w.Write(sample(t, "2.47-running.json"))
	}))
	t.Cleanup(server.Close)
	cfg := &rest.Config{
		Host: server.URL + "/clusters/c1", BearerToken: "secret", QPS: 0.001, Burst: 1, Timeout: time.Nanosecond,
		TLSClientConfig: rest.TLSClientConfig{Insecure: true},
	}
	client, err := NewProxy(cfg)
	require.NoError(t, err)
	for range 3 {
		r := statsOf(t, client)
		assert.Equal(t, int64(1101), r.Requests)
	}
	assert.Equal(t, "/clusters/c1/api/v1/namespaces/load/pods/shop-master-x7k2p:8089/proxy/stats/requests Bearer secret identity", asked)
	assert.Equal(t, time.Nanosecond, cfg.Timeout, "the caller's config is not modified")
	assert.False(t, cfg.DisableCompression)
}

func TestProxy_NotPossible(t *testing.T) {
	for name, cfg := range map[string]*rest.Config{
		"host":        {Host: "a/b/c"},
		"credentials": {Host: "https://x", BearerToken: "x", TLSClientConfig: rest.TLSClientConfig{CAFile: "/does/not/exist"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := NewProxy(cfg)
			require.Error(t, err)
		})
	}
}

// Messages of an API server of Kubernetes 1.37.
func TestProxy_APIServersOwnMessages(t *testing.T) {
	status := func(code int, reason, message string) http.HandlerFunc {
		return respond(code, fmt.Sprintf(`{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":%q,"reason":%q,"code":%d}`, message, reason, code))
	}
	unavailable := func(message string) http.HandlerFunc {
		return status(503, "ServiceUnavailable", "error trying to reach service: "+message)
	}
	for name, row := range map[string]struct {
		handler http.HandlerFunc
		want    string
	}{
		"forbidden": {
			status(403, "Forbidden", `pods "shop-master-x7k2p:8089" is forbidden: User "x" cannot get resource "pods/proxy" in API group "" in the namespace "load"`),
			`the API server does not permit "get pods/proxy"`,
		},
		"unauthorized":  {status(401, "Unauthorized", "Unauthorized"), "the API server: HTTP status 401"},
		"no pod":        {status(404, "NotFound", `pods "shop-master-x7k2p" not found`), "the pod does not exist"},
		"no address":    {status(400, "BadRequest", "address not allowed"), "the pod has no IP address that the API server may connect to"},
		"refused":       {unavailable("dial tcp 10.244.0.188:8089: connect: connection refused"), "connection refused"},
		"reset":         {unavailable("read tcp 10.244.0.1:53244->10.244.0.185:8089: read: connection reset by peer"), "the connection was closed without an answer"},
		"end":           {unavailable("EOF"), "the connection was closed without an answer"},
		"no TLS":        {unavailable("tls: first record does not look like a TLS handshake"), "does not speak TLS"},
		"TLS":           {unavailable("remote error: tls: handshake failure"), "the TLS handshake failed"},
		"no route":      {unavailable("dial tcp 10.244.0.188:8089: connect: no route to host"), "no route to the web UI"},
		"timeout":       {unavailable("dial tcp 10.244.0.188:8089: i/o timeout"), "no answer in time"},
		"other":         {unavailable("at 0xc00012"), "the API server: HTTP status 503"},
		"busy":          {status(429, "TooManyRequests", "too many requests"), "the API server: HTTP status 429"},
		"not Locust's":  {respond(404, "404 page not found"), "HTTP status 404"},
		"Locust's JSON": {respond(403, `{"kind":1}`), "requires a login (--web-login)"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := proxyTo(t, row.handler).Stats(t.Context(), shop)
			assert.Equal(t, row.want, Reason(err))
			assert.Equal(t, row.want, err.Error())
			assert.Equal(t, name == "forbidden", errors.Is(err, ErrPermission))
			assert.Equal(t, name == "refused", errors.Is(err, ErrRefused))
		})
	}
	t.Run("a Status from Locust itself is not interpreted", func(t *testing.T) {
		_, err := directTo(t, status(403, "Forbidden", "x")).Stats(t.Context(), shop)
		require.ErrorIs(t, err, ErrLogin)
	})
	t.Run("no API server", func(t *testing.T) {
		client, err := NewProxy(&rest.Config{Host: "http://127.0.0.1:1"})
		require.NoError(t, err)
		_, err = client.Stats(t.Context(), shop)
		assert.Equal(t, "the API server: connection refused", Reason(err))
		assert.NotErrorIs(t, err, ErrRefused, "Locust may well listen")
	})
}

// Responses through the API server are the masters': their headers are bounded too, and the body is not buffered before it
// is decoded.
func TestProxy_Bounds(t *testing.T) {
	var protocol string
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocol = r.Proto
		w.Header().Set("X", strings.Repeat("x", maxHeader))
		_, _ = w.Write(sample(t, "2.47-running.json"))
	}))
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	client, err := NewProxy(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{Insecure: true}})
	require.NoError(t, err)
	_, err = client.Stats(t.Context(), shop)
	require.Error(t, err)
	assert.Equal(t, "HTTP/1.1", protocol)
}

func TestReason(t *testing.T) {
	assert.Empty(t, Reason(nil))
	assert.Equal(t, "the request failed", Reason(errors.New("x")))
	assert.Equal(t, "x", Reason(fmt.Errorf("more: %w", &requestError{reason: "x"})))
}

// The reporter's header is decoded on both routes, and an invalid one is ignored.
func TestStats_Target(t *testing.T) {
	six, running := int32(6), string(sample(t, "2.47-running.json"))
	for name, row := range map[string]struct {
		value string
		want  *report.Target
	}{
		"the reporter's": {`{"target_users":6,"run_time":null,"shape":false}`, &report.Target{Users: &six}},
		"another's":      {"6 users", nil},
		"large":          {`{"target_users":6,"run_time":null,"shape":false` + strings.Repeat(" ", 4096) + "}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			handler := respond(200, running, "x-locust-operator", row.value)
			for route, client := range map[string]*Client{"direct": directTo(t, handler), "proxy": proxyTo(t, handler)} {
				r, err := client.Stats(t.Context(), shop)
				require.NoError(t, err, route)
				assert.Equal(t, row.want, r.Target, route)
			}
		})
	}
}
