package status

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

func warning(uid types.UID, reason, message string, at time.Time) corev1.Event {
	return corev1.Event{InvolvedObject: corev1.ObjectReference{UID: uid}, Type: corev1.EventTypeWarning, Reason: reason, Message: message, LastTimestamp: metav1.NewTime(at)}
}

func TestPodsHealthy_Reasons(t *testing.T) {
	at := t0.Add(20 * time.Second)
	for name, tc := range map[string]struct {
		change   func(s *fixture)
		reason   string
		contains []string
	}{
		"image":       {func(s *fixture) { s.waitPod(s.worker(0), "ErrImagePull", "manifest unknown") }, v2.ReasonImagePullError, []string{"shop-worker-0", "manifest unknown"}},
		"bad image":   {func(s *fixture) { s.waitPod(s.master(), "InvalidImageName", "couldn't parse") }, v2.ReasonImagePullError, []string{"couldn't parse"}},
		"secret key":  {func(s *fixture) { s.waitPod(s.master(), "CreateContainerConfigError", `secret "s" not found`) }, v2.ReasonConfigurationError, []string{`secret "s" not found`}},
		"start error": {func(s *fixture) { s.waitPod(s.master(), "RunContainerError", "exec: no such file") }, v2.ReasonConfigurationError, []string{"no such file"}},
		"crash loop":  {func(s *fixture) { s.waitPod(s.master(), "CrashLoopBackOff", "back-off") }, v2.ReasonCrashLoopBackOff, []string{"back-off"}},
		"unscheduled": {func(s *fixture) {
			s.master().Status.Conditions[0] = corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes are available"}
		}, v2.ReasonSchedulingError, []string{"0/1 nodes are available"}},
		"init crashes": {func(s *fixture) {
			s.master().Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "mesh", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}}}}
		}, v2.ReasonInitializationError, []string{"mesh"}},
		"init ended": {func(s *fixture) {
			s.master().Status.InitContainerStatuses = []corev1.ContainerStatus{{Name: "mesh", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 3}}}}
		}, v2.ReasonInitializationError, []string{"code 3"}},
		"mount": {func(s *fixture) {
			s.obs.Events = []corev1.Event{warning("shop-master-0", "FailedMount", `configmap "x" not found`, at)}
		}, v2.ReasonConfigurationError, []string{`configmap "x" not found`}},
		"sandbox": {func(s *fixture) {
			s.obs.Events = []corev1.Event{warning("shop-worker-2", "FailedCreatePodSandBox", "no network", at)}
		}, v2.ReasonInitializationError, []string{"no network"}},
		"quota": {func(s *fixture) {
			s.obs.Pods = nil
			s.obs.Events = []corev1.Event{warning("shop-worker-uid", "FailedCreate", "exceeded quota: none", at)}
		}, v2.ReasonCreationError, []string{"Job shop-worker", "exceeded quota: none"}},
		"worker crashes": {func(s *fixture) { s.endPod(s.worker(0), at, 1, "SyntaxError: bad") }, v2.ReasonCrashLoopBackOff, []string{"shop-worker-0", "code 1", "SyntaxError"}},
		"the worst of many": {func(s *fixture) {
			s.waitPod(s.worker(0), "ErrImagePull", "manifest unknown")
			s.waitPod(s.worker(1), "CreateContainerConfigError", `secret "s" not found`)
		}, v2.ReasonConfigurationError, []string{"shop-worker-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := created(t)
			tc.change(s)
			d := s.derive(at)
			requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, tc.reason, tc.contains...)
			require.Len(t, d.Events, 1)
			assert.Equal(t, corev1.EventTypeWarning, d.Events[0].Type)
			assert.Equal(t, tc.reason, d.Events[0].Reason)
		})
	}
}

func TestPodsHealthy_Ignored(t *testing.T) {
	at := t0.Add(20 * time.Second)
	for name, change := range map[string]func(s *fixture){
		"old events of a pod that runs": func(s *fixture) {
			s.runPod(s.master(), at)
			s.obs.Events = []corev1.Event{warning("shop-master-0", "FailedMount", "x", at)}
		},
		"old events of a Job that has pods": func(s *fixture) { s.obs.Events = []corev1.Event{warning("shop-worker-uid", "FailedCreate", "x", at)} },
		"events of other kinds":             func(s *fixture) { s.obs.Events = []corev1.Event{warning("shop-master-0", "BackOff", "x", at)} },
		"a pod that is being deleted": func(s *fixture) {
			s.waitPod(s.worker(0), "ErrImagePull", "x")
			now := metav1.NewTime(at)
			s.worker(0).DeletionTimestamp = &now
		},
		"a worker that was evicted": func(s *fixture) {
			s.endPod(s.worker(0), at, 137, "")
			s.worker(0).Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue}}
		},
		"an old Event": func(s *fixture) {
			s.obs.Pods = nil
			s.obs.Events = []corev1.Event{warning("shop-worker-uid", "FailedCreate", "x", at.Add(-2*jobEventMaxAge))}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := created(t)
			change(s)
			s.derive(at)
			requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
		})
	}
}

func TestPodsHealthy_FixedMountIsIgnored(t *testing.T) {
	s := created(t)
	s.obs.Events = []corev1.Event{
		warning("shop-master-0", "Pulling", "pulling a big image", t0.Add(30*time.Second)),
		warning("shop-master-0", "FailedMount", `configmap "x" not found`, t0.Add(20*time.Second)),
	}
	s.derive(t0.Add(time.Minute))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
}

