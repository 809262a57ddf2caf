package status

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// clockCase is a sequence of changes at given times of the cluster; the operator reconciles after each of
// them and when a requeue is due.
type clockCase struct {
	changes []clockChange
	// answer returns the master's report; nil if it is not polled.
	answer func(at time.Duration) *report.Report
	until  time.Duration
	// end is the final phase.
	end string
	// sameNodes is true where times that the case gives as those of nodes are of other clocks.
	sameNodes bool
}

type clockChange struct {
	at     time.Duration
	change func(s *fixture, at time.Time)
}

// clockShifts are how far the clocks of the operator, and of the nodes, are ahead of the API server's.
type clockShifts struct{ operator, nodes time.Duration }

// finding is a status or plan of the operator, and when it was derived by the API server's clock.
type finding struct {
	at   time.Duration
	what string
}

// TestClocks: wrong clocks of the operator or of nodes change neither the status, nor the plan, nor when to reconcile. A clock
// that is ahead by less than the time between two observations cannot be detected here; pkg/serverclock corrects it.
func TestClocks(t *testing.T) {
	for name, c := range clockCases() {
		t.Run(name, func(t *testing.T) {
			want, phase := c.run(t, clockShifts{})
			require.Equal(t, c.end, phase)
			for _, shifts := range []clockShifts{
				{operator: time.Hour}, {operator: -time.Hour}, {operator: -20 * time.Second},
				{nodes: time.Hour}, {nodes: -time.Hour},
			} {
				if c.sameNodes && shifts.nodes != 0 {
					continue
				}
				t.Run(fmt.Sprintf("operator %s, nodes %s ahead", shifts.operator, shifts.nodes), func(t *testing.T) {
					got, _ := c.run(t, shifts)
					require.Equal(t, descriptions(want), descriptions(got))
					for i := range want {
						assert.InDelta(t, want[i].at.Seconds(), got[i].at.Seconds(), 1, want[i].what)
					}
				})
			}
		})
	}
}

func descriptions(all []finding) []string {
	lines := make([]string, 0, len(all))
	for _, l := range all {
		lines = append(lines, l.what)
	}
	return lines
}

func (c *clockCase) run(t *testing.T, shifts clockShifts) ([]finding, string) {
	s := created(t)
	s.prev = InitializeStatus(s.obs.Test, t0.Add(shifts.operator))
	s.obs.Clocks = &Clocks{}
	s.obs.Clocks.Observe(&Observation{}, t0.Add(shifts.operator)) // before the objects exist
	if c.answer != nil {
		s.obs.Locust = &Locust{}
	}
	var all []finding
	record := func(at time.Duration, format string, args ...any) {
		what := fmt.Sprintf(format, args...)
		for i := len(all) - 1; i >= 0; i-- {
			if strings.HasPrefix(all[i].what, what[:6]) {
				if all[i].what == what {
					return
				}
				break
			}
		}
		all = append(all, finding{at, what})
	}
	changes := c.changes
	for at, reconciles := time.Duration(0), 0; at <= c.until; reconciles++ {
		require.Less(t, reconciles, 5000, "hot loop")
		for len(changes) > 0 && changes[0].at <= at {
			changes[0].change(s, t0.Add(changes[0].at).Add(shifts.nodes))
			changes = changes[1:]
		}
		now := t0.Add(at).Add(shifts.operator)
		s.obs.Clocks.Observe(&s.obs, now)
		plan := PlanFor(&s.prev, &s.obs, settings, now)
		carryOut(s, &plan, func(what string) { record(at, "plan: %s", what) })
		d := s.derive(now)
		record(at, "status: %s", summary(&s.prev))
		wait := d.PollIn
		if c.answer != nil && d.Poll && wait <= 0 {
			l := *s.obs.Locust
			if r := c.answer(at); r != nil {
				l.RecordReport(r, now)
			} else {
				l.RecordFailure("connection refused", true, now)
			}
			s.obs.Locust = &l
			wait = time.Millisecond
		}
		waits := []time.Duration{d.RequeueAfter, plan.RequeueAfter, wait}
		if len(changes) > 0 {
			waits = append(waits, changes[0].at-at)
		}
		waits = slices.DeleteFunc(waits, func(wait time.Duration) bool { return wait <= 0 })
		if len(waits) == 0 {
			break
		}
		at += max(slices.Min(waits), time.Millisecond)
	}
	return all, s.prev.Phase
}

