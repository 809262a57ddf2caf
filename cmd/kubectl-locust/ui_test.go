package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

func newUI(o *outputs, c client.Client, kubelet *fakeKubelet) *uiSession {
	return &uiSession{
		app: o.app(), client: c, key: client.ObjectKey{Namespace: "load", Name: "shop"}, poll: time.Millisecond, patience: time.Second,
		dialer: func(pod *corev1.Pod) (fallbackDialer, error) {
			return newPodDialer(&rest.Config{Host: kubelet.server.URL}, pod)
		},
		browse: func(context.Context, string) error { return errors.New("no browser") },
	}
}

// endAfter returns a cluster whose test ends once ended is true.
func endAfter(ended *atomic.Bool, objects ...client.Object) client.WithWatch {
	return fakeCluster(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
		err := c.Get(ctx, key, object, opts...)
		if test, isTest := object.(*v2.LocustTest); isTest && ended.Load() {
			test.Status.Phase = v2.PhaseSucceeded
		}
		return err
	}}, objects...)
}

func TestUI(t *testing.T) {
	for name, row := range map[string]struct {
		args   string
		start  func(http.Handler) *httptest.Server
		port   string
		scheme string
		path   string
	}{
		"default":         {"", httptest.NewServer, "8089", "http", "/"},
		"base path":       {"--web-base-path /locust --web-port 9000", httptest.NewServer, "9000", "http", "/locust/"},
		"TLS":             {"--tls-cert c --tls-key k", httptest.NewTLSServer, "8089", "https", "/"},
		"login, loopback": {"--web-login --web-host 127.0.0.1", httptest.NewServer, "8089", "http", "/"},
	} {
		t.Run(name, func(t *testing.T) {
			target := locustUI(t, row.start)
			var attempts atomic.Int32
			kubelet := startKubelet(t, func(port string) (string, error) {
				assert.Equal(t, row.port, port)
				if attempts.Add(1) <= 2 {
					return "", errors.New("connection refused, as Locust is starting")
				}
				return target.Listener.Addr().String(), nil
			})
			test := storedTest("shop", func(test *v2.LocustTest) {
				test.Status.Phase = v2.PhaseRunning
				test.Spec.Master.Command += " " + row.args
			})
			var ended atomic.Bool
			c := endAfter(&ended, test, podOf(test, resources.RoleMaster, "master-1", running))
			var o outputs
			reader, writer := io.Pipe()
			ui := newUI(&o, c, kubelet)
			ui.Out, ui.options.open, ui.patience = writer, true, 10*time.Second
			result := make(chan error, 1)
			go func() {
				err := ui.run(t.Context())
				_ = writer.CloseWithError(err)
				result <- err
			}()

			var address string
			_, err := fmt.Fscanln(reader, &address)
			require.NoError(t, err)
			parsed, err := url.Parse(address)
			require.NoError(t, err)
			assert.Equal(t, row.scheme, parsed.Scheme)
			assert.Equal(t, row.path, parsed.Path)
			assert.Equal(t, "127.0.0.1", parsed.Hostname(), "only this machine")
			browser := &http.Client{Transport: &http.Transport{TLSClientConfig: insecureTLS()}}
			for range 3 {
				response, err := browser.Get(address)
				require.NoError(t, err)
				body, err := io.ReadAll(response.Body)
				require.NoError(t, err)
				_ = response.Body.Close()
				assert.Equal(t, "<title>Locust</title> "+row.path, string(body))
			}
			browser.CloseIdleConnections()
			ended.Store(true)
			require.NoError(t, <-result)
			assert.Contains(t, o.errOut.String(), "could not open the browser: no browser")
			assert.Contains(t, o.errOut.String(), "load/shop has ended: Succeeded")
			assert.NotContains(t, o.errOut.String(), "a connection failed")
			_, err = browser.Get(address) //nolint:bodyclose // there is no response
			assert.Error(t, err, "the port is closed")
		})
	}
}

