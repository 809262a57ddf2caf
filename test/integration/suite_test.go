//go:build integration

// Package integration runs the reconciler against a real kube-apiserver, etcd and kube-controller-manager. The
// tests write the status of pods in place of scheduler and kubelet.
package integration

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/controllers"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

const timeout = framework.APIServerTimeout

var (
	// apiServer is the client configuration of the API server's administrator.
	apiServer *rest.Config
	scheme    = framework.NewScheme(v1.AddToScheme)
	// k8s acts as the user.
	k8s client.WithWatch
	kcm *controllerManager
)

func TestMain(m *testing.M) { framework.Main(func() (int, error) { return run(m) }) }

func run(m *testing.M) (code int, err error) {
	assets := os.Getenv("KUBEBUILDER_ASSETS")
	if assets == "" {
		return 0, fmt.Errorf("KUBEBUILDER_ASSETS is not set; run `make test-integration`, which builds the control plane first")
	}
	ctrl.SetLogger(testLogger())
	dir, err := os.MkdirTemp("", "locust-operator-logs-")
	if err != nil {
		return 0, err
	}
	defer func() {
		if code == 0 && err == nil {
			_ = os.RemoveAll(dir)
			return
		}
		fmt.Fprintln(os.Stderr, "the logs of kube-apiserver and kube-controller-manager are in", dir)
	}()
	serverLog, err := os.Create(filepath.Join(dir, "kube-apiserver.log"))
	if err != nil {
		return 0, err
	}
	defer func() { _ = serverLog.Close() }()
	env := &envtest.Environment{
		BinaryAssetsDirectory:    assets,
		ControlPlaneStartTimeout: 2 * time.Minute,
		ControlPlaneStopTimeout:  time.Minute,
	}
	server := env.ControlPlane.GetAPIServer()
	server.Out, server.Err = serverLog, serverLog
	// envtest's range has 254 addresses. The tests create more Services, and a slow garbage collector deletes them late.
	server.Configure().Set("service-cluster-ip-range", "10.0.0.0/16")
	if apiServer, err = env.Start(); err != nil {
		return 0, fmt.Errorf("start the control plane from %s: %w", assets, err)
	}
	defer func() {
		if stopErr := env.Stop(); err == nil {
			err = stopErr
		}
	}()
	if kcm, err = startControllerManager(assets, dir); err != nil {
		return 0, err
	}
	defer func() {
		if stopErr := kcm.stop(); err == nil {
			err = stopErr
		}
	}()
	if k8s, err = client.NewWithWatch(apiServer, client.Options{Scheme: scheme}); err != nil {
		return 0, err
	}
	stopWebhooks, err := upgradeFromV1()
	if err != nil {
		return 0, err
	}
	defer stopWebhooks()
	return m.Run(), nil
}

// controllerManager is a running kube-controller-manager.
type controllerManager struct {
	command *exec.Cmd
	// log is the path of its log.
	log   string
	ended chan struct{}

	mu sync.Mutex
	// reported is the number of bytes of the log that earlier reports covered.
	reported int
}

