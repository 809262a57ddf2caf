package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

const (
	// podForwarderRole is Kubernetes' own role that may forward ports.
	podForwarderRole = "edit"
	// uiPatience is how long Locust may take to serve its web UI after the start of its container.
	uiPatience = time.Minute
	// uiInterval is the time between two attempts to reach the web UI.
	uiInterval = 500 * time.Millisecond
)

// uiOptions are the flags of `ui`.
type uiOptions struct {
	port int
	open bool
}

func (a *app) uiCommand() *cobra.Command {
	var options uiOptions
	command := &cobra.Command{
		Use:   "ui NAME",
		Short: "Forward a local port to Locust's web UI",
		Long: `Forward a local port to Locust's web UI on the master of a test, and print its URL.

Only this machine can reach the port. The command waits until the master serves the web UI, and ends with the test, or when it is interrupted; the
exit code is 0 in both cases. The test continues.

Kubernetes' own role "edit" has the needed permissions.`,
		Example: `  kubectl locust ui shop
  kubectl locust ui shop --port 8089 --open`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: a.completeTests,
		RunE: func(command *cobra.Command, args []string) error {
			return a.runUI(command.Context(), args[0], options)
		},
	}
	command.Flags().IntVar(&options.port, "port", 0, "local port; 0 for any free one")
	command.Flags().BoolVar(&options.open, "open", false, "open the URL in the browser")
	return command
}

func (a *app) runUI(ctx context.Context, name string, options uiOptions) error {
	c, namespace, err := a.connect()
	if err != nil {
		return err
	}
	config, err := a.streamConfig()
	if err != nil {
		return err
	}
	session := &uiSession{
		app: a, client: c, key: client.ObjectKey{Namespace: namespace, Name: name}, options: options, poll: pollInterval, patience: uiPatience,
		dialer: func(pod *corev1.Pod) (fallbackDialer, error) { return newPodDialer(config, pod) },
		browse: openBrowser,
	}
	err = session.run(ctx)
	if ctx.Err() != nil {
		return nil // an interrupt is the usual end
	}
	return err
}

// uiSession serves the web UI of one test.
type uiSession struct {
	*app
	client  client.Client
	key     client.ObjectKey
	options uiOptions
	// poll is the time between two reads of the test.
	poll, patience time.Duration
	dialer         func(pod *corev1.Pod) (fallbackDialer, error)
	browse         func(ctx context.Context, url string) error
}

// run waits for the web UI, and forwards connections to it until the test has ended or the context is done.
func (s *uiSession) run(ctx context.Context) error {
	// A port that is in use is reported before the wait.
	if err := checkPort(ctx, s.options.port); err != nil {
		return err
	}
	test, err := getTest(ctx, s.client, s.key)
	if err != nil {
		return err
	}
	if err := s.checkWebUI(ctx, test); err != nil {
		return err
	}
	pod, test, err := s.waitForMaster(ctx, test)
	if err != nil {
		return err
	}
	web := resources.ConfigFor(s.runSpec(ctx, test)).WebAPI
	dialer, err := s.dialer(pod)
	if err != nil {
		return err
	}
	forwarder := &forwarder{dialer: dialer, port: web.Port, local: uint16(s.options.port)}
	serving, stop := context.WithCancel(ctx)
	defer stop()
	current, err := s.waitForWebUI(serving, forwarder, web)
	if err != nil {
		return err
	}
	closed := make(chan struct{})
	go func() {
		defer close(closed)
		forwarder.keep(serving, current, s.printFailures())
	}()
	defer func() {
		stop()
		<-closed
	}()
	url := forwarder.url(web)
	fmt.Fprintf(s.Out, "%s\n", url)
	fmt.Fprintf(s.ErrOut, "Forwarding to the web UI of %s until the test ends; press Ctrl-C to stop\n", s.key)
	if s.options.open {
		if err := s.browse(ctx, url); err != nil {
			fmt.Fprintln(s.ErrOut, terminal.Safe("could not open the browser: "+err.Error()))
		}
	}
	ended, err := pollTest(ctx, s.client, s.key, test.UID, s.poll, func(test *v2.LocustTest) bool { return test.Status.IsTerminal() })
	if errors.As(err, &deletedError{}) {
		fmt.Fprintln(s.ErrOut, err)
		return nil
	}
	if err == nil {
		fmt.Fprintln(s.ErrOut, terminal.Safe(describeEnd(ended)))
	}
	return err
}

// checkPort returns an error if a local port is in use.
func checkPort(ctx context.Context, port int) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(localAddress, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("listen on port %d: %w\nChoose another --port, or 0 for any free one", port, err)
	}
	return listener.Close()
}

// printFailures returns a function that prints errors of the forwarding. One that stays is printed once.
func (s *uiSession) printFailures() func(error) {
	printed := ""
	return func(err error) {
		if text := terminal.Safe("a connection failed: " + err.Error()); text != printed {
			fmt.Fprintln(s.ErrOut, text)
			printed = text
		}
	}
}

