//go:build e2e

package e2e

import (
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// readyWorker matches the unique identity of a connected worker in a master's log.
var readyWorker = regexp.MustCompile(`(\S+_[0-9a-f]{32})'?( \(index \d+\))? reported as ready`)

var background = client.PropagationPolicy(metav1.DeletePropagationBackground)

// withDefaultHeartbeat keeps Locust's default heartbeat timeout for the workers of a test.
func (s *fixture) withDefaultHeartbeat(spec *v2.LocustTestSpec) {
	s.configMap("default-heartbeat", map[string]string{"locustfile.py": locustfile})
	spec.TestFiles.ConfigMapRef = "default-heartbeat"
}

// reasonsAfterLosses returns the reasons of WorkersConnected when workers are lost and replaced n times.
func reasonsAfterLosses(n int) []string {
	reasons := []string{v2.ReasonWaitingForWorkers, v2.ReasonAllWorkersConnected}
	for range n {
		reasons = append(reasons, v2.ReasonWorkersMissing, v2.ReasonAllWorkersConnected)
	}
	return reasons
}

// TestLostWorkers deletes one worker with and one without a grace period. Depending on its Locust version, a worker exits
// with code 0 on SIGTERM, and its Job counts it as succeeded, or with another code, and its Job replaces it.
func TestLostWorkers(t *testing.T) {
	t.Parallel()
	eachLocust(t, func(t *testing.T, _, image string) {
		t.Parallel()
		s := newFixture(t)
		disturbed.add(t)
		test := s.create(s.test("workers", 55, s.withDefaultHeartbeat, func(spec *v2.LocustTestSpec) {
			spec.Image = image
			spec.Worker.Replicas = 3
		}))
		s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
		s.untilLoad(test)
		for i, grace := range []int64{30, 0} {
			// Locust 2.47 may not survive a worker that leaves while users are being spawned: KeyError in its master.
			s.Until(test, "all users run", func(status *v2.LocustTestStatus) bool {
				return status.Progress != nil && status.Progress.CurrentUsers >= 6 && status.ConnectedWorkers == 3
			})
			pod := s.livePods(test, resources.RoleWorker)[0]
			require.NoError(t, k8s.Delete(t.Context(), &pod, client.GracePeriodSeconds(grace)))
			s.untilReasons(test, v2.ConditionTypeWorkersConnected, reasonsAfterLosses(i+1)...)
			job := s.job(test, resources.RoleWorker)
			t.Logf("deleted with %d s of grace and replaced: completions %d, parallelism %d, succeeded %d, failed %d",
				grace, *job.Spec.Completions, *job.Spec.Parallelism, job.Status.Succeeded, job.Status.Failed)
		}
		final := s.UntilPhase(test, v2.PhaseSucceeded)
		assert.EqualValues(t, 3, final.ConnectedWorkers)
		assert.Equal(t, v2.ReasonWorkersLost, condition(final, v2.ConditionTypeLoadDelivered).Reason)
		assert.Contains(t, condition(final, v2.ConditionTypeTestCompleted).Message, "; but 2 workers were lost during the load")
		assert.Equal(t, 1, count(t, "started", s.key(test.Name)), "Locust ran once")
		s.requireNoLoad(test)
	})
}

// TestLostObjects checks that a deleted Service is recreated during the load. A deleted worker Job is recreated, too, but the
// load ends with its last worker.
func TestLostObjects(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	disturbed.add(t)
	test := s.create(s.test("objects", 300, s.withDefaultHeartbeat))
	s.Until(test, "the master has counted requests", func(status *v2.LocustTestStatus) bool {
		return status.TestResult != nil && status.TestResult.TotalRequests > 0
	})

	service := &corev1.Service{}
	key := client.ObjectKey{Namespace: s.namespace, Name: resources.MasterName(test.Name)}
	require.NoError(t, k8s.Get(t.Context(), key, service))
	lost := service.UID
	require.NoError(t, k8s.Delete(t.Context(), service))
	eventually(t, "the Service is recreated", func() bool {
		return k8s.Get(t.Context(), key, service) == nil && service.UID != lost
	})

	// Without a propagation policy the API server orphans the Job's pods, which would continue.
	job := s.job(test, resources.RoleWorker)
	old := s.livePods(test, resources.RoleWorker)
	require.NoError(t, k8s.Delete(t.Context(), job))
	eventually(t, "the worker Job is recreated", func() bool {
		var again batchv1.Job
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(job), &again) == nil && again.UID != job.UID
	})
	for i := range old {
		eventually(t, "the old worker is deleted", func() bool {
			return apierrors.IsNotFound(k8s.Get(t.Context(), client.ObjectKeyFromObject(&old[i]), &corev1.Pod{}))
		})
	}
	// Locust ended the load, because the old workers disconnected before the new ones connected.
	final := s.UntilPhase(test, v2.PhaseFailed)
	assert.Equal(t, v2.ReasonLoadCutShort, condition(final, v2.ConditionTypeLoadDelivered).Reason)
	assert.Contains(t, condition(final, v2.ConditionTypeTestCompleted).Message, "all workers were lost, so Locust ended the load after")
	assert.Contains(t, watcher.Reasons(test.UID, v2.ConditionTypeWorkersConnected), v2.ReasonWorkersMissing)
	assert.Less(t, final.CompletionTime.Sub(final.StartTime.Time), 4*time.Minute, "it does not wait for the end of the run time")
	s.requireNoLoad(test)
	assert.Equal(t, 1, count(t, "started", s.key(test.Name)))
}