// startControllerManager adds the real Job controller and garbage collector to envtest's control plane.
func startControllerManager(assets, dir string) (*controllerManager, error) {
	binary := filepath.Join(assets, "kube-controller-manager")
	if _, err := os.Stat(binary); err != nil {
		return nil, fmt.Errorf("the integration tests need kube-controller-manager: %w", err)
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	err := clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{"c": {Server: apiServer.Host, CertificateAuthorityData: apiServer.CAData}},
		AuthInfos: map[string]*clientcmdapi.AuthInfo{"u": {
			ClientCertificateData: apiServer.CertData, ClientKeyData: apiServer.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, kubeconfig)
	if err != nil {
		return nil, err
	}
	m := &controllerManager{log: filepath.Join(dir, "kube-controller-manager.log"), ended: make(chan struct{})}
	log, err := os.Create(m.log)
	if err != nil {
		return nil, err
	}
	m.command = exec.Command(binary, "--kubeconfig="+kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1", "--secure-port=0",
		"--kube-api-qps=200", "--kube-api-burst=400",
		"--controllers=job-controller,garbage-collector-controller,ttl-after-finished-controller,namespace-controller,resourcequota-controller")
	m.command.Stdout, m.command.Stderr = log, log
	if err := m.command.Start(); err != nil {
		_ = log.Close()
		return nil, fmt.Errorf("start kube-controller-manager: %w", err)
	}
	go func() {
		_ = m.command.Wait()
		_ = log.Close()
		close(m.ended)
	}()
	return m, nil
}

// stop ends the process. It returns an error if the process has already ended.
func (m *controllerManager) stop() error {
	select {
	case <-m.ended:
		return fmt.Errorf("kube-controller-manager ended during the tests: %s", m.command.ProcessState)
	default:
	}
	_ = m.command.Process.Kill()
	<-m.ended
	return nil
}

// report returns whether the process runs, and the last 50 lines of its log since the previous report.
func (m *controllerManager) report() string {
	state := "runs"
	select {
	case <-m.ended:
		state = "has ended: " + m.command.ProcessState.String()
	default:
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	raw, err := os.ReadFile(m.log)
	if err != nil {
		return fmt.Sprintf("kube-controller-manager %s; its log: %v", state, err)
	}
	lines := strings.Split(strings.TrimSpace(string(raw[min(m.reported, len(raw)):])), "\n")
	m.reported = len(raw)
	return fmt.Sprintf("kube-controller-manager %s; the end of its log since the previous failure:\n%s", state,
		strings.Join(lines[max(0, len(lines)-50):], "\n"))
}

// operator is a running operator whose requests are counted.
type operator struct {
	framework.Waiter
	t        *testing.T
	requests *counter
	faults   faults
	stop     func()
}

// faults makes requests fail before they reach the API server.
type faults struct {
	mu sync.Mutex
	// left is the number of requests that still fail, by "VERB resource[/subresource]".
	left map[string]int
	// killing ends the operator at a request; nil does not.
	killing *killing
}

func (f *faults) inject(what string, times int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.left == nil {
		f.left = map[string]int{}
	}
	f.left[what] = times
}

func (f *faults) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		what := verb(req) + " " + resource(req.URL.Path)
		f.mu.Lock()
		fail := f.left[what] > 0
		if fail {
			f.left[what]--
		}
		killing := f.killing
		f.mu.Unlock()
		switch {
		case fail:
			return nil, errors.New("injected fault")
		case killing != nil:
			return killing.roundTrip(what, req, next)
		}
		return next.RoundTrip(req)
	})
}

type option func(*controllers.LocustTestReconciler)

func withDeadline(d time.Duration) option {
	return func(r *controllers.LocustTestReconciler) { r.Settings.StartupDeadline = d }
}

// withTTL sets a TTL that does not expire during a test.
func withTTL(r *controllers.LocustTestReconciler) { r.Settings.JobTTL = new(time.Hour) }

// startOperator starts an operator for one namespace. At the end of the test it checks all written statuses against the
// contract.
func startOperator(t *testing.T, namespace string, options ...option) *operator {
	t.Helper()
	return startFaultyOperator(t, namespace, nil, options...)
}

// startFaultyOperator starts an operator whose first requests fail, as often as given by fail.
func startFaultyOperator(t *testing.T, namespace string, fail map[string]int, options ...option) *operator {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	op := &operator{Waiter: framework.Waiter{T: t, Timeout: timeout}, t: t, requests: &counter{}}
	for what, times := range fail {
		op.faults.inject(what, times)
	}
	watching, stopWatching := context.WithCancel(context.Background())
	var err error
	op.Watcher, err = framework.Watch(watching, k8s, client.InNamespace(namespace))
	require.NoError(t, err)
	done := op.launch(ctx, namespace, options...)
	op.stop = sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(func() {
		op.stop()
		stopWatching()
		require.Empty(t, op.Watcher.Breaches(), "breaches of the status contract")
	})
	return op
}

