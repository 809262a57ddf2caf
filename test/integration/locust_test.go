//go:build integration

package integration

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/controllers"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/background"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// masters is a fake StatsClient with a response for each master Job. Many real masters cannot be made unresponsive.
type masters struct {
	mu        sync.Mutex
	responses map[string]func() (*report.Report, error)
	polled    map[string]int
}

func (m *masters) Stats(_ context.Context, target locust.Target) (*report.Report, error) {
	job := target.Pod[:max(strings.LastIndexByte(target.Pod, '-'), 0)]
	m.mu.Lock()
	m.polled[job]++
	respond := m.responses[job]
	m.mu.Unlock()
	if respond == nil {
		return nil, errors.New("connection refused")
	}
	return respond()
}

func (m *masters) setResponse(test *v2.LocustTest, answer func() (*report.Report, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.responses[resources.MasterName(test.Name)] = answer
}

func (m *masters) polls(test *v2.LocustTest) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.polled[resources.MasterName(test.Name)]
}

func withMasters(m *masters, concurrency int) option {
	m.responses, m.polled = map[string]func() (*report.Report, error){}, map[string]int{}
	return func(r *controllers.LocustTestReconciler) {
		r.Settings.PollInterval = time.Second
		r.Poller = background.NewPoller(m, time.Second, concurrency, clock.RealClock{}, nil)
		r.Concurrency = 1
	}
}

// growing returns a response whose numbers grow with each poll.
func growing(workers int32) func() (*report.Report, error) {
	var mu sync.Mutex
	var requests int64
	return func() (*report.Report, error) {
		mu.Lock()
		defer mu.Unlock()
		requests += 10
		return &report.Report{State: report.StateRunning, Users: 5, Workers: workers, Stats: report.Stats{Requests: requests, RequestsPerSecond: 10, Average: time.Millisecond}}, nil
	}
}

// TestUnresponsiveMasters checks that masters that never respond do not delay other tests, even with one concurrent reconcile.
func TestUnresponsiveMasters(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	m := &masters{}
	op := startOperator(t, ns, withMasters(m, 80)) // a namespace gets at most a quarter
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })

	var unresponsive []*v2.LocustTest
	for i := range 10 {
		test := create(t, newTest(ns, fmt.Sprintf("unresponsive-%d", i)))
		m.setResponse(test, func() (*report.Report, error) { <-release; return nil, errors.New("released") })
		unresponsive = append(unresponsive, test)
	}
	for _, test := range unresponsive {
		runAll(t, test)
		op.UntilPhase(test, v2.PhaseRunning)
	}
	for _, test := range unresponsive {
		eventually(t, "it is being polled", func() bool { return m.polls(test) == 1 })
	}

	good := create(t, newTest(ns, "good"))
	m.setResponse(good, growing(good.Spec.Worker.Replicas))
	runAll(t, good)
	status := op.UntilReason(good, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	assert.NotContains(t, condition(status, v2.ConditionTypeWorkersConnected).Message, "counted from", "as reported by its master")
	eventually(t, "it is polled repeatedly", func() bool { return m.polls(good) >= 4 })
	for _, test := range unresponsive {
		assert.Equal(t, 1, m.polls(test), "%s has not answered yet", test.Name)
	}

	// A test with an unresponsive master is still reconciled.
	endMaster(t, &pods(t, unresponsive[0], resources.RoleMaster, 1)[0])
	op.UntilPhase(unresponsive[0], v2.PhaseSucceeded)
}

