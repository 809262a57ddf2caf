package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// TestLoad_WebAPIAlone: without a reporter the time, the pods and the reports decide.
func TestLoad_WebAPIAlone(t *testing.T) {
	begun := func(t *testing.T, command string) *fixture {
		s := polled(t)
		s.obs.Run.Spec.Master.Command += command
		s.obs.Run.Spec.Master.Reporter = new(bool)
		s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{Requests: 90})
		requireLoad(t, s, v2.ReasonLoadAsPlanned)
		return s
	}
	t.Run("early", func(t *testing.T) {
		s := begun(t, " --run-time 60s")
		s.answer(t0.Add(40*time.Second), 3, report.StateStopped, report.Stats{Requests: 90})
		requireLoad(t, s, v2.ReasonLoadCutShort, "the load ended after 20s of 1m0s")
		s.endMaster(t0.Add(50*time.Second), 0, "")
		s.derive(t0.Add(51 * time.Second))
		assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	})
	t.Run("the master ends during the load, early", func(t *testing.T) {
		s := begun(t, " --run-time 60s")
		s.endMaster(t0.Add(50*time.Second), 0, "")
		s.derive(t0.Add(51 * time.Second))
		requireLoad(t, s, v2.ReasonLoadCutShort, "after 30s of 1m0s")
	})
	t.Run("in time", func(t *testing.T) {
		s := begun(t, " --run-time 60s")
		s.answer(t0.Add(78*time.Second), 3, report.StateStopped, report.Stats{Requests: 90})
		s.endMaster(t0.Add(90*time.Second), 0, "")
		s.derive(t0.Add(91 * time.Second))
		requireLoad(t, s, v2.ReasonLoadAsPlanned)
		assert.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	})
	t.Run("no run time", func(t *testing.T) {
		s := begun(t, "")
		s.answer(t0.Add(40*time.Second), 3, report.StateStopped, report.Stats{Requests: 90})
		requireLoad(t, s, v2.ReasonLoadAsPlanned)
		s.endMaster(t0.Add(50*time.Second), 0, "")
		s.derive(t0.Add(51 * time.Second))
		requireLoad(t, s, v2.ReasonNotObserved, "what ended it")
		assert.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	})
	t.Run("a worker lost", func(t *testing.T) {
		s := begun(t, " --run-time 60s")
		s.endPod(s.worker(1), t0.Add(30*time.Second), 137, "")
		s.answer(t0.Add(31*time.Second), 2, report.StateRunning, report.Stats{Requests: 120})
		requireLoad(t, s, v2.ReasonLoadAsPlanned)
		s.answer(t0.Add(35*time.Second), 2, report.StateRunning, report.Stats{Requests: 120})
		requireLoad(t, s, v2.ReasonWorkersLost, "1 worker was lost")
		s.dropPod(s.worker(1))
		s.answer(t0.Add(40*time.Second), 2, report.StateRunning, report.Stats{Requests: 120})
		requireLoad(t, s, v2.ReasonWorkersLost, "1 worker was lost")
		s.answer(t0.Add(80*time.Second), 2, report.StateStopped, report.Stats{Requests: 120})
		s.endMaster(t0.Add(90*time.Second), 0, "")
		s.derive(t0.Add(91 * time.Second))
		requireLoad(t, s, v2.ReasonWorkersLost, "1 worker was lost")
		assert.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
		requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestSucceeded, "; but 1 worker was lost")
	})
	t.Run("all workers lost", func(t *testing.T) {
		s := begun(t, " --run-time 8h")
		for i := range 3 {
			s.endPod(s.worker(i), t0.Add(30*time.Second), 137, "")
		}
		s.answer(t0.Add(40*time.Second), 0, report.StateStopped, report.Stats{Requests: 120})
		requireLoad(t, s, v2.ReasonLoadCutShort, "all workers were lost")
		s.answer(t0.Add(70*time.Second), 0, report.StateStopped, report.Stats{Requests: 120})
		assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	})
	t.Run("saturated", func(t *testing.T) {
		s := begun(t, " --run-time 60s")
		for i, percent := range []float64{99, 50, 95} {
			l := *s.obs.Locust
			at := t0.Add(time.Duration(30+10*i) * time.Second)
			l.RecordReport(&report.Report{State: report.StateRunning, Users: 9, Workers: 3, Stats: report.Stats{Requests: 90}, Busiest: &report.ProcessorUse{Worker: "shop-worker-2", Percent: percent}}, at)
			s.obs.Locust = &l
			s.derive(at)
			requireLoad(t, s, v2.ReasonLoadAsPlanned)
		}
		busy := func(at time.Time) {
			l := *s.obs.Locust
			l.RecordReport(&report.Report{State: report.StateRunning, Users: 9, Workers: 3, Stats: report.Stats{Requests: 90}, Busiest: &report.ProcessorUse{Worker: "shop-worker-2", Percent: 93}}, at)
			s.obs.Locust = &l
			s.derive(at)
		}
		busy(t0.Add(55 * time.Second))
		requireLoad(t, s, v2.ReasonLoadAsPlanned) // Locust may have measured once
		busy(t0.Add(time.Minute))
		requireLoad(t, s, v2.ReasonGeneratorSaturated, "worker shop-worker-2 used 93 %")
	})
}