// TestPodsHealthy_TransientError: a busy kubelet retries; the error is a problem only when it stays.
func TestPodsHealthy_TransientError(t *testing.T) {
	s := created(t)
	s.obs.Events = []corev1.Event{warning("shop-master-0", "FailedMount", "failed to sync configmap cache: timed out", t0.Add(20*time.Second))}
	s.derive(t0.Add(30 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
	s.derive(t0.Add(61 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonConfigurationError, "configmap cache")
}

// TestCrashingWorkers: a worker that fails soon after its start does not make the status flap.
func TestCrashingWorkers(t *testing.T) {
	s := created(t)
	now := t0.Add(10 * time.Second)
	s.runMaster(now)
	s.derive(now)
	transitions := 0
	for i := range 6 {
		pod := s.worker(0)
		if i > 0 {
			pod = s.pod("worker", 0)
			pod.Name, pod.UID = pod.Name+strings.Repeat("x", i), pod.UID+types.UID(strings.Repeat("x", i))
			pod.CreationTimestamp = metav1.NewTime(now)
		}
		s.runPod(pod, now)
		for _, w := range []int{1, 2} {
			if i == 0 {
				s.runPod(s.worker(w), now)
			}
		}
		for range 3 {
			now = now.Add(time.Second)
			before := s.prev.DeepCopy()
			if d := s.derive(now); Compare(before, &d.Status) == Transition {
				transitions++
			}
		}
		s.endPod(pod, now, 1, "SyntaxError")
		before := s.prev.DeepCopy()
		if d := s.derive(now); Compare(before, &d.Status) == Transition {
			transitions++
		}
		now = now.Add(10 * time.Second)
	}
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonCrashLoopBackOff, "SyntaxError")
	assert.LessOrEqual(t, transitions, 3, "all connected for a moment, then crashing, and no flapping after that")

	// A replacement that keeps running clears the problem, whatever is lost later.
	last := s.pod("worker", 0)
	last.UID, last.CreationTimestamp = "last", metav1.NewTime(now)
	s.runPod(last, now)
	s.derive(now.Add(reconnectGracePeriod))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy)
	s.dropPod(s.worker(1))
	s.derive(now.Add(time.Hour))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
}

func TestFindStuckObjects(t *testing.T) {
	s := created(t)
	f := s.stuck(t0.Add(2 * time.Second))
	assert.Empty(t, f.stuck, "a normal start is faster")
	assert.Equal(t, 3*time.Second, f.requeueAfter)

	f = s.stuck(t0.Add(6 * time.Second))
	assert.Equal(t, []types.UID{"shop-master-0", "shop-worker-0", "shop-worker-1", "shop-worker-2"}, f.stuck, "a few pods of each Job represent all")
	assert.Zero(t, f.requeueAfter, "new Events trigger a reconcile, time alone changes nothing")
	s.obs.Events = []corev1.Event{{Reason: "FailedMount"}}
	assert.Equal(t, recheckInterval, s.stuck(t0.Add(6*time.Second)).requeueAfter, "a transient error counts after some time")

	s.obs.Pods = nil
	f = s.stuck(t0.Add(6 * time.Second))
	assert.Equal(t, []types.UID{"shop-master-uid", "shop-worker-uid"}, f.stuck)

	s = running(t)
	f = s.stuck(t0.Add(time.Hour))
	assert.Empty(t, f.stuck, "no Events are read for a running test")
	assert.Zero(t, f.requeueAfter)

	s = created(t)
	s.waitPod(s.master(), "ErrImagePull", "x")
	f = s.stuck(t0.Add(6 * time.Second))
	assert.Equal(t, []types.UID{"shop-worker-0", "shop-worker-1", "shop-worker-2"}, f.stuck, "the master's own status shows the problem")
}

func TestMessage_NamesAFewPodsOnly(t *testing.T) {
	s := created(t)
	for i := range 3 {
		s.waitPod(s.worker(i), "ErrImagePull", "x")
	}
	s.waitPod(s.master(), "ErrImagePull", "x")
	s.derive(t0.Add(time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonImagePullError, "and 1 more")
}

// While the master reports the workers, only this requeue shows when the pods have run for long enough.
func TestPodsHealthy_ByTimeAlone(t *testing.T) {
	s := polled(t)
	young := t0.Add(30 * time.Second)
	s.runPod(s.worker(0), young)
	d := s.answer(young.Add(time.Second), 3, report.StateRunning, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
	require.Equal(t, connectGracePeriod-time.Second, d.RequeueAfter)
	s.answer(young.Add(connectGracePeriod), 3, report.StateRunning, report.Stats{})
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy)
}

// TestPodsHealthy_JobEventAge: Events that the Job controller repeats every minute may be read less often.
func TestPodsHealthy_JobEventAge(t *testing.T) {
	s := created(t)
	s.obs.Pods = nil
	read := t0.Add(10 * time.Second)
	s.obs.Events = []corev1.Event{warning("shop-worker-uid", "FailedCreate", "exceeded quota: none", read)}
	s.keepEventsAt, s.obs.EventsAt = true, read
	for _, at := range []time.Time{read, read.Add(jobEventMaxAge + time.Second)} {
		s.derive(at)
		requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v2.ReasonCreationError, "exceeded quota")
	}
	s.obs.EventsAt = read.Add(jobEventMaxAge)
	s.derive(read.Add(jobEventMaxAge + 2*time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
}
