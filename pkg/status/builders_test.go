package status

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// t0 is the creation time of the fixtures' LocustTest.
var t0 = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

var settings = Settings{StartupDeadline: 5 * time.Minute, PollInterval: 5 * time.Second}

// fixture is a LocustTest with its objects; each test changes only the relevant parts.
type fixture struct {
	t    testing.TB
	obs  Observation
	prev v2.LocustTestStatus
	// keepEventsAt is true if Events are not read again for each derivation.
	keepEventsAt bool
}

// newFixture returns a new test with 3 workers and no objects.
func newFixture(t testing.TB) *fixture {
	test := builder.MakeLocustTest("shop").Namespace("load").Stored("test-uid", 1, t0).
		Image("locust").Locustfile("/lotest/src/t.py").Workers(3).Obj()
	return &fixture{t: t, obs: Observation{Test: test}}
}

// created returns a test whose objects exist and whose pods do not run.
func created(t testing.TB) *fixture {
	s := newFixture(t)
	s.prev = InitializeStatus(s.obs.Test, t0)
	s.obs.Run = resources.NewRun(s.obs.Test.DeepCopy())
	s.obs.Service = &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "shop-master"}}
	s.obs.MasterJob = s.job("shop-master", 1)
	s.obs.WorkerJob = s.job("shop-worker", 3)
	s.pod(resources.RoleMaster, 0)
	for i := range 3 {
		s.pod(resources.RoleWorker, i)
	}
	s.derive(t0.Add(time.Second))
	return s
}

// running returns a test whose pods have all been running since t0+10s.
func running(t testing.TB) *fixture {
	s := created(t)
	s.runAll()
	return s
}

func (s *fixture) runAll() {
	s.runMaster(t0.Add(10 * time.Second))
	for i := range 3 {
		s.runPod(s.worker(i), t0.Add(10*time.Second))
	}
	s.derive(t0.Add(14 * time.Second))
	require.Equal(s.t, v2.PhaseRunning, s.prev.Phase)
}

// derive derives the next status, checks it, and makes it the previous one.
func (s *fixture) derive(now time.Time) Derivation {
	s.t.Helper()
	before := s.prev.DeepCopy()
	if s.obs.Run != nil {
		s.obs.Run.Locust = resources.ConfigFor(&s.obs.Run.Spec) // the test may have changed it
	}
	if !s.keepEventsAt {
		s.obs.EventsAt = now
	}
	d := Derive(s.prev, s.obs, settings, now)
	require.Equal(s.t, *before, s.prev, "the previous status must not be touched")
	require.NoError(s.t, CheckTransition(before, &d.Status))
	require.NoError(s.t, CheckGuarantee(s.obs.guarantee(), &d.Status))
	s.prev = *d.Status.DeepCopy()
	return d
}

// stuck returns the facts with the stuck objects, and the wait that only these request.
func (s *fixture) stuck(now time.Time) *facts {
	f := newFacts(&s.prev, &s.obs, settings, now)
	f.stuck = f.findStuckObjects()
	return f
}

func (s *fixture) job(name string, parallelism int32) *batchv1.Job {
	zero := int32(0)
	return &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "load", UID: types.UID(name + "-uid"), CreationTimestamp: metav1.NewTime(t0)},
		Spec:       batchv1.JobSpec{Parallelism: &parallelism, Completions: &parallelism},
		Status:     batchv1.JobStatus{Active: parallelism, Ready: &zero},
	}
}

func (s *fixture) pod(role resources.Role, index int) *corev1.Pod {
	job := "shop-" + string(role)
	name := job + "-" + strconv.Itoa(index)
	yes := true
	s.obs.Pods = append(s.obs.Pods, corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, UID: types.UID(name), CreationTimestamp: metav1.NewTime(t0),
			Labels: map[string]string{
				resources.LabelComponent: string(role), resources.LabelPodName: job,
				batchv1.JobCompletionIndexAnnotation: strconv.Itoa(index),
			},
			OwnerReferences: []metav1.OwnerReference{{UID: types.UID(job + "-uid"), Controller: &yes}},
		},
		Status: corev1.PodStatus{
			Phase:             corev1.PodPending,
			Conditions:        []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(t0)}},
			ContainerStatuses: []corev1.ContainerStatus{{Name: job, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}}},
		},
	})
	return &s.obs.Pods[len(s.obs.Pods)-1]
}

func (s *fixture) master() *corev1.Pod { return &s.obs.Pods[0] }

func (s *fixture) worker(i int) *corev1.Pod { return &s.obs.Pods[1+i] }

func (s *fixture) runMaster(at time.Time) {
	one := int32(1)
	s.obs.MasterJob.Status.Ready = &one
	s.runPod(s.master(), at)
	s.master().Status.PodIP = "10.244.1.7"
}

func (s *fixture) runPod(pod *corev1.Pod, at time.Time) {
	pod.Status.Phase = corev1.PodRunning
	pod.Status.Conditions = append(pod.Status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(at)}}
}

func (s *fixture) endPod(pod *corev1.Pod, at time.Time, code int32, message string) {
	pod.Status.Phase = corev1.PodSucceeded
	if code != 0 {
		pod.Status.Phase = corev1.PodFailed
	}
	pod.Status.Conditions = pod.Status.Conditions[:1]
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: code, StartedAt: metav1.NewTime(startedAt(pod)), FinishedAt: metav1.NewTime(at), Message: message,
	}}
}

func (s *fixture) waitPod(pod *corev1.Pod, reason, message string) {
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}}
}

func (s *fixture) endJob(job *batchv1.Job, condition batchv1.JobConditionType, at time.Time) {
	when := metav1.NewTime(at)
	job.Status.Active = 0
	job.Status.Conditions = append(job.Status.Conditions, batchv1.JobCondition{Type: condition, Status: corev1.ConditionTrue, LastTransitionTime: when, Reason: "BackoffLimitExceeded", Message: "too many failures"})
	if condition == batchv1.JobComplete {
		job.Status.CompletionTime = &when
	}
}

func (s *fixture) dropPod(pod *corev1.Pod) {
	var kept []corev1.Pod
	for _, p := range s.obs.Pods {
		if p.UID != pod.UID {
			kept = append(kept, p)
		}
	}
	s.obs.Pods = kept
}

// requireCondition checks a condition of the status, and that its message contains the given texts.
func requireCondition(t *testing.T, s *v2.LocustTestStatus, conditionType string, status metav1.ConditionStatus, reason string, contains ...string) {
	t.Helper()
	c := meta.FindStatusCondition(s.Conditions, conditionType)
	require.NotNil(t, c, "condition %s is absent", conditionType)
	require.Equal(t, string(status)+"/"+reason, string(c.Status)+"/"+c.Reason, "condition %s: %s", conditionType, c.Message)
	for _, text := range contains {
		require.Contains(t, c.Message, text, "message of %s", conditionType)
	}
}
