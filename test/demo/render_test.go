package main

import (
	"context"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// pending returns a test that waits for its workers, after the edits of a test case.
func pending(edit ...func(*v2.LocustTest)) *v2.LocustTest {
	test := &v2.LocustTest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "locust-demo", Name: "demo.one"},
		Spec:       v2.LocustTestSpec{Master: v2.MasterSpec{Command: "--run-time 30s"}},
		Status: v2.LocustTestStatus{
			Phase: v2.PhasePending, ExpectedWorkers: 3, ConnectedWorkers: 1,
			Conditions: []metav1.Condition{
				{Type: v2.ConditionTypeReady, Status: metav1.ConditionTrue, Reason: v2.ReasonResourcesCreated},
				{Type: v2.ConditionTypeWorkersConnected, Status: metav1.ConditionFalse, Reason: v2.ReasonWaitingForWorkers, Message: "1/3 workers\nconnected"},
				{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionFalse, Reason: v2.ReasonTestInProgress, Message: "Test has not started"},
				{Type: v2.ConditionTypePodsHealthy, Status: metav1.ConditionFalse, Reason: v2.ReasonImagePullError, Message: "pod x: not found"},
				{Type: v2.ConditionTypeSpecDrifted, Status: metav1.ConditionFalse, Reason: v2.ReasonSpecInSync},
				{Type: v2.ConditionTypeReconciling, Status: metav1.ConditionTrue, Reason: v2.ReasonResourcesCreated},
			},
		},
	}
	for _, change := range edit {
		change(test)
	}
	return test
}

func running(test *v2.LocustTest) {
	test.Status.Phase = v2.PhaseRunning
	test.Status.StartTime = &metav1.Time{Time: start}
	test.Status.ConnectedWorkers = 3
	test.Status.Conditions[1].Status = metav1.ConditionTrue
	test.Status.Conditions[1].Reason = v2.ReasonAllWorkersConnected
	test.Status.Conditions[1].Message = "3/3 workers connected"
	test.Status.Conditions = test.Status.Conditions[:5]
	target := int32(20)
	test.Status.Progress = &v2.Progress{
		CurrentUsers: 10, TargetUsers: &target, StartTime: &metav1.Time{Time: start}, Duration: &metav1.Duration{Duration: 30 * time.Second},
	}
	test.Status.TestResult = &v2.TestResult{
		TotalRequests: 200, FailedRequests: 3, RequestsPerSecond: "12.50", Source: v2.ResultSourceWebAPI,
		AverageResponseTime: &metav1.Duration{Duration: 1234567 * time.Nanosecond}, P50: &metav1.Duration{Duration: time.Millisecond},
		Endpoints: []v2.EndpointResult{{Method: "GET", Name: "/a", TotalRequests: 200, FailedRequests: 3, P95: &metav1.Duration{Duration: 2 * time.Millisecond}}},
		Errors:    []v2.ErrorResult{{Method: "GET", Name: "/a", Error: "500", Occurrences: 3}},
	}
}

func finished(test *v2.LocustTest) {
	running(test)
	test.Status.Phase = v2.PhaseFailed
	test.Status.CompletionTime = &metav1.Time{Time: start.Add(41 * time.Second)}
	test.Status.Conditions[2] = metav1.Condition{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionTrue,
		Reason: v2.ReasonTestFailed, Message: "exit code 1"}
	test.Status.TestResult.Final, test.Status.TestResult.Source = true, v2.ResultSourceReporter
}

func TestPanelWhilePending(t *testing.T) {
	assert.Equal(t, []string{
		"LocustTest locust-demo/demo.one, 1:05",
		"",
		"  phase     Pending",
		"  workers   ██████████░░░░░░░░░░░░░░░░░░░░ 1/3",
		"  users     ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ not known yet",
		"  run       ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ not started",
		"  requests  none yet",
		"  responses none yet",
		"",
		"  ✓ Ready             ResourcesCreated",
		"  · WorkersConnected  WaitingForWorkers    1/3 workers connected",
		"  · TestCompleted     TestInProgress       Test has not started",
		"  ✗ PodsHealthy       ImagePullError       pod x: not found",
		"  ✓ SpecDrifted       SpecInSync",
		"  · Reconciling       ResourcesCreated",
	}, panel(pending(), 65*time.Second, start))
}

