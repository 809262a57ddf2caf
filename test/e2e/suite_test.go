//go:build e2e

// Package e2e runs real load tests with real Locust on a real cluster, with the operator deployed as its users
// deploy it, and watches every status that is written.
//
// One file per behaviour; scenarios that disturb the operator itself are not parallel and run alone.
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
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/contract"
)

const (
	operatorNamespace  = "locust-k8s-operator-system"
	operatorDeployment = "locust-k8s-operator-controller-manager"

	// startupDeadline is what the suite sets, so that failing starts do not take minutes.
	startupDeadline = 45 * time.Second

	// patience is how long anything may take; it only ends a test that hangs.
	patience = 4 * time.Minute
)

var (
	k8s       client.WithWatch
	clientset *kubernetes.Clientset
	watcher   *contract.Watcher
	// locustImage is the image under test.
	locustImage = envOr("LOCUST_IMAGE", "localhost:5000/locust:latest")
)

func envOr(name, fallback string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return fallback
}

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (int, error) {
	ctrl.SetLogger(logr.Discard())
	config, err := ctrl.GetConfig()
	if err != nil {
		return 0, fmt.Errorf("no cluster; run `make test-e2e`, or set KUBECONFIG: %w", err)
	}
	config.QPS, config.Burst = 200, 400
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v2.AddToScheme} {
		if err := add(scheme); err != nil {
			return 0, err
		}
	}
	if k8s, err = client.NewWithWatch(config, client.Options{Scheme: scheme}); err != nil {
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
	if watcher, err = contract.Watch(ctx, k8s, metav1.NamespaceAll); err != nil {
		return 0, err
	}
	code := m.Run()
	err = configureOperator(ctx, nil)
	if breaches := watcher.Breaches(); len(breaches) > 0 {
		return 1, fmt.Errorf("the status contract was broken:\n%s", strings.Join(breaches, "\n"))
	}
	return code, err
}

// configureOperator sets the operator's settings by environment variables, and waits until it works with them.
func configureOperator(ctx context.Context, env map[string]string) error {
	var d appsv1.Deployment
	if err := k8s.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: operatorDeployment}, &d); err != nil {
		return fmt.Errorf("the operator is not deployed; run `make deploy`: %w", err)
	}
	var variables []corev1.EnvVar
	for name, value := range env {
		variables = append(variables, corev1.EnvVar{Name: name, Value: value})
	}
	one := int32(1)
	before := d.DeepCopy()
	d.Spec.Template.Spec.Containers[0].Env = variables
	d.Spec.Replicas = &one
	if err := k8s.Patch(ctx, &d, client.StrategicMergeFrom(before)); err != nil {
		return err
	}
	return waitForOperator(ctx)
}

