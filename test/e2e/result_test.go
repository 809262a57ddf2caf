//go:build e2e

package e2e

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// mixed sends requests to two endpoints at a high rate; some requests fail.
const mixed = printsCSV + `
from locust import HttpUser, constant, task
class User(HttpUser):
    host = "http://target.e2e-target"
    wait_time = constant(0.1)
    @task(9)
    def good(self):
        self.client.get("/hit/mixed", name="/good")
    @task(1)
    def bad(self):
        self.client.get("/fail/mixed", name="/bad")
`

// summary is the summary that Locust prints at its end.
type summary struct {
	requests, failures  int64
	average             int64 // milliseconds, truncated
	perSecond           string
	p50, p90, p95, p99  int64 // milliseconds
	endpoints, errors   map[string]int64
	endpointFailures    map[string]int64
	percentilesAreThere bool
}

var (
	totalsLine = regexp.MustCompile(`^\s*(?:(\S+)\s+)?(\S+)\s+(\d+)\s+(\d+)\([\d.]+%\)\s+\|\s+(\d+)\s+(\d+)\s+(\d+)\s+(\d+)\s+\|\s+([\d.]+)\s+([\d.]+)`)
	timesLine  = regexp.MustCompile(`^\s*Aggregated((?:\s+\d+){12})\s*$`)
	errorLine  = regexp.MustCompile(`^(\d+)\s+(\S+ \S+): `)
)

// printed parses the summary in Locust's log.
func printed(t *testing.T, log string) summary {
	t.Helper()
	s := summary{endpoints: map[string]int64{}, endpointFailures: map[string]int64{}, errors: map[string]int64{}}
	number := func(text string) int64 {
		n, err := strconv.ParseInt(text, 10, 64)
		require.NoError(t, err)
		return n
	}
	found := false
	for _, line := range strings.Split(log, "\n") {
		if m := totalsLine.FindStringSubmatch(line); m != nil {
			if m[2] != "Aggregated" {
				s.endpoints[m[2]], s.endpointFailures[m[2]] = number(m[3]), number(m[4])
				continue
			}
			found = true
			s.requests, s.failures, s.average, s.perSecond = number(m[3]), number(m[4]), number(m[5]), m[9]
		}
		if m := timesLine.FindStringSubmatch(line); m != nil {
			times := strings.Fields(m[1])
			s.p50, s.p90, s.p95, s.p99 = number(times[0]), number(times[4]), number(times[5]), number(times[7])
			s.percentilesAreThere = true
		}
		if m := errorLine.FindStringSubmatch(line); m != nil {
			s.errors[m[2]] += number(m[1])
		}
	}
	require.True(t, found, "no summary in the log:\n%s", log)
	return s
}

func (s *fixture) masterPod(test *v2.LocustTest) *corev1.Pod {
	s.t.Helper()
	var pods corev1.PodList
	require.NoError(s.t, k8s.List(s.t.Context(), &pods, client.InNamespace(test.Namespace),
		client.MatchingLabels{resources.LabelTestUID: string(test.UID), resources.LabelComponent: string(resources.RoleMaster)}))
	require.Len(s.t, pods.Items, 1)
	return &pods.Items[0]
}

// requireExact compares the result with the summary in the master's log, number by number.
func (s *fixture) requireExact(test *v2.LocustTest, final *v2.LocustTestStatus) {
	t := s.t
	t.Helper()
	r := final.TestResult
	require.NotNil(t, r, "%s has no result", test.Name)
	master := s.masterPod(test)
	want := printed(t, s.logs(master))
	milliseconds := func(d *metav1.Duration) int64 {
		require.NotNil(t, d, "%s: %+v", test.Name, r)
		return int64(d.Duration / time.Millisecond)
	}
	assert.True(t, r.Final, test.Name)
	assert.Equal(t, v2.ResultSourceReporter, r.Source, test.Name)
	assert.Equal(t, want.requests, r.TotalRequests, "%s: requests", test.Name)
	assert.Equal(t, want.failures, r.FailedRequests, "%s: failures", test.Name)
	assert.Equal(t, want.perSecond, r.RequestsPerSecond, "%s: requests per second", test.Name)
	if want.requests > 0 {
		assert.Equal(t, want.average, milliseconds(r.AverageResponseTime), "%s: average", test.Name)
		require.True(t, want.percentilesAreThere, test.Name)
		assert.Equal(t, []int64{want.p50, want.p90, want.p95, want.p99},
			[]int64{milliseconds(r.P50), milliseconds(r.P90), milliseconds(r.P95), milliseconds(r.P99)}, "%s: percentiles", test.Name)
	}
	endpoints, failures, errors := map[string]int64{}, map[string]int64{}, map[string]int64{}
	for _, e := range r.Endpoints {
		endpoints[e.Name], failures[e.Name] = e.TotalRequests, e.FailedRequests
	}
	for _, e := range r.Errors {
		errors[e.Method+" "+e.Name] += e.Occurrences
	}
	assert.Equal(t, want.endpoints, endpoints, "%s: endpoints", test.Name)
	assert.Equal(t, want.endpointFailures, failures, "%s: failures of endpoints", test.Name)
	assert.Equal(t, want.errors, errors, "%s: errors", test.Name)
	for _, c := range master.Status.ContainerStatuses {
		if c.State.Terminated != nil {
			assert.LessOrEqual(t, len(c.State.Terminated.Message), 4096, "%s: termination message", test.Name)
		}
	}
	t.Logf("%-16s %s: %d requests, %d failed, %s/s, average %s, p95 %s", test.Name, final.Phase,
		r.TotalRequests, r.FailedRequests, r.RequestsPerSecond, text(r.AverageResponseTime), text(r.P95))
}

