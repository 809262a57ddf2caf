package status

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// delivered returns the members that a reporter of this version adds to a final report; more replaces members.
func delivered(endedBy string, more ...string) string {
	members := map[string]string{
		"target_users": "12", "run_time": "20", "shape": "false", "lost": "0", "missing": "null", "cpu": `[0,""]`, "ended_by": "null",
	}
	if endedBy != "" {
		members["ended_by"] = `"` + endedBy + `"`
	}
	for i := 0; i < len(more); i += 2 {
		members[more[i]] = more[i+1]
	}
	text := ""
	for name, value := range members {
		text += fmt.Sprintf(`,%q:%s`, name, value)
	}
	return text[1:]
}

// recordSpec marks the master Job as created by this operator, with the recorded spec.
func (s *fixture) recordSpec() {
	s.obs.MasterJob.Annotations = map[string]string{resources.AnnotationRunGeneration: "1"}
}

func requireLoad(t *testing.T, s *fixture, reason string, contains ...string) {
	t.Helper()
	status := map[string]metav1.ConditionStatus{
		v2.ReasonNotObserved: metav1.ConditionUnknown, v2.ReasonLoadNotStarted: metav1.ConditionUnknown, v2.ReasonLoadAsPlanned: metav1.ConditionTrue,
	}[reason]
	if status == "" {
		status = metav1.ConditionFalse
	}
	requireCondition(t, &s.prev, v2.ConditionTypeLoadDelivered, status, reason, contains...)
}