// carryOut executes the plan and reports its changes.
func carryOut(s *fixture, plan *Plan, did func(string)) {
	for _, job := range plan.Stop {
		did("stop " + job.Name)
		job.Spec.ActiveDeadlineSeconds, job.Spec.Parallelism = ptr.To[int64](stopDeadline), ptr.To[int32](0)
	}
	if plan.Creates() {
		did(fmt.Sprintf("create %t %t %t", plan.CreateService, plan.CreateMaster, plan.CreateWorker))
	}
	if plan.ReplaceWorkerJob {
		did("replace the worker Job")
	}
	if n := plan.WorkerCompletions; n > 0 {
		did(fmt.Sprintf("%d completions", n))
		s.obs.WorkerJob.Spec.Completions, s.obs.WorkerJob.Spec.Parallelism = &n, &n
	}
}

// summary returns the phase, the workers, and the reason of each condition.
func summary(s *v2.LocustTestStatus) string {
	text := s.Phase + " " + s.Workers
	for _, c := range s.Conditions {
		text += " " + c.Reason
	}
	return text
}

func clockCases() map[string]clockCase {
	runAll := clockChange{10 * time.Second, func(s *fixture, at time.Time) {
		s.runMaster(at)
		for i := range 3 {
			s.runPod(s.worker(i), at)
		}
	}}
	workersLeave := func(at time.Duration) clockChange {
		return clockChange{at, func(s *fixture, at time.Time) {
			for i := range 3 {
				s.endPod(s.worker(i), at, 0, "")
			}
		}}
	}
	loads := func(at time.Duration) *report.Report {
		r := &report.Report{State: report.StateReady, Workers: 3, Delivery: &report.Delivery{}}
		switch {
		case at < 14*time.Second:
			return nil
		case at < 20*time.Second:
		default:
			r.State, r.Users, r.Requests = report.StateRunning, 10, int64(at/time.Second)
		}
		return r
	}
	ended := func(end time.Duration, by report.EndedBy, lost int32) func(time.Duration) *report.Report {
		return func(at time.Duration) *report.Report {
			if at < end {
				return loads(at)
			}
			return &report.Report{State: report.StateStopped, Exact: true, Stats: report.Stats{Requests: int64(end / time.Second)}, Delivery: &report.Delivery{EndedBy: by, WorkersLost: lost}}
		}
	}
	repeated := func(s *fixture, at time.Time) { s.obs.Events[0].LastTimestamp = metav1.NewTime(at) }
	cases := map[string]clockCase{
		"good run": {end: v2.PhaseSucceeded, until: 10 * time.Minute, answer: ended(35*time.Second, report.EndedByRunTime, 0), sameNodes: true, changes: []clockChange{
			runAll,
			{37 * time.Second, func(s *fixture, at time.Time) {
				s.endMaster(at, 0, finalMessage(true, 3, 100, 0, delivered("run-time")))
			}},
		}},
		"good run, its pod is gone": {end: v2.PhaseSucceeded, until: 10 * time.Minute, answer: ended(35*time.Second, report.EndedByRunTime, 0), changes: []clockChange{
			runAll, workersLeave(36 * time.Second),
			{45 * time.Second, func(s *fixture, at time.Time) {
				s.endJob(s.obs.MasterJob, batchv1.JobComplete, at)
				s.dropPod(s.master())
			}},
		}},
		"good run, the Job is seen first": {end: v2.PhaseSucceeded, until: 10 * time.Minute, changes: []clockChange{
			runAll,
			{45 * time.Second, func(s *fixture, at time.Time) { s.endJob(s.obs.MasterJob, batchv1.JobComplete, at) }},
		}},
		"failed run": {end: v2.PhaseFailed, until: 10 * time.Minute, answer: loads, changes: []clockChange{
			runAll,
			{40 * time.Second, func(s *fixture, at time.Time) { s.endMaster(at, 2, "boom") }},
		}},
		"failed run, the Job is seen first": {end: v2.PhaseFailed, until: 10 * time.Minute, changes: []clockChange{
			runAll,
			{40 * time.Second, func(s *fixture, at time.Time) { s.endJob(s.obs.MasterJob, batchv1.JobFailed, at) }},
		}},
		"failed at once": {end: v2.PhaseFailed, until: 10 * time.Minute, answer: func(time.Duration) *report.Report { return nil }, changes: []clockChange{
			runAll,
			{12 * time.Second, func(s *fixture, at time.Time) { s.endMaster(at, 1, "no such file") }},
		}},
		"sidecar": {end: v2.PhaseSucceeded, until: 10 * time.Minute, changes: []clockChange{
			{10 * time.Second, func(s *fixture, at time.Time) { runAll.change(s, at); s.inject(runs) }},
			{60 * time.Second, func(s *fixture, at time.Time) {
				for i := range 3 {
					s.endLocust(s.worker(i), at, 0)
				}
			}},
			{61 * time.Second, func(s *fixture, at time.Time) { s.endLocust(s.master(), at, 0) }},
		}},
		"a worker leaves": {end: v2.PhaseRunning, until: 5 * time.Minute, answer: loads, changes: []clockChange{
			runAll,
			{60 * time.Second, func(s *fixture, at time.Time) {
				s.endPod(s.worker(0), at, 0, "")
				s.obs.WorkerJob.Status.CompletedIndexes, s.obs.WorkerJob.Status.Succeeded = "0", 1
			}},
		}},
		"deleted workers": {end: v2.PhaseRunning, until: 5 * time.Minute, changes: []clockChange{
			runAll,
			{60 * time.Second, func(s *fixture, _ time.Time) {
				s.dropPod(s.worker(0))
				s.obs.WorkerJob.Status.CompletedIndexes, s.obs.WorkerJob.Status.Succeeded = "0", 1
			}},
			{61 * time.Second, func(s *fixture, _ time.Time) { s.pod("worker", 3) }},
			{64 * time.Second, func(s *fixture, at time.Time) { s.runPod(&s.obs.Pods[len(s.obs.Pods)-1], at) }},
		}},
		"crashing worker": {end: v2.PhaseRunning, until: 5 * time.Minute, changes: []clockChange{
			runAll,
			{60 * time.Second, func(s *fixture, at time.Time) { s.endPod(s.worker(0), at, 1, "boom") }},
			{70 * time.Second, func(s *fixture, at time.Time) {
				pod := s.pod("worker", 0)
				pod.Name, pod.UID, pod.CreationTimestamp = "again", "again", metav1.NewTime(t0.Add(70*time.Second))
				s.runPod(pod, at)
			}},
		}},
		"quota": {end: v2.PhaseFailed, until: 10 * time.Minute, sameNodes: true, changes: []clockChange{
			{0, func(s *fixture, _ time.Time) { s.obs.Pods, s.obs.MasterJob.Status.Active = nil, 0 }},
			{6 * time.Second, func(s *fixture, _ time.Time) {
				s.obs.Events = []corev1.Event{warning("shop-worker-uid", "FailedCreate", "exceeded quota", t0.Add(time.Second))}
			}},
			{60 * time.Second, repeated}, {2 * time.Minute, repeated}, {3 * time.Minute, repeated}, {4 * time.Minute, repeated}, {5 * time.Minute, repeated},
		}},
		"an old Event of the Job controller": {end: v2.PhasePending, until: 10 * time.Minute, changes: []clockChange{
			{0, func(s *fixture, _ time.Time) { s.obs.Pods, s.obs.MasterJob.Status.Active = nil, 0 }},
			{6 * time.Second, func(s *fixture, _ time.Time) {
				s.obs.Events = []corev1.Event{warning("shop-worker-uid", "FailedCreate", "exceeded quota", t0.Add(-jobEventMaxAge))}
			}},
		}},
		"missing volume": {end: v2.PhaseFailed, until: 10 * time.Minute, changes: []clockChange{
			{6 * time.Second, func(s *fixture, at time.Time) {
				s.obs.Events = []corev1.Event{warning("shop-master-0", "FailedMount", "configmap not found", at)}
			}},
		}},
		"busy kubelet": {end: v2.PhaseFailed, until: 10 * time.Minute, changes: []clockChange{
			{6 * time.Second, func(s *fixture, at time.Time) {
				s.obs.Events = []corev1.Event{warning("shop-master-0", "FailedMount", "failed to sync configmap cache", at)}
			}},
		}},
		"all workers lost": {end: v2.PhaseFailed, until: 10 * time.Minute, answer: ended(60*time.Second, report.EndedByWorkersMissing, 3), changes: []clockChange{
			runAll,
			{55 * time.Second, func(s *fixture, at time.Time) {
				for i := range 3 {
					s.endPod(s.worker(i), at, 137, "")
				}
			}},
		}},
		"workers quit": {end: v2.PhaseRunning, until: 10 * time.Minute, answer: ended(60*time.Second, report.EndedByWorkersQuit, 0), changes: []clockChange{
			runAll, workersLeave(60 * time.Second),
		}},
		"web API alone, the workers are lost": {end: v2.PhaseFailed, until: 10 * time.Minute, answer: func(at time.Duration) *report.Report {
			r := ended(60*time.Second, "", 0)(at)
			if r != nil {
				r.Delivery = nil
			}
			return r
		}, changes: []clockChange{
			{0, func(s *fixture, _ time.Time) { s.obs.Run.Spec.Master.Command += " --run-time 8h" }},
			runAll,
			{55 * time.Second, func(s *fixture, at time.Time) {
				for i := range 3 {
					s.endPod(s.worker(i), at, 137, "")
				}
			}},
		}},
		"a worker is lost, no report at the end": {end: v2.PhaseSucceeded, until: 10 * time.Minute, answer: func(at time.Duration) *report.Report {
			if r := loads(at); r != nil {
				r.Delivery = nil
				return r
			}
			return nil
		}, changes: []clockChange{
			{0, func(s *fixture, _ time.Time) { s.obs.Run.Spec.Master.Command += " --run-time 60s" }},
			runAll,
			{50 * time.Second, func(s *fixture, at time.Time) { s.endPod(s.worker(0), at, 137, "") }},
			{81 * time.Second, func(s *fixture, at time.Time) { s.endMaster(at, 0, "") }},
		}},
		"suspended": {end: v2.PhaseFailed, until: 10 * time.Minute, answer: loads, changes: []clockChange{
			{0, func(s *fixture, _ time.Time) { s.suspend(s.obs.MasterJob); s.suspend(s.obs.WorkerJob) }},
			{2 * time.Minute, func(s *fixture, at time.Time) {
				s.obs.MasterJob.Spec.Suspend, s.obs.MasterJob.Status.Active = nil, 1
				s.obs.WorkerJob.Spec.Suspend = nil
				s.pod("master", 0)
				for i := range 3 {
					s.pod("worker", i)
				}
				runAll.change(s, at)
			}},
			{4 * time.Minute, func(s *fixture, _ time.Time) { s.suspend(s.obs.MasterJob) }},
		}},
		"not observed": {end: v2.PhaseSucceeded, until: 10 * time.Minute, answer: func(time.Duration) *report.Report { return nil }, changes: []clockChange{
			runAll,
			{3 * time.Minute, func(s *fixture, at time.Time) { s.endMaster(at, 0, "") }},
		}},
		"node of the master lost": {end: v2.PhaseFailed, until: 10 * time.Minute, changes: []clockChange{
			runAll,
			{60 * time.Second, func(s *fixture, _ time.Time) {
				gone := metav1.NewTime(t0.Add(90 * time.Second))
				s.master().DeletionTimestamp, s.master().DeletionGracePeriodSeconds = &gone, ptr.To[int64](30)
				s.obs.MasterJob.Status.Active = 0
				s.obs.MasterJob.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailureTarget, Status: corev1.ConditionTrue}}
			}},
		}},
	}
	return cases
}