func text(d *metav1.Duration) string {
	if d == nil {
		return "unknown"
	}
	return d.Duration.String()
}

func (s *fixture) untilEnd(test *v2.LocustTest) *v2.LocustTestStatus {
	s.t.Helper()
	return s.Until(test, "it has ended", func(status *v2.LocustTestStatus) bool { return status.IsTerminal() })
}

// withMixed runs mixed.py with additional arguments, an autoquit timeout and an image.
func withMixed(seconds int, more string, quit int32, image string) func(*v2.LocustTestSpec) {
	return func(spec *v2.LocustTestSpec) {
		spec.Image = image
		spec.Master.Command = fmt.Sprintf("--locustfile /lotest/src/mixed.py --users 6 --spawn-rate 6 --run-time %ds %s", seconds, more)
		spec.Worker.Command = "--locustfile /lotest/src/mixed.py"
		spec.Worker.Replicas = 1 + int32(seconds)%2
		spec.Master.Autoquit.Timeout = &quit
	}
}

// TestResultExact checks for 22 runs of various lengths that the result equals Locust's summary, and the report its CSV. Most are too short for a
// poll after their end, and half of them use the oldest supported Locust.
func TestResultExact(t *testing.T) {
	t.Parallel()
	eachLocust(t, func(t *testing.T, _, image string) {
		s := newFixture(t)
		s.configMap("mixed", map[string]string{"mixed.py": longHeartbeat + mixed})
		var runs []*v2.LocustTest
		add := func(name string, change func(*v2.LocustTestSpec)) {
			runs = append(runs, s.test(name, 1, change, func(spec *v2.LocustTestSpec) { spec.TestFiles.ConfigMapRef = "mixed" }))
		}
		for _, seconds := range []int{1, 2, 3, 5, 8} {
			add(fmt.Sprintf("quits-at-once-%d", seconds), withMixed(seconds, "", 0, image))
		}
		for _, seconds := range []int{1, 2, 4, 6} {
			add(fmt.Sprintf("headless-%d", seconds), withMixed(seconds, "--headless", 0, image))
		}
		add("waits-2", withMixed(2, "", 3, image))
		add("waits-3", withMixed(3, "--stop-timeout 2", 1, image))
		// Run two at a time, because the machine is small.
		slots := make(chan struct{}, 2)
		var all sync.WaitGroup
		for _, test := range runs {
			slots <- struct{}{}
			s.create(test)
			all.Go(func() {
				defer func() { <-slots }()
				final := s.untilEnd(test)
				s.requireExact(test, final)
				s.requireCSV(s.report(test, final), s.logs(s.masterPod(test)))
			})
		}
		all.Wait()
		loaded := 0
		for _, test := range runs {
			if r := s.untilEnd(test).TestResult; r != nil && r.TotalRequests > 0 {
				loaded++
			}
		}
		// On a busy machine the shortest runs may end before the first request.
		assert.GreaterOrEqual(t, loaded, len(runs)-3, "runs with requests")
	})
}

