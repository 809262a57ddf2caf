package status

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// polled returns a running test whose pods have been ready since t0+10s and whose master is polled but has not answered.
func polled(t *testing.T) *fixture {
	s := created(t)
	s.obs.Locust = &Locust{}
	s.runMaster(t0.Add(10 * time.Second))
	for i := range 3 {
		s.runPod(s.worker(i), t0.Add(10*time.Second))
	}
	s.derive(t0.Add(12 * time.Second))
	require.Equal(t, v2.PhaseRunning, s.prev.Phase)
	return s
}

// answer records a report of the master and derives the status.
func (s *fixture) answer(at time.Time, workers int32, state report.State, stats report.Stats) Derivation {
	s.t.Helper()
	l := *s.obs.Locust
	l.RecordReport(&report.Report{State: state, Users: 10, Workers: workers, Stats: stats, Exact: state == report.StateStopped}, at)
	s.obs.Locust = &l
	return s.derive(at)
}

// failPoll records a failed poll and derives the status.
func (s *fixture) failPoll(at time.Time, reason string) Derivation {
	s.t.Helper()
	l := *s.obs.Locust
	l.RecordFailure(reason, strings.Contains(reason, "refused"), at)
	s.obs.Locust = &l
	return s.derive(at)
}

func TestWorkers_ReportedByMaster(t *testing.T) {
	s := polled(t)
	s.derive(t0.Add(20 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers, "0/3 workers connected (Locust's web API has not answered yet)")

	s.answer(t0.Add(21*time.Second), 2, report.StateReady, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers, "2/3 workers connected")
	s.answer(t0.Add(22*time.Second), 3, report.StateSpawning, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected)
	assert.Equal(t, "3/3 workers connected", workersMessage(&s.prev))

	// One is unresponsive: its pod is still ready.
	d := s.answer(t0.Add(30*time.Second), 2, report.StateRunning, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "3/3")
	assert.Equal(t, heartbeatGracePeriod, d.RequeueAfter, "it may be late with its heartbeat")
	s.derive(t0.Add(36 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing, "2/3 workers connected")
	assert.Equal(t, int32(3), newFacts(&s.prev, &s.obs, settings, t0.Add(36*time.Second)).readyWorkers())
	s.answer(t0.Add(40*time.Second), 3, report.StateRunning, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected)
}

func TestWorkers_Unreachable(t *testing.T) {
	s := polled(t)
	s.failPoll(t0.Add(13*time.Second), "connection refused")
	assert.Zero(t, s.prev.ConnectedWorkers, "the master may still be starting")
	s.answer(t0.Add(14*time.Second), 3, report.StateRunning, report.Stats{})

	// A single failed poll does not invalidate the report, but an old report is invalid.
	s.failPoll(t0.Add(19*time.Second), "no answer within 2 s")
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected)
	assert.Equal(t, "3/3 workers connected", workersMessage(&s.prev))
	d := s.failPoll(t0.Add(28*time.Second), "no answer within 2 s")
	assert.Equal(t, time.Second, d.RequeueAfter, "when the report is too old")
	d = s.derive(t0.Add(29 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected,
		"3/3 workers connected (counted from the worker Job's ready pods, because Locust's web API cannot be reached: no answer within 2 s)")
	assert.Empty(t, d.Events)

	// The master answers again.
	s.answer(t0.Add(60*time.Second), 2, report.StateRunning, report.Stats{})
	s.derive(t0.Add(66 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing)
	assert.Equal(t, "2/3 workers connected", workersMessage(&s.prev))
}

// TestWorkers_SourceNotRecorded: the number of an operator that did not record its source stays as it is until the first report.
func TestWorkers_SourceNotRecorded(t *testing.T) {
	s := polled(t)
	s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{})
	s.prev.ConnectedWorkersSource = ""
	s.obs.Locust = &Locust{}
	s.derive(t0.Add(22 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected)
	assert.Equal(t, "3/3 workers connected", workersMessage(&s.prev))
	s.answer(t0.Add(24*time.Second), 2, report.StateRunning, report.Stats{})
	assert.Equal(t, v2.WorkersSourceWebAPI, s.prev.ConnectedWorkersSource)
}

func TestWorkers_NeverReachable(t *testing.T) {
	s := polled(t)
	d := s.failPoll(t0.Add(13*time.Second), "no answer within 2 s")
	assert.Equal(t, 12*time.Second, d.RequeueAfter, "when its start is no excuse any more")
	s.derive(t0.Add(25 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "counted from", "no answer")

	s = polled(t)
	s.obs.Locust = &Locust{Unreachable: true, LastError: "Locust runs with --headless"}
	s.derive(t0.Add(14 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "counted from", "--headless")
}

// TestWorkers_Loading: the master does not listen while it loads its locustfile, and no worker is connected to it, however
// long their pods have been ready.
func TestWorkers_Loading(t *testing.T) {
	unknown := "0/3 workers connected (Locust's web API has not answered yet)"
	s := polled(t)
	d := s.failPoll(t0.Add(40*time.Second), "connection refused")
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers, unknown)
	assert.Equal(t, 15*time.Second, d.RequeueAfter, "if it is not refused again")

	// The first answer is late.
	d = s.failPoll(t0.Add(44*time.Second), "no answer within 2 s")
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers, unknown)
	assert.Equal(t, 11*time.Second, d.RequeueAfter)
	s.answer(t0.Add(46*time.Second), 1, report.StateReady, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers, "1/3 workers connected")
	// After an answer, a refusal does not count as startup.
	s.failPoll(t0.Add(62*time.Second), "connection refused")
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "counted from", "connection refused")

	// A master that never listens: the pods are counted after a minute, and from then on.
	s = polled(t)
	d = s.failPoll(t0.Add(60*time.Second), "connection refused")
	assert.Equal(t, 10*time.Second, d.RequeueAfter)
	s.derive(t0.Add(70 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "counted from", "connection refused")
	s.dropPod(s.worker(2))
	s.failPoll(t0.Add(71*time.Second), "connection refused")
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing, "2/3 workers connected", "connection refused")

	// The pods were counted because it did not answer: a refusal does not make the number unknown again.
	s = polled(t)
	s.failPoll(t0.Add(26*time.Second), "no answer within 2 s")
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "no answer")
	s.dropPod(s.worker(2))
	s.failPoll(t0.Add(31*time.Second), "connection refused")
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing, "2/3 workers connected", "connection refused")
}

