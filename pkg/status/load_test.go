package status

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	batchv1 "k8s.io/api/batch/v1"
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
