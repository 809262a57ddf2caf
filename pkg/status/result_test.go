package status

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

func ms(n int) *time.Duration { d := time.Duration(n) * time.Millisecond; return &d }

func TestResult_Live(t *testing.T) {
	s := polled(t)
	s.obs.Run.Spec.Master.Command = "--locustfile /lotest/src/t.py --users 10 --run-time 100s"
	s.answer(t0.Add(15*time.Second), 3, report.StateReady, report.Stats{})
	assert.Nil(t, s.prev.TestResult, "no load yet")
	require.NotNil(t, s.prev.Progress)
	assert.Nil(t, s.prev.Progress.StartTime)

	s.answer(t0.Add(20*time.Second), 3, report.StateSpawning, report.Stats{})
	assert.Equal(t, &v2.TestResult{Source: v2.ResultSourceWebAPI, FailureRatio: "0", RequestsPerSecond: "0.00"}, s.prev.TestResult, "no response times of no requests")

	stats := report.Stats{
		Requests: 200, Failures: 3, RequestsPerSecond: 12.345, Average: 1500 * time.Microsecond,
		Percentiles: report.Percentiles{P50: ms(1), P99: ms(9)},
		Endpoints:   []report.Endpoint{{Method: "GET", Name: "/a", Requests: 200, Failures: 3, Average: 1500 * time.Microsecond, Percentiles: report.Percentiles{P95: ms(7)}}},
		Errors:      []report.Error{{Method: "GET", Name: "/a", Text: "500", Occurrences: 3}},
	}
	s.answer(t0.Add(45*time.Second), 3, report.StateRunning, stats)
	want := &v2.TestResult{
		Source: v2.ResultSourceWebAPI, TotalRequests: 200, FailedRequests: 3, FailureRatio: "0.015", RequestsPerSecond: "12.35",
		AverageResponseTime: &metav1.Duration{Duration: 1500 * time.Microsecond}, P50: Duration(ms(1)), P99: Duration(ms(9)),
		Endpoints: []v2.EndpointResult{{Method: "GET", Name: "/a", TotalRequests: 200, FailedRequests: 3, AverageResponseTime: &metav1.Duration{Duration: 1500 * time.Microsecond}, P95: Duration(ms(7))}},
		Errors:    []v2.ErrorResult{{Method: "GET", Name: "/a", Error: "500", Occurrences: 3}},
	}
	assert.Equal(t, want, s.prev.TestResult)
	start, percent, users := metav1.NewTime(t0.Add(20*time.Second)), int32(25), int32(10)
	assert.Equal(t, &v2.Progress{
		CurrentUsers: 10, TargetUsers: &users, StartTime: &start, Percent: &percent,
		Elapsed: &metav1.Duration{Duration: 25 * time.Second}, Duration: &metav1.Duration{Duration: 100 * time.Second},
	}, s.prev.Progress)

	// A failed poll: the last known values stay.
	result, progress := s.prev.TestResult, s.prev.Progress
	s.failPoll(t0.Add(3*time.Minute), "no answer within 2 s")
	assert.Equal(t, result, s.prev.TestResult)
	assert.Equal(t, progress, s.prev.Progress)

	// The load has stopped, the master waits for autoquit.
	stats.Requests = 203
	s.answer(t0.Add(4*time.Minute), 3, report.StateStopped, stats)
	assert.False(t, s.prev.TestResult.Final, "the workers' last statistics come a moment later")
	s.answer(t0.Add(4*time.Minute+lastStatsGracePeriod), 3, report.StateStopped, stats)
	assert.True(t, s.prev.TestResult.Final)
	assert.Equal(t, 100*time.Second, s.prev.Progress.Elapsed.Duration, "not the time until it was noticed")
	assert.Equal(t, int32(100), *s.prev.Progress.Percent)
	s.answer(t0.Add(5*time.Minute), 3, report.StateStopped, stats)
	assert.Equal(t, 100*time.Second, s.prev.Progress.Elapsed.Duration)

	// A user starts another load from the web UI.
	s.answer(t0.Add(6*time.Minute), 3, report.StateSpawning, report.Stats{})
	assert.False(t, s.prev.TestResult.Final)
	assert.Equal(t, t0.Add(6*time.Minute).Unix(), s.prev.Progress.StartTime.Unix())
}

