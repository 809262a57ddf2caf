//go:build integration

package integration

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	apiresource "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

const (
	// memoryLimit is that of the operator's container in config/manager, in bytes.
	memoryLimit = 256 << 20
	// hostileIP is the address of the hostile masters' pods, of those for benchmarks (RFC 2544). The operator refuses the
	// loopback's own.
	hostileIP = "198.18.66.1"
	// hostileMasters run at the same time.
	hostileMasters = 100
)

// TestHostile: one tenant attacks the operator's own program, with the settings and the memory limit of its Deployment, and
// the Jobs of another tenant's test are created in time. Broken tests are stored in a third namespace all the time.
func TestHostile(t *testing.T) {
	quiet, hostile := namespace(t), namespace(t)
	process := startProcess(t, quiet, hostile, poisoned)

	process.bystanders(t, quiet) // wait until the operator leads
	alone := process.bystanders(t, quiet)
	masters := &hostileServer{close: func() {}}
	t.Cleanup(func() { masters.close() })
	for _, tc := range []struct {
		name   string
		attack attack
	}{
		{"variables that expand exponentially", expandingTests},
		{"tests of the maximum size", largeTests},
		{"tests whose objects are refused", refusedTests},
		{"specs and labels that change continuously", restlessTests},
		{"endless Warning Events", noisyTests},
		{"masters with slow, maximum-size responses", masters.attack(largeAnswer)},
		{"masters with endless responses", masters.attack(endlessAnswer)},
		{"masters with endless headers", masters.attack(endlessHeader)},
		{"masters with a string of one megabyte", masters.attack(longText)},
		{"masters with deeply nested responses", masters.attack(deepAnswer)},
		{"masters that do not respond", masters.attack(unresponsiveAnswer)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			requireUndisturbed(t, undisturbed, alone, func(int) time.Duration { return process.attacked(t, tc.attack, quiet, hostile) })
			process.requireWithinLimit(t)
		})
	}
}

// attack starts an attack that lasts until the test ends. It returns the number of its steps so far.
type attack func(t *testing.T, namespace string) (done *atomic.Int64)

// attacked returns how long bystanders take during an attack.
func (p *process) attacked(t *testing.T, attack attack, quiet, hostile string) (took time.Duration) {
	t.Helper()
	require.True(t, t.Run("attempt", func(t *testing.T) {
		done := attack(t, hostile)
		before := done.Load()
		took = p.bystanders(t, quiet)
		eventually(t, "the attack goes on", func() bool { return done.Load() > before })
	}))
	return took
}

// process is the operator as a separate process.
type process struct {
	command *exec.Cmd
	log     *bytes.Buffer
	ended   chan struct{}
	// bystanderCount makes the names of bystanders differ.
	bystanderCount int
}

// buildOperator builds the operator, and returns the paths of the program and of a kubeconfig.
func buildOperator(t *testing.T) (program, kubeconfig string) {
	t.Helper()
	dir := t.TempDir()
	program, kubeconfig = filepath.Join(dir, "manager"), filepath.Join(dir, "kubeconfig")
	out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, "../../cmd/manager").CombinedOutput()
	require.NoError(t, err, string(out))
	require.NoError(t, clientcmd.WriteToFile(clientcmdapi.Config{
		Clusters:       map[string]*clientcmdapi.Cluster{"c": {Server: apiServer.Host, CertificateAuthorityData: apiServer.CAData}},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{"u": {ClientCertificateData: apiServer.CertData, ClientKeyData: apiServer.KeyData}},
		Contexts:       map[string]*clientcmdapi.Context{"x": {Cluster: "c", AuthInfo: "u"}},
		CurrentContext: "x",
	}, kubeconfig))
	return program, kubeconfig
}