func TestPanelWhileRunning(t *testing.T) {
	assert.Equal(t, []string{
		"  phase     Running",
		"  workers   ██████████████████████████████ 3/3",
		"  users     ███████████████░░░░░░░░░░░░░░░ 10/20",
		"  run       ██████████░░░░░░░░░░░░░░░░░░░░ 0:10 of 0:30",
		"  requests  200, 12.50/s, 3 failed",
		"  responses average 1.23ms, p50 1ms",
	}, panel(pending(running), 65*time.Second, start.Add(10*time.Second))[2:8])
}

func TestPanelBeforeTheFirstState(t *testing.T) {
	assert.Equal(t, []string{"waiting for the test, 0:03"}, panel(nil, 3*time.Second, start))
}

func TestRunBar(t *testing.T) {
	full, half, none := strings.Repeat("█", 30), strings.Repeat("█", 15)+strings.Repeat("░", 15), strings.Repeat("░", 30)
	endless := func(test *v2.LocustTest) { test.Status.Progress.Duration = nil }
	ended := func(test *v2.LocustTest) {
		test.Status.TestResult.Final = true
		test.Status.Progress.Elapsed = &metav1.Duration{Duration: 15 * time.Second}
	}
	for name, test := range map[string]struct {
		test  *v2.LocustTest
		after time.Duration
		want  string
	}{
		"half":          {pending(running), 15 * time.Second, half + " 0:15 of 0:30"},
		"over run time": {pending(running), 50 * time.Second, full + " 0:30, ending"},
		"clock behind":  {pending(running), -5 * time.Second, none + " 0:00 of 0:30"},
		"no run time":   {pending(running, endless), 75 * time.Second, "1:15, no --run-time given"},
		"stopped early": {pending(running, ended), 75 * time.Second, half + " 0:15 of 0:30"},
		"not started":   {pending(), 0, none + " not started"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, runBar(test.test, start.Add(test.after)))
		})
	}
}

func TestChanges(t *testing.T) {
	assert.Equal(t, []string{
		"phase Running",
		"workers 3/3",
		"users 10; requests 200, 12.50/s, 3 failed; responses average 1.23ms, p50 1ms",
		"✓ WorkersConnected  AllWorkersConnected  3/3 workers connected",
		"· Reconciling       removed",
	}, changes(pending(), pending(running)))
	assert.Empty(t, changes(pending(), pending()), "no change, no line")
	assert.Len(t, changes(nil, pending()), 2+6, "the first state is printed completely")
	assert.Equal(t, []string{"phase not known yet"}, changes(pending(), &v2.LocustTest{})[:1])
}

func TestSummary(t *testing.T) {
	lines := summary(pending(finished), "source settings")
	text := strings.Join(lines, "\n")
	assert.Equal(t, "locust-demo/demo.one: Failed after 0:41, 3/3 workers", lines[1])
	assert.Contains(t, text, "  requests  200, 12.50/s, 3 failed (exact, from the reporter)\n  responses average 1.23ms, p50 1ms\n"+
		"  endpoint  GET /a: 200, 3 failed, p95 2ms\n  error     3 × GET /a: 500\n")
	assert.Contains(t, text, "✗ TestCompleted     TestFailed           exit code 1")
	assert.Contains(t, text, "Try next\n  source settings\n  kubectl -n locust-demo get locusttest demo.one -o yaml")
	assert.Contains(t, text, "logs job/demo-one-master", "dots in the test's name become dashes in its Jobs' names")
	assert.NotContains(t, strings.Join(summary(pending(finished), ""), "\n"), "source settings")
}