func TestResult_AtEnd(t *testing.T) {
	live := report.Stats{Requests: 90, RequestsPerSecond: 5, Average: time.Millisecond}
	for name, tc := range map[string]struct {
		state    report.State
		message  string
		source   string
		final    bool
		requests int64
	}{
		"reporter":                        {report.StateRunning, finalMessage(true, 3, 100, 0), v2.ResultSourceReporter, true, 100},
		"reporter after the load stopped": {report.StateStopped, finalMessage(true, 3, 100, 0), v2.ResultSourceReporter, true, 100},
		"snapshot of a killed master":     {report.StateRunning, finalMessage(false, 3, 95, 0), v2.ResultSourceReporter, false, 95},
		"snapshot older than the answer":  {report.StateRunning, finalMessage(false, 3, 80, 0), v2.ResultSourceWebAPI, false, 90},
		"snapshot after the load stopped": {report.StateStopped, finalMessage(false, 3, 95, 0), v2.ResultSourceWebAPI, true, 90},
		"no reporter":                     {report.StateRunning, "", v2.ResultSourceWebAPI, false, 90},
		"no reporter, stopped":            {report.StateStopped, "the log's end", v2.ResultSourceWebAPI, true, 90},
		"damaged report":                  {report.StateRunning, `{"locust.io/report":1,"complete":tr`, v2.ResultSourceWebAPI, false, 90},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			s.answer(t0.Add(16*time.Second), 3, report.StateRunning, report.Stats{Requests: 5})
			s.prev.TestResult.TotalRequests = 5
			// The status does not contain the last report yet.
			s.obs.Locust = &Locust{Report: &report.Report{State: tc.state, Workers: 3, Stats: live, Exact: true}, At: t0.Add(39 * time.Second), CountersUnchangedSince: t0.Add(30 * time.Second)}
			s.endMaster(t0.Add(40*time.Second), 0, tc.message)
			s.derive(t0.Add(41 * time.Second))
			require.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
			assert.Equal(t, tc.source, s.prev.TestResult.Source)
			assert.Equal(t, tc.final, s.prev.TestResult.Final)
			assert.Equal(t, tc.requests, s.prev.TestResult.TotalRequests)
		})
	}
}

// TestResult_OperatorAway: no operator observed the run, and its result is complete.
func TestResult_OperatorAway(t *testing.T) {
	s := created(t)
	s.obs.Run.Spec.Master.Command += " --users 12 --run-time 20s"
	s.obs.FirstObservation, s.obs.Locust = true, &Locust{}
	s.runPod(s.master(), t0.Add(10*time.Second))
	for i := range 3 {
		s.runPod(s.worker(i), t0.Add(10*time.Second))
	}
	s.endMaster(t0.Add(40*time.Second), 0, finalMessage(true, 3, 100, 2))
	s.derive(t0.Add(time.Hour))
	assert.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	assert.Equal(t, "3/3", s.prev.Workers)
	assert.Equal(t, "12.345ms", s.prev.TestResult.AverageResponseTime.Duration.String())
	assert.Equal(t, "0.02", s.prev.TestResult.FailureRatio)
	assert.Equal(t, "4.50", s.prev.TestResult.RequestsPerSecond)
	assert.Equal(t, Duration(ms(25)), s.prev.TestResult.P95)
	assert.Equal(t, int32(12), s.prev.Progress.CurrentUsers)
	assert.Equal(t, 20*time.Second, s.prev.Progress.Elapsed.Duration)
	assert.Equal(t, int32(100), *s.prev.Progress.Percent)
}

