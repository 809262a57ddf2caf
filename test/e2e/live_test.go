//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// slow is the usual locustfile with a long load time: for the master, longer than the startup grace period; for each worker,
// 12 s longer than for the previous one.
const slow = `
import os, time
index = os.environ.get("JOB_COMPLETION_INDEX")
time.sleep(10 + 12 * int(index) if index else 18)
` + locustfile

// locustPids returns the processes of a pod's Locust container. It needs the embedded cluster, whose node is this machine.
func locustPids(t *testing.T, pod *corev1.Pod) []int {
	t.Helper()
	groups, err := filepath.Glob("/proc/[0-9]*/cgroup")
	require.NoError(t, err)
	var pids []int
	for _, file := range groups {
		cgroups, err := os.ReadFile(file)
		if err != nil || !strings.Contains(string(cgroups), "pod"+string(pod.UID)) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		require.NoError(t, err)
		if command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && bytes.Contains(command, []byte("locust")) {
			pids = append(pids, pid)
		}
	}
	require.NotEmpty(t, pids, "no Locust process of pod %s", pod.Name)
	return pids
}

func signal(t *testing.T, pids []int, s syscall.Signal) {
	t.Helper()
	for _, pid := range pids {
		require.NoError(t, syscall.Kill(pid, s))
	}
}

func (s *fixture) readyWorkers(test *v2.LocustTest) int32 {
	s.t.Helper()
	ready := s.job(test, resources.RoleWorker).Status.Ready
	if ready == nil {
		return 0
	}
	return *ready
}

// TestLiveStatus checks that the status reports live numbers of Locust's master, which are not in the Jobs.
func TestLiveStatus(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.configMap("slow", map[string]string{"locustfile.py": slow})
	test := s.create(s.test("live", 60, func(spec *v2.LocustTestSpec) {
		spec.TestFiles.ConfigMapRef = "slow"
		spec.Worker.Replicas = 3
	}))

	// All workers' pods are ready long before the workers are connected.
	partly := s.Until(test, "some workers are connected", func(status *v2.LocustTestStatus) bool {
		return status.ConnectedWorkers > 0 && status.ConnectedWorkers < 3
	})
	assert.Greater(t, s.readyWorkers(test), partly.ConnectedWorkers, "the Job counts all")
	assert.Equal(t, v2.ReasonWaitingForWorkers, condition(partly, v2.ConditionTypeWorkersConnected).Reason)
	all := s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	assert.Equal(t, "3/3 workers connected", condition(all, v2.ConditionTypeWorkersConnected).Message)

	s.Until(test, "users and requests are reported", func(status *v2.LocustTestStatus) bool {
		p, r := status.Progress, status.TestResult
		// On a busy machine Locust may lose a worker temporarily, which then adds its users again.
		return p != nil && r != nil && p.CurrentUsers >= 6 && *p.TargetUsers == 6 && p.Duration.Duration == time.Minute &&
			p.Elapsed != nil && p.Percent != nil && r.TotalRequests > 0 && r.RequestsPerSecond != "0.00" && !r.Final && r.P50 != nil
	})

	if auditLog() != "" {
		s.requireFrozenWorkerIsMissing(test)
	}
	final := s.UntilPhase(test, v2.PhaseSucceeded)
	assert.Equal(t, "3/3", final.Workers)
	assert.GreaterOrEqual(t, final.Progress.CurrentUsers, int32(6), "a worker that reconnects adds its users")
	assert.GreaterOrEqual(t, *final.Progress.Percent, int32(90), "the run time starts shortly before the load")
	s.requireExact(test, final)
}

// requireFrozenWorkerIsMissing stops a worker's process with SIGSTOP and checks that it is reported missing, although its pod
// stays ready.
func (s *fixture) requireFrozenWorkerIsMissing(test *v2.LocustTest) {
	t := s.t
	t.Helper()
	frozen := locustPids(t, &s.livePods(test, resources.RoleWorker)[0])
	signal(t, frozen, syscall.SIGSTOP)
	defer signal(t, frozen, syscall.SIGCONT)
	missing := s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonWorkersMissing)
	assert.Equal(t, "2/3 workers connected", condition(missing, v2.ConditionTypeWorkersConnected).Message)
	assert.Equal(t, int32(3), s.readyWorkers(test), "the Job does not report it")
	signal(t, frozen, syscall.SIGCONT)
	s.untilReasons(test, v2.ConditionTypeWorkersConnected, v2.ReasonWaitingForWorkers, v2.ReasonAllWorkersConnected, v2.ReasonWorkersMissing, v2.ReasonAllWorkersConnected)
}

