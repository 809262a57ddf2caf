package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

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

func TestMasterFailed_ImmediatelyHadNoWorkers(t *testing.T) {
	s := created(t)
	for i := range 3 {
		s.runPod(s.worker(i), t0.Add(9*time.Second))
	}
	s.runPod(s.master(), t0.Add(9*time.Second))
	s.endPod(s.master(), t0.Add(11*time.Second), 1, "ImportError")
	s.endJob(s.obs.MasterJob, batchv1.JobFailed, t0.Add(11*time.Second))
	s.derive(t0.Add(12 * time.Second))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	assert.Equal(t, "0/3", s.prev.Workers, "no worker was connected to a master that failed at once")
}