// TestWorkers_FailedToLoad: a master that ends before it has listened had no workers, regardless of their pods.
func TestWorkers_FailedToLoad(t *testing.T) {
	s := polled(t)
	s.failPoll(t0.Add(30*time.Second), "connection refused")
	s.endPod(s.master(), t0.Add(31*time.Second), 1, "")
	s.derive(t0.Add(31 * time.Second))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	assert.Zero(t, s.prev.ConnectedWorkers)
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers,
		"0/3 workers connected (Locust's web API never answered)")

	// A master without a known web API may succeed, and then it had workers.
	s = polled(t)
	s.failPoll(t0.Add(30*time.Second), "connection refused")
	s.endPod(s.master(), t0.Add(40*time.Second), 0, "")
	s.endJob(s.obs.MasterJob, batchv1.JobComplete, t0.Add(41*time.Second))
	s.derive(t0.Add(41 * time.Second))
	require.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "counted from")
}

// TestWorkers_OperatorRestarted: no condition flaps before the next poll.
func TestWorkers_OperatorRestarted(t *testing.T) {
	s := polled(t)
	s.answer(t0.Add(20*time.Second), 2, report.StateReady, report.Stats{})
	was := s.prev.DeepCopy()
	s.obs.Locust = &Locust{}
	s.derive(t0.Add(50 * time.Second))
	assert.Equal(t, NoChange, Compare(was, &s.prev))
}

// TestWorkers_QuitAtEnd: at the end the master ends its workers, which are not lost.
func TestWorkers_QuitAtEnd(t *testing.T) {
	s := polled(t)
	s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{})
	for i := range 3 {
		s.endPod(s.worker(i), t0.Add(30*time.Second), 0, "")
	}
	s.answer(t0.Add(31*time.Second), 0, report.StateStopped, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected)

	// Regardless of how long it takes: the machine may be busy.
	s.derive(t0.Add(44 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected)
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy)
	s.failPoll(t0.Add(80*time.Second), "connection refused")
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "connection refused")

	// A worker deleted while the master runs is missing immediately.
	s = polled(t)
	s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{})
	s.dropPod(s.worker(2))
	s.answer(t0.Add(21*time.Second), 2, report.StateRunning, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing)

	// So is a killed one that its master has not noticed.
	s = polled(t)
	s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{})
	s.dropPod(s.worker(2))
	s.derive(t0.Add(21 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing, "2/3 workers connected")

	// So is one that has been replaced already.
	s = polled(t)
	s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{})
	s.runPod(s.worker(2), t0.Add(38*time.Second))
	s.answer(t0.Add(40*time.Second), 2, report.StateRunning, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing)

	// A worker deleted while the master waits for autoquit is missing.
	s = polled(t)
	s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{})
	s.answer(t0.Add(30*time.Second), 3, report.StateStopped, report.Stats{})
	s.dropPod(s.worker(2))
	s.answer(t0.Add(31*time.Second), 2, report.StateStopped, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing)
}

func TestWorkers_FrozenAtEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		locust   *Locust
		message  string
		want     int32
		source   string
		contains string
	}{
		"by the reporter":             {&Locust{}, finalMessage(true, 3, 100, 0), 3, v2.WorkersSourceReporter, "3/3 workers connected"},
		"by a snapshot":               {&Locust{}, finalMessage(false, 2, 100, 0), 2, v2.WorkersSourceReporter, "2/3 workers connected"},
		"by the master's last report": {&Locust{Report: &report.Report{Workers: 2}, At: t0.Add(21 * time.Second)}, "", 2, v2.WorkersSourceWebAPI, "2/3 workers connected"},
		"no report: the pods remain":  {&Locust{}, "", 3, v2.WorkersSourceReadyPods, "counted from the worker Job's ready pods"},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			s.answer(t0.Add(20*time.Second), 2, report.StateRunning, report.Stats{})
			s.obs.Locust = tc.locust
			s.endMaster(t0.Add(40*time.Second), 0, tc.message)
			s.derive(t0.Add(41 * time.Second))
			assert.Equal(t, tc.want, s.prev.ConnectedWorkers)
			assert.Equal(t, tc.source, s.prev.ConnectedWorkersSource)
			assert.Contains(t, workersMessage(&s.prev), tc.contains)
		})
	}
}