func waitForOperator(ctx context.Context) error {
	deadline := time.Now().Add(patience)
	for {
		var d appsv1.Deployment
		if err := k8s.Get(ctx, client.ObjectKey{Namespace: operatorNamespace, Name: operatorDeployment}, &d); err != nil {
			return err
		}
		if s := d.Status; s.ObservedGeneration == d.Generation && s.UpdatedReplicas == 1 && s.Replicas == 1 && s.AvailableReplicas == 1 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the operator is not available: %+v", d.Status)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// target counts what reaches it, by key: starts of tests, and requests.
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
        elif what == "silence":
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
		// A suite that was cut off left them; they are as good as new.
		if err := client.IgnoreAlreadyExists(k8s.Create(ctx, object)); err != nil {
			return fmt.Errorf("start the target: %w", err)
		}
	}
	deadline := time.Now().Add(patience)
	for {
		if err := k8s.Get(ctx, client.ObjectKeyFromObject(pod), pod); err != nil {
			return err
		}
		for _, c := range pod.Status.Conditions {
			if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the target is not ready: %+v", pod.Status)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// count asks the target how often "what/key" was asked for, through the API server.
func count(t *testing.T, what, key string) int {
	t.Helper()
	raw, err := clientset.CoreV1().RESTClient().Get().Namespace("e2e-target").Resource("services").Name("target:80").
		SubResource("proxy").Suffix("count", what, key).DoRaw(context.Background())
	require.NoError(t, err)
	n, err := strconv.Atoi(string(raw))
	require.NoError(t, err)
	return n
}

// patient begins the locustfiles of the tests that have to keep their workers. Locust counts a worker as missing after
// a few seconds without a heartbeat, which is soon on a small machine that starts many tests at once; the status tells so,
// and Locust ends the load when it misses all of them. The tests that lose workers, and TestLiveStatus, leave Locust as it is.
const patient = `
import locust.runners
locust.runners.HEARTBEAT_LIVENESS = 30
`

// locustfile asks the target; the master tells it when a test starts, and ends when it knows of enough requests.
const locustfile = `
import gevent, os, urllib.request
from locust import HttpUser, constant, events, task
from locust.runners import MasterRunner
KEY = os.environ["E2E_KEY"]
ENOUGH = int(os.environ.get("E2E_ENOUGH", "0"))
@events.test_start.add_listener
def started(environment, **_):
    if isinstance(environment.runner, MasterRunner):
        urllib.request.urlopen("http://target.e2e-target/started/" + KEY).read()
        if ENOUGH:
            gevent.spawn(end, environment)
def end(environment):
    while environment.stats.total.num_requests < ENOUGH:
        gevent.sleep(0.2)
    environment.runner.quit()
    environment.web_ui.stop()
class User(HttpUser):
    host = "http://target.e2e-target"
    wait_time = constant(0.25)
    @task
    def ask(self):
        self.client.get("/hit/" + KEY, name="/hit")
`

// scenario is one test namespace with what its LocustTests need.
type scenario struct {
	t         *testing.T
	namespace string
	started   time.Time
}

var unsafeName = regexp.MustCompile(`[^a-z0-9]+`)

func newScenario(t *testing.T) *scenario {
	t.Helper()
	prefix := strings.Trim(unsafeName.ReplaceAllString(strings.ToLower(t.Name()), "-"), "-")
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: prefix[:min(len(prefix), 40)] + "-",
		Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted", "e2e": "true"}}}
	require.NoError(t, k8s.Create(t.Context(), ns))
	s := &scenario{t: t, namespace: ns.Name, started: time.Now()}
	s.configMap("files", map[string]string{"locustfile.py": patient + locustfile, "hatch.py": hatchless,
		"failing.py": patient + failing, "plain.py": patient + plain})
	t.Cleanup(func() {
		if t.Failed() {
			s.dump()
		}
		checkRequests(t, s.namespace)
		_ = k8s.Delete(context.Background(), ns)
	})
	return s
}

func (s *scenario) configMap(name string, data map[string]string) {
	s.t.Helper()
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}, Data: data}
	require.NoError(s.t, k8s.Create(s.t.Context(), cm))
}

// hatchless raises while it is imported.
const hatchless = `raise RuntimeError("the locustfile of this test is broken on purpose")`

// failing gets an error from the target for each request.
const failing = `
from locust import HttpUser, constant, task
class User(HttpUser):
    host = "http://target.e2e-target"
    wait_time = constant(0.25)
    @task
    def ask(self):
        self.client.get("/fail/x", name="/fail")
`

// plain asks the target, and needs no variable: v1 has no field for one.
const plain = `
from locust import HttpUser, constant, task
class User(HttpUser):
    host = "http://target.e2e-target"
    wait_time = constant(0.25)
    @task
    def ask(self):
        self.client.get("/hit/plain", name="/hit")
`

// test is a LocustTest of the scenario that runs for the given seconds.
func (s *scenario) test(name string, seconds int, change ...func(*v2.LocustTestSpec)) *v2.LocustTest {
	autoquit := int32(1)
	test := &v2.LocustTest{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: v2.LocustTestSpec{
			Image: locustImage,
			Master: v2.MasterSpec{
				Command:  fmt.Sprintf("--locustfile /lotest/src/locustfile.py --users 6 --spawn-rate 6 --run-time %ds", seconds),
				Autoquit: &v2.AutoquitConfig{Timeout: &autoquit},
			},
			Worker:    v2.WorkerSpec{Command: "--locustfile /lotest/src/locustfile.py", Replicas: 2},
			TestFiles: &v2.TestFilesConfig{ConfigMapRef: "files"},
			Env:       &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "E2E_KEY", Value: s.key(name)}}},
		},
	}
	for _, c := range change {
		c(&test.Spec)
	}
	return test
}

// enough ends a test after that many requests, however long they take.
func enough(requests int) func(*v2.LocustTestSpec) {
	return func(spec *v2.LocustTestSpec) {
		spec.Env.Variables = append(spec.Env.Variables, corev1.EnvVar{Name: "E2E_ENOUGH", Value: strconv.Itoa(requests)})
	}
}

// key is what the target counts the test's requests by.
func (s *scenario) key(name string) string { return s.namespace + "-" + name }

func (s *scenario) create(test *v2.LocustTest) *v2.LocustTest {
	s.t.Helper()
	require.NoError(s.t, k8s.Create(s.t.Context(), test))
	return test
}