func TestUI_Errors(t *testing.T) {
	withArgs := func(args string) func(*v2.LocustTest) {
		return func(test *v2.LocustTest) {
			test.Status.Phase = v2.PhaseRunning
			test.Spec.Master.Command += " " + args
		}
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no rule"))
	for name, row := range map[string]struct {
		change func(*v2.LocustTest)
		list   error
		status int
		want   []string
	}{
		"headless":             {withArgs("--headless"), nil, 0, []string{"no web UI, because Locust runs with --headless", "Remove the option", "kubectl locust watch -n load shop"}},
		"headless, pending":    {func(test *v2.LocustTest) { withArgs("--headless")(test); test.Status.Phase = "" }, nil, 0, []string{"--headless"}},
		"an address":           {withArgs("--web-host 10.1.2.3"), nil, 0, []string{"--web-host 10.1.2.3 is not an address"}},
		"a test that ended":    {inPhase(v2.PhaseFailed), nil, 0, []string{"load/shop has ended: Failed", "kubectl locust report -n load shop"}},
		"no rights for pods":   {inPhase(v2.PhaseRunning), forbidden, 0, []string{"list the pods", "ClusterRole view"}},
		"no rights to forward": {inPhase(v2.PhaseRunning), nil, http.StatusForbidden, []string{"forward a port to the pod of load/shop", "user eve cannot create pods/portforward", "ClusterRole edit"}},
		"no answer":            {inPhase(v2.PhaseRunning), nil, 0, []string{"has not answered within 50ms", "nothing listens there", "kubectl locust logs -n load shop"}},
	} {
		t.Run(name, func(t *testing.T) {
			kubelet := startKubelet(t, func(string) (string, error) { return "", errors.New("nothing listens there") })
			kubelet.status.Store(int32(row.status))
			test := storedTest("shop", row.change)
			c := fakeCluster(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				return errors.Join(row.list, c.List(ctx, list, opts...))
			}}, test, podOf(test, resources.RoleMaster, "master-1", running))
			var o outputs
			ui := newUI(&o, c, kubelet)
			ui.patience = 50 * time.Millisecond
			err := ui.run(t.Context())
			for _, text := range row.want {
				assert.ErrorContains(t, err, text)
			}
			assert.Empty(t, o.out.String())
		})
	}
}

func TestUI_PortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	var o outputs
	ui := newUI(&o, fakeCluster(interceptor.Funcs{}), nil)
	ui.options.port = taken.Addr().(*net.TCPAddr).Port
	require.ErrorContains(t, ui.run(t.Context()), "Choose another --port")

	// A port that another program takes during the wait for the master.
	require.NoError(t, taken.Close())
	kubelet := startKubelet(t, func(string) (string, error) { return "", errors.New("not used") })
	test := storedTest("shop", inPhase(v2.PhaseRunning))
	ui = newUI(&o, fakeCluster(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		taken, err = net.Listen("tcp", taken.Addr().String())
		require.NoError(t, err)
		return c.List(ctx, list, opts...)
	}}, test, podOf(test, resources.RoleMaster, "master-1", running)), kubelet)
	ui.options.port = taken.Addr().(*net.TCPAddr).Port
	require.ErrorContains(t, ui.run(t.Context()), "Choose another --port")
}

// TestUI_Waits checks the wait for the master, and that an interrupt ends it.
func TestUI_Waits(t *testing.T) {
	test := storedTest("shop", func(test *v2.LocustTest) {
		test.Status.Phase = v2.PhasePending
		test.Status.Conditions = []metav1.Condition{{Type: v2.ConditionTypePodsHealthy, Reason: v2.ReasonSchedulingError, Message: "0/3 nodes\x1b[2J are available"}}
	})
	ctx, cancel := context.WithCancel(t.Context())
	lists := 0
	c := fakeCluster(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if lists++; lists == 3 {
			cancel()
		}
		return c.List(ctx, list, opts...)
	}}, test, podOf(test, resources.RoleMaster, "master-1", waiting))
	var o outputs
	require.ErrorIs(t, newUI(&o, c, nil).run(ctx), context.Canceled)
	assert.Equal(t, "waiting for the master: it is Pending (SchedulingError): 0/3 nodes\ufffd[2J are available\n", o.errOut.String())

	// A test that ends before its master has started.
	var ended atomic.Bool
	c = fakeCluster(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
		err := c.Get(ctx, key, object, opts...)
		if test, isTest := object.(*v2.LocustTest); isTest && ended.Swap(true) {
			test.Status.Phase = v2.PhaseFailed
		}
		return err
	}}, test)
	assert.ErrorContains(t, newUI(&o, c, nil).run(t.Context()), "load/shop has ended: Failed")
}

// TestUI_StartedSpec checks that the spec of the run decides, which a later change of the test does not change.
func TestUI_StartedSpec(t *testing.T) {
	test := storedTest("shop", inPhase(v2.PhaseRunning))
	job, err := resources.BuildMasterJob(test, &resources.PodDefaults{})
	require.NoError(t, err)
	test.Spec.Master.Command += " --headless"
	var o outputs
	ui := newUI(&o, fakeCluster(interceptor.Funcs{}, job), nil)
	assert.NoError(t, ui.checkWebUI(t.Context(), test))
	ui.client = fakeCluster(interceptor.Funcs{})
	assert.ErrorContains(t, ui.checkWebUI(t.Context(), test), "--headless")
}