func (op *operator) launch(ctx context.Context, namespace string, options ...option) <-chan struct{} {
	counted := rest.CopyConfig(apiServer)
	counted.QPS, counted.Burst = 200, 400
	counted.Wrap(op.requests.wrap)
	counted.Wrap(op.faults.wrap)
	skip := true
	mgr, err := ctrl.NewManager(counted, ctrl.Options{
		Scheme:     scheme,
		Cache:      controllers.CacheOptions([]string{namespace}),
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: &skip},
	})
	require.NoError(op.t, err)
	r := &controllers.LocustTestReconciler{
		Client: mgr.GetClient(), APIReader: mgr.GetAPIReader(), Recorder: mgr.GetEventRecorder("locust-k8s-operator"), Clock: clock.RealClock{},
		Settings:        status.Settings{StartupDeadline: 5 * time.Minute},
		RefreshInterval: 10 * time.Second, Concurrency: 4,
	}
	for _, o := range options {
		o(r)
	}
	require.NoError(op.t, r.SetupWithManager(ctx, mgr))
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := mgr.Start(ctx); err != nil {
			op.t.Errorf("the operator stopped: %v", err)
		}
	}()
	require.True(op.t, mgr.GetCache().WaitForCacheSync(ctx))
	return done
}

// counter counts requests by "VERB resource[/subresource] code".
type counter struct {
	mu    sync.Mutex
	count map[string]int
}

func (c *counter) wrap(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(req *http.Request) (*http.Response, error) {
		resp, err := next.RoundTrip(req)
		if err == nil {
			c.mu.Lock()
			if c.count == nil {
				c.count = map[string]int{}
			}
			c.count[fmt.Sprintf("%s %s %d", verb(req), resource(req.URL.Path), resp.StatusCode)]++
			c.mu.Unlock()
		}
		return resp, err
	})
}

func verb(req *http.Request) string {
	if req.URL.Query().Get("watch") == "true" {
		return "WATCH"
	}
	return req.Method
}

// resource returns the resource and subresource of an API path, without names.
func resource(path string) string {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		if p == "namespaces" && len(parts) > i+2 {
			kept := []string{parts[i+2]}
			if len(parts) > i+4 {
				kept = append(kept, parts[i+4])
			}
			return strings.Join(kept, "/")
		}
	}
	return parts[len(parts)-1]
}

func (c *counter) snapshot() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[string]int{}
	for k, v := range c.count {
		out[k] = v
	}
	return out
}

// total returns the number of requests without watches whose key has the prefix.
func (c *counter) total(prefix string) int {
	n := 0
	for key, v := range c.snapshot() {
		if strings.HasPrefix(key, prefix) && !strings.HasPrefix(key, "WATCH") {
			n += v
		}
	}
	return n
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// namespace creates a namespace for the test. If the test fails, the state of kube-controller-manager is logged.
func namespace(t *testing.T) string {
	t.Helper()
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "it-"}}
	require.NoError(t, k8s.Create(t.Context(), ns))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(kcm.report())
		}
		_ = k8s.Delete(context.Background(), ns)
	})
	return ns.Name
}

// newTest returns a valid test with 2 workers.
func newTest(namespace, name string) *v2.LocustTest {
	return builder.MakeLocustTest(name).Namespace(namespace).Locustfile("/lotest/src/t.py").
		Args("--host http://shop --users 4 --run-time 10s").Obj()
}

func create(t *testing.T, test *v2.LocustTest) *v2.LocustTest {
	t.Helper()
	require.NoError(t, k8s.Create(t.Context(), test))
	return test
}

var condition = framework.Condition

// startWithTest starts an operator in a new namespace, and creates a test.
func startWithTest(t *testing.T, name string, options ...option) (*operator, *v2.LocustTest) {
	t.Helper()
	ns := namespace(t)
	return startOperator(t, ns, options...), create(t, newTest(ns, name))
}

// pods waits until a Job of the test has n active pods, and returns them.
func pods(t *testing.T, test *v2.LocustTest, role resources.Role, n int) []corev1.Pod {
	t.Helper()
	var live []corev1.Pod
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("want %d %s pods\n%s", n, role, describe(test))
		}
	})
	eventually(t, fmt.Sprintf("%d %s pods", n, role), func() bool {
		var list corev1.PodList
		require.NoError(t, k8s.List(t.Context(), &list, client.InNamespace(test.Namespace), client.MatchingLabels{
			resources.LabelTestName: test.Name, resources.LabelComponent: string(role)}))
		live = nil
		for _, p := range list.Items {
			if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed && p.DeletionTimestamp == nil {
				live = append(live, p)
			}
		}
		return len(live) == n
	})
	return live
}

