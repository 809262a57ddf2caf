//go:build e2e

// Package e2e runs load tests with Locust on a real cluster with the deployed operator, and checks every written status.
//
// There is one file per behavior. Tests that disrupt the operator are not parallel and run alone.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/samples"
)

const (
	// startupDeadline is short, so that tests of failed starts do not take minutes.
	startupDeadline = 45 * time.Second

	timeout = framework.ClusterTimeout
)

var (
	k8s       client.WithWatch
	clientset *kubernetes.Clientset
	watcher   *framework.Watcher
	// locustImage is the image under test. The embedded cluster has its own.
	locustImage = envOr("LOCUST_IMAGE", samples.Image)
)

func envOr(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

func TestMain(m *testing.M) { framework.Main(func() (int, error) { return run(m) }) }

func run(m *testing.M) (code int, err error) {
	ctrl.SetLogger(logr.Discard())
	var config *rest.Config
	k8s, config, err = framework.Connect(framework.NewScheme(), func(c *rest.Config) { c.QPS, c.Burst = 200, 400 })
	if err != nil {
		return 0, err
	}
	if clientset, err = kubernetes.NewForConfig(config); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if err := configureOperator(ctx, map[string]string{"LOCUST_OPERATOR_STARTUP_DEADLINE": startupDeadline.String()}); err != nil {
		return 0, err
	}
	if err := startTarget(ctx); err != nil {
		return 0, err
	}
	defer func() { _ = k8s.Delete(ctx, targetNamespace()) }()
	if watcher, err = framework.Watch(ctx, k8s); err != nil {
		return 0, err
	}
	code = m.Run()
	err = configureOperator(ctx, nil)
	if breaches := watcher.Breaches(); len(breaches) > 0 {
		return 1, fmt.Errorf("breaches of the status contract:\n%s", strings.Join(breaches, "\n"))
	}
	return code, err
}

// configureOperator sets the operator's environment variables, and waits until it runs with them. It stops all pods first, which
// takes less time than a rollout, and leaves no leader with the settings from before.
func configureOperator(ctx context.Context, env map[string]string) error {
	var d appsv1.Deployment
	if err := k8s.Get(ctx, framework.OperatorKey, &d); err != nil {
		return fmt.Errorf("the operator is not deployed; run `make deploy`: %w", err)
	}
	var variables []corev1.EnvVar
	for name, value := range env {
		variables = append(variables, corev1.EnvVar{Name: name, Value: value})
	}
	before := d.DeepCopy()
	d.Spec.Template.Spec.Containers[0].Env = variables
	d.Spec.Replicas = new(int32(0))
	if err := k8s.Patch(ctx, &d, client.StrategicMergeFrom(before)); err != nil {
		return err
	}
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		var pods corev1.PodList
		err := k8s.List(ctx, &pods, client.InNamespace(framework.OperatorNamespace), framework.OperatorPods)
		return len(pods.Items) == 0, err
	})
	if err != nil {
		return fmt.Errorf("the operator does not stop: %w", err)
	}
	before = d.DeepCopy()
	d.Spec.Replicas = new(int32(framework.OperatorReplicas))
	if err := k8s.Patch(ctx, &d, client.MergeFrom(before)); err != nil {
		return err
	}
	return waitForOperator(ctx)
}

func waitForOperator(ctx context.Context) error {
	const n = framework.OperatorReplicas
	var d appsv1.Deployment
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		d = appsv1.Deployment{}
		err := k8s.Get(ctx, framework.OperatorKey, &d)
		s := d.Status
		return s.ObservedGeneration == d.Generation && s.UpdatedReplicas == n && s.Replicas == n && s.AvailableReplicas == n, err
	})
	if err != nil {
		return fmt.Errorf("the operator is not available: %w: %+v", err, d.Status)
	}
	return nil
}