// TestWebAPIBlocked checks that the status reports and recovers from dropped requests to the master's web API, as by a
// NetworkPolicy.
func TestWebAPIBlocked(t *testing.T) {
	t.Parallel()
	if auditLog() == "" {
		t.Skip("it needs the embedded cluster: packets are dropped in the master's network namespace")
	}
	s := newFixture(t)
	test := s.create(s.test("blocked", 300))
	s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	s.Until(test, "the load is reported", func(status *v2.LocustTestStatus) bool {
		return status.Progress != nil && status.Progress.Elapsed != nil && status.TestResult.TotalRequests > 0
	})
	pid := strconv.Itoa(locustPids(t, s.masterPod(test))[0])
	nft := func(command string) {
		out, err := exec.Command("nsenter", "-t", pid, "-n", "nft", command).CombinedOutput()
		require.NoError(t, err, "nft %s: %s", command, out)
	}
	nft("add table inet block; add chain inet block in { type filter hook input priority 0; }; add rule inet block in tcp dport 8089 drop")
	blocked := s.Until(test, "the message names the other source", func(status *v2.LocustTestStatus) bool {
		return strings.Contains(condition(status, v2.ConditionTypeWorkersConnected).Message, "counted from")
	})
	c := condition(blocked, v2.ConditionTypeWorkersConnected)
	assert.Equal(t, "2/2 workers connected (counted from the worker Job's ready pods, because Locust's web API cannot be reached: no answer within 2 s)", c.Message)
	assert.Equal(t, v2.ReasonAllWorkersConnected, c.Reason, "the condition does not flap")
	require.NotNil(t, blocked.Progress)
	require.NotNil(t, blocked.Progress.Elapsed)

	nft("delete table inet block")
	healed := s.Until(test, "the master is polled again", func(status *v2.LocustTestStatus) bool {
		return condition(status, v2.ConditionTypeWorkersConnected).Message == "2/2 workers connected" &&
			status.Progress != nil && status.Progress.Elapsed != nil && status.Progress.Elapsed.Duration > blocked.Progress.Elapsed.Duration
	})
	assert.Positive(t, healed.TestResult.TotalRequests)
	assert.Equal(t, []string{v2.ReasonWaitingForWorkers, v2.ReasonAllWorkersConnected}, watcher.Reasons(test.UID, v2.ConditionTypeWorkersConnected))
	require.NoError(t, k8s.Delete(t.Context(), test))
}

// TestWebAPI_Arguments checks that the operator follows the master's arguments that move or disable the web API.
func TestWebAPI_Arguments(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	certificate, key := selfSigned(t)
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "tls"}, Data: map[string][]byte{"tls.crt": certificate, "tls.key": key}}
	require.NoError(t, k8s.Create(t.Context(), secret))
	reached := "2/2 workers connected"
	for _, tc := range []struct {
		name    string
		args    string
		message string
	}{
		{"port", "--web-port 9000", reached},
		{"base-path", "--web-base-path /locust", reached},
		{"tls", "--tls-cert /tls/tls.crt --tls-key /tls/tls.key", reached},
		{"headless", "--headless", "because Locust's web API cannot be reached: Locust runs with --headless"},
		{"login", "--web-login", "because Locust's web API cannot be reached: "},
		{"loopback", "--web-host 127.0.0.1", "because Locust's web API cannot be reached: "},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := s.in(t)
			test := s.create(s.test(tc.name, 8, func(spec *v2.LocustTestSpec) {
				spec.Master.Command += " " + tc.args
				spec.Env.SecretMounts = []v2.SecretMount{{Name: "tls", MountPath: "/tls"}}
				if tc.name == "login" {
					spec.Master.Autoquit = nil // without a login manager Locust serves errors, and ends by --run-time
					quit := int32(1)
					spec.Master.Autoquit = &v2.AutoquitConfig{Timeout: &quit}
				}
			}))
			all := s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
			if tc.message == reached {
				assert.Equal(t, reached, condition(all, v2.ConditionTypeWorkersConnected).Message)
			} else {
				assert.Contains(t, condition(all, v2.ConditionTypeWorkersConnected).Message, tc.message)
			}
			s.requireExact(test, s.UntilPhase(test, v2.PhaseSucceeded))
		})
	}
}