// TestClocks_Agree: where clocks agree, times stay as they are, also those that are observed late.
func TestClocks_Agree(t *testing.T) {
	s := created(t)
	s.obs.Clocks = &Clocks{}
	s.obs.Clocks.Observe(&s.obs, t0.Add(5*time.Second))
	s.runPod(s.worker(0), t0.Add(3500*time.Millisecond))
	s.runPod(s.worker(1), t0.Add(7*time.Second))
	s.obs.Clocks.Observe(&s.obs, t0.Add(9*time.Second))
	for i, want := range []time.Duration{3500 * time.Millisecond, 7 * time.Second} {
		assert.True(t, t0.Add(want).Equal(s.obs.nodeTime(s.worker(i), startedAt(s.worker(i)))))
	}
	assert.True(t, s.obs.serverTime(time.Time{}).IsZero())

	s = created(t)
	s.obs.Clocks = &Clocks{}
	s.obs.Clocks.Observe(&s.obs, t0.Add(50*time.Second))
	s.runPod(s.worker(0), t0.Add(3500*time.Millisecond))
	s.obs.Clocks.Observe(&s.obs, t0.Add(51*time.Second))
	assert.True(t, t0.Add(3500*time.Millisecond).Equal(s.obs.nodeTime(s.worker(0), startedAt(s.worker(0)))), "a watch event is late")
}