// TestSlowMasters checks that every test is polled, even if slow masters occupy all slots.
func TestSlowMasters(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	m := &masters{}
	op := startOperator(t, ns, withMasters(m, 2))
	for i := range 8 {
		test := create(t, newTest(ns, fmt.Sprintf("slow-%d", i)))
		m.setResponse(test, func() (*report.Report, error) { time.Sleep(300 * time.Millisecond); return nil, errors.New("too late") })
		runAll(t, test)
	}
	good := create(t, newTest(ns, "good"))
	m.setResponse(good, growing(good.Spec.Worker.Replicas))
	runAll(t, good)
	op.UntilReason(good, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	eventually(t, "it is polled repeatedly", func() bool { return m.polls(good) >= 4 })
}

// TestLiveNumbers_Writes checks that status writes depend on the refresh interval, not on the poll interval.
func TestLiveNumbers_Writes(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	m := &masters{}
	const refresh, window = 3 * time.Second, 12 * time.Second
	op := startOperator(t, ns, withMasters(m, 20), func(r *controllers.LocustTestReconciler) { r.RefreshInterval = refresh })
	var tests []*v2.LocustTest
	for i := range 10 {
		test := create(t, newTest(ns, fmt.Sprintf("live-%d", i)))
		m.setResponse(test, growing(test.Spec.Worker.Replicas))
		runAll(t, test)
		tests = append(tests, test)
	}
	for _, test := range tests {
		op.Until(test, "it has live numbers", func(s *v2.LocustTestStatus) bool { return s.TestResult != nil && s.TestResult.TotalRequests > 10 })
	}
	before, polls := op.requests.snapshot(), 0
	for _, test := range tests {
		polls -= m.polls(test)
	}
	time.Sleep(window)
	after := op.requests.snapshot()
	for _, test := range tests {
		polls += m.polls(test)
	}
	writes := 0
	for what, n := range after {
		n -= before[what]
		switch {
		case what == "PATCH locusttests/status 200":
			writes = n
		case !strings.HasPrefix(what, "WATCH"):
			assert.Zero(t, n, what)
		}
	}
	t.Logf("%d tests, %s: %d polls, %d status writes", len(tests), window, polls, writes)
	assert.LessOrEqual(t, writes, len(tests)*int(window/refresh+1), "one write per test and refresh interval")
	assert.GreaterOrEqual(t, writes, len(tests), "the numbers are live")
	assert.Greater(t, polls, writes)
}

// TestFinalResult_OperatorAway checks that the result is read from the pod if no operator ran at the end of the test.
func TestFinalResult_OperatorAway(t *testing.T) {
	ns := namespace(t)
	m := &masters{}
	op := startOperator(t, ns, withMasters(m, 5))
	test := newTest(ns, "away")
	test.Spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.5"}
	create(t, test)
	m.setResponse(test, growing(test.Spec.Worker.Replicas))
	master, _ := runAll(t, test)
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	op.stop()
	now := time.Now().Unix()
	endPod(t, &master, 1, fmt.Sprintf(`{"locust.io/report":1,"complete":true,"state":"running","users":7,"workers":%d,"start":%d,"end":%d,"requests":1000,"failures":5,`+
		`"avg":12.5,"rps":33.333,"p50":11,"p90":22,"p95":33,"p99":44,"endpoints":[],"errors":[],"exceptions":[],"custom_exit":false,"log":[]}`, test.Spec.Worker.Replicas, now-30, now))
	eventually(t, "the master Job failed", func() bool { return job(t, test, resources.RoleMaster).Status.Failed == 1 })
	op = startOperator(t, ns, withMasters(m, 5))
	final := op.UntilPhase(test, v2.PhaseSucceeded)
	require.NotNil(t, final.TestResult)
	assert.True(t, final.TestResult.Final)
	assert.Equal(t, v2.ResultSourceReporter, final.TestResult.Source)
	assert.Equal(t, "33.33", final.TestResult.RequestsPerSecond)
	assert.Equal(t, "0.005", final.TestResult.FailureRatio)
	assert.Equal(t, 44*time.Millisecond, final.TestResult.P99.Duration)
	assert.Equal(t, int32(7), final.Progress.CurrentUsers)
	assert.Equal(t, 30*time.Second, final.Progress.Elapsed.Duration)
}

// TestSuccessCriteria_Schema checks that invalid criteria are refused with their field and a remedy.
func TestSuccessCriteria_Schema(t *testing.T) {
	ns := namespace(t)
	for name, tc := range map[string]struct {
		criteria map[string]any
		want     []string
	}{
		"none":             {map[string]any{}, []string{"successCriteria", "at least one of maxFailureRatio"}},
		"a percentage":     {map[string]any{"maxFailureRatio": "5%"}, []string{"maxFailureRatio", `"0.01" for one percent`}},
		"more than all":    {map[string]any{"maxFailureRatio": "1.5"}, []string{"maxFailureRatio", "between 0 and 1"}},
		"a bare number":    {map[string]any{"maxFailureRatio": 0.01}, []string{"maxFailureRatio", "string"}},
		"no unit":          {map[string]any{"maxAverageResponseTime": "250"}, []string{"maxAverageResponseTime", "250ms"}},
		"a negative time":  {map[string]any{"maxResponseTime": map[string]any{"p95": "-1s"}}, []string{"p95", "duration"}},
		"no percentile":    {map[string]any{"maxResponseTime": map[string]any{}}, []string{"maxResponseTime"}},
		"no rate":          {map[string]any{"minRequestsPerSecond": "fast"}, []string{"minRequestsPerSecond", "decimal number"}},
		"no requests":      {map[string]any{"minTotalRequests": int64(0)}, []string{"minTotalRequests", "greater than or equal to 1"}},
		"nothing to watch": {map[string]any{"minTotalRequests": int64(1), "abortOnViolation": true}, []string{"abortOnViolation", "set maxFailureRatio"}},
		"a time too long":  {map[string]any{"maxAverageResponseTime": "9999999h"}, []string{"maxAverageResponseTime", "duration"}},
		"a grace period":   {map[string]any{"maxFailureRatio": "0.1", "abortGracePeriod": "soon"}, []string{"abortGracePeriod", "30s"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := toMap(t, newTest(ns, "bad"))
			require.NoError(t, unstructured.SetNestedMap(o, tc.criteria, "spec", "successCriteria"))
			err := k8s.Create(t.Context(), &unstructured.Unstructured{Object: o}, client.FieldValidation(metav1.FieldValidationStrict))
			require.Error(t, err)
			for _, want := range tc.want {
				assert.ErrorContains(t, err, want)
			}
		})
	}
	good := newTest(ns, "good")
	good.Spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.01", MinRequestsPerSecond: "0.5", AbortOnViolation: true}
	create(t, good)
	assert.Equal(t, 30*time.Second, good.Spec.SuccessCriteria.AbortGracePeriod.Duration, "the default")
}
