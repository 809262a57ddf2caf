package status

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

func limit(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

func TestViolated(t *testing.T) {
	result := v2.TestResult{
		Final: true, TotalRequests: 1000, FailedRequests: 10, FailureRatio: "0.01", RequestsPerSecond: "50.00",
		AverageResponseTime: limit(100 * time.Millisecond), P50: limit(90 * time.Millisecond), P90: limit(150 * time.Millisecond),
		P95: limit(200 * time.Millisecond), P99: limit(400 * time.Millisecond),
	}
	n := func(i int64) *int64 { return &i }
	for name, tc := range map[string]struct {
		criteria v2.SuccessCriteria
		change   func(r *v2.TestResult)
		want     string
	}{
		"all hold exactly": {criteria: v2.SuccessCriteria{
			MaxFailureRatio: "0.01", MaxAverageResponseTime: limit(100 * time.Millisecond), MinRequestsPerSecond: "50", MinTotalRequests: n(1000),
			MaxResponseTime: &v2.ResponseTimeLimits{P50: limit(90 * time.Millisecond), P90: limit(150 * time.Millisecond), P95: limit(200 * time.Millisecond), P99: limit(400 * time.Millisecond)},
		}},
		"ratio at its limit": {
			criteria: v2.SuccessCriteria{MaxFailureRatio: "0.29"},
			change:   func(r *v2.TestResult) { r.TotalRequests, r.FailedRequests, r.FailureRatio = 100, 29, "0.29" },
		},
		"ratio":         {criteria: v2.SuccessCriteria{MaxFailureRatio: "0.009"}, want: "success criteria not met: maxFailureRatio is 0.009, measured 0.01 (10 of 1000 requests failed)"},
		"ratio of zero": {criteria: v2.SuccessCriteria{MaxFailureRatio: "0"}, want: "success criteria not met: maxFailureRatio is 0, measured 0.01 (10 of 1000 requests failed)"},
		"average":       {criteria: v2.SuccessCriteria{MaxAverageResponseTime: limit(99 * time.Millisecond)}, want: "success criteria not met: maxAverageResponseTime is 99ms, measured 100ms"},
		"p50":           {criteria: v2.SuccessCriteria{MaxResponseTime: &v2.ResponseTimeLimits{P50: limit(time.Millisecond)}}, want: "success criteria not met: maxResponseTime.p50 is 1ms, measured 90ms"},
		"p90 and p99": {
			criteria: v2.SuccessCriteria{MaxResponseTime: &v2.ResponseTimeLimits{P90: limit(time.Millisecond), P95: limit(time.Second), P99: limit(2 * time.Millisecond)}},
			want:     "success criteria not met: maxResponseTime.p90 is 1ms, measured 150ms; maxResponseTime.p99 is 2ms, measured 400ms",
		},
		"rps":   {criteria: v2.SuccessCriteria{MinRequestsPerSecond: "50.5"}, want: "success criteria not met: minRequestsPerSecond is 50.5, measured 50.00"},
		"total": {criteria: v2.SuccessCriteria{MinTotalRequests: n(1001)}, want: "success criteria not met: minTotalRequests is 1001, measured 1000"},
		"nothing was measured": {
			criteria: v2.SuccessCriteria{MaxAverageResponseTime: limit(time.Second)},
			change:   func(r *v2.TestResult) { r.TotalRequests, r.AverageResponseTime = 0, nil },
			want:     "success criteria not met: maxAverageResponseTime is 1s, not measured (no request was made)",
		},
		"not reported": {criteria: v2.SuccessCriteria{MaxResponseTime: &v2.ResponseTimeLimits{P95: limit(time.Second)}}, change: func(r *v2.TestResult) { r.P95 = nil }, want: "success criteria not met: maxResponseTime.p95 is 1s, not measured"},
	} {
		t.Run(name, func(t *testing.T) {
			r := *result.DeepCopy()
			if tc.change != nil {
				tc.change(&r)
			}
			assert.Equal(t, tc.want, violations(&tc.criteria, &r, nil))
		})
	}
}

// TestViolations_Unrounded: numbers are compared as they were measured, and the message has the digits that show why.
func TestViolations_Unrounded(t *testing.T) {
	for name, tc := range map[string]struct {
		limit    string
		measured float64
		want     string
		// rounded is the result by the status alone.
		rounded string
	}{
		"a slow rate":              {limit: "0.004", measured: 0.0045},
		"slower":                   {limit: "0.004", measured: 0.0035, want: "minRequestsPerSecond is 0.004, measured 0.00"},
		"just below":               {limit: "50", measured: 49.996, want: "minRequestsPerSecond is 50, measured 49.996"},
		"at the limit":             {limit: "49.996", measured: 49.996},
		"a hair below":             {limit: "49.996", measured: 49.9959999, want: "minRequestsPerSecond is 49.996, measured 49.9959999"},
		"rounded below the limit":  {limit: "50.004", measured: 50.0041},
		"far below, by the status": {limit: "51", measured: 50, want: "minRequestsPerSecond is 51, measured 50.00", rounded: "minRequestsPerSecond is 51, measured 50.00"},
	} {
		stats := report.Stats{Requests: 100, RequestsPerSecond: tc.measured}
		result := resultOf(&stats, v2.ResultSourceReporter, true)
		criteria := &v2.SuccessCriteria{MinRequestsPerSecond: tc.limit}
		expect := func(want string) string {
			if want == "" {
				return ""
			}
			return "success criteria not met: " + want
		}
		assert.Equal(t, expect(tc.want), violations(criteria, result, &stats), name)
		assert.Equal(t, expect(tc.rounded), violations(criteria, result, nil), name)
	}
	assert.Equal(t, "success criteria not met: minRequestsPerSecond is 0.004, measured 0.00",
		violations(&v2.SuccessCriteria{MinRequestsPerSecond: "0.004"}, &v2.TestResult{RequestsPerSecond: "0.00"}, nil), "no request")
	for name, tc := range map[string]struct {
		limit            string
		failed, requests int64
		want             string
	}{
		"just above":    {"0.01", 1_000_001, 100_000_000, "maxFailureRatio is 0.01, measured 0.01000001 (1000001 of 100000000 requests failed)"},
		"at the limit":  {"0.01", 1_000_000, 100_000_000, ""},
		"above zero":    {"0", 1, 1 << 53, "maxFailureRatio is 0, measured 0.0000000000000001 (1 of 9007199254740992 requests failed)"},
		"seven digits":  {"0.0000001", 2, 10_000_000, "maxFailureRatio is 0.0000001, measured 0.0000002 (2 of 10000000 requests failed)"},
		"a third":       {"0.333333", 1, 3, "maxFailureRatio is 0.333333, measured 0.3333333 (1 of 3 requests failed)"},
		"as it was":     {"0.1", 420, 1000, "maxFailureRatio is 0.1, measured 0.42 (420 of 1000 requests failed)"},
		"a third, less": {"0.333334", 1, 3, ""},
	} {
		got := violations(&v2.SuccessCriteria{MaxFailureRatio: tc.limit}, resultOf(&report.Stats{Requests: tc.requests, Failures: tc.failed}, v2.ResultSourceReporter, true), nil)
		if tc.want != "" {
			tc.want = "success criteria not met: " + tc.want
		}
		assert.Equal(t, tc.want, got, name)
	}
}

// TestCriteria_Restart: the measured rate is in the master's pod, so the outcome does not depend on what the operator
// remembers. Without the pod the rounded one of the status decides, in favour of the run.
func TestCriteria_Restart(t *testing.T) {
	for name, tc := range map[string]struct {
		limit string
		pod   bool
		phase string
	}{
		"below by a hair, pod there":  {"4.5049", true, v2.PhaseFailed},
		"below by a hair, pod gone":   {"4.5049", false, v2.PhaseSucceeded},
		"clearly below, pod gone":     {"4.6", false, v2.PhaseFailed},
		"above the limit, pod there":  {"4.4999", true, v2.PhaseSucceeded},
		"above the limit, pod gone":   {"4.4999", false, v2.PhaseSucceeded},
		"not rounded up, pod is gone": {"4.49", false, v2.PhaseSucceeded},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			s.obs.Run.Spec.SuccessCriteria = &v2.SuccessCriteria{MinRequestsPerSecond: tc.limit}
			at := metav1.NewTime(t0.Add(40 * time.Second))
			s.master().DeletionTimestamp = &at
			s.endPod(s.master(), at.Time, 0, finalMessage(true, 3, 100, 0))
			s.derive(t0.Add(40 * time.Second))
			assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
			assert.Equal(t, "4.50", s.prev.TestResult.RequestsPerSecond)

			s.obs.Locust = &Locust{} // the operator restarts
			if !tc.pod {
				s.dropPod(s.master())
			}
			s.endJob(s.obs.MasterJob, "Complete", at.Time)
			s.derive(t0.Add(60 * time.Second))
			assert.Equal(t, tc.phase, s.prev.Phase)
			assert.Equal(t, "4.50", s.prev.TestResult.RequestsPerSecond)
		})
	}
}