// runSpec returns the spec that the run was started from, as its Job records it; or that of the test.
func (s *uiSession) runSpec(ctx context.Context, test *v2.LocustTest) *v2.LocustTestSpec {
	job := &batchv1.Job{}
	if s.client.Get(ctx, client.ObjectKey{Namespace: test.Namespace, Name: resources.MasterName(test.Name)}, job) != nil {
		return &test.Spec
	}
	if run, err := resources.RunFromJob(job); err == nil && run != nil {
		return &run.Spec
	}
	return &test.Spec
}

// checkWebUI returns an error if a test has no web UI that can be reached.
func (s *uiSession) checkWebUI(ctx context.Context, test *v2.LocustTest) error {
	if test.Status.IsTerminal() {
		return fmt.Errorf("%s\nIts web UI has ended with it; see the result: %s", describeEnd(test), s.suggest("report", test))
	}
	options := resources.MasterCommandFor(resources.WithDefaults(s.runSpec(ctx, test))).Options
	if options.IsHeadless() {
		return fmt.Errorf("the test %s has no web UI, because Locust runs with --headless\nRemove the option: without it the load starts and ends by itself as "+
			"well (spec.master.autostart and autoquit); meanwhile, follow the test: %s", s.key, s.suggest("watch", test))
	}
	if host := options.Value(locustcli.OptWebHost); !isForwardable(host) {
		return fmt.Errorf("the web UI of the test %s cannot be forwarded: --web-host %s is not an address that Kubernetes forwards to\nRemove --web-host, or set "+
			"it to 0.0.0.0 or 127.0.0.1", s.key, host)
	}
	return nil
}

// isForwardable reports whether a server on an address can be reached by port forwarding, which connects to the loopback of the pod.
func isForwardable(host string) bool {
	if host == "" || host == "*" || host == "localhost" {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && (address.IsLoopback() || address.IsUnspecified())
}

// waitForMaster waits until the container of the master runs, and returns its pod and the latest state of the test.
func (s *uiSession) waitForMaster(ctx context.Context, test *v2.LocustTest) (*corev1.Pod, *v2.LocustTest, error) {
	var master *corev1.Pod
	var failed error
	waiting := ""
	now, err := pollTest(ctx, s.client, s.key, test.UID, s.poll, func(test *v2.LocustTest) bool {
		if test.Status.IsTerminal() {
			return true
		}
		var pods []corev1.Pod
		if pods, failed = podsOf(ctx, s.client, test, resources.RoleMaster); failed != nil {
			return true
		}
		for i := range pods {
			if containerState(&pods[i], locustContainer(test, &pods[i])).Running != nil {
				master = &pods[i]
			}
		}
		if message := describeStart(test); master == nil && message != waiting {
			waiting = message
			fmt.Fprintln(s.ErrOut, terminal.Safe("waiting for the master: "+message))
		}
		return master != nil
	})
	switch {
	case failed != nil:
		return nil, nil, failed
	case err != nil:
		return nil, nil, err
	case master == nil:
		return nil, nil, s.checkWebUI(ctx, now) // it has ended
	}
	return master, now, nil
}

// waitForWebUI waits until the web UI answers through the local port, whatever it answers, and returns the forwarding that it has used.
func (s *uiSession) waitForWebUI(ctx context.Context, forwarder *forwarder, web resources.WebAPI) (*forwarding, error) {
	browser := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, TLSClientConfig: insecureTLS()},
		Timeout:       s.patience,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	for deadline := time.Now().Add(s.patience); ; {
		current, err := forwarder.start(ctx)
		switch {
		case isRefusal(err):
			return nil, explain("forward a port to the pod of "+s.key.String(), podForwarderRole, err)
		case err != nil:
			// The port may have been taken since the first check.
			if busy := checkPort(ctx, int(forwarder.local)); busy != nil {
				return nil, busy
			}
		default:
			if err = probe(ctx, browser, forwarder.url(web)); err == nil {
				return current, nil
			}
			current.stop()
			if cause := <-current.ended; cause != nil {
				err = cause
			}
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("the web UI of %s has not answered within %s: %w\nSee the log of the master: kubectl locust logs%s %s",
				s.key, s.patience, err, s.connectionFlags(s.key.Namespace), s.key.Name)
		}
		select {
		case <-time.After(uiInterval):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// probe returns an error if there is no answer.
func probe(ctx context.Context, browser *http.Client, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	response, err := browser.Do(request)
	if err != nil {
		return err
	}
	return response.Body.Close()
}

// insecureTLS accepts the certificate that the user has given to Locust: it is not for 127.0.0.1, and nothing is sent to the probed page.
func insecureTLS() *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: true} //nolint:gosec // see above
}

// newPodDialer returns the connection to a pod, as kubectl port-forward makes it.
func newPodDialer(config *rest.Config, pod *corev1.Pod) (fallbackDialer, error) {
	raw, err := rawClient(config)
	if err != nil {
		return fallbackDialer{}, err
	}
	url := raw.Post().AbsPath("/api/v1/namespaces", pod.Namespace, "pods", pod.Name, "portforward").URL()
	return portForwardDialer(config, url)
}