// target is a server that counts starts of tests and requests, by key.
const target = `
import collections, http.server, ssl, time
count = collections.Counter()
class Target(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        what, _, key = self.path.lstrip("/").partition("/")
        if what == "count":
            body = str(count[key])
        elif what == "certificate":
            body = ssl.get_server_certificate((key, 443))
        elif what == "no-response":
            return time.sleep(3600)
        else:
            count[what + "/" + key] += 1
            body = "ok"
        self.send_response(500 if what == "fail" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer(("", 8080), Target).serve_forever()
`

func targetNamespace() *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "e2e-target"}}
}

func startTarget(ctx context.Context) error {
	labels := map[string]string{"app": "target"}
	user, no, yes := int64(1000), false, true
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "e2e-target", Name: "target", Labels: labels},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken:  &no,
			TerminationGracePeriodSeconds: new(int64),
			SecurityContext:               &corev1.PodSecurityContext{RunAsUser: &user, RunAsNonRoot: &yes},
			Containers: []corev1.Container{{Name: "target", Image: locustImage, Command: []string{"python3", "-c", target},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/count/x", Port: intstr.FromInt32(8080)}}}}},
		},
	}
	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "e2e-target", Name: "target"},
		Spec: corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(8080)}}}}
	for _, object := range []client.Object{targetNamespace(), pod, service} {
		// An interrupted run may have left these objects; they can be reused.
		if err := client.IgnoreAlreadyExists(k8s.Create(ctx, object)); err != nil {
			return fmt.Errorf("start the target: %w", err)
		}
	}
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, timeout, true, func(ctx context.Context) (bool, error) {
		err := k8s.Get(ctx, client.ObjectKeyFromObject(pod), pod)
		return framework.IsReady(pod), err
	})
	if err != nil {
		return fmt.Errorf("the target is not ready: %w: %+v", err, pod.Status)
	}
	return nil
}

// count returns the target's counter of "what/key", which it reads through the API server.
func count(t *testing.T, what, key string) int {
	t.Helper()
	raw, err := clientset.CoreV1().RESTClient().Get().Namespace("e2e-target").Resource("services").Name("target:80").
		SubResource("proxy").Suffix("count", what, key).DoRaw(context.Background())
	require.NoError(t, err)
	n, err := strconv.Atoi(string(raw))
	require.NoError(t, err)
	return n
}

// longHeartbeat is the beginning of locustfiles of tests that must not lose workers. Locust counts a worker as missing after
// a few seconds without a heartbeat, which happens on a small machine that starts many tests at once; the status reports it,
// and Locust ends the load if all workers are missing. Tests that lose workers, and TestLiveStatus, use the default.
const longHeartbeat = `
import locust.runners
locust.runners.HEARTBEAT_LIVENESS = 30
`

// locustBase is the common beginning of locustfiles: the master reports the start of the load to the target.
const locustBase = `
import gevent, os, signal, sys, urllib.request
from locust import HttpUser, LoadTestShape, constant, events, task
from locust.exception import StopUser
from locust.runners import MasterRunner
KEY = os.environ["E2E_KEY"]
HOST = "http://target.e2e-target"
@events.test_start.add_listener
def started(environment, **_):
    if isinstance(environment.runner, MasterRunner):
        urllib.request.urlopen(HOST + "/started/" + KEY).read()
`

// user sends requests to the target.
const user = `
class User(HttpUser):
    host = HOST
    wait_time = constant(0.25)
    @task
    def ask(self):
        self.client.get("/hit/" + KEY, name="/hit")
`

// locustfile ends the master after enough requests.
const locustfile = locustBase + `
ENOUGH = int(os.environ.get("E2E_ENOUGH", "0"))
@events.test_start.add_listener
def wait_for_enough(environment, **_):
    if ENOUGH and isinstance(environment.runner, MasterRunner):
        gevent.spawn(end, environment)
def end(environment):
    while environment.stats.total.num_requests < ENOUGH:
        gevent.sleep(0.2)
    environment.runner.quit()
    environment.web_ui.stop()
` + user

// fixture is a test namespace with the prerequisites of its LocustTests.
type fixture struct {
	framework.Waiter
	t         *testing.T
	namespace string
	started   time.Time
}