func TestCriteria_Decide(t *testing.T) {
	for name, tc := range map[string]struct {
		code     int32
		message  string
		ratio    string
		change   func(s *fixture)
		phase    string
		because  []string
		complete bool
	}{
		"good run, criteria hold":                {code: 0, message: finalMessage(true, 3, 100, 0), ratio: "0.1", phase: v2.PhaseSucceeded},
		"good run, criterion broken":             {code: 0, message: finalMessage(true, 3, 100, 20), ratio: "0.1", phase: v2.PhaseFailed, because: []string{"maxFailureRatio is 0.1, measured 0.2"}},
		"failed requests, criteria hold":         {code: 1, message: finalMessage(true, 3, 100, 5), ratio: "0.1", phase: v2.PhaseSucceeded},
		"failed requests, criterion broken":      {code: 1, message: finalMessage(true, 3, 100, 20), ratio: "0.1", phase: v2.PhaseFailed, because: []string{"maxFailureRatio is 0.1, measured 0.2"}},
		"failed requests, another code for them": {code: 9, message: finalMessage(true, 3, 100, 5), ratio: "0.1", change: func(s *fixture) { s.obs.Run.Spec.Master.ExtraArgs = []string{"--exit-code-on-error", "9"} }, phase: v2.PhaseSucceeded},
		"a code that is not for failed requests": {code: 2, message: finalMessage(true, 3, 100, 5), ratio: "0.1", phase: v2.PhaseFailed, because: []string{"exited with code 2"}},
		"no failed requests, yet code 1":         {code: 1, message: finalMessage(true, 3, 100, 0), ratio: "0.1", phase: v2.PhaseFailed, because: []string{"exited with code 1"}},
		"the locustfile's own code":              {code: 1, message: finalMessage(true, 3, 100, 5, `"custom_exit":true`), ratio: "0.1", phase: v2.PhaseFailed, because: []string{"exited with code 1"}},
		"killed master":                          {code: 137, message: finalMessage(false, 3, 100, 0), ratio: "0.1", phase: v2.PhaseFailed, because: []string{"exited with code 137"}},
		"no final result":                        {code: 0, message: "", ratio: "0.1", phase: v2.PhaseFailed, because: []string{"the success criteria cannot be checked: there is no final result (the master wrote no final report, and the master's web API did not report that the load had stopped)"}},
		"a final report that is refused": {code: 0, message: strings.Replace(finalMessage(true, 3, 100, 0), `"requests":100`, `"requests":-1`, 1), ratio: "0.1", phase: v2.PhaseFailed, because: []string{
			"the success criteria cannot be checked: there is no final result (the final report cannot be read: requests is negative: -1, and the master's web API did not report that the load had stopped)",
		}},
		"a negative response time":         {code: 0, message: strings.Replace(finalMessage(true, 3, 100, 0), `12.345`, `-1.0`, 2), ratio: "0.1", phase: v2.PhaseSucceeded},
		"an odd endpoint":                  {code: 0, message: strings.Replace(finalMessage(true, 3, 100, 0), `"name":"/a","requests":100`, `"name":"/a","requests":-1`, 1), ratio: "0.1", phase: v2.PhaseSucceeded},
		"failed requests, no final result": {code: 1, message: "", ratio: "0.1", phase: v2.PhaseFailed, because: []string{"exited with code 1"}},
		"a report that cannot be read": {code: 1, message: `{"locust.io/report":1,`, ratio: "0.1", change: func(s *fixture) {
			s.obs.Locust.Report = &report.Report{State: report.StateStopped, Exact: true, Stats: report.Stats{Requests: 100, Failures: 5}}
			s.obs.Locust.At = t0.Add(time.Minute)
		}, phase: v2.PhaseFailed, because: []string{"exited with code 1"}},
		"no criteria, failed requests": {code: 1, message: finalMessage(true, 3, 100, 5), phase: v2.PhaseFailed, because: []string{"exited with code 1", "5 of 100 requests failed"}},
		"no reporter, but the web API reported the end": {code: 1, message: "", ratio: "0.1", change: func(s *fixture) {
			s.obs.Locust = &Locust{Report: &report.Report{State: report.StateStopped, Exact: true, Stats: report.Stats{Requests: 100, Failures: 5}}, At: t0.Add(39 * time.Second), CountersUnchangedSince: t0.Add(30 * time.Second)}
		}, phase: v2.PhaseSucceeded},
		"the master's pod was deleted while it ran":  {code: 1, message: finalMessage(true, 3, 100, 5), ratio: "0.1", change: func(s *fixture) { at := metav1.NewTime(t0); s.master().DeletionTimestamp = &at }, phase: v2.PhaseFailed, because: []string{"exited with code 1"}},
		"the spec's criteria, not the changed one's": {code: 0, message: finalMessage(true, 3, 100, 20), ratio: "0.1", change: func(s *fixture) { s.obs.Test.Spec.SuccessCriteria = nil }, phase: v2.PhaseFailed},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			if tc.ratio != "" {
				s.obs.Run.Spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: tc.ratio}
			}
			if tc.change != nil {
				tc.change(s)
			}
			s.endMaster(t0.Add(40*time.Second), tc.code, tc.message)
			s.derive(t0.Add(41 * time.Second))
			assert.Equal(t, tc.phase, s.prev.Phase)
			for _, text := range tc.because {
				requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, text)
			}
			assert.Equal(t, t0.Add(40*time.Second).Unix(), s.prev.CompletionTime.Unix())
		})
	}
}

