package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

func killWorkers(s *fixture) {
	for i := range 3 {
		s.endPod(s.worker(i), t0.Add(32*time.Second), 137, "")
	}
}

func limitCPU(cores string) func(*fixture) {
	return func(s *fixture) {
		s.obs.Run.Spec.Worker.Resources.Limits = corev1.ResourceList{corev1.ResourceCPU: resource.MustParse(cores)}
	}
}

// TestLoad_WorkersQuit: workers that the locustfile ended after requests are not lost; others are.
func TestLoad_WorkersQuit(t *testing.T) {
	quit := finalMessage(true, 0, 100, 0, delivered("workers-quit", "lost", "3", "run_time", "3600"))
	end := func(code int32) func(*fixture) {
		return func(s *fixture) {
			for i := range 3 {
				s.endPod(s.worker(i), t0.Add(34*time.Second), code, "")
			}
		}
	}
	for name, tc := range map[string]struct {
		message string
		happen  func(*fixture)
		reason  string
	}{
		"by themselves":     {quit, end(0), v2.ReasonLoadAsPlanned},
		"without a request": {finalMessage(true, 0, 0, 0, delivered("workers-quit", "lost", "3")), end(0), v2.ReasonNoRequests},
		"with an error":     {quit, end(1), v2.ReasonLoadCutShort},
		"deleted": {quit, func(s *fixture) {
			end(0)(s)
			at, grace := metav1.NewTime(t0.Add(63*time.Second)), int64(30)
			for i := range 3 {
				s.worker(i).DeletionTimestamp, s.worker(i).DeletionGracePeriodSeconds = &at, &grace
			}
		}, v2.ReasonLoadCutShort},
		"gone": {quit, func(s *fixture) { s.obs.Pods = s.obs.Pods[:1] }, v2.ReasonLoadCutShort},
		"replaced": {quit, func(s *fixture) {
			for i := range 3 {
				s.runPod(s.worker(i), t0.Add(37*time.Second))
			}
		}, v2.ReasonLoadCutShort},
		"one long before the others were deleted": {quit, func(s *fixture) {
			end(0)(s)
			s.endPod(s.worker(0), t0.Add(20*time.Second), 0, "")
			at, grace := metav1.NewTime(t0.Add(63*time.Second)), int64(30)
			for i := range 2 {
				s.worker(1+i).DeletionTimestamp, s.worker(1+i).DeletionGracePeriodSeconds = &at, &grace
			}
		}, v2.ReasonLoadCutShort},
		"one long before the others went": {quit, func(s *fixture) {
			s.endPod(s.worker(0), t0.Add(20*time.Second), 0, "")
			s.obs.Pods = s.obs.Pods[:2]
		}, v2.ReasonLoadCutShort},
		"one was lost": {finalMessage(true, 0, 100, 0, delivered("workers-quit", "lost", "3")), func(s *fixture) {
			end(0)(s)
			s.endPod(s.worker(1), t0.Add(30*time.Second), 137, "")
		}, v2.ReasonWorkersLost},
	} {
		t.Run(name, func(t *testing.T) {
			s := running(t)
			tc.happen(s)
			s.endMaster(t0.Add(40*time.Second), 0, tc.message)
			s.derive(t0.Add(41 * time.Second))
			requireLoad(t, s, tc.reason)
		})
	}

	// The master's end is observed before its workers' ends.
	s := running(t)
	s.endMaster(t0.Add(36*time.Second), 0, quit)
	d := s.derive(t0.Add(37 * time.Second))
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
	assert.Positive(t, d.RequeueAfter)
	assert.LessOrEqual(t, d.RequeueAfter, podStatusTimeout)
	end(0)(s)
	s.derive(t0.Add(38 * time.Second))
	assert.Equal(t, v2.PhaseSucceeded, s.prev.Phase)
	requireLoad(t, s, v2.ReasonLoadAsPlanned)
}

