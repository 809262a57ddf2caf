package status

import (
	"fmt"
	"strconv"
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

// TestSuspended_WorkersWithoutMaster: workers that gave up waiting for a master that is suspended are started again.
func TestSuspended_WorkersWithoutMaster(t *testing.T) {
	s := created(t)
	s.suspend(s.obs.MasterJob)
	s.endJob(s.obs.WorkerJob, batchv1.JobFailed, t0.Add(time.Hour))
	s.derive(t0.Add(time.Hour))
	require.Equal(t, v2.PhasePending, s.prev.Phase)
	assert.True(t, PlanFor(&s.prev, &s.obs, settings, t0.Add(time.Hour)).ReplaceWorkerJob)

	s.obs.MasterJob.Spec.Suspend = nil
	s.derive(t0.Add(time.Hour))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
}

// TestDeadlineOfOthers: a deadline set by a policy is not the operator's stop; if it ends the run, the message reports it.
func TestDeadlineOfOthers(t *testing.T) {
	s := running(t)
	s.obs.MasterJob.Spec.ActiveDeadlineSeconds, s.obs.WorkerJob.Spec.ActiveDeadlineSeconds = ptr.To[int64](86400), ptr.To[int64](86400)
	assert.Len(t, PlanDeleted(&s.obs).Stop, 2)
	end := t0.Add(time.Minute)
	s.endLocust(s.master(), end, 1)
	s.derive(end)
	assert.Equal(t, []*batchv1.Job{s.obs.WorkerJob}, PlanFor(&s.prev, &s.obs, settings, end).Stop)
	s.obs.WorkerJob.Spec.ActiveDeadlineSeconds = ptr.To[int64](1)
	assert.Empty(t, PlanFor(&s.prev, &s.obs, settings, end).Stop, "stopped")

	s = running(t)
	s.endJob(s.obs.MasterJob, batchv1.JobFailed, end)
	s.obs.MasterJob.Status.Conditions[0].Reason = batchv1.JobReasonDeadlineExceeded
	s.derive(end)
	requireCondition(t, &s.prev, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "activeDeadlineSeconds")
}

func TestWorkers_DeletedIsReplaced(t *testing.T) {
	s := running(t)
	at := metav1.NewTime(t0.Add(20 * time.Second))
	s.worker(1).DeletionTimestamp = &at
	d := s.derive(at.Time)
	assert.Equal(t, "2/3", s.prev.Workers)
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionFalse, v2.ReasonWorkersMissing, "2/3")
	require.Len(t, d.Events, 1)
	assert.Equal(t, v2.ReasonWorkersMissing, d.Events[0].Reason)

	plan := PlanFor(&s.prev, &s.obs, settings, at.Time)
	assert.Zero(t, plan.WorkerCompletions, "its Job has not counted it as done; it may still replace it by itself")

	// It exits with code 0: its Job counts it as succeeded.
	s.dropPod(s.worker(1))
	s.obs.WorkerJob.Status.CompletedIndexes, s.obs.WorkerJob.Status.Succeeded = "1", 1
	plan = PlanFor(&s.prev, &s.obs, settings, at.Add(time.Second))
	assert.EqualValues(t, 4, plan.WorkerCompletions)

	four := int32(4)
	s.obs.WorkerJob.Spec.Completions, s.obs.WorkerJob.Spec.Parallelism = &four, &four
	s.runPod(s.pod("worker", 3), at.Add(2*time.Second))
	plan = PlanFor(&s.prev, &s.obs, settings, at.Add(6*time.Second))
	assert.Zero(t, plan.WorkerCompletions, "replaced once")
	assert.Positive(t, s.derive(at.Add(3*time.Second)).RequeueAfter, "it has to stand for a moment")
	d = s.derive(at.Add(6 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "3/3")
	require.Len(t, d.Events, 1)
	assert.Equal(t, v2.ReasonAllWorkersConnected, d.Events[0].Reason)
}

func TestWorkers_CleanExitIsReplacedAfterGracePeriod(t *testing.T) {
	s := running(t)
	at := t0.Add(20 * time.Second)
	s.endPod(s.worker(0), at, 0, "")
	s.obs.WorkerJob.Status.CompletedIndexes, s.obs.WorkerJob.Status.Succeeded = "0", 1
	plan := PlanFor(&s.prev, &s.obs, settings, at)
	assert.Zero(t, plan.WorkerCompletions, "the test may be ending")
	assert.Equal(t, workerExitGracePeriod, plan.RequeueAfter)
	plan = PlanFor(&s.prev, &s.obs, settings, at.Add(workerExitGracePeriod))
	assert.EqualValues(t, 4, plan.WorkerCompletions)
	s.derive(at.Add(workerExitGracePeriod))
	assert.Equal(t, "2/3", s.prev.Workers)
}

func TestWorkers_AllExitAtEnd(t *testing.T) {
	s := running(t)
	at := t0.Add(20 * time.Second)
	for i := range 3 {
		s.endPod(s.worker(i), at, 0, "")
	}
	s.obs.WorkerJob.Status.CompletedIndexes, s.obs.WorkerJob.Status.Succeeded = "0-2", 3
	s.endJob(s.obs.WorkerJob, batchv1.JobComplete, at)
	plan := PlanFor(&s.prev, &s.obs, settings, at.Add(time.Hour))
	assert.Zero(t, plan.WorkerCompletions)
	assert.False(t, plan.ReplaceWorkerJob)
}

func TestWorkers_AllDeletedNeedNewJob(t *testing.T) {
	s := running(t)
	for i := 2; i >= 0; i-- {
		s.dropPod(s.worker(i))
	}
	s.obs.WorkerJob.Status.CompletedIndexes, s.obs.WorkerJob.Status.Succeeded = "0-2", 3
	s.endJob(s.obs.WorkerJob, batchv1.JobComplete, t0.Add(20*time.Second))
	plan := PlanFor(&s.prev, &s.obs, settings, t0.Add(21*time.Second))
	assert.True(t, plan.ReplaceWorkerJob, "a finished Job cannot grow")

	five := int32(5)
	s.obs.WorkerJob.Spec.Completions, s.obs.WorkerJob.Spec.Parallelism = &five, &five
	plan = PlanFor(&s.prev, &s.obs, settings, t0.Add(21*time.Second))
	assert.True(t, plan.ReplaceWorkerJob, "its completions were increased when it had just finished")
}

func TestWorkers_NotReplacedAtEnd(t *testing.T) {
	s := running(t)
	s.dropPod(s.worker(0))
	s.pod("worker", 3)
	four := int32(4)
	s.obs.WorkerJob.Spec.Completions, s.obs.WorkerJob.Spec.Parallelism = &four, &four
	for i := range 3 {
		s.endPod(s.worker(i), t0.Add(20*time.Second), 0, "")
	}
	s.obs.WorkerJob.Status.CompletedIndexes, s.obs.WorkerJob.Status.Succeeded = "0-3", 4
	s.endJob(s.obs.WorkerJob, batchv1.JobComplete, t0.Add(20*time.Second))
	plan := PlanFor(&s.prev, &s.obs, settings, t0.Add(21*time.Second))
	assert.Equal(t, Plan{}, plan, "one was deleted and replaced, then the master ended all")
}

func TestWorkers_DeletedAfterFinishAreNotReplaced(t *testing.T) {
	s := running(t)
	for i := range 3 {
		s.endPod(s.worker(i), t0.Add(20*time.Second), 0, "")
	}
	s.obs.WorkerJob.Status.CompletedIndexes, s.obs.WorkerJob.Status.Succeeded = "0-2", 3
	s.endJob(s.obs.WorkerJob, batchv1.JobComplete, t0.Add(20*time.Second))
	s.dropPod(s.worker(0))
	assert.Equal(t, Plan{}, PlanFor(&s.prev, &s.obs, settings, t0.Add(21*time.Second)))
}

// TestWorkers_BoundedReplacement: workers that end again and again do not leave an unlimited number of pods.
func TestWorkers_BoundedReplacement(t *testing.T) {
	for name, tc := range map[string]struct {
		replicas, bound int32
	}{"few workers": {3, 100}, "many workers": {50, 500}, "as many as there may be": {5000, 9999}} {
		t.Run(name, func(t *testing.T) {
			s := polled(t)
			s.obs.Run.Spec.Worker.Replicas = tc.replicas
			s.answer(t0.Add(20*time.Second), 3, report.StateRunning, report.Stats{Requests: 1})
			s.obs.Pods = s.obs.Pods[:1]
			at := t0.Add(30 * time.Second)
			for completions := tc.replicas; ; {
				s.obs.WorkerJob.Status.CompletedIndexes = "0-" + strconv.Itoa(int(completions)-1)
				n := PlanFor(&s.prev, &s.obs, settings, at).WorkerCompletions
				if n == 0 {
					require.Equal(t, tc.bound, completions)
					break
				}
				completions = n
				s.obs.WorkerJob.Spec.Completions, s.obs.WorkerJob.Spec.Parallelism = &n, &n
			}
			for range 3 {
				at = at.Add(10 * time.Second)
				s.answer(at, 2, report.StateRunning, report.Stats{Requests: 1})
				message := workersMessage(&s.prev)
				assert.Contains(t, message, fmt.Sprintf("; lost workers are not replaced any more, because %d have ended or been deleted", tc.bound-tc.replicas))
				assert.Equal(t, 1, strings.Count(message, "not replaced"), message)
			}
			l := *s.obs.Locust
			l.Report = nil
			s.obs.Locust = &l
			s.derive(at.Add(time.Second))
			assert.Equal(t, 1, strings.Count(workersMessage(&s.prev), "not replaced"), "without an answer the message is built of the one before")
			assert.Equal(t, tc.bound < maxCompletions, PlanFor(&s.prev, &s.obs, settings, t0.Add(20*time.Hour)).WorkerCompletions > tc.bound, "a long run replaces more")
		})
	}
}

// TestOrphans: a Job deleted through the API without a propagation policy orphans its pods.
func TestOrphans(t *testing.T) {
	s := running(t)
	s.obs.WorkerJob = nil
	for i := range 3 {
		s.worker(i).OwnerReferences = nil
	}
	plan := PlanFor(&s.prev, &s.obs, settings, t0.Add(20*time.Second))
	assert.Len(t, plan.Orphans, 3)
	assert.True(t, plan.CreateWorker)

	s.obs.MasterJob = nil
	s.master().OwnerReferences = nil
	s.derive(t0.Add(21 * time.Second))
	assert.Equal(t, v2.PhaseFailed, s.prev.Phase)
	plan = PlanFor(&s.prev, &s.obs, settings, t0.Add(22*time.Second))
	assert.Len(t, plan.Orphans, 4, "no load after the end")

	s = newFixture(t)
	s.prev = InitializeStatus(s.obs.Test, t0)
	s.obs.OldOrphans = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "old"}}}
	s.obs.Predecessors = []string{"pod old"}
	plan = PlanFor(&s.prev, &s.obs, settings, t0)
	assert.Len(t, plan.Orphans, 1, "or the new test would wait forever")
}