// startProcess builds and starts the operator for some namespaces, with the settings of config/manager.
func startProcess(t *testing.T, namespaces ...string) *process {
	t.Helper()
	program, kubeconfig := buildOperator(t)
	p := &process{log: &bytes.Buffer{}, ended: make(chan struct{})}
	p.command = exec.Command(program, "--watch-namespace", strings.Join(namespaces, ","), "--locust-access", "direct",
		"--metrics-bind-address", "0", "--health-probe-bind-address", "0")
	p.command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "GOMAXPROCS=1", "GOGC=65", "GOMEMLIMIT=200MiB")
	p.command.Stdout, p.command.Stderr = p.log, p.log
	require.NoError(t, p.command.Start())
	go func() {
		_ = p.command.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		_ = p.command.Process.Kill()
		<-p.ended
		if t.Failed() {
			t.Logf("the operator's log ends so:\n%s", p.log.Bytes()[max(0, p.log.Len()-4000):])
		}
	})
	p.limit(t)
	return p
}

// limit puts the process under the memory limit, where this machine lets the test do so.
func (p *process) limit(t *testing.T) {
	t.Helper()
	pid := strconv.Itoa(p.command.Process.Pid)
	for parent, file := range map[string]string{"/sys/fs/cgroup": "memory.max", "/sys/fs/cgroup/memory": "memory.limit_in_bytes"} {
		group := filepath.Join(parent, "locust-hostile-"+pid)
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { _ = os.Remove(group) })
		if os.WriteFile(filepath.Join(group, file), []byte(strconv.Itoa(memoryLimit)), 0o600) == nil &&
			os.WriteFile(filepath.Join(group, "cgroup.procs"), []byte(pid), 0o600) == nil {
			return
		}
	}
	t.Log("without a memory limit: no cgroup can be made here; the most memory that the process had is checked all the same")
}

// requireWithinLimit checks that the process lives, and the most memory that it had so far.
func (p *process) requireWithinLimit(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
		require.Fail(t, "the operator has ended", p.command.ProcessState.String())
	default:
	}
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.command.Process.Pid))
	require.NoError(t, err)
	_, rest, found := strings.Cut(string(raw), "VmHWM:")
	require.True(t, found)
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	t.Logf("the operator had at most %d MiB", kilobytes>>10)
	require.Less(t, kilobytes<<10, memoryLimit)
}

// bystander creates a good test and returns how long it takes until its Jobs exist.
func (p *process) bystander(t *testing.T, namespace, name string) time.Duration {
	t.Helper()
	test, took := createTimed(t, namespace, name)
	eventually(t, "the status reports its objects", func() bool {
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(test), test) == nil && meta.IsStatusConditionTrue(test.Status.Conditions, v2.ConditionTypeReady)
	})
	require.NoError(t, k8s.Delete(t.Context(), test))
	return took
}

// bystanders returns the longest of three bystanders' times.
func (p *process) bystanders(t *testing.T, namespace string) time.Duration {
	t.Helper()
	var longest time.Duration
	for range 3 {
		p.bystanderCount++
		longest = max(longest, p.bystander(t, namespace, fmt.Sprintf("bystander-%d", p.bystanderCount)))
	}
	return longest
}

// hostileCount makes the names of hostile tests unique.
var hostileCount atomic.Int64

// hostileTest creates a test that is deleted at the end of the attack.
func hostileTest(t *testing.T, test *v2.LocustTest) *v2.LocustTest {
	t.Helper()
	test.Name = fmt.Sprintf("%s-%d", test.Name, hostileCount.Add(1))
	create(t, test)
	t.Cleanup(func() {
		_ = k8s.Delete(context.Background(), test, client.PropagationPolicy(metav1.DeletePropagationBackground))
	})
	return test
}

// again runs a step for each test in turn until the attack ends.
func again(t *testing.T, tests []*v2.LocustTest, step func(ctx context.Context, test *v2.LocustTest, n int)) *atomic.Int64 {
	ctx, stop := context.WithCancel(t.Context())
	done, finished := &atomic.Int64{}, make(chan struct{})
	t.Cleanup(func() { stop(); <-finished })
	go func() {
		defer close(finished)
		for n := 0; ctx.Err() == nil; n++ {
			step(ctx, tests[n%len(tests)], n)
			done.Add(1)
			time.Sleep(5 * time.Millisecond) // leave CPU time for the API server and this test
		}
	}()
	return done
}

// change updates the labels and the spec of a test, so that the operator reads and validates it again.
func change(ctx context.Context, test *v2.LocustTest, n int) {
	patch := fmt.Sprintf(`{"metadata":{"labels":{"n":"%d"}},"spec":{"worker":{"replicas":%d}}}`, n, n%50+1)
	_ = k8s.Patch(ctx, &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: test.Namespace, Name: test.Name}}, client.RawPatch(types.MergePatchType, []byte(patch)))
}

