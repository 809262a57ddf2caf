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
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// masters stand in for the web APIs of Locust's masters, which cannot be made to hang in such numbers, by Job.
type masters struct {
	mu     sync.Mutex
	answer map[string]func() (*report.Report, error)
	asked  map[string]int
}

func (m *masters) Stats(_ context.Context, target locust.Target) (*report.Report, error) {
	job := target.Pod[:max(strings.LastIndexByte(target.Pod, '-'), 0)]
	m.mu.Lock()
	m.asked[job]++
	answer := m.answer[job]
	m.mu.Unlock()
	if answer == nil {
		return nil, errors.New("nobody is there")
	}
	return answer()
}

func (m *masters) set(test *v2.LocustTest, answer func() (*report.Report, error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer[resources.MasterName(test.Name)] = answer
}

func (m *masters) times(test *v2.LocustTest) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked[resources.MasterName(test.Name)]
}

func withMasters(m *masters, concurrency int) option {
	m.answer, m.asked = map[string]func() (*report.Report, error){}, map[string]int{}
	return func(r *controllers.LocustTestReconciler) {
		r.Settings.PollInterval = time.Second
		r.Poller = controllers.NewPoller(m, time.Second, concurrency, clock.RealClock{}, nil)
		r.Concurrency = 1
	}
}

// growing is a master whose numbers change each time it is asked.
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

// TestHangingMasters: masters that never answer hold up nobody else, although there is one reconcile at a time.
func TestHangingMasters(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	m := &masters{}
	op := startOperator(t, ns, withMasters(m, 80)) // a quarter is for this namespace
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })

	var hanging []*v2.LocustTest
	for i := range 10 {
		test := create(t, newTest(ns, fmt.Sprintf("hanging-%d", i)))
		m.set(test, func() (*report.Report, error) { <-release; return nil, errors.New("released") })
		hanging = append(hanging, test)
	}
	for _, test := range hanging {
		runAll(t, test)
		op.untilPhase(test, v2.PhaseRunning)
	}
	for _, test := range hanging {
		eventually(t, "it is being asked", func() bool { return m.times(test) == 1 })
	}

	good := create(t, newTest(ns, "good"))
	m.set(good, growing(good.Spec.Worker.Replicas))
	runAll(t, good)
	status := op.untilReason(good, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	assert.NotContains(t, messageOf(status, v2.ConditionTypeWorkersConnected), "counted from", "by its master's word")
	eventually(t, "it is asked again and again", func() bool { return m.times(good) >= 4 })
	for _, test := range hanging {
		assert.Equal(t, 1, m.times(test), "%s has not answered yet", test.Name)
	}

	// A hanging test itself is still reconciled.
	endMaster(t, &pods(t, hanging[0], resources.RoleMaster, 1)[0])
	op.untilPhase(hanging[0], v2.PhaseSucceeded)
}

// TestSlowMasters: when all slots are taken by masters that answer late or not at all, every test still has its turn.
func TestSlowMasters(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	m := &masters{}
	op := startOperator(t, ns, withMasters(m, 2))
	for i := range 8 {
		test := create(t, newTest(ns, fmt.Sprintf("slow-%d", i)))
		m.set(test, func() (*report.Report, error) { time.Sleep(300 * time.Millisecond); return nil, errors.New("too late") })
		runAll(t, test)
	}
	good := create(t, newTest(ns, "good"))
	m.set(good, growing(good.Spec.Worker.Replicas))
	runAll(t, good)
	op.untilReason(good, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	eventually(t, "it is asked again and again", func() bool { return m.times(good) >= 4 })
}

// TestLiveNumbers_Writes: however often the masters are asked, the API server is written to every refresh interval.
func TestLiveNumbers_Writes(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	m := &masters{}
	const refresh, window = 3 * time.Second, 12 * time.Second
	op := startOperator(t, ns, withMasters(m, 20), func(r *controllers.LocustTestReconciler) { r.RefreshInterval = refresh })
	var tests []*v2.LocustTest
	for i := range 10 {
		test := create(t, newTest(ns, fmt.Sprintf("live-%d", i)))
		m.set(test, growing(test.Spec.Worker.Replicas))
		runAll(t, test)
		tests = append(tests, test)
	}
	for _, test := range tests {
		op.until(test, "it has numbers", func(s *v2.LocustTestStatus) bool { return s.TestResult != nil && s.TestResult.TotalRequests > 10 })
	}
	before, asked := op.requests.snapshot(), 0
	for _, test := range tests {
		asked -= m.times(test)
	}
	time.Sleep(window)
	after := op.requests.snapshot()
	for _, test := range tests {
		asked += m.times(test)
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
	t.Logf("%d tests, %s: %d questions, %d status writes", len(tests), window, asked, writes)
	assert.LessOrEqual(t, writes, len(tests)*int(window/refresh+1), "one write per test and refresh interval")
	assert.GreaterOrEqual(t, writes, len(tests), "the numbers are live")
	assert.Greater(t, asked, writes)
}

// TestFinalResult_OperatorAway: the result is in the pod, whoever was there to see it.
func TestFinalResult_OperatorAway(t *testing.T) {
	ns := namespace(t)
	m := &masters{}
	op := startOperator(t, ns, withMasters(m, 5))
	test := newTest(ns, "away")
	test.Spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.5"}
	create(t, test)
	m.set(test, growing(test.Spec.Worker.Replicas))
	master, _ := runAll(t, test)
	op.untilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	op.stop()
	now := time.Now().Unix()
	endPod(t, &master, 1, fmt.Sprintf(`{"locust.io/report":1,"complete":true,"state":"running","users":7,"workers":%d,"start":%d,"end":%d,"requests":1000,"failures":5,`+
		`"avg":12.5,"rps":33.333,"p50":11,"p90":22,"p95":33,"p99":44,"endpoints":[],"errors":[],"exceptions":[],"custom_exit":false,"log":[]}`, test.Spec.Worker.Replicas, now-30, now))
	eventually(t, "the master Job failed", func() bool { return job(t, test, resources.RoleMaster).Status.Failed == 1 })
	op = startOperator(t, ns, withMasters(m, 5))
	final := op.untilPhase(test, v2.PhaseSucceeded)
	require.NotNil(t, final.TestResult)
	assert.True(t, final.TestResult.Final)
	assert.Equal(t, v2.ResultSourceReporter, final.TestResult.Source)
	assert.Equal(t, "33.33", final.TestResult.RequestsPerSecond)
	assert.Equal(t, "0.005", final.TestResult.FailureRatio)
	assert.Equal(t, 44*time.Millisecond, final.TestResult.P99.Duration)
	assert.Equal(t, int32(7), final.Progress.CurrentUsers)
	assert.Equal(t, 30*time.Second, final.Progress.Elapsed.Duration)
}

// TestSuccessCriteria_Schema: bad criteria are refused with their field and a remedy.
func TestSuccessCriteria_Schema(t *testing.T) {
	ns := namespace(t)
	for name, tc := range map[string]struct {
		criteria map[string]any
		words    []string
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
			for _, words := range tc.words {
				assert.ErrorContains(t, err, words)
			}
		})
	}
	good := newTest(ns, "good")
	good.Spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.01", MinRequestsPerSecond: "0.5", AbortOnViolation: true}
	create(t, good)
	assert.Equal(t, 30*time.Second, good.Spec.SuccessCriteria.AbortGracePeriod.Duration, "the default")
}