// TestResult_WaitsForThePod: a complete Job is observed before its pod has ended.
func TestResult_WaitsForThePod(t *testing.T) {
	s := polled(t)
	s.endJob(s.obs.MasterJob, "Complete", t0.Add(40*time.Second))
	d := s.derive(t0.Add(40 * time.Second))
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
	assert.Positive(t, d.RequeueAfter)
	s.endPod(s.master(), t0.Add(40*time.Second), 0, finalMessage(true, 3, 100, 0))
	s.derive(t0.Add(41 * time.Second))
	assert.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	assert.True(t, s.prev.TestResult.Final)
}

// TestResult_DeletedMaster: the report is read while the pod exists, and stays afterwards.
func TestResult_DeletedMaster(t *testing.T) {
	s := polled(t)
	s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{Requests: 40})
	at := metav1.NewTime(t0.Add(70 * time.Second))
	s.master().DeletionTimestamp = &at
	was := s.prev.DeepCopy()
	s.endPod(s.master(), t0.Add(41*time.Second), 0, finalMessage(true, 3, 100, 0))
	s.derive(t0.Add(41 * time.Second))
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
	assert.Equal(t, Transition, Compare(was, &s.prev), "to be written at once")
	s.dropPod(s.master())
	s.endJob(s.obs.MasterJob, "Failed", t0.Add(42*time.Second))
	s.derive(t0.Add(50 * time.Second))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	assert.True(t, s.prev.TestResult.Final)
	assert.Equal(t, int64(100), s.prev.TestResult.TotalRequests)
	assert.Equal(t, int32(12), s.prev.Progress.CurrentUsers)

	// The failed Job is observed first: the pod still has time to write its report.
	s = polled(t)
	s.master().DeletionTimestamp = &at
	s.endJob(s.obs.MasterJob, "Failed", t0.Add(42*time.Second))
	assert.Positive(t, s.derive(t0.Add(42*time.Second)).RequeueAfter)
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
	s.derive(t0.Add(48 * time.Second))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
}

func TestFailureMessages(t *testing.T) {
	s := polled(t)
	s.endMaster(t0.Add(40*time.Second), 1, finalMessage(true, 3, 80, 60, `"exceptions":[{"error":"KeyError: x","count":2}]`, `"log":["[host] ERROR/locust: something"]`))
	s.derive(t0.Add(41 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed,
		"master exited with code 1: 60 of 80 requests failed (75 %)", "60 × GET /a: 500 Server Error", "2 × exception in the locustfile: KeyError: x", "ERROR/locust: something")

	s = polled(t)
	s.endMaster(t0.Add(40*time.Second), 1, `{"locust.io/report":1,`)
	s.derive(t0.Add(41 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "exited with code 1", "cannot be read")
}

// answerWithTarget records a report with Locust's target.
func (s *fixture) answerWithTarget(at time.Time, state report.State, target *report.Target, stats report.Stats) {
	s.t.Helper()
	l := *s.obs.Locust
	l.RecordReport(&report.Report{State: state, Users: 5, Workers: 3, Stats: stats, Exact: state == report.StateStopped, Target: target}, at)
	s.obs.Locust = &l
	s.derive(at)
}

// TestResult_ReportFileNotSaved: the load had ended normally when Locust could not write its HTML report. The result is
// complete, and the exit code 1 is not that of failed requests.
func TestResult_ReportFileNotSaved(t *testing.T) {
	s := polled(t)
	s.obs.Run.Spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.5"}
	message := strings.Replace(finalMessage(true, 3, 100, 2), `"custom_exit":false,"log":[]`,
		`"custom_exit":true,"log":["CRITICAL: unhandled exception: OSError: [Errno 30] Read-only file system: 'report.html'"]`, 1)
	s.endMaster(t0.Add(40*time.Second), 1, message)
	s.derive(t0.Add(41 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "exited with code 1", "Read-only file system: 'report.html'")
	assert.True(t, s.prev.TestResult.Final)
	assert.Equal(t, int64(100), s.prev.TestResult.TotalRequests)
}