func TestMark(t *testing.T) {
	for _, test := range []struct {
		typ, reason string
		status      metav1.ConditionStatus
		want        string
	}{
		{v2.ConditionTypeStalled, v2.ReasonTestFailed, metav1.ConditionTrue, bad},
		{v2.ConditionTypeSpecDrifted, v2.ReasonSpecChangeIgnored, metav1.ConditionTrue, bad},
		{v2.ConditionTypeWorkersConnected, v2.ReasonWorkersMissing, metav1.ConditionFalse, bad},
		{v2.ConditionTypeReady, v2.ReasonResourcesFailed, metav1.ConditionFalse, bad},
		{v2.ConditionTypeReady, v2.ReasonResourcesCreating, metav1.ConditionFalse, waiting},
		{v2.ConditionTypePodsHealthy, v2.ReasonPodsStarting, metav1.ConditionTrue, waiting},
		{v2.ConditionTypePodsHealthy, v2.ReasonPodsHealthy, metav1.ConditionTrue, good},
		{v2.ConditionTypeLoadDelivered, v2.ReasonLoadNotStarted, metav1.ConditionUnknown, waiting},
		{v2.ConditionTypeLoadDelivered, v2.ReasonNoRequests, metav1.ConditionFalse, bad},
		{v2.ConditionTypeLoadDelivered, v2.ReasonLoadAsPlanned, metav1.ConditionTrue, good},
		{v2.ConditionTypeTestCompleted, v2.ReasonTestSucceeded, metav1.ConditionTrue, good},
		{v2.ConditionTypeTestCompleted, v2.ReasonTestFailed, metav1.ConditionTrue, bad},
	} {
		got := mark(&metav1.Condition{Type: test.typ, Status: test.status, Reason: test.reason})
		assert.Equal(t, test.want, got, "%s=%s %s", test.typ, test.status, test.reason)
	}
}

func TestUnfinishedNamesBadConditions(t *testing.T) {
	name := client.ObjectKey{Namespace: "locust-demo", Name: "demo.one"}
	err := unfinished(name, pending(), context.DeadlineExceeded)
	assert.ErrorContains(t, err, "is Pending")
	assert.NotContains(t, err.Error(), "deadline exceeded")
	assert.ErrorContains(t, err, "PodsHealthy=False ImagePullError: pod x: not found")
	assert.NotContains(t, err.Error(), "SpecInSync", "good conditions are not a cause")
	assert.ErrorContains(t, unfinished(name, &v2.LocustTest{}, errDeleted), "is the operator running?")
	assert.ErrorIs(t, unfinished(name, nil, errDeleted), errDeleted)
}

func TestCutAndClock(t *testing.T) {
	assert.Equal(t, "██…", cut("█████", 3))
	assert.Equal(t, "short", cut("short", 80))
	assert.Equal(t, 20, utf8.RuneCountInString(cut(strings.Repeat("é", 50), 20)))
	assert.Equal(t, "1:02:03", clock(time.Hour+2*time.Minute+3*time.Second))
	assert.Equal(t, "0:00", clock(-time.Second))
}

func TestScreenDrawsOverItself(t *testing.T) {
	var out strings.Builder
	s := &screen{out: &out, width: 40, started: start}
	s.draw(pending(), start)
	out.Reset()
	s.draw(pending(running), start)
	assert.True(t, strings.HasPrefix(out.String(), "\x1b[15A\r"), "moves the cursor up to the start of the previous panel")
	for _, line := range strings.Split(strings.TrimSuffix(out.String(), "\n\x1b[J"), "\n") {
		assert.LessOrEqual(t, utf8.RuneCountInString(line), 39+len("\x1b[15A\r\x1b[K"), "a line does not wrap")
	}
	out.Reset()
	s.draw(pending(finished), start)
	assert.Equal(t, "\x1b[14A\x1b[J", out.String(), "the summary replaces the last panel")
}

func TestChangeLogWithoutChange(t *testing.T) {
	var out strings.Builder
	l := &changeLog{out: &out, started: start}
	l.draw(nil, start)
	first := pending()
	l.draw(first, start.Add(2*time.Second))
	assert.True(t, strings.HasPrefix(out.String(), "  0:02  phase Pending\n"))
	length := out.Len()
	l.draw(first, start.Add(3*time.Second))
	assert.Equal(t, length, out.Len())
}