// expandingTests have 17 KiB of variables that expand to hundreds of megabytes.
func expandingTests(t *testing.T, namespace string) *atomic.Int64 {
	var tests []*v2.LocustTest
	for range 20 {
		test := newTest(namespace, "expands")
		test.Spec.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "A", Value: strings.Repeat("x", 1000)}}}
		for name := 'B'; name <= 'H'; name++ {
			before := fmt.Sprintf("$(%c)", name-1)
			test.Spec.Env.Variables = append(test.Spec.Env.Variables, corev1.EnvVar{Name: string(name), Value: before + before})
		}
		test.Spec.Master.Command = strings.Repeat("$(H) ", 3200)
		tests = append(tests, hostileTest(t, test))
	}
	return again(t, tests, change)
}

// largeTests have the largest annotations and variables that the API server admits.
func largeTests(t *testing.T, namespace string) *atomic.Int64 {
	var tests []*v2.LocustTest
	for range 20 {
		test := newTest(namespace, "large")
		test.Annotations = map[string]string{"note": strings.Repeat("x", 200<<10)}
		test.Spec.Env = &v2.EnvConfig{}
		for j := range 100 {
			test.Spec.Env.Variables = append(test.Spec.Env.Variables, corev1.EnvVar{Name: fmt.Sprintf("V%d", j), Value: strings.Repeat("y", 1000)})
		}
		tests = append(tests, hostileTest(t, test))
	}
	return again(t, tests, change)
}

// refusedTests have Jobs that a quota refuses.
func refusedTests(t *testing.T, namespace string) *atomic.Int64 {
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "none"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/jobs.batch": apiresource.MustParse("0")}}}
	require.NoError(t, k8s.Create(t.Context(), quota))
	t.Cleanup(func() { require.NoError(t, k8s.Delete(context.Background(), quota)) })
	var tests []*v2.LocustTest
	for range 100 {
		tests = append(tests, hostileTest(t, newTest(namespace, "refused")))
	}
	return again(t, tests, change)
}

// restlessTests change their labels and specs.
func restlessTests(t *testing.T, namespace string) *atomic.Int64 {
	var tests []*v2.LocustTest
	for range 10 {
		tests = append(tests, hostileTest(t, newTest(namespace, "restless")))
	}
	return again(t, tests, change)
}

// noisyTests have pods that do not start and endless Warning Events.
func noisyTests(t *testing.T, namespace string) *atomic.Int64 {
	var tests []*v2.LocustTest
	masters := map[string]corev1.Pod{}
	for range 10 {
		test := hostileTest(t, newTest(namespace, "noisy"))
		tests = append(tests, test)
		masters[test.Name] = pods(t, test, resources.RoleMaster, 1)[0]
	}
	return again(t, tests, func(ctx context.Context, test *v2.LocustTest, n int) {
		master := masters[test.Name]
		_ = k8s.Create(ctx, &corev1.Event{
			ObjectMeta:     metav1.ObjectMeta{Namespace: namespace, Name: fmt.Sprintf("%s.%d", master.Name, n)},
			InvolvedObject: corev1.ObjectReference{APIVersion: "v1", Kind: "Pod", Namespace: namespace, Name: master.Name, UID: master.UID},
			Type:           corev1.EventTypeWarning, Reason: "FailedMount", Message: strings.Repeat("m", 1000), Source: corev1.EventSource{Component: "kubelet"},
			FirstTimestamp: metav1.Now(), LastTimestamp: metav1.Now(), Count: 1,
		})
	})
}

// hostileServer serves the web API of all hostile masters. All respond in the way of the current attack.
type hostileServer struct {
	answer   atomic.Pointer[func(http.ResponseWriter)]
	requests atomic.Int64
	once     sync.Once
	err      error
	close    func()
}