func selfSigned(t *testing.T) (certificate, key []byte) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "locust"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded})
}

// TestMetrics checks that the metrics match the status, and that the series of a deleted test are removed.
func TestMetrics(t *testing.T) {
	t.Parallel()
	if auditLog() == "" {
		t.Skip("it sends requests to the operator's pod, which needs the embedded cluster")
	}
	s := newFixture(t)
	token := s.metricsReader()
	test := s.create(s.test("measured", 25))
	labels := fmt.Sprintf(`{name="measured",namespace=%q`, s.namespace)
	series := func() string {
		var ours []string
		for _, line := range strings.Split(scrape(t, token), "\n") {
			if strings.Contains(line, labels) {
				ours = append(ours, line)
			}
		}
		return strings.Join(ours, "\n")
	}
	s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	for _, want := range []string{
		"locust_test_phase" + labels + `,phase="Running"} 1`, "locust_test_workers_connected" + labels + "} 2", "locust_test_workers_expected" + labels + "} 2",
		"locust_test_users" + labels + "} 6", "locust_test_users_target" + labels + "} 6", "locust_test_requests_total" + labels, "locust_test_failed_requests_total" + labels + "} 0",
		"locust_test_response_time_seconds" + labels + `,quantile="0.5"}`,
	} {
		eventually(t, want, func() bool { return strings.Contains(series(), want) })
	}
	final := s.UntilPhase(test, v2.PhaseSucceeded)
	eventually(t, "the result", func() bool {
		return strings.Contains(series(), fmt.Sprintf("locust_test_requests_total%s} %d", labels, final.TestResult.TotalRequests))
	})
	for wrong, code := range map[string]int{"": http.StatusUnauthorized, "invented": http.StatusUnauthorized, s.tokenOf("default"): http.StatusForbidden} {
		got, _ := scrapeAs(t, wrong)
		assert.Equal(t, code, got, "metrics need authorization")
	}
	all := scrape(t, token)
	for _, want := range []string{
		`locust_operator_status_writes_total{kind="transition",result="written"}`, `locust_operator_locust_polls_total{result="ok"}`,
		"locust_operator_locust_poll_duration_seconds_count", `controller_runtime_reconcile_time_seconds_count{controller="locusttest"}`,
	} {
		assert.Contains(t, all, want)
	}
	require.NoError(t, k8s.Delete(t.Context(), test))
	eventually(t, "the test's series are removed", func() bool { return series() == "" })
}

// metricsReader returns a token that may read the operator's metrics.
func (s *fixture) metricsReader() string {
	t := s.t
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "reader"}}
	require.NoError(t, k8s.Create(t.Context(), account))
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "locust-k8s-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.namespace, Name: account.Name}},
	}
	require.NoError(t, k8s.Create(t.Context(), binding))
	t.Cleanup(func() { _ = k8s.Delete(context.Background(), binding) })
	return s.tokenOf(account.Name)
}

// tokenOf returns a token of a service account.
func (s *fixture) tokenOf(account string) string {
	request, err := clientset.CoreV1().ServiceAccounts(s.namespace).CreateToken(s.t.Context(), account, &authenticationv1.TokenRequest{}, metav1.CreateOptions{})
	require.NoError(s.t, err)
	return request.Status.Token
}

// scrape reads the metrics as Prometheus does.
func scrape(t *testing.T, token string) string {
	t.Helper()
	code, body := scrapeAs(t, token)
	require.Equal(t, http.StatusOK, code, body)
	return body
}

func scrapeAs(t *testing.T, token string) (int, string) {
	t.Helper()
	// The other pods have no series of tests.
	var address string
	eventually(t, "a pod is the leader", func() bool {
		pod, found := leader(t)
		address = pod.Status.PodIP
		return found
	})
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://"+address+":8443/metrics", nil)
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+token)
	// The operator serves metrics with a self-signed certificate.
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
	response, err := insecure.Do(request)
	require.NoError(t, err)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return response.StatusCode, string(body)
}