// in returns the fixture for a subtest.
func (s *fixture) in(t *testing.T) *fixture {
	waiter := framework.Waiter{T: t, Watcher: watcher, Timeout: timeout}
	return &fixture{Waiter: waiter, t: t, namespace: s.namespace, started: s.started}
}

var unsafeName = regexp.MustCompile(`[^a-z0-9]+`)

// eachLocust runs a subtest with the newest Locust, and one with the oldest supported one.
func eachLocust(t *testing.T, run func(t *testing.T, name, image string)) {
	t.Helper()
	for _, name := range bothLines {
		t.Run(name, func(t *testing.T) { run(t, name, imageOf(t, name)) })
	}
}

// imageOf returns the image of a Locust: newest or debian. It skips a test whose image was not built.
func imageOf(t *testing.T, name string) string {
	t.Helper()
	image := locustImage
	if name == "debian" {
		if image = os.Getenv("LOCUST_IMAGE_DEBIAN"); image == "" {
			t.Skip("LOCUST_IMAGE_DEBIAN is not set; `make test-e2e` builds it")
		}
	}
	return image
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	prefix := strings.Trim(unsafeName.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix[:min(len(prefix), 40)] + "-",
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "e2e": "true"}}}
	require.NoError(t, k8s.Create(t.Context(), ns))
	s := (&fixture{namespace: ns.Name, started: time.Now()}).in(t)
	s.configMap("files", map[string]string{"locustfile.py": longHeartbeat + locustfile, "hatch.py": brokenLocustfile,
		"failing.py": longHeartbeat + requesting("/fail/x", "/fail"),
		"plain.py":   longHeartbeat + requesting("/hit/plain", "/hit")})
	t.Cleanup(func() {
		if t.Failed() {
			s.dump()
		}
		checkRequests(t, s.namespace)
		_ = k8s.Delete(context.Background(), ns)
	})
	return s
}

func (s *fixture) configMap(name string, data map[string]string) {
	s.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Data: data}
	require.NoError(s.t, k8s.Create(s.t.Context(), cm))
}

// brokenLocustfile raises an error on import.
const brokenLocustfile = `raise RuntimeError("the locustfile of this test is broken on purpose")`

// requesting returns a locustfile whose users request one path of the target. It needs no environment variable, because v1
// has no field for one.
func requesting(path, name string) string {
	return fmt.Sprintf(`
from locust import HttpUser, constant, task
class User(HttpUser):
    host = "http://target.e2e-target"
    wait_time = constant(0.25)
    @task
    def ask(self):
        self.client.get("%s", name="%s")
`, path, name)
}

// test returns a LocustTest of the fixture that runs for the given seconds.
func (s *fixture) test(name string, seconds int, change ...func(*v2.LocustTestSpec)) *v2.LocustTest {
	return builder.MakeLocustTest(name).Namespace(s.namespace).Image(locustImage).
		Args(fmt.Sprintf("--users 6 --spawn-rate 6 --run-time %ds", seconds)).Autoquit(1).
		Files("files").Variable("E2E_KEY", s.key(name)).Spec(change...).Obj()
}

// enough returns a change that ends a test after a number of requests.
func enough(requests int) func(*v2.LocustTestSpec) {
	return func(spec *v2.LocustTestSpec) {
		spec.Env.Variables = append(spec.Env.Variables, corev1.EnvVar{Name: "E2E_ENOUGH", Value: strconv.Itoa(requests)})
	}
}

// key returns the key of a test in the target's counters.
func (s *fixture) key(name string) string { return s.namespace + "-" + name }

func (s *fixture) create(test *v2.LocustTest) *v2.LocustTest {
	s.t.Helper()
	require.NoError(s.t, k8s.Create(s.t.Context(), test))
	return test
}

// untilReasons waits until a condition has had the reasons, in this order, since the creation of the test.
func (s *fixture) untilReasons(test *v2.LocustTest, conditionType string, reasons ...string) {
	s.t.Helper()
	s.Until(test, fmt.Sprintf("%s has gone through %v", conditionType, reasons), func(*v2.LocustTestStatus) bool {
		seen := watcher.Reasons(test.UID, conditionType)
		return len(seen) >= len(reasons) && fmt.Sprint(seen[:len(reasons)]) == fmt.Sprint(reasons)
	})
}