// TestForwarder checks that the URL stays the same after a failure, and that a refusal of the API server is final.
func TestForwarder(t *testing.T) {
	target := locustUI(t, httptest.NewServer)
	var refuse atomic.Bool
	kubelet := startKubelet(t, func(string) (string, error) {
		if refuse.Load() {
			return "", errors.New("connection refused")
		}
		return target.Listener.Addr().String(), nil
	})
	dialer, err := newPodDialer(&rest.Config{Host: kubelet.server.URL}, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "load", Name: "master-1"}})
	require.NoError(t, err)
	forwarder := &forwarder{dialer: dialer, port: 8089}
	current, err := forwarder.start(t.Context())
	require.NoError(t, err)
	url := forwarder.url(resources.WebAPI{})
	failed, final := make(chan error, 1000), make(chan struct{})
	go func() {
		defer close(final)
		forwarder.keep(t.Context(), current, func(err error) { failed <- err })
	}()
	get := func() error {
		return probe(t.Context(), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}, url)
	}
	answers := func() bool { return get() == nil }
	require.NoError(t, get())
	require.NoError(t, get())
	assert.Equal(t, int32(1), kubelet.connections.Load(), "one connection to the pod for all")

	refuse.Store(true)
	require.Error(t, get())
	require.EqualError(t, <-failed, "connection refused")
	refuse.Store(false)
	require.Eventually(t, answers, 10*time.Second, 10*time.Millisecond)
	assert.Equal(t, int32(2), kubelet.connections.Load())

	kubelet.disconnect()
	require.ErrorIs(t, <-failed, portforward.ErrLostConnectionToPod)
	require.Eventually(t, answers, 10*time.Second, 10*time.Millisecond)

	kubelet.status.Store(http.StatusNotFound)
	kubelet.disconnect()
	require.ErrorIs(t, <-failed, portforward.ErrLostConnectionToPod)
	err = <-failed
	assert.True(t, apierrors.IsNotFound(err), "%v", err)
	<-final
	assert.Error(t, get(), "the port is closed")
	assert.Empty(t, failed)
}

// TestUI_LostPod checks that a test whose pod is gone still ends the command, and that an error that stays is printed once.
func TestUI_LostPod(t *testing.T) {
	target := locustUI(t, httptest.NewServer)
	kubelet := startKubelet(t, func(string) (string, error) { return target.Listener.Addr().String(), nil })
	test := storedTest("shop", inPhase(v2.PhaseRunning))
	var ended atomic.Bool
	var o outputs
	ui := newUI(&o, endAfter(&ended, test, podOf(test, resources.RoleMaster, "master-1", running)), kubelet)
	ui.options.open = true
	ui.browse = func(context.Context, string) error {
		kubelet.status.Store(http.StatusInternalServerError)
		kubelet.disconnect()
		go func() {
			for refusals := kubelet.refusals.Load(); kubelet.refusals.Load() < refusals+6; { // a websocket and SPDY for each attempt
				time.Sleep(time.Millisecond)
			}
			ended.Store(true)
		}()
		return nil
	}
	require.NoError(t, ui.run(t.Context()))
	lines := strings.Split(strings.TrimSpace(o.errOut.String()), "\n")
	require.Len(t, lines, 4, "%q", lines)
	assert.Equal(t, "a connection failed: lost connection to pod", lines[1])
	assert.Contains(t, lines[2], "a connection failed: connect to the pod: ")
	assert.Equal(t, "load/shop has ended: Succeeded", lines[3])
}

// TestUI_Interrupt checks that an interrupt closes the port.
func TestUI_Interrupt(t *testing.T) {
	target := locustUI(t, httptest.NewServer)
	kubelet := startKubelet(t, func(string) (string, error) { return target.Listener.Addr().String(), nil })
	test := storedTest("shop", inPhase(v2.PhaseRunning))
	var o outputs
	ui := newUI(&o, fakeCluster(interceptor.Funcs{}, test, podOf(test, resources.RoleMaster, "master-1", running)), kubelet)
	ui.options.open = true
	ctx, interrupt := context.WithCancel(t.Context())
	ui.browse = func(context.Context, string) error {
		interrupt()
		return nil
	}
	require.ErrorIs(t, ui.run(ctx), context.Canceled, "runUI returns nil instead")
	assert.NotContains(t, o.errOut.String(), "a connection failed")
	assert.Error(t, probe(t.Context(), http.DefaultClient, strings.TrimSpace(o.out.String())), "the port is closed")
}

func TestIsForwardable(t *testing.T) {
	for host, want := range map[string]bool{
		"": true, "*": true, "0.0.0.0": true, "::": true, "localhost": true, "127.0.0.1": true, "::1": true, "127.1.2.3": true,
		"10.0.0.1": false, "$(POD_IP)": false, "example.com": false,
	} {
		assert.Equal(t, want, isForwardable(host), host)
	}
}