// TestLoad_EndNotSeen: the last report showed a running load.
func TestLoad_EndNotSeen(t *testing.T) {
	for name, tc := range map[string]struct {
		command, reason string
	}{
		"in time":     {" --run-time 20s", v2.ReasonLoadAsPlanned},
		"early":       {" --run-time 60s", v2.ReasonLoadCutShort},
		"no run time": {"", v2.ReasonNotObserved},
	} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			s.recordSpec()
			s.obs.Run.Spec.Master.Command += tc.command
			s.answerWithDelivery(t0.Add(14*time.Second), report.StateReady, 0, report.Delivery{})
			s.answerWithDelivery(t0.Add(15*time.Second), report.StateRunning, 90, report.Delivery{})
			s.endJob(s.obs.MasterJob, batchv1.JobComplete, t0.Add(38*time.Second))
			s.obs.Pods = s.obs.Pods[1:]
			s.derive(t0.Add(time.Minute))
			requireLoad(t, s, tc.reason)
		})
	}
}

// TestLoad_StartNotSeen: a load that the first report shows as running may have run since the master started.
func TestLoad_StartNotSeen(t *testing.T) {
	s := polled(t)
	s.obs.Run.Spec.Master.Command += " --run-time 10m"
	s.answer(t0.Add(6*time.Minute), 3, report.StateRunning, report.Stats{Requests: 90})
	s.answer(t0.Add(10*time.Minute), 3, report.StateStopped, report.Stats{Requests: 200})
	requireLoad(t, s, v2.ReasonLoadAsPlanned)
	s.endMaster(t0.Add(11*time.Minute), 0, "")
	s.derive(t0.Add(11 * time.Minute))
	requireLoad(t, s, v2.ReasonLoadAsPlanned)

	s = polled(t)
	s.obs.Run.Spec.Master.Command += " --run-time 10m"
	s.answer(t0.Add(3*time.Minute), 3, report.StateRunning, report.Stats{Requests: 90})
	s.answer(t0.Add(8*time.Minute), 3, report.StateStopped, report.Stats{Requests: 200})
	requireLoad(t, s, v2.ReasonLoadCutShort)
}

// TestLoad_StateOlderThanTheReporter: Locust caches an answer for two seconds, but not the reporter's part of it.
func TestLoad_StateOlderThanTheReporter(t *testing.T) {
	s := polled(t)
	s.answerWithDelivery(t0.Add(15*time.Second), report.StateRunning, 90, report.Delivery{})
	s.answerWithDelivery(t0.Add(40*time.Second), report.StateStopped, 90, report.Delivery{EndedBy: report.EndedByWebUI})
	s.answerWithDelivery(t0.Add(50*time.Second), report.StateStopped, 90, report.Delivery{})
	requireLoad(t, s, v2.ReasonLoadAsPlanned)
}

// TestLoad_PodGone: the result of the final report stays when its pod is gone before the Job has ended.
func TestLoad_PodGone(t *testing.T) {
	s := polled(t)
	s.answerWithDelivery(t0.Add(15*time.Second), report.StateRunning, 90, report.Delivery{})
	at, grace := metav1.NewTime(t0.Add(66*time.Second)), int64(30)
	s.master().DeletionTimestamp, s.master().DeletionGracePeriodSeconds = &at, &grace
	s.endPod(s.master(), t0.Add(37*time.Second), 0, finalMessage(true, 3, 100, 0, delivered("signal")))
	s.derive(t0.Add(37 * time.Second))
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
	requireLoad(t, s, v2.ReasonLoadCutShort, "a signal ended the master")
	before := s.prev.DeepCopy()
	s.obs.Pods = s.obs.Pods[1:]
	s.derive(t0.Add(38 * time.Second))
	assert.Equal(t, NoChange, Compare(before, &s.prev))
	s.endJob(s.obs.MasterJob, batchv1.JobFailed, t0.Add(39*time.Second))
	s.derive(t0.Add(50 * time.Second))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	requireLoad(t, s, v2.ReasonLoadCutShort, "a signal ended the master")
}

// TestLoad_SecondLoad: the time without a request counts from the start of the running load.
func TestLoad_SecondLoad(t *testing.T) {
	s := polled(t)
	s.answerWithDelivery(t0.Add(14*time.Second), report.StateReady, 0, report.Delivery{})
	s.answerWithDelivery(t0.Add(15*time.Second), report.StateRunning, 90, report.Delivery{})
	s.answerWithDelivery(t0.Add(60*time.Second), report.StateStopped, 99, report.Delivery{EndedBy: report.EndedByWebUI})
	s.answerWithDelivery(t0.Add(62*time.Second), report.StateSpawning, 0, report.Delivery{})
	requireLoad(t, s, v2.ReasonLoadAsPlanned)
	s.answerWithDelivery(t0.Add(92*time.Second), report.StateRunning, 0, report.Delivery{})
	requireLoad(t, s, v2.ReasonNoRequests, "in 30s")
}