func (m *hostileServer) start(namespace string) error {
	if out, err := exec.Command("ip", "address", "replace", hostileIP+"/32", "dev", "lo").CombinedOutput(); err != nil {
		return fmt.Errorf("the hostile masters need an address; run the integration tests as root: %w: %s", err, out)
	}
	m.close = func() { _ = exec.Command("ip", "address", "delete", hostileIP+"/32", "dev", "lo").Run() }
	listener, err := net.Listen("tcp", net.JoinHostPort(hostileIP, strconv.Itoa(int(resources.PortWeb))))
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m.requests.Add(1)
		if answer := m.answer.Load(); answer != nil {
			(*answer)(w)
		}
	})}
	go func() { _ = server.Serve(listener) }()
	remove := m.close
	m.close = func() { _ = server.Close(); remove() }
	return startMasters(namespace)
}

// attack makes all masters respond in one way, and waits for as many requests as there are masters.
func (m *hostileServer) attack(answer func(http.ResponseWriter)) attack {
	return func(t *testing.T, namespace string) *atomic.Int64 {
		m.answer.Store(&answer)
		m.once.Do(func() { m.err = m.start(namespace) })
		require.NoError(t, m.err)
		before := m.requests.Load()
		eventually(t, "the operator polls the masters", func() bool { return m.requests.Load()-before >= hostileMasters })
		return &m.requests
	}
}

// startMasters creates tests whose master pods run at hostileIP.
func startMasters(namespace string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*timeout)
	defer cancel()
	for i := range hostileMasters {
		test := newTest(namespace, fmt.Sprintf("master-%d", i))
		test.Spec.Worker.Replicas = 1
		if err := k8s.Create(ctx, test); err != nil {
			return err
		}
	}
	for running := map[string]bool{}; len(running) < hostileMasters; time.Sleep(100 * time.Millisecond) {
		if ctx.Err() != nil {
			return fmt.Errorf("only %d masters run", len(running))
		}
		var list corev1.PodList
		if err := k8s.List(ctx, &list, client.InNamespace(namespace), client.MatchingLabels{resources.LabelComponent: string(resources.RoleMaster)}); err != nil {
			return err
		}
		for i := range list.Items {
			pod := &list.Items[i]
			if running[pod.Name] || !strings.HasPrefix(pod.Labels[resources.LabelTestName], "master-") {
				continue
			}
			pod.Status.Phase, pod.Status.PodIP, pod.Status.PodIPs = corev1.PodRunning, hostileIP, []corev1.PodIP{{IP: hostileIP}}
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: pod.Spec.Containers[0].Name,
				State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}}}
			if k8s.Status().Update(ctx, pod) == nil {
				running[pod.Name] = true
			}
		}
	}
	return nil
}

const answerBegins = `{"state":"running","user_count":1,"workers":[],"errors":[],"stats":[{"name":"Aggregated","method":"","num_requests":2,"num_failures":1,"current_rps":1.5,"avg_response_time":10}`

// largeAnswer is a megabyte of small entries, whose last byte comes late.
func largeAnswer(w http.ResponseWriter) {
	entry := `,{"name":"/x","method":"GET","num_requests":2,"num_failures":1,"current_rps":1.5,"avg_response_time":10}`
	_, _ = w.Write([]byte(answerBegins + strings.Repeat(entry, 10000)))
	flush(w)
	time.Sleep(1500 * time.Millisecond)
	_, _ = w.Write([]byte(`]}`))
}

func endlessAnswer(w http.ResponseWriter) {
	_, _ = w.Write([]byte(answerBegins))
	for err := error(nil); err == nil; {
		_, err = w.Write(bytes.Repeat([]byte(" "), 64<<10))
	}
}

func endlessHeader(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = connection.Close() }()
	for _, err = connection.Write([]byte("HTTP/1.1 200 OK\r\n")); err == nil; {
		_, err = connection.Write([]byte("X-Header: " + strings.Repeat("x", 8<<10) + "\r\n"))
	}
}

func longText(w http.ResponseWriter) {
	_, _ = w.Write([]byte(answerBegins + `,{"name":"` + strings.Repeat("x", 1<<20-1000) + `"}]}`))
}

func deepAnswer(w http.ResponseWriter) {
	_, _ = w.Write([]byte(answerBegins + "," + strings.Repeat(`{"a":[`, 100000)))
}

func unresponsiveAnswer(http.ResponseWriter) { time.Sleep(5 * time.Second) }

func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }
