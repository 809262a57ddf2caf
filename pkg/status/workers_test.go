package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

func TestWorkers_NoneConnectedBeforeMasterRuns(t *testing.T) {
	s := created(t)
	for i := range 3 {
		s.runPod(s.worker(i), t0.Add(5*time.Second))
	}
	s.derive(t0.Add(6 * time.Second))
	assert.Equal(t, "0/3", s.prev.Workers)
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWaitingForWorkers)
}

func TestWorkers_CountedFromJobWithoutPods(t *testing.T) {
	s := created(t)
	s.runMaster(t0.Add(5 * time.Second))
	s.obs.Pods = s.obs.Pods[:1]
	two := int32(2)
	s.obs.WorkerJob.Status.Ready = &two
	s.derive(t0.Add(6 * time.Second))
	assert.Equal(t, "2/3", s.prev.Workers)
	s.obs.WorkerJob.Status.Ready = nil
	s.derive(t0.Add(7 * time.Second))
	assert.Equal(t, "3/3", s.prev.Workers, "an old Job controller reports only active")
}

// TestWorkers_CleanExitAtLoadEnd: a worker that exited cleanly is not replaced while the load may have ended.
func TestWorkers_CleanExitAtLoadEnd(t *testing.T) {
	at := t0.Add(20 * time.Second)
	for name, tc := range map[string]struct {
		answered    time.Duration
		state       report.State
		replaced    time.Duration
		unreachable bool
	}{
		"the load continues":             {answered: 2 * time.Second, state: report.StateRunning, replaced: workerExitGracePeriod},
		"no report since":                {answered: -2 * time.Second, state: report.StateRunning, replaced: unansweredExitGracePeriod},
		"the load has ended":             {answered: 2 * time.Second, state: report.StateStopped},
		"there is no web API":            {unreachable: true, replaced: workerExitGracePeriod},
		"the end was reported before it": {answered: -2 * time.Second, state: report.StateStopped, replaced: unansweredExitGracePeriod},
	} {
		s := running(t)
		s.endPod(s.worker(0), at, 0, "")
		s.obs.WorkerJob.Status.CompletedIndexes, s.obs.WorkerJob.Status.Succeeded = "0", 1
		s.obs.Locust = &Locust{Unreachable: tc.unreachable}
		if tc.state != "" {
			s.obs.Locust.RecordReport(&report.Report{State: tc.state, Workers: 2}, at.Add(tc.answered))
		}
		for _, after := range []time.Duration{0, workerExitGracePeriod, unansweredExitGracePeriod} {
			plan := PlanFor(&s.prev, &s.obs, settings, at.Add(after))
			replaced := tc.replaced > 0 && after >= tc.replaced
			assert.Equal(t, replaced, plan.WorkerCompletions == 4, "%s, %s later", name, after)
			assert.Equal(t, tc.replaced > 0 && !replaced, plan.RequeueAfter > 0, "%s, %s later", name, after)
		}
	}
}

// TestWorkers_Processes: a worker pod with two processes has two workers, as reported by Locust and as counted from pods.
func TestWorkers_Processes(t *testing.T) {
	s := newFixture(t)
	s.obs.Test.Spec.Worker.Command += " --processes 2"
	initial := InitializeStatus(s.obs.Test, t0)
	assert.EqualValues(t, 6, initial.ExpectedWorkers)

	s = running(t)
	s.obs.Run.Spec.Worker.Command += " --processes 2"
	s.derive(t0.Add(30 * time.Second))
	assert.Equal(t, "6/6", s.prev.Workers)
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy)
	assert.Zero(t, PlanFor(&s.prev, &s.obs, settings, t0.Add(30*time.Second)).WorkerCompletions, "three pods are enough")
	s.dropPod(s.worker(2))
	s.derive(t0.Add(40 * time.Second))
	assert.Equal(t, "4/6", s.prev.Workers, "a pod that is missing is two workers")

	s = polled(t)
	s.obs.Run.Spec.Worker.Command += " --processes 2"
	s.answer(t0.Add(20*time.Second), 6, report.StateRunning, report.Stats{})
	assert.Equal(t, "6/6", s.prev.Workers)
	s.endPod(s.master(), t0.Add(60*time.Second), 0, finalMessage(true, 2147483647, 100, 0))
	s.derive(t0.Add(61 * time.Second))
	assert.Equal(t, "6/6", s.prev.Workers, "what a locustfile claims is bounded")
}

// TestWorkers_OfOperator2: pods of the 2.x operator have neither a component nor an index; if Locust is not polled they are
// counted, and the number is frozen at its value while the test ran.
func TestWorkers_OfOperator2(t *testing.T) {
	s := created(t)
	s.obs.MasterJob.Spec.Completions, s.obs.WorkerJob.Spec.Completions = nil, nil
	for i := range s.obs.Pods {
		job := s.obs.Pods[i].Labels[resources.LabelPodName]
		s.obs.Pods[i].Labels = map[string]string{resources.LabelTestName: "shop", resources.LabelPodName: job}
	}
	s.runAll()
	assert.Equal(t, "3/3", s.prev.Workers)
	assert.Equal(t, "shop-master-0", s.prev.MasterPod)
	end := t0.Add(time.Minute)
	for i := range 3 {
		s.endPod(s.worker(i), end.Add(-time.Second), 0, "")
		s.derive(end.Add(-time.Second))
		assert.Equal(t, "3/3", s.prev.Workers)
	}
	s.endPod(s.master(), end, 0, "")
	s.derive(end)
	require.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	assert.Equal(t, "3/3", s.prev.Workers)
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected)
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

// TestWorkers_OperatorRestarted: no condition flaps before the next poll.
func TestWorkers_OperatorRestarted(t *testing.T) {
	s := polled(t)
	s.answer(t0.Add(20*time.Second), 2, report.StateReady, report.Stats{})
	was := s.prev.DeepCopy()
	s.obs.Locust = &Locust{}
	s.derive(t0.Add(50 * time.Second))
	assert.Equal(t, NoChange, Compare(was, &s.prev))
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