// TestClocks_LateWatch: ends that are observed late, and not all together, count as they do without a conversion.
func TestClocks_LateWatch(t *testing.T) {
	for _, lag := range []time.Duration{0, 5 * time.Second, 15 * time.Second, 60 * time.Second} {
		for _, clocks := range []*Clocks{nil, {}} {
			s := created(t)
			s.obs.Clocks = clocks
			step := func(at time.Duration) {
				if clocks != nil {
					clocks.Observe(&s.obs, t0.Add(at))
				}
				s.derive(t0.Add(at))
			}
			step(0)
			s.runMaster(t0.Add(10 * time.Second))
			for i := range 3 {
				s.worker(i).Spec.NodeName = []string{"a", "a", "b"}[i]
				s.runPod(s.worker(i), t0.Add(10*time.Second))
			}
			s.master().Spec.NodeName = "b"
			step(11 * time.Second)
			step(60 * time.Second)
			s.endPod(s.worker(0), t0.Add(120*time.Second), 0, "")
			s.endPod(s.worker(1), t0.Add(120*time.Second), 0, "")
			step(120*time.Second + time.Millisecond)
			s.endPod(s.worker(2), t0.Add(120*time.Second), 0, "")
			s.endMaster(t0.Add(121*time.Second), 0, "")
			step(121*time.Second + lag)
			step(140*time.Second + lag)
			assert.Equal(t, v2.PhaseSucceeded, s.prev.Phase, lag)
			assert.Equal(t, "3/3", s.prev.Workers, "lag %s, clocks %t", lag, clocks != nil)
		}
	}
}