// TestLoad_AtEnd: the condition by the final report of a load that ran for 20 s from t0+15s.
func TestLoad_AtEnd(t *testing.T) {
	for name, tc := range map[string]struct {
		message  string
		change   func(*fixture)
		reason   string
		contains []string
		strict   bool // Succeeded unless the guarantee is Strict
	}{
		"run time":             {message: finalMessage(true, 3, 100, 0, delivered("run-time")), reason: v2.ReasonLoadAsPlanned},
		"load shape":           {message: finalMessage(true, 3, 100, 0, delivered("shape", "shape", "true", "run_time", "3600")), reason: v2.ReasonLoadAsPlanned},
		"web UI, early":        {message: finalMessage(true, 3, 100, 0, delivered("web-ui", "run_time", "3600")), reason: v2.ReasonLoadAsPlanned},
		"locustfile, early":    {message: finalMessage(true, 3, 100, 0, delivered("locustfile", "run_time", "3600")), reason: v2.ReasonLoadAsPlanned},
		"main function":        {message: finalMessage(true, 3, 100, 0, delivered("main", "run_time", "null")), reason: v2.ReasonLoadAsPlanned},
		"main function, early": {message: finalMessage(true, 3, 100, 0, delivered("main", "run_time", "60")), reason: v2.ReasonLoadCutShort, contains: []string{"the load ended after 20s of 1m0s"}},
		"workers missing":      {message: finalMessage(true, 0, 100, 0, delivered("workers-missing", "run_time", "120")), reason: v2.ReasonLoadCutShort, contains: []string{"all workers were lost", "after 20s of 2m0s"}},
		"load shape failed":    {message: finalMessage(true, 3, 100, 0, delivered("shape-failed", "shape", "true")), reason: v2.ReasonLoadCutShort, contains: []string{"the load shape failed"}},
		"signal":               {message: finalMessage(true, 3, 100, 0, delivered("signal")), reason: v2.ReasonLoadCutShort, contains: []string{"a signal ended the master"}},
		"process ended":        {message: finalMessage(false, 3, 100, 0, delivered("")), reason: v2.ReasonLoadCutShort, contains: []string{"the master's process ended during the load"}},
		"no requests":          {message: finalMessage(true, 3, 0, 0, delivered("run-time")), reason: v2.ReasonNoRequests, contains: []string{"no request has finished in 20s", "check --host"}},
		"no requests, raised":  {message: finalMessage(true, 3, 0, 0, delivered("run-time", "exceptions", `[{"error":"no basket","count":7}]`)), reason: v2.ReasonNoRequests, contains: []string{`"no basket" (7 times)`}},
		"no requests, a worker's cause": {message: finalMessage(true, 3, 0, 0, delivered("run-time")), change: func(s *fixture) {
			s.endPod(s.worker(1), t0.Add(36*time.Second), 2, "locust.exception.LocustError: You must specify the base host.")
		}, reason: v2.ReasonNoRequests, contains: []string{"worker pod shop-worker-1 exited with code 2: locust.exception.LocustError: You must specify the base host", "give --host"}},
		"two reasons":           {message: finalMessage(true, 0, 0, 0, delivered("workers-missing")), reason: v2.ReasonNoRequests, contains: []string{"no request has finished", "; all workers were lost"}},
		"users missing":         {message: finalMessage(true, 3, 100, 0, delivered("run-time", "missing", "[4,12]")), reason: v2.ReasonUsersMissing, contains: []string{"only 4 of 12 users"}, strict: true},
		"users of a shape":      {message: finalMessage(true, 3, 100, 0, delivered("shape", "shape", "true", "missing", "[4,12]")), reason: v2.ReasonLoadAsPlanned},
		"a worker lost":         {message: finalMessage(true, 2, 100, 0, delivered("run-time", "lost", "1")), reason: v2.ReasonWorkersLost, contains: []string{"1 worker was lost"}, strict: true},
		"saturated":             {message: finalMessage(true, 3, 100, 0, delivered("run-time", "cpu", `[97,"shop-worker-1"]`)), reason: v2.ReasonGeneratorSaturated, contains: []string{"worker shop-worker-1 used 97 %"}, strict: true},
		"busy":                  {message: finalMessage(true, 3, 100, 0, delivered("run-time", "cpu", `[90,"shop-worker-1"]`)), reason: v2.ReasonLoadAsPlanned},
		"saturated by the rest": {message: finalMessage(true, 3, 100, 0, delivered("run-time", "cpu", `[47,"shop-worker-1"]`)), change: limitCPU("500m"), reason: v2.ReasonGeneratorSaturated, contains: []string{"47 %", "of the 50 %"}, strict: true},
		"more than a core":      {message: finalMessage(true, 3, 100, 0, delivered("run-time", "cpu", `[80,"shop-worker-1"]`)), change: limitCPU("4"), reason: v2.ReasonLoadAsPlanned},

		"no load":                     {message: `{"locust.io/report":1,"complete":true,"state":"ready","users":0,"workers":3,"start":0,"end":0,"requests":0,"failures":0,"avg":0,"rps":0,"endpoints":[],"errors":[],"exceptions":[],"log":[],` + delivered("") + `}`, reason: v2.ReasonNoRequests, contains: []string{"without having started a load"}},
		"no report":                   {change: (*fixture).recordSpec, reason: v2.ReasonNoRequests, contains: []string{"without having started a load"}},
		"no report of another's Job":  {reason: v2.ReasonNotObserved, contains: []string{"not observed"}},
		"no reporter":                 {change: func(s *fixture) { s.recordSpec(); s.obs.Run.Spec.Master.Reporter = new(bool) }, reason: v2.ReasonNotObserved},
		"a report that is unreadable": {message: `{"locust.io/report":1,`, reason: v2.ReasonNotObserved, contains: []string{"cannot be read"}},

		"older reporter":                {message: finalMessage(true, 3, 100, 0, `"target_users":12,"run_time":20,"shape":false`), reason: v2.ReasonLoadAsPlanned},
		"older reporter, early":         {message: finalMessage(true, 3, 100, 0, `"target_users":12,"run_time":60,"shape":false`), reason: v2.ReasonLoadCutShort, contains: []string{"after 20s of 1m0s"}},
		"older reporter, a little less": {message: finalMessage(true, 3, 100, 0, `"target_users":12,"run_time":35,"shape":false`), reason: v2.ReasonLoadAsPlanned},
		"older reporter, no workers":    {message: finalMessage(true, 0, 100, 0), change: killWorkers, reason: v2.ReasonLoadCutShort, contains: []string{"all workers were lost"}},
		"older reporter, no run time":   {message: finalMessage(true, 3, 100, 0), reason: v2.ReasonNotObserved, contains: []string{"what ended it"}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, guarantee := range []v2.LoadGuarantee{"", v2.LoadGuaranteeStrict, v2.LoadGuaranteeNone} {
				s := running(t)
				s.obs.Run.Spec.LoadGuarantee = guarantee
				for i := range 3 {
					s.endPod(s.worker(i), t0.Add(36*time.Second), 0, "")
				}
				if tc.change != nil {
					tc.change(s)
				}
				s.endMaster(t0.Add(40*time.Second), 0, tc.message)
				s.derive(t0.Add(41 * time.Second))
				requireLoad(t, s, tc.reason, tc.contains...)
				fails := FailsRun(s.obs.guarantee(), tc.reason)
				assert.Equal(t, fails, s.prev.Phase == v2.PhaseFailed, guarantee)
				if tc.strict {
					assert.Equal(t, guarantee == v2.LoadGuaranteeStrict, fails)
				}
				contains := tc.contains
				if fails {
					contains = append([]string{"load not delivered (" + tc.reason + "): "}, contains...)
				}
				status, reason := metav1.ConditionTrue, v2.ReasonTestSucceeded
				if fails {
					reason = v2.ReasonTestFailed
				}
				requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, status, reason, contains...)
			}
		})
	}
}

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