var condition = framework.Condition

// livePods returns the test's pods that have not finished.
func (s *fixture) livePods(test *v2.LocustTest, role resources.Role) []corev1.Pod {
	s.t.Helper()
	selector := client.MatchingLabels{resources.LabelTestName: test.Name}
	if role != "" {
		selector[resources.LabelComponent] = string(role)
	}
	var list corev1.PodList
	require.NoError(s.t, k8s.List(context.Background(), &list, client.InNamespace(test.Namespace), selector))
	var live []corev1.Pod
	for _, p := range list.Items {
		if p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			live = append(live, p)
		}
	}
	return live
}

// untilLoad waits until the test's workers send requests. Before that, Locust may not handle signals yet.
func (s *fixture) untilLoad(test *v2.LocustTest) {
	s.t.Helper()
	eventually(s.t, "it sends requests", func() bool { return count(s.t, "hit", s.key(test.Name)) > 0 })
}

// requireNoLoad waits until all pods of the test have finished, and checks that the target gets no requests.
func (s *fixture) requireNoLoad(test *v2.LocustTest) {
	s.t.Helper()
	eventually(s.t, "all pods of the test have finished", func() bool { return len(s.livePods(test, "")) == 0 })
	before := count(s.t, "hit", s.key(test.Name))
	time.Sleep(3 * time.Second)
	require.Equal(s.t, before, count(s.t, "hit", s.key(test.Name)), "requests reach the target although the test has ended")
}

// requireFrozen checks that the status has not changed.
func (s *fixture) requireFrozen(test *v2.LocustTest, final *v2.LocustTestStatus) {
	s.t.Helper()
	var now v2.LocustTest
	require.NoError(s.t, k8s.Get(context.Background(), client.ObjectKeyFromObject(test), &now))
	require.Equal(s.t, *final, now.Status)
}

// requireStatus checks the test's status without volatile fields.
func (s *fixture) requireStatus(test *v2.LocustTest, want v2.LocustTestStatus) {
	s.t.Helper()
	var now v2.LocustTest
	require.NoError(s.t, k8s.Get(context.Background(), client.ObjectKeyFromObject(test), &now))
	require.Equal(s.t, want, withoutVolatileFields(&now.Status))
}

func (s *fixture) job(test *v2.LocustTest, role resources.Role) *batchv1.Job {
	s.t.Helper()
	name := resources.MasterName(test.Name)
	if role == resources.RoleWorker {
		name = resources.WorkerName(test.Name)
	}
	var job batchv1.Job
	require.NoError(s.t, k8s.Get(context.Background(), client.ObjectKey{Namespace: test.Namespace, Name: name}, &job))
	return &job
}

func (s *fixture) logs(pod *corev1.Pod) string {
	s.t.Helper()
	stream, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).Stream(context.Background())
	require.NoError(s.t, err)
	defer func() { _ = stream.Close() }()
	raw, err := io.ReadAll(stream)
	require.NoError(s.t, err)
	return string(raw)
}

// dump logs the objects of the fixture after a failure.
func (s *fixture) dump() {
	for _, args := range [][]string{
		{"get", "locusttests,jobs,pods", "-o", "wide"}, {"get", "locusttests", "-o", "yaml"},
		{"get", "events", "--sort-by=.lastTimestamp"},
	} {
		out, _ := exec.Command("kubectl", append([]string{"-n", s.namespace}, args...)...).CombinedOutput()
		s.t.Logf("kubectl %s\n%s", strings.Join(args, " "), tail(out, 6000))
	}
}

func tail(b []byte, n int) []byte {
	if len(b) <= n {
		return b
	}
	b = b[len(b)-n:]
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[i+1:]
	}
	return b
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	framework.Eventually(t, timeout, what, condition)
}