// TestClocks_Nodes: nodes whose clocks differ from each other have times that can be compared.
func TestClocks_Nodes(t *testing.T) {
	for _, ahead := range []time.Duration{time.Minute, time.Hour, -time.Hour} {
		s := created(t)
		clocks := &Clocks{}
		s.obs.Clocks = clocks
		node := func(pod *corev1.Pod, name string) *corev1.Pod {
			pod.Spec.NodeName = name
			return pod
		}
		step := func(at time.Duration) {
			clocks.Observe(&s.obs, t0.Add(at))
			s.derive(t0.Add(at))
		}
		step(0)
		s.runMaster(t0.Add(10 * time.Second))
		node(s.master(), "of the master")
		for i := range 3 {
			s.runPod(node(s.worker(i), "of the workers"), t0.Add(10*time.Second+ahead))
		}
		step(10 * time.Second)
		for i := range 3 {
			s.endPod(s.worker(i), t0.Add(35*time.Second+ahead), 0, "")
		}
		step(35 * time.Second)
		s.endMaster(t0.Add(37*time.Second), 0, finalMessage(true, 0, 100, 0, delivered("workers-quit")))
		step(37 * time.Second)
		step(time.Minute)
		assert.Equal(t, v2.PhaseSucceeded, s.prev.Phase, "%s: %s", ahead, s.prev.Conditions)
	}
}

// TestClocks_NewObject: an object that was created after the observation is as old as that.
func TestClocks_NewObject(t *testing.T) {
	for _, shift := range []time.Duration{-time.Hour, time.Hour} {
		s := created(t)
		now := t0.Add(shift)
		s.obs.Clocks = &Clocks{}
		s.obs.Clocks.Observe(&Observation{}, now)
		s.obs.Pods = nil
		after := s.stuck(now).requeueAfter
		assert.Positive(t, after)
		assert.LessOrEqual(t, after, stuckGracePeriod)
	}
}