// TestLostMaster checks that the loss of the master Job or its pod fails the run.
func TestLostMaster(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(s *fixture, test *v2.LocustTest){
		"job": func(s *fixture, test *v2.LocustTest) {
			require.NoError(s.t, k8s.Delete(s.t.Context(), s.job(test, resources.RoleMaster), background))
		},
		"pod": func(s *fixture, test *v2.LocustTest) {
			pod := s.livePods(test, resources.RoleMaster)[0]
			require.NoError(s.t, k8s.Delete(s.t.Context(), &pod))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			test := s.create(s.test("master-"+name, 60))
			s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
			s.untilLoad(test)
			// Workers report to the master every 3 s, and once more when it stops them, for which it waits half a second.
			// The final report does not have later requests.
			known := s.Until(test, "the master has counted requests", func(status *v2.LocustTestStatus) bool {
				return status.TestResult != nil && status.TestResult.TotalRequests > 0
			}).TestResult.TotalRequests
			lose(s, test)
			final := s.UntilPhase(test, v2.PhaseFailed)
			assert.Contains(t, condition(final, v2.ConditionTypeTestCompleted).Message, "deleted")
			t.Log(condition(final, v2.ConditionTypeTestCompleted).Message)
			if name == "pod" {
				// It received SIGTERM, and wrote its report before it exited.
				require.NotNil(t, final.TestResult)
				assert.True(t, final.TestResult.Final)
				assert.Equal(t, v2.ResultSourceReporter, final.TestResult.Source)
				assert.GreaterOrEqual(t, final.TestResult.TotalRequests, known)
			}
			s.requireNoLoad(test)
			time.Sleep(3 * time.Second)
			s.requireFrozen(test, final)
			assert.Equal(t, 1, count(t, "started", s.key(test.Name)), "no second run")
		})
	}
}

// TestDeletedDuringTheRun checks that all objects are deleted with the test.
func TestDeletedDuringTheRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	test := s.create(s.test("gone", 60))
	s.UntilPhase(test, v2.PhaseRunning)
	require.NoError(t, k8s.Delete(t.Context(), test, background))
	eventually(t, "all objects are deleted", func() bool {
		var jobs batchv1.JobList
		var services corev1.ServiceList
		var pods corev1.PodList
		for _, list := range []client.ObjectList{&jobs, &services, &pods} {
			require.NoError(t, k8s.List(t.Context(), list, client.InNamespace(s.namespace)))
		}
		return len(jobs.Items)+len(services.Items)+len(pods.Items) == 0
	})
	s.requireNoLoad(test)
}

// TestCreatedAnew deletes a test and recreates it at once with the same name; old workers must not connect to the new master.
func TestCreatedAnew(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	old := s.create(s.test("again", 60))
	s.UntilReason(old, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	require.NoError(t, k8s.Delete(t.Context(), old, background))
	again := s.create(s.test("again", 8, func(spec *v2.LocustTestSpec) { spec.Env.Variables[0].Value += "-2" }))
	s.UntilPhase(again, v2.PhaseRunning)
	s.UntilPhase(again, v2.PhaseSucceeded)
	assert.Equal(t, 1, count(t, "started", s.key("again-2")))

	var pods corev1.PodList
	require.NoError(t, k8s.List(t.Context(), &pods, client.InNamespace(s.namespace), client.MatchingLabels{
		resources.LabelTestUID: string(again.UID), resources.LabelComponent: string(resources.RoleMaster)}))
	require.Len(t, pods.Items, 1)
	log := s.logs(&pods.Items[0])
	connected := map[string]bool{}
	for _, found := range readyWorker.FindAllStringSubmatch(log, -1) {
		connected[found[1]] = true
	}
	require.Len(t, connected, 2, "only its own two workers connected to the new master:\n%s", log)
}