func TestPlanDeleted(t *testing.T) {
	s := running(t)
	assert.Equal(t, Plan{Stop: []*batchv1.Job{s.obs.MasterJob, s.obs.WorkerJob}}, PlanDeleted(&s.obs))
}

func TestPlanEnd(t *testing.T) {
	ttl := 30 * time.Second
	kept := settings
	kept.JobTTL = &ttl
	end := t0.Add(60 * time.Second)

	s := running(t)
	s.endPod(s.master(), end, 0, "")
	s.endJob(s.obs.MasterJob, batchv1.JobComplete, end)
	s.derive(end)
	plan := PlanFor(&s.prev, &s.obs, kept, end.Add(time.Second))
	assert.Equal(t, []*batchv1.Job{s.obs.MasterJob}, plan.Expire)
	assert.Empty(t, plan.Stop, "workers get a grace period")
	assert.Equal(t, workerShutdownGracePeriod-time.Second, plan.RequeueAfter)
	plan = PlanFor(&s.prev, &s.obs, kept, end.Add(workerShutdownGracePeriod))
	assert.Equal(t, []*batchv1.Job{s.obs.WorkerJob}, plan.Stop, "workers that linger are stopped")

	s = running(t)
	s.obs.Failure = &Failure{Message: "x", Final: true}
	s.derive(end)
	plan = PlanFor(&s.prev, &s.obs, settings, end)
	assert.Equal(t, []*batchv1.Job{s.obs.MasterJob, s.obs.WorkerJob}, plan.Stop, "the operator decided: no load from now on")
	assert.Empty(t, plan.Expire, "without a time to live the Jobs are kept")
	one := int64(1)
	s.obs.MasterJob.Spec.ActiveDeadlineSeconds = &one
	plan = PlanFor(&s.prev, &s.obs, settings, end)
	assert.Equal(t, []*batchv1.Job{s.obs.WorkerJob}, plan.Stop, "stopped once")
}

func TestPlan_EmptyBeforeFirstStatus(t *testing.T) {
	s := newFixture(t)
	assert.Equal(t, Plan{}, PlanFor(&s.prev, &s.obs, settings, t0))
}

func TestPlan_RecreatesLostObjects(t *testing.T) {
	s := running(t)
	s.obs.Service, s.obs.WorkerJob = nil, nil
	plan := PlanFor(&s.prev, &s.obs, settings, t0.Add(20*time.Second))
	assert.True(t, plan.CreateService)
	assert.True(t, plan.CreateWorker)
	assert.False(t, plan.CreateMaster)
}