// TestResultExact_OperatorKilled checks the results of runs that end while the operator is down.
func TestResultExact_OperatorKilled(t *testing.T) {
	s := newFixture(t)
	disturbed.add(t)
	s.configMap("mixed", map[string]string{"mixed.py": longHeartbeat + mixed})
	mount := func(spec *v2.LocustTestSpec) { spec.TestFiles.ConfigMapRef = "mixed" }
	var runs []*v2.LocustTest
	for i, more := range []string{"", "--headless", ""} {
		runs = append(runs, s.create(s.test(fmt.Sprintf("killed-%d", i), 4, withMixed(4+i, more, 0, locustImage), mount)))
	}
	for _, test := range runs {
		s.UntilPhase(test, v2.PhaseRunning)
	}
	time.Sleep(3 * time.Second)
	killOperator(t)
	stopOperator(t)
	for _, test := range runs {
		eventually(t, "the master Job of "+test.Name+" has finished", func() bool {
			return framework.FinishedAs(s.job(test, resources.RoleMaster)) != ""
		})
	}
	startOperator(t)
	for _, test := range runs {
		final := s.untilEnd(test)
		s.requireExact(test, final)
		s.requireCSV(s.report(test, final), s.logs(s.masterPod(test)))
		assert.Equal(t, test.Spec.Worker.Replicas, final.ConnectedWorkers, "as reported by the reporter")
	}
}

// TestNoReporter checks that without the reporter the result comes from the last poll, which is exact if the load had ended.
func TestNoReporter(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	no := false
	quit := int32(12)
	test := s.create(s.test("without", 6, func(spec *v2.LocustTestSpec) {
		spec.Master.Reporter = &no
		spec.Master.Autoquit.Timeout = &quit
	}))
	final := s.UntilPhase(test, v2.PhaseSucceeded)
	master := s.masterPod(test)
	assert.NotContains(t, strings.Join(master.Spec.Containers[0].Args, " "), "reporter")
	require.NotNil(t, final.TestResult)
	assert.True(t, final.TestResult.Final)
	assert.Equal(t, v2.ResultSourceWebAPI, final.TestResult.Source)
	want := printed(t, s.logs(master))
	assert.Equal(t, want.requests, final.TestResult.TotalRequests)
	assert.Equal(t, want.perSecond, final.TestResult.RequestsPerSecond)
	assert.Equal(t, want.p90, int64(final.TestResult.P90.Duration/time.Millisecond))
}

// TestSuccessCriteria checks that the criteria override Locust's exit code.
func TestSuccessCriteria(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	many := int64(1_000_000)
	strict := s.create(s.test("strict", 4, func(spec *v2.LocustTestSpec) {
		spec.SuccessCriteria = &v2.SuccessCriteria{MinTotalRequests: &many, MaxFailureRatio: "0.01"}
	}))
	lenient := s.create(s.test("lenient", 4, func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/failing.py --users 4 --spawn-rate 4 --run-time 4s"
		spec.Worker.Command = "--locustfile /lotest/src/failing.py"
		spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "1"}
	}))
	aborted := s.create(s.test("aborted", 600, func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/failing.py --users 4 --spawn-rate 4 --run-time 10m"
		spec.Worker.Command = "--locustfile /lotest/src/failing.py"
		spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.001", AbortOnViolation: true, AbortGracePeriod: &metav1.Duration{Duration: 5 * time.Second}}
	}))

	final := s.UntilPhase(strict, v2.PhaseFailed)
	assert.Contains(t, condition(final, v2.ConditionTypeTestCompleted).Message, fmt.Sprintf("minTotalRequests is 1000000, measured %d", final.TestResult.TotalRequests))
	assert.Zero(t, s.masterPod(strict).Status.ContainerStatuses[0].State.Terminated.ExitCode, "Locust exited with code 0")
	s.requireExact(strict, final)

	final = s.UntilPhase(lenient, v2.PhaseSucceeded)
	assert.Equal(t, int32(1), s.masterPod(lenient).Status.ContainerStatuses[0].State.Terminated.ExitCode, "Locust exited with code 1")
	assert.Equal(t, "1", final.TestResult.FailureRatio)
	s.requireExact(lenient, final)
	s.requireFrozen(lenient, final)

	final = s.UntilPhase(aborted, v2.PhaseFailed)
	assert.Contains(t, condition(final, v2.ConditionTypeTestCompleted).Message, "aborted after")
	assert.Contains(t, condition(final, v2.ConditionTypeTestCompleted).Message, "maxFailureRatio is 0.001, measured 1 ")
	require.NotNil(t, final.TestResult)
	assert.Positive(t, final.TestResult.FailedRequests)
	t.Log(condition(final, v2.ConditionTypeTestCompleted).Message)
	s.requireNoLoad(aborted)
	s.requireFrozen(aborted, final)
}