func TestNextPoll(t *testing.T) {
	asking := Settings{PollInterval: 5 * time.Second}
	now := t0.Add(60 * time.Second)
	connected := func(s *fixture) { s.answer(t0.Add(14*time.Second), 3, report.StateRunning, report.Stats{}) }
	for name, tc := range map[string]struct {
		change func(s *fixture)
		now    time.Time
		wait   time.Duration
		ask    bool
	}{
		"never polled":    {func(*fixture) {}, now, -time.Hour, true},
		"all well":        {func(s *fixture) { s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{}) }, t0.Add(46 * time.Second), 3 * time.Second, true},
		"due":             {func(s *fixture) { s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{}) }, t0.Add(49 * time.Second), 0, true},
		"workers are new": {connected, t0.Add(16 * time.Second), -time.Second, true},
		"a worker is deleted": {func(s *fixture) {
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
			at := metav1.NewTime(t0)
			s.worker(1).DeletionTimestamp = &at
		}, t0.Add(46 * time.Second), -time.Second, true},
		"a worker is replaced": {func(s *fixture) {
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
			s.pod("worker", 1).CreationTimestamp = metav1.NewTime(t0.Add(45 * time.Second))
		}, t0.Add(46 * time.Second), -time.Second, true},
		"workers come":        {func(s *fixture) { s.answer(t0.Add(14*time.Second), 2, report.StateReady, report.Stats{}) }, t0.Add(14 * time.Second), time.Second, true},
		"workers do not come": {func(s *fixture) { s.answer(t0.Add(140*time.Second), 2, report.StateReady, report.Stats{}) }, t0.Add(171 * time.Second), -26 * time.Second, true},
		"a worker went": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(20*time.Second), 2, report.StateRunning, report.Stats{})
		}, t0.Add(20 * time.Second), time.Second, true},
		"a worker is unresponsive": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(20*time.Second), 2, report.StateRunning, report.Stats{})
		}, t0.Add(50 * time.Second), -25 * time.Second, true},
		"starting": {func(s *fixture) { s.failPoll(t0.Add(13*time.Second), "refused") }, t0.Add(13 * time.Second), time.Second, true},
		"starting slowly": {func(s *fixture) {
			s.obs.Locust.Failures = 20
			s.failPoll(t0.Add(29*time.Second), "x")
		}, t0.Add(29 * time.Second), 5 * time.Second, true},
		"starting, and refuses": {func(s *fixture) { s.failPoll(t0.Add(24*time.Second), "refused") }, t0.Add(24 * time.Second), time.Second, true},
		"loading": {func(s *fixture) {
			s.obs.Locust.Failures = 50
			s.failPoll(t0.Add(65*time.Second), "refused")
		}, t0.Add(65 * time.Second), 5 * time.Second, true},
		"not up after all": {func(s *fixture) {
			s.obs.Locust.Failures = 60
			s.failPoll(t0.Add(72*time.Second), "refused")
		}, t0.Add(72 * time.Second), 5 * time.Second, true},
		"never up": {func(s *fixture) {
			s.obs.Locust.Failures = 20
			s.failPoll(t0.Add(100*time.Second), "refused")
		}, t0.Add(100 * time.Second), 30 * time.Second, true},
		"no answer":          {func(s *fixture) { connected(s); s.failPoll(t0.Add(40*time.Second), "x") }, t0.Add(40 * time.Second), 5 * time.Second, true},
		"no answer for long": {func(s *fixture) { connected(s); s.obs.Locust.Failures = 2; s.failPoll(t0.Add(40*time.Second), "x") }, t0.Add(40 * time.Second), 20 * time.Second, true},
		"no answer for ever": {func(s *fixture) { connected(s); s.obs.Locust.Failures = 99; s.failPoll(t0.Add(40*time.Second), "x") }, t0.Add(40 * time.Second), 30 * time.Second, true},
		"a slow answer": {func(s *fixture) {
			s.obs.Locust.PollDuration = 700 * time.Millisecond
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
		}, t0.Add(44 * time.Second), 7 * time.Second, true},
		"a slow answer while workers come": {func(s *fixture) {
			s.obs.Locust.PollDuration = 600 * time.Millisecond
			s.answer(t0.Add(14*time.Second), 2, report.StateReady, report.Stats{})
		}, t0.Add(14 * time.Second), 6 * time.Second, true},
		"an answer while workers come": {func(s *fixture) {
			s.obs.Locust.PollDuration = 400 * time.Millisecond
			s.answer(t0.Add(14*time.Second), 2, report.StateReady, report.Stats{})
		}, t0.Add(14 * time.Second), time.Second, true},
		"a very slow answer: the report stays fresh": {func(s *fixture) {
			s.obs.Locust.PollDuration = 1900 * time.Millisecond
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
		}, t0.Add(44 * time.Second), 10 * time.Second, true},
		"a slow answer after the load has ended": {func(s *fixture) {
			connected(s)
			s.obs.Locust.PollDuration = 1900 * time.Millisecond
			s.answer(t0.Add(44*time.Second), 3, report.StateStopped, report.Stats{Requests: 1})
		}, t0.Add(44 * time.Second), time.Second, true},
		"a quick answer": {func(s *fixture) {
			s.obs.Locust.PollDuration = 500 * time.Millisecond
			s.answer(t0.Add(44*time.Second), 3, report.StateRunning, report.Stats{})
		}, t0.Add(44 * time.Second), 5 * time.Second, true},
		"the load has ended": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(44*time.Second), 3, report.StateStopping, report.Stats{})
			s.answer(t0.Add(50*time.Second), 3, report.StateStopped, report.Stats{})
		}, t0.Add(79 * time.Second), -28 * time.Second, true},
		"its final result does not come": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(44*time.Second), 3, report.StateStopped, report.Stats{Requests: 1})
			s.answer(t0.Add(75*time.Second), 3, report.StateStopped, report.Stats{Requests: 2})
		}, t0.Add(75 * time.Second), 5 * time.Second, true},
		"it does not stop": {func(s *fixture) {
			connected(s)
			s.answer(t0.Add(44*time.Second), 3, report.StateStopping, report.Stats{})
			s.answer(t0.Add(75*time.Second), 3, report.StateStopping, report.Stats{})
		}, t0.Add(75 * time.Second), 5 * time.Second, true},
		"not polled":              {func(s *fixture) { s.obs.Locust = nil }, now, 0, false},
		"unreachable":             {func(s *fixture) { s.obs.Locust.Unreachable = true }, now, 0, false},
		"a Service plays no part": {func(s *fixture) { s.obs.Service = nil }, now, -time.Hour, true},
		"no address yet":          {func(s *fixture) { s.master().Status.PodIP = "" }, now, 0, false},
		"no master":               {func(s *fixture) { s.dropPod(s.master()) }, now, 0, false},
		"the test has ended":      {func(s *fixture) { s.prev.Phase = v2.PhaseSucceeded }, now, 0, false},
		"the master's pod ended":  {func(s *fixture) { s.endPod(s.master(), now, 0, "") }, now, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			tc.change(s)
			wait, ask := newFacts(&s.prev, &s.obs, asking, tc.now).nextPoll(&s.prev)
			assert.Equal(t, tc.ask, ask)
			if tc.wait == -time.Hour {
				assert.Negative(t, wait)
			} else {
				assert.Equal(t, tc.wait, wait)
			}
		})
	}
}

