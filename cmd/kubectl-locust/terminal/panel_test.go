package terminal

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestPanelWhilePending(t *testing.T) {
	lines := Panel(State{Test: pending(), Elapsed: 65 * time.Second, Now: start}, &History{}, 100)
	assert.Equal(t, []string{
		"perf/shop.one: Pending, 1:05",
		"",
		"  run       ░░░░░░░░░░░░░░░░░░░░░░░░░░░░░░ not started",
		"  workers   ██████████░░░░░░░░░░░░░░░░░░░░ 1/3",
		"  users                                    not known yet",
		"  requests                                 none yet",
		"  p95                                      none yet",
		"",
		"  · WorkersConnected  WaitingForWorkers: 1/3 workers connected",
		"  ✗ PodsHealthy       ImagePullError: pod x: not found",
	}, texts(lines))
	assert.Equal(t, Bad, lines[9].Tone)
}

func TestPanelWhileRunning(t *testing.T) {
	history := &History{}
	for i, users := range []int32{0, 5, 10} {
		status := pending(running).Status.DeepCopy()
		status.Progress.CurrentUsers = users
		status.TestResult.RequestsPerSecond = []string{"0", "6.25", "12.50"}[i]
		history.Add(status, start.Add(time.Duration(i)*time.Second))
	}
	state := State{Test: pending(running), Elapsed: 65 * time.Second, Now: start.Add(10 * time.Second), Note: "stopping\nthe load"}
	assert.Equal(t, []string{
		"perf/shop.one: Running, 1:05",
		"",
		"  run       ██████████░░░░░░░░░░░░░░░░░░░░ 0:10 of 0:30",
		"  workers   ██████████████████████████████ 3/3",
		"  users     ▁▄█                            10/20",
		"  requests  ▁▄█                            200, 12.50/s, 3 failed (1.5 %)",
		"  average   ███                            average 1.23ms, p50 1ms",
		"",
		"  ✗ 3 × GET /a: 500",
		"  ✗ 1 × KeyError",
		"",
		"  stopping the load",
	}, texts(Panel(state, history, 100)))
	assert.Equal(t, "  run       ███░░░░░ 0:10 of 0:30", Panel(state, history, 40)[2].Text, "a narrow terminal has narrow bars")

	state.Test.Status.TestResult.P95 = &metav1.Duration{Duration: 41 * time.Millisecond}
	assert.Equal(t, "  p95       ███                            average 1.23ms, p50 1ms, p95 41ms", Panel(state, history, 100)[6].Text)
}

func TestRunRow(t *testing.T) {
	full, half, none := strings.Repeat("█", 30), strings.Repeat("█", 15)+strings.Repeat("░", 15), strings.Repeat("░", 30)
	endless := func(s *v2.LocustTestStatus) { s.Progress.Duration = nil }
	ended := func(s *v2.LocustTestStatus) {
		s.TestResult.Final = true
		s.Progress.Elapsed = &metav1.Duration{Duration: 15 * time.Second}
	}
	for name, test := range map[string]struct {
		test  *v2.LocustTest
		after time.Duration
		want  [2]string
	}{
		"half":          {pending(running), 15 * time.Second, [2]string{half, "0:15 of 0:30"}},
		"over run time": {pending(running), 50 * time.Second, [2]string{full, "0:30, ending"}},
		"clock behind":  {pending(running), -5 * time.Second, [2]string{none, "0:00 of 0:30"}},
		"no run time":   {pending(running, endless), 75 * time.Second, [2]string{"", "1:15, no run time given"}},
		"stopped early": {pending(running, ended), 75 * time.Second, [2]string{half, "0:15 of 0:30"}},
		"not started":   {pending(), 0, [2]string{none, "not started"}},
	} {
		t.Run(name, func(t *testing.T) {
			graph, text := runRow(&test.test.Status, start.Add(test.after), 30)
			assert.Equal(t, test.want, [2]string{graph, text})
		})
	}
}

func TestSummary(t *testing.T) {
	assert.Equal(t, []string{
		"",
		"perf/shop.one: Failed after 0:41",
		"  cause     exit code 1",
		"  load      LoadAsPlanned: 20 users",
		"  requests  200, 12.50/s, 3 failed (1.5 %); exact, from the reporter",
		"  responses average 1.23ms, p50 1ms",
		"  endpoint  GET /a: 200, 3 failed, p95 2ms",
		"  error     3 × GET /a: 500",
		"  error     1 × KeyError",
		"  workers   3/3",
		"  report    shop.one-1f0c9a3e",
	}, texts(Summary(pending(finished))))
	assert.Equal(t, Bad, Summary(pending(finished))[1].Tone)
}

func TestSummaryOfASuccess(t *testing.T) {
	lines := Summary(pending(finished, func(s *v2.LocustTestStatus) {
		s.Phase = v2.PhaseSucceeded
		set(s, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestSucceeded, "all requests passed")
		set(s, v2.ConditionTypeSpecDrifted, metav1.ConditionTrue, v2.ReasonSpecChangeIgnored, "the image was changed")
		s.TestResult.Source = v2.ResultSourceWebAPI
	}))
	assert.Equal(t, Line{"perf/shop.one: Succeeded after 0:41", Good}, lines[1])
	text := strings.Join(texts(lines), "\n")
	assert.Contains(t, text, "  result    all requests passed\n")
	assert.Contains(t, text, "  problem   SpecDrifted, SpecChangeIgnored: the image was changed\n")
	assert.Contains(t, text, "exact, from the web API")
}