// TestLoad_AllWorkersLost: the run does not wait for the run time of a load that cannot start again.
func TestLoad_AllWorkersLost(t *testing.T) {
	lostAll := func(guarantee v2.LoadGuarantee, d report.Delivery) *fixture {
		s := polled(t)
		s.obs.Run.Spec.LoadGuarantee = guarantee
		s.obs.Run.Spec.Master.Command += " --run-time 8h"
		s.answerWithDelivery(t0.Add(20*time.Second), report.StateRunning, 90, report.Delivery{})
		for i := range 3 {
			s.endPod(s.worker(i), t0.Add(40*time.Second), 137, "")
		}
		s.answerWithDelivery(t0.Add(45*time.Second), report.StateStopped, 90, d)
		requireLoad(t, s, v2.ReasonLoadCutShort, "all workers were lost, so Locust ended the load after 25s of 8h0m0s (worker pod shop-worker-0 exited with code 137)")
		assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
		return s
	}
	for name, d := range map[string]report.Delivery{
		"missing": {EndedBy: report.EndedByWorkersMissing, WorkersLost: 3}, "quit": {EndedBy: report.EndedByWorkersQuit, WorkersLost: 3},
	} {
		t.Run(name, func(t *testing.T) {
			s := lostAll("", d)
			s.answerWithDelivery(t0.Add(74*time.Second), report.StateStopped, 90, d)
			assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
			s.answerWithDelivery(t0.Add(75*time.Second), report.StateStopped, 90, d)
			assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
			requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "load not delivered (LoadCutShort): all workers were lost")
			plan := PlanFor(&s.prev, &s.obs, settings, t0.Add(75*time.Second))
			assert.NotEmpty(t, plan.Stop)
		})
	}
	d := report.Delivery{EndedBy: report.EndedByWorkersMissing, WorkersLost: 3}
	t.Run("none guaranteed", func(t *testing.T) {
		s := lostAll(v2.LoadGuaranteeNone, d)
		s.answerWithDelivery(t0.Add(3*time.Minute), report.StateStopped, 90, d)
		assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
		requireLoad(t, s, v2.ReasonLoadCutShort)
	})
	t.Run("another load", func(t *testing.T) {
		s := lostAll("", d)
		s.answerWithDelivery(t0.Add(60*time.Second), report.StateRunning, 1, report.Delivery{WorkersLost: 3})
		s.answerWithDelivery(t0.Add(3*time.Minute), report.StateRunning, 50, report.Delivery{WorkersLost: 3})
		assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
		requireLoad(t, s, v2.ReasonWorkersLost)
	})
}

// TestLoad_NoRequestsLive: reported 30 s after the start, and cleared by the first request.
func TestLoad_NoRequestsLive(t *testing.T) {
	s := polled(t)
	s.answerWithDelivery(t0.Add(15*time.Second), report.StateRunning, 0, report.Delivery{})
	s.answerWithDelivery(t0.Add(44*time.Second), report.StateRunning, 0, report.Delivery{})
	requireLoad(t, s, v2.ReasonLoadAsPlanned)
	d := s.answerWithDelivery(t0.Add(45*time.Second), report.StateRunning, 0, report.Delivery{Exceptions: []report.Error{{Text: "no basket", Occurrences: 3}}})
	requireLoad(t, s, v2.ReasonNoRequests, "no request has finished in 30s", `"no basket" (3 times)`)
	require.Len(t, d.Events, 1)
	assert.Equal(t, v2.ReasonNoRequests, d.Events[0].Reason)
	assert.Equal(t, v2.PhaseRunning, s.prev.Phase)
	s.failPoll(t0.Add(5*time.Minute), "no answer within 2 s")
	requireLoad(t, s, v2.ReasonNoRequests)
	s.answerWithDelivery(t0.Add(6*time.Minute), report.StateRunning, 1, report.Delivery{})
	requireLoad(t, s, v2.ReasonLoadAsPlanned)

	// The load has ended, and its last statistics are in.
	s = polled(t)
	s.answerWithDelivery(t0.Add(15*time.Second), report.StateRunning, 0, report.Delivery{})
	s.answerWithDelivery(t0.Add(20*time.Second), report.StateStopped, 0, report.Delivery{EndedBy: report.EndedByRunTime})
	requireLoad(t, s, v2.ReasonLoadAsPlanned)
	s.answerWithDelivery(t0.Add(25*time.Second), report.StateStopped, 0, report.Delivery{EndedBy: report.EndedByRunTime})
	requireLoad(t, s, v2.ReasonNoRequests)
}