// endMaster ends the master's pod and Job.
func (s *fixture) endMaster(at time.Time, code int32, message string) {
	s.endPod(s.master(), at, code, message)
	if code == 0 {
		s.endJob(s.obs.MasterJob, "Complete", at)
	} else {
		s.endJob(s.obs.MasterJob, "Failed", at)
	}
}

// finalMessage returns a termination message of the reporter. The load ran from t0+15s to t0+35s.
func finalMessage(complete bool, workers, requests, failures int, more ...string) string {
	extra := ""
	for _, m := range more {
		extra += "," + m
	}
	return fmt.Sprintf(`{"locust.io/report":1,"complete":%t,"state":"running","users":12,"workers":%d,"start":%d,"end":%d,"requests":%d,"failures":%d,`+
		`"avg":12.345,"rps":4.5,"p50":10,"p90":20,"p95":25,"p99":40,"endpoints":[{"method":"GET","name":"/a","requests":%d,"failures":%d,"avg":12.345,"p95":25}],`+
		`"errors":[{"method":"GET","name":"/a","error":"500 Server Error","count":%d}],"exceptions":[],"custom_exit":false,"log":[]%s}`,
		complete, workers, t0.Unix()+15, t0.Unix()+35, requests, failures, requests, failures, failures, extra)
}

func workersMessage(s *v2.LocustTestStatus) string {
	for _, c := range s.Conditions {
		if c.Type == v2.ConditionTypeWorkersConnected {
			return c.Message
		}
	}
	return ""
}

// TestRunningMaster: the newest running pod, in any order of the list.
func TestRunningMaster(t *testing.T) {
	s := created(t)
	assert.Nil(t, RunningMaster(&s.obs), "it has not started")
	s.runMaster(t0.Add(10 * time.Second))
	assert.Same(t, s.master(), RunningMaster(&s.obs))

	s.pod("master", 1)
	newer := &s.obs.Pods[len(s.obs.Pods)-1]
	s.runPod(newer, t0.Add(20*time.Second))
	assert.Same(t, newer, RunningMaster(&s.obs))
	assert.Equal(t, t0.Add(20*time.Second), newFacts(&s.prev, &s.obs, settings, t0).masterRunningSince())
	s.runPod(s.master(), t0.Add(30*time.Second))
	assert.Same(t, s.master(), RunningMaster(&s.obs))

	at := metav1.NewTime(t0)
	s.master().DeletionTimestamp = &at
	assert.Same(t, newer, RunningMaster(&s.obs), "the other goes")
	s.endPod(newer, t0.Add(40*time.Second), 0, "")
	assert.Nil(t, RunningMaster(&s.obs))
}