func TestSummaryWithoutLoad(t *testing.T) {
	text := strings.Join(texts(Summary(pending(func(s *v2.LocustTestStatus) { s.Phase = v2.PhaseFailed }))), "\n")
	assert.Contains(t, text, "perf/shop.one: Failed\n")
	assert.Contains(t, text, "  requests  no result\n")
	assert.Contains(t, text, "  problem   PodsHealthy, ImagePullError: pod x: not found\n")
	assert.NotContains(t, text, "report ")
}

func TestMark(t *testing.T) {
	for _, test := range []struct {
		typ, reason string
		status      metav1.ConditionStatus
		want        mark
	}{
		{v2.ConditionTypeStalled, v2.ReasonTestFailed, metav1.ConditionTrue, bad},
		{v2.ConditionTypeSpecDrifted, v2.ReasonSpecChangeIgnored, metav1.ConditionTrue, bad},
		{v2.ConditionTypeSpecDrifted, v2.ReasonSpecInSync, metav1.ConditionFalse, good},
		{v2.ConditionTypeWorkersConnected, v2.ReasonWorkersMissing, metav1.ConditionFalse, bad},
		{v2.ConditionTypeReady, v2.ReasonResourcesFailed, metav1.ConditionFalse, bad},
		{v2.ConditionTypeReady, v2.ReasonResourcesCreating, metav1.ConditionFalse, waiting},
		{v2.ConditionTypeReconciling, v2.ReasonResourcesCreating, metav1.ConditionTrue, waiting},
		{v2.ConditionTypePodsHealthy, v2.ReasonPodsStarting, metav1.ConditionTrue, waiting},
		{v2.ConditionTypePodsHealthy, v2.ReasonSuspended, metav1.ConditionTrue, waiting},
		{v2.ConditionTypePodsHealthy, v2.ReasonPodsHealthy, metav1.ConditionTrue, good},
		{v2.ConditionTypeLoadDelivered, v2.ReasonLoadNotStarted, metav1.ConditionUnknown, waiting},
		{v2.ConditionTypeLoadDelivered, v2.ReasonNoRequests, metav1.ConditionFalse, bad},
		{v2.ConditionTypeLoadDelivered, v2.ReasonLoadAsPlanned, metav1.ConditionTrue, good},
		{v2.ConditionTypeTestCompleted, v2.ReasonTestSucceeded, metav1.ConditionTrue, good},
		{v2.ConditionTypeTestCompleted, v2.ReasonTestFailed, metav1.ConditionTrue, bad},
	} {
		got := markOf(&metav1.Condition{Type: test.typ, Status: test.status, Reason: test.reason})
		assert.Equal(t, test.want, got, "%s=%s %s", test.typ, test.status, test.reason)
	}
}

func TestClock(t *testing.T) {
	assert.Equal(t, "1:02:03", Clock(time.Hour+2*time.Minute+3*time.Second))
	assert.Equal(t, "59:59", Clock(time.Hour-time.Second))
	assert.Equal(t, "0:00", Clock(-time.Second))
}

func TestPercent(t *testing.T) {
	for share, want := range map[float64]string{1: "100 %", 0.015: "1.5 %", 0.0001: "< 0.1 %", 0.5: "50 %"} {
		assert.Equal(t, want, percent(share))
	}
}

// hostile returns a test whose texts all contain the given one.
func hostile(text string) *v2.LocustTest {
	test := pending(finished, func(s *v2.LocustTestStatus) {
		s.Phase += text
		s.Report = text
		s.TestResult.RequestsPerSecond += text
		s.TestResult.Endpoints[0].Method, s.TestResult.Endpoints[0].Name = text, text
		s.TestResult.Errors[0] = v2.ErrorResult{Method: text, Name: text, Error: text, Occurrences: 1}
		for i := range s.Conditions {
			s.Conditions[i].Message, s.Conditions[i].Reason = text, text
		}
		s.Conditions = append(s.Conditions, metav1.Condition{Type: text, Status: metav1.ConditionStatus(text), Reason: text, Message: text})
	})
	test.Name, test.Namespace = text, text
	return test
}

// FuzzViews checks that no view prints what a terminal would interpret.
func FuzzViews(f *testing.F) {
	f.Add("\x1b]0;x\a\x1b[2J\x9b31m\u202E\r\n\t")
	f.Fuzz(func(t *testing.T, text string) {
		test := hostile(text)
		history := &History{}
		history.Add(&test.Status, start)
		for _, lines := range [][]string{
			texts(Panel(State{Test: test, Now: start, Note: text}, history, 80)), texts(Summary(test)), Changes(nil, test), Changes(pending(), test),
		} {
			for _, line := range lines {
				requireSafe(t, line)
				if strings.Contains(line, "\n") {
					t.Fatalf("more than one line: %q", line)
				}
			}
		}
		var out strings.Builder
		log := &ChangeLog{Out: &out}
		log.Draw(State{Test: test, Note: text})
		requireSafe(t, out.String())
	})
}

func TestSummaryKeepsLines(t *testing.T) {
	test := pending(finished)
	set(&test.Status, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "exit code 1:\nTraceback:\n  File \"a.py\"\n\nImportError: \x1b[1mx\n")
	set(&test.Status, v2.ConditionTypeLoadDelivered, metav1.ConditionFalse, v2.ReasonWorkersLost, "lost:\na\nb")
	assert.Equal(t, []string{
		"  cause     exit code 1:",
		"            Traceback:",
		"              File \"a.py\"",
		"",
		"            ImportError: \uFFFD[1mx",
		"  load      WorkersLost: lost:",
		"            a",
		"            b",
	}, texts(Summary(test))[2:10])
}