// setPodStatus updates a pod's status in place of the kubelet.
func setPodStatus(t *testing.T, pod *corev1.Pod, change func(s *corev1.PodStatus)) {
	t.Helper()
	eventually(t, "pod "+pod.Name+" can be written", func() bool {
		var p corev1.Pod
		if err := k8s.Get(t.Context(), client.ObjectKeyFromObject(pod), &p); err != nil {
			return false
		}
		change(&p.Status)
		return k8s.Status().Update(t.Context(), &p) == nil
	})
}

func runPod(t *testing.T, pod *corev1.Pod) {
	t.Helper()
	setPodStatus(t, pod, func(s *corev1.PodStatus) {
		s.Phase = corev1.PodRunning
		s.PodIP, s.PodIPs = "10.244.0.7", []corev1.PodIP{{IP: "10.244.0.7"}}
		s.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}, {Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}
	})
}

func endPod(t *testing.T, pod *corev1.Pod, code int32, message string) {
	t.Helper()
	setPodStatus(t, pod, func(s *corev1.PodStatus) {
		s.Phase = corev1.PodSucceeded
		if code != 0 {
			s.Phase = corev1.PodFailed
		}
		s.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue}, {Type: corev1.PodReady, Status: corev1.ConditionFalse}}
		started := metav1.Now()
		if len(s.ContainerStatuses) > 0 && s.ContainerStatuses[0].State.Running != nil {
			started = s.ContainerStatuses[0].State.Running.StartedAt
		}
		s.ContainerStatuses = []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name, State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			ExitCode: code, Message: message, StartedAt: started, FinishedAt: metav1.Now()}}}}
	})
}

// endMaster terminates a master with code 0 and the report of a load of 20 s from two workers.
func endMaster(t *testing.T, master *corev1.Pod) {
	t.Helper()
	now := time.Now().Unix()
	endPod(t, master, 0, fmt.Sprintf(`{"locust.io/report":1,"complete":true,"state":"running","users":7,"workers":2,"start":%d,"end":%d,"requests":1000,"failures":0,`+
		`"avg":12.5,"rps":50,"p50":10,"p90":20,"p95":25,"p99":40,"endpoints":[],"errors":[],"exceptions":[],"custom_exit":false,"log":[],`+
		`"target_users":7,"run_time":20,"shape":false,"ended_by":"run-time","lost":0,"missing":null,"cpu":[0,""]}`, now-20, now))
}

// untilDeleted waits until a pod is deleted, or terminating.
func untilDeleted(t *testing.T, what string, pod *corev1.Pod) {
	t.Helper()
	eventually(t, what, func() bool {
		var now corev1.Pod
		err := k8s.Get(t.Context(), client.ObjectKeyFromObject(pod), &now)
		return err != nil || now.DeletionTimestamp != nil
	})
}

// runAll sets all pods of a test to running.
func runAll(t *testing.T, test *v2.LocustTest) (master corev1.Pod, workers []corev1.Pod) {
	t.Helper()
	workers = pods(t, test, resources.RoleWorker, int(test.Spec.Worker.Replicas))
	master = pods(t, test, resources.RoleMaster, 1)[0]
	runPod(t, &master)
	for i := range workers {
		runPod(t, &workers[i])
	}
	return master, workers
}

func job(t *testing.T, test *v2.LocustTest, role resources.Role) *batchv1.Job {
	t.Helper()
	var j batchv1.Job
	name := resources.MasterName(test.Name)
	if role == resources.RoleWorker {
		name = resources.WorkerName(test.Name)
	}
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKey{Namespace: test.Namespace, Name: name}, &j))
	return &j
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	framework.Eventually(t, timeout, what, condition)
}

// describe lists the Jobs and pods of a test for failure messages.
func describe(test *v2.LocustTest) string {
	var text strings.Builder
	var jobs batchv1.JobList
	_ = k8s.List(context.Background(), &jobs, client.InNamespace(test.Namespace))
	for _, j := range jobs.Items {
		fmt.Fprintf(&text, "Job %s: completions %d, parallelism %d, status %+v\n", j.Name, *j.Spec.Completions, *j.Spec.Parallelism, j.Status)
	}
	var list corev1.PodList
	_ = k8s.List(context.Background(), &list, client.InNamespace(test.Namespace))
	for _, p := range list.Items {
		fmt.Fprintf(&text, "pod %s: phase %s, deleted %v, finalizers %v\n", p.Name, p.Status.Phase, p.DeletionTimestamp, p.Finalizers)
	}
	return text.String()
}