// until waits for a status of the test, past ones included.
func (s *scenario) until(test *v2.LocustTest, what string, predicate func(*v2.LocustTestStatus) bool) *v2.LocustTestStatus {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	seen, err := watcher.Until(ctx, test.UID, func(t *v2.LocustTest) bool { return predicate(&t.Status) })
	require.NoError(s.t, err, "waiting until %s", what)
	return &seen.Status
}

func (s *scenario) untilPhase(test *v2.LocustTest, phase string) *v2.LocustTestStatus {
	s.t.Helper()
	return s.until(test, "the phase is "+phase, func(status *v2.LocustTestStatus) bool {
		if status.IsTerminal() && status.Phase != phase {
			require.Failf(s.t, "the test ended otherwise", "%s", contract.Describe(status))
		}
		return status.Phase == phase
	})
}

func (s *scenario) untilReason(test *v2.LocustTest, conditionType, reason string) *v2.LocustTestStatus {
	s.t.Helper()
	return s.until(test, conditionType+" is "+reason, func(status *v2.LocustTestStatus) bool { return condition(status, conditionType).Reason == reason })
}

// untilReasons waits until a condition has gone through reasons, the first ones included.
func (s *scenario) untilReasons(test *v2.LocustTest, conditionType string, reasons ...string) {
	s.t.Helper()
	s.until(test, fmt.Sprintf("%s has gone through %v", conditionType, reasons), func(*v2.LocustTestStatus) bool {
		seen := watcher.Reasons(test.UID, conditionType)
		return len(seen) >= len(reasons) && fmt.Sprint(seen[:len(reasons)]) == fmt.Sprint(reasons)
	})
}

func condition(status *v2.LocustTestStatus, conditionType string) metav1.Condition {
	for _, c := range status.Conditions {
		if c.Type == conditionType {
			return c
		}
	}
	return metav1.Condition{}
}

// livePods are the test's pods that have not ended.
func (s *scenario) livePods(test *v2.LocustTest, role resources.Role) []corev1.Pod {
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

// untilLoad waits until the test's workers make load. Before, Locust may not listen to signals yet.
func (s *scenario) untilLoad(test *v2.LocustTest) {
	s.t.Helper()
	eventually(s.t, "it makes load", func() bool { return count(s.t, "hit", s.key(test.Name)) > 0 })
}

// requireNoLoad waits until no pod of the test is left that has not ended, and checks that nothing asks the target.
func (s *scenario) requireNoLoad(test *v2.LocustTest) {
	s.t.Helper()
	eventually(s.t, "no pod of the test goes on", func() bool { return len(s.livePods(test, "")) == 0 })
	before := count(s.t, "hit", s.key(test.Name))
	time.Sleep(3 * time.Second)
	require.Equal(s.t, before, count(s.t, "hit", s.key(test.Name)), "requests reach the target although the test has ended")
}

// requireFrozen checks that the status stays as it is.
func (s *scenario) requireFrozen(test *v2.LocustTest, final *v2.LocustTestStatus) {
	s.t.Helper()
	var now v2.LocustTest
	require.NoError(s.t, k8s.Get(context.Background(), client.ObjectKeyFromObject(test), &now))
	require.Equal(s.t, *final, now.Status)
}

// requireStatus checks the test's status but for the moments.
func (s *scenario) requireStatus(test *v2.LocustTest, want v2.LocustTestStatus) {
	s.t.Helper()
	var now v2.LocustTest
	require.NoError(s.t, k8s.Get(context.Background(), client.ObjectKeyFromObject(test), &now))
	require.Equal(s.t, want, essence(&now.Status))
}

func (s *scenario) job(test *v2.LocustTest, role resources.Role) *batchv1.Job {
	s.t.Helper()
	name := resources.MasterName(test.Name)
	if role == resources.RoleWorker {
		name = resources.WorkerName(test.Name)
	}
	var job batchv1.Job
	require.NoError(s.t, k8s.Get(context.Background(), client.ObjectKey{Namespace: test.Namespace, Name: name}, &job))
	return &job
}

func (s *scenario) logs(pod *corev1.Pod) string {
	s.t.Helper()
	stream, err := clientset.CoreV1().Pods(pod.Namespace).GetLogs(pod.Name, &corev1.PodLogOptions{}).Stream(context.Background())
	require.NoError(s.t, err)
	defer func() { _ = stream.Close() }()
	raw, err := io.ReadAll(stream)
	require.NoError(s.t, err)
	return string(raw)
}

// dump tells what there is, when a test has failed.
func (s *scenario) dump() {
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
	require.Eventually(t, condition, patience, 200*time.Millisecond, what)
}