func TestAbort(t *testing.T) {
	for name, tc := range map[string]struct {
		command  string
		criteria v2.SuccessCriteria
		after    time.Duration
		failures int64
		aborted  bool
	}{
		"criteria unreachable":            {"--run-time 100s", v2.SuccessCriteria{MaxFailureRatio: "0.1", AbortOnViolation: true}, 50 * time.Second, 201, true},
		"may still hold":                  {"--run-time 100s", v2.SuccessCriteria{MaxFailureRatio: "0.1", AbortOnViolation: true}, 50 * time.Second, 200, false},
		"within the grace period":         {"--run-time 100s", v2.SuccessCriteria{MaxFailureRatio: "0.1", AbortOnViolation: true}, 29 * time.Second, 1000, false},
		"after a grace period of its own": {"--run-time 100s", v2.SuccessCriteria{MaxFailureRatio: "0.1", AbortOnViolation: true, AbortGracePeriod: limit(10 * time.Second)}, 29 * time.Second, 1000, true},
		"no run time: the ratio so far":   {"", v2.SuccessCriteria{MaxFailureRatio: "0.1", AbortOnViolation: true}, 50 * time.Second, 101, true},
		"no run time: it holds so far":    {"", v2.SuccessCriteria{MaxFailureRatio: "0.1", AbortOnViolation: true}, 50 * time.Second, 100, false},
		"past its run time":               {"--run-time 20s", v2.SuccessCriteria{MaxFailureRatio: "0.1", AbortOnViolation: true}, 50 * time.Second, 101, true},
		"not asked for":                   {"", v2.SuccessCriteria{MaxFailureRatio: "0.1"}, 50 * time.Second, 1000, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			s.obs.Run.Spec.Master.Command += " " + tc.command
			s.obs.Run.Spec.SuccessCriteria = &tc.criteria
			s.answer(t0.Add(20*time.Second), 3, report.StateSpawning, report.Stats{})
			s.answer(t0.Add(20*time.Second+tc.after), 3, report.StateRunning, report.Stats{Requests: 1000, Failures: tc.failures})
			if !tc.aborted {
				assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
				return
			}
			requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "aborted after "+tc.after.String(), "maxFailureRatio is 0.1, measured ", "of 1000 requests failed")
			assert.Equal(t, int64(1000), s.prev.TestResult.TotalRequests, "what was known then")
			assert.False(t, s.prev.TestResult.Final)
			assert.Len(t, PlanFor(&s.prev, &s.obs, settings, t0.Add(3*time.Minute)).Stop, 2, "the load is stopped")
		})
	}
}

// TestAbort_RunTime: the run time that Locust reports decides whether the criteria can still be met.
func TestAbort_RunTime(t *testing.T) {
	for name, tc := range map[string]struct {
		target  *report.Target
		aborted bool
	}{
		"by the arguments":          {nil, false},
		"no limit in the web UI":    {&report.Target{}, true},
		"another one in the web UI": {&report.Target{RunTime: ms(60_000)}, true},
		"a load shape":              {&report.Target{RunTime: ms(1_000_000), Shape: true}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			s.obs.Run.Spec.Master.Command += " --run-time 1000s"
			s.obs.Run.Spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.1", AbortOnViolation: true}
			s.answerWithTarget(t0.Add(20*time.Second), report.StateSpawning, tc.target, report.Stats{})
			s.answerWithTarget(t0.Add(70*time.Second), report.StateRunning, tc.target, report.Stats{Requests: 1000, Failures: 200})
			assert.Equal(t, tc.aborted, s.prev.Phase == v2.PhaseFailed)
		})
	}
}