// answerWithDelivery records a report of a master with a reporter.
func (s *fixture) answerWithDelivery(at time.Time, state report.State, requests int64, d report.Delivery) Derivation {
	s.t.Helper()
	l := *s.obs.Locust
	l.RecordReport(&report.Report{State: state, Users: 12, Workers: 3, Stats: report.Stats{Requests: requests}, Exact: state == report.StateStopped, Delivery: &d}, at)
	s.obs.Locust = &l
	return s.derive(at)
}

// TestLoad_Live: from the start to the end of a load that goes as planned.
func TestLoad_Live(t *testing.T) {
	s := newFixture(t)
	s.prev = InitializeStatus(s.obs.Test, t0)
	requireLoad(t, s, v2.ReasonLoadNotStarted)

	s = polled(t)
	requireLoad(t, s, v2.ReasonLoadNotStarted)
	s.answerWithDelivery(t0.Add(14*time.Second), report.StateReady, 0, report.Delivery{})
	requireLoad(t, s, v2.ReasonLoadNotStarted)
	s.answerWithDelivery(t0.Add(15*time.Second), report.StateSpawning, 0, report.Delivery{})
	requireLoad(t, s, v2.ReasonLoadAsPlanned, "The load runs as planned")
	s.failPoll(t0.Add(5*time.Minute), "no answer within 2 s")
	requireLoad(t, s, v2.ReasonLoadAsPlanned)
	s.answerWithDelivery(t0.Add(6*time.Minute), report.StateStopped, 90, report.Delivery{EndedBy: report.EndedByWebUI})
	requireLoad(t, s, v2.ReasonLoadAsPlanned, "The load was delivered as planned")
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionFalse, v2.ReasonTestInProgress, "The load has ended; the master is still running")
	s.answerWithDelivery(t0.Add(7*time.Minute), report.StateSpawning, 3, report.Delivery{})
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionFalse, v2.ReasonTestInProgress, "Test is running")
}

// TestLoad_NotObserved: without a report of the master the load is unknown.
func TestLoad_NotObserved(t *testing.T) {
	s := running(t)
	requireLoad(t, s, v2.ReasonNotObserved, "not polled")

	s = created(t)
	s.obs.Locust = &Locust{Unreachable: true, LastError: "Locust runs with --headless, which has no web API"}
	s.runMaster(t0.Add(10 * time.Second))
	s.derive(t0.Add(12 * time.Second))
	requireLoad(t, s, v2.ReasonNotObserved, "--headless")
	s.endMaster(t0.Add(40*time.Second), 0, finalMessage(true, 3, 100, 0, delivered("run-time")))
	s.derive(t0.Add(41 * time.Second))
	requireLoad(t, s, v2.ReasonLoadAsPlanned)

	// A complete Job whose pod is gone.
	s = running(t)
	s.recordSpec()
	s.endJob(s.obs.MasterJob, batchv1.JobComplete, t0.Add(40*time.Second))
	s.obs.Pods = s.obs.Pods[1:]
	s.derive(t0.Add(time.Minute))
	requireLoad(t, s, v2.ReasonNotObserved, "the master's pod was gone")
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestSucceeded, "Test completed successfully; the load was not observed")
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

// TestLoad_BesideCriteria: the message names both.
func TestLoad_BesideCriteria(t *testing.T) {
	s := running(t)
	least := int64(1)
	s.obs.Run.Spec.SuccessCriteria = &v2.SuccessCriteria{MinTotalRequests: &least}
	s.endMaster(t0.Add(40*time.Second), 0, finalMessage(true, 3, 0, 0, delivered("run-time")))
	s.derive(t0.Add(41 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed,
		"load not delivered (NoRequests): no request has finished", "success criteria not met: minTotalRequests is 1, measured 0")
}

// TestLoad_BeforeTheUpgrade: a test that was terminal before never gets the condition, others get it at once.
func TestLoad_BeforeTheUpgrade(t *testing.T) {
	s := running(t)
	old := s.prev.DeepCopy()
	remove(old, v2.ConditionTypeLoadDelivered)
	s.prev = *old
	s.derive(t0.Add(20 * time.Second))
	requireLoad(t, s, v2.ReasonNotObserved)

	s.endMaster(t0.Add(40*time.Second), 0, finalMessage(true, 3, 100, 0, delivered("run-time")))
	s.derive(t0.Add(41 * time.Second))
	remove(&s.prev, v2.ConditionTypeLoadDelivered)
	require.NoError(t, CheckStatus(&s.prev))
	s.derive(t0.Add(50 * time.Second))
	assert.Empty(t, loadReason(&s.prev))
}

func remove(s *v2.LocustTestStatus, conditionType string) {
	var kept []metav1.Condition
	for _, c := range s.Conditions {
		if c.Type != conditionType {
			kept = append(kept, c)
		}
	}
	s.Conditions = kept
}
