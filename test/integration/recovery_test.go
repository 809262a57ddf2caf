//go:build integration

package integration

import (
	"context"
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

func service(test *v2.LocustTest) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: test.Namespace, Name: resources.MasterName(test.Name)}}
}

func deleteNow(t *testing.T, object client.Object) {
	t.Helper()
	require.NoError(t, k8s.Delete(t.Context(), object, client.GracePeriodSeconds(0), client.PropagationPolicy(metav1.DeletePropagationBackground)))
}

func TestLostObjects_BeforeTheRun(t *testing.T) {
	op, test := startWithTest(t, "early")
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	pods(t, test, resources.RoleMaster, 1)
	for _, role := range []resources.Role{resources.RoleMaster, resources.RoleWorker} {
		lost := job(t, test, role)
		deleteNow(t, lost)
		eventually(t, "the "+string(role)+" Job is recreated", func() bool {
			var j batchv1.Job
			return k8s.Get(t.Context(), client.ObjectKeyFromObject(lost), &j) == nil && j.UID != lost.UID
		})
	}
	deleteNow(t, service(test))
	eventually(t, "the Service is recreated", func() bool {
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(service(test)), &corev1.Service{}) == nil
	})
	eventually(t, "an Event reports it", func() bool {
		var events corev1.EventList
		require.NoError(t, k8s.List(t.Context(), &events, client.InNamespace(test.Namespace)))
		for _, e := range events.Items {
			if e.Reason == "ResourceRecreated" {
				return true
			}
		}
		return false
	})
	runAll(t, test)
	op.UntilPhase(test, v2.PhaseRunning)
}

func TestLostObjects_DuringTheRun(t *testing.T) {
	t.Parallel()
	op, test := startWithTest(t, "midway")
	runAll(t, test)
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)

	// If the worker Job is lost after a change of the spec, it is recreated from the original spec.
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(test), test))
	test.Spec.Worker.Replicas = 5
	require.NoError(t, k8s.Update(t.Context(), test))
	s := op.UntilReason(test, v2.ConditionTypeSpecDrifted, v2.ReasonSpecChangeIgnored)
	assert.EqualValues(t, 2, s.ExpectedWorkers)
	assert.EqualValues(t, 2, s.ObservedGeneration)

	lost := job(t, test, resources.RoleWorker)
	deleteNow(t, lost)
	eventually(t, "the worker Job is recreated", func() bool {
		var j batchv1.Job
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(lost), &j) == nil && j.UID != lost.UID && *j.Spec.Parallelism == 2
	})
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonWorkersMissing)
	for _, p := range pods(t, test, resources.RoleWorker, 2) {
		runPod(t, &p)
	}
	op.Until(test, "the workers are back", func(s *v2.LocustTestStatus) bool {
		reasons := op.Watcher.Reasons(test.UID, v2.ConditionTypeWorkersConnected)
		return len(reasons) == 4 && condition(s, v2.ConditionTypeWorkersConnected).Reason == v2.ReasonAllWorkersConnected
	})

	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(test), test))
	test.Spec.Worker.Replicas = 2
	require.NoError(t, k8s.Update(t.Context(), test))
	op.Until(test, "the spec is back", func(s *v2.LocustTestStatus) bool {
		return s.ObservedGeneration == 3 && condition(s, v2.ConditionTypeSpecDrifted).Reason == v2.ReasonSpecInSync
	})

	// The loss of the master Job fails the run.
	deleteNow(t, job(t, test, resources.RoleMaster))
	s = op.UntilPhase(test, v2.PhaseFailed)
	assert.Contains(t, condition(s, v2.ConditionTypeTestCompleted).Message, "the master Job was deleted during the run")
	time.Sleep(2 * time.Second)
	var jobs batchv1.JobList
	require.NoError(t, k8s.List(t.Context(), &jobs, client.InNamespace(test.Namespace)))
	require.Len(t, jobs.Items, 1, "no second run")
	eventually(t, "the workers are stopped", func() bool {
		return framework.FinishedAs(job(t, test, resources.RoleWorker)) == batchv1.JobFailed
	})
}

// TestWorkerDeleted checks that deleted workers are replaced, although they exit with code 0 and their Job counts them as
// succeeded.
func TestWorkerDeleted(t *testing.T) {
	t.Parallel()
	op, test := startWithTest(t, "taken")
	_, workers := runAll(t, test)
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)

	require.NoError(t, k8s.Delete(t.Context(), &workers[0], client.GracePeriodSeconds(30)))
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonWorkersMissing)
	endPod(t, &workers[0], 0, "")
	_ = k8s.Delete(t.Context(), &workers[0], client.GracePeriodSeconds(0))
	for _, p := range pods(t, test, resources.RoleWorker, 2) {
		runPod(t, &p)
	}
	op.Until(test, "the workers are back", func(*v2.LocustTestStatus) bool {
		return len(op.Watcher.Reasons(test.UID, v2.ConditionTypeWorkersConnected)) == 4
	})
	assert.EqualValues(t, 3, *job(t, test, resources.RoleWorker).Spec.Completions)

	// If all workers are deleted, the Job is complete and cannot grow, so it is replaced.
	before := job(t, test, resources.RoleWorker)
	live := pods(t, test, resources.RoleWorker, 2)
	for i := range live {
		require.NoError(t, k8s.Delete(t.Context(), &live[i], client.GracePeriodSeconds(30)))
	}
	for i := range live {
		endPod(t, &live[i], 0, "")
		_ = k8s.Delete(t.Context(), &live[i], client.GracePeriodSeconds(0))
	}
	for _, p := range pods(t, test, resources.RoleWorker, 2) {
		runPod(t, &p)
	}
	op.Until(test, "the workers are back again", func(*v2.LocustTestStatus) bool {
		return len(op.Watcher.Reasons(test.UID, v2.ConditionTypeWorkersConnected)) == 6
	})
	assert.Equal(t, v2.PhaseRunning, op.Watcher.Phases(test.UID)[2])
	t.Logf("worker Job replaced: %t", before.UID != job(t, test, resources.RoleWorker).UID)
}

// TestOperatorAway checks that the outcome and the times of a run are recorded if no operator ran at its end.
func TestOperatorAway(t *testing.T) {
	op, test := startWithTest(t, "unseen", withTTL)
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	op.stop()

	master, workers := runAll(t, test)
	time.Sleep(time.Second)
	for i := range workers {
		endPod(t, &workers[i], 0, "")
	}
	endMaster(t, &master)
	eventually(t, "the master Job is complete", func() bool { return job(t, test, resources.RoleMaster).Status.CompletionTime != nil })

	op = startOperator(t, test.Namespace, withTTL)
	s := op.UntilPhase(test, v2.PhaseSucceeded)
	assert.Equal(t, locustEnded(t, &master), s.CompletionTime.Unix(), "when Locust ended")
	assert.Equal(t, "2/2", s.Workers, "rebuilt from the remaining pods")
	require.NotNil(t, s.StartTime)
	assert.LessOrEqual(t, s.StartTime.Unix(), s.CompletionTime.Unix())
	assert.Zero(t, op.requests.total("POST jobs"), "no Job was recreated")
}

// TestOperatorAway_MasterJobDeleted checks that a test is not run again if it is unknown whether it ran.
func TestOperatorAway_MasterJobDeleted(t *testing.T) {
	op, test := startWithTest(t, "vanished")
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	op.stop()
	deleteNow(t, job(t, test, resources.RoleMaster))

	op = startOperator(t, test.Namespace)
	s := op.UntilPhase(test, v2.PhaseFailed)
	assert.Contains(t, condition(s, v2.ConditionTypeTestCompleted).Message, "while the operator was not running")
	assert.Zero(t, op.requests.total("POST jobs"))
}

// TestOperatorAway_FirstWriteFails checks the same if the first status writes of the new operator fail.
func TestOperatorAway_FirstWriteFails(t *testing.T) {
	op, test := startWithTest(t, "unsaid")
	op.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	op.stop()
	deleteNow(t, job(t, test, resources.RoleMaster))

	op = startFaultyOperator(t, test.Namespace, map[string]int{"PATCH locusttests/status": 2})
	op.UntilPhase(test, v2.PhaseFailed)
	assert.Zero(t, op.requests.total("POST jobs"), "a load test is never started a second time")
}

// TestFaultyAPIServer checks that a run succeeds although its requests fail once or twice.
func TestFaultyAPIServer(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	op := startFaultyOperator(t, ns, map[string]int{"POST services": 1, "POST jobs": 2, "PATCH locusttests/status": 2, "GET events": 1})
	test := create(t, newTest(ns, "faulty"))
	master, workers := runAll(t, test)
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	for i := range workers {
		endPod(t, &workers[i], 0, "")
	}
	endMaster(t, &master)
	op.UntilPhase(test, v2.PhaseSucceeded)
	assert.Zero(t, op.requests.total("POST jobs 409"), "nothing was created twice")
}

// TestOrphanedPods checks that pods that a deleted Job leaves behind are deleted.
func TestOrphanedPods(t *testing.T) {
	op, test := startWithTest(t, "orphans")
	_, workers := runAll(t, test)
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	require.NoError(t, k8s.Delete(t.Context(), job(t, test, resources.RoleWorker), client.PropagationPolicy(metav1.DeletePropagationOrphan)))
	for i := range workers {
		untilDeleted(t, "the orphan is deleted", &workers[i])
		_ = k8s.Delete(t.Context(), &workers[i], client.GracePeriodSeconds(0))
	}
	for _, p := range pods(t, test, resources.RoleWorker, 2) {
		runPod(t, &p)
	}
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonWorkersMissing)
	op.Until(test, "the workers are back", func(*v2.LocustTestStatus) bool {
		return len(op.Watcher.Reasons(test.UID, v2.ConditionTypeWorkersConnected)) == 4
	})
}

// TestHeldByAFinalizer checks that a deleted test with a foreign finalizer is stopped.
func TestHeldByAFinalizer(t *testing.T) {
	ns := namespace(t)
	op := startOperator(t, ns)
	held := newTest(ns, "held")
	create(t, held)
	runAll(t, held)
	op.UntilPhase(held, v2.PhaseRunning)
	finalizers := func(list string) {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":`+list+`}}`))
		require.NoError(t, client.IgnoreNotFound(k8s.Patch(context.Background(), held, patch)))
	}
	finalizers(`["example.com/held"]`)
	t.Cleanup(func() { finalizers("null") })
	require.NoError(t, k8s.Delete(t.Context(), held))
	for _, role := range []resources.Role{resources.RoleMaster, resources.RoleWorker} {
		eventually(t, "the Job is stopped", func() bool { return job(t, held, role).Spec.ActiveDeadlineSeconds != nil })
	}
}

// TestCreatedAnew checks that a new test of the same name waits until the old pods are deleted.
func TestCreatedAnew(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	op := startOperator(t, ns)
	old := create(t, newTest(ns, "again"))
	_, workers := runAll(t, old)
	op.UntilReason(old, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	// Delay the deletion of the pods.
	for i := range workers {
		patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":["test.locust.io/slow"]}}`))
		require.NoError(t, k8s.Patch(t.Context(), &workers[i], patch))
	}
	require.NoError(t, k8s.Delete(t.Context(), old, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	again := create(t, newTest(ns, "again"))
	s := op.Until(again, "it waits", func(s *v2.LocustTestStatus) bool {
		ready := condition(s, v2.ConditionTypeReady)
		return ready.Reason == v2.ReasonResourcesCreating && len(ready.Message) > len("Creating resources")
	})
	assert.Contains(t, condition(s, v2.ConditionTypeReady).Message, "of an earlier test")
	time.Sleep(3 * time.Second)
	var jobs batchv1.JobList
	require.NoError(t, k8s.List(t.Context(), &jobs, client.InNamespace(ns)))
	for _, j := range jobs.Items {
		assert.NotEqual(t, again.UID, metav1.GetControllerOf(&j).UID, "no Job while old workers could join")
	}
	for i := range workers {
		eventually(t, "the old pod is released", func() bool {
			patch := client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"finalizers":null}}`))
			return client.IgnoreNotFound(k8s.Patch(context.Background(), &workers[i], patch)) == nil
		})
	}
	for i := range workers {
		_ = k8s.Delete(t.Context(), &workers[i], client.GracePeriodSeconds(0))
	}
	op.UntilReason(again, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	assert.Zero(t, op.requests.total("POST jobs 409")+op.requests.total("POST services 409"), "no create was refused: %v", op.requests.snapshot())
}

// TestCreationError checks that the message of the Job controller is reported if it cannot create pods.
func TestCreationError(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "no-pods"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: {}}}}
	require.NoError(t, k8s.Create(t.Context(), quota))
	eventually(t, "the quota is in force", func() bool {
		err := k8s.Get(t.Context(), client.ObjectKeyFromObject(quota), quota)
		return err == nil && len(quota.Status.Hard) > 0
	})
	op := startOperator(t, ns, withDeadline(20*time.Second))
	test := create(t, newTest(ns, "nopods"))
	started := time.Now()
	s := op.UntilReason(test, v2.ConditionTypePodsHealthy, v2.ReasonCreationError)
	t.Logf("reported after %s", time.Since(started).Round(time.Millisecond))
	assert.Contains(t, condition(s, v2.ConditionTypePodsHealthy).Message, "exceeded quota: no-pods")
	s = op.UntilPhase(test, v2.PhaseFailed)
	assert.Contains(t, condition(s, v2.ConditionTypeTestCompleted).Message, "exceeded quota: no-pods")
	seconds := int(time.Since(started).Seconds()) + 1
	assert.LessOrEqual(t, op.requests.total(""), seconds+startupRequests, "at most one request per second: %v", op.requests.snapshot())
}

// TestStatusIsASubresource checks that spec writes do not change the status, and status writes do not change the spec.
func TestStatusIsASubresource(t *testing.T) {
	ns := namespace(t)
	test := newTest(ns, "isolated")
	test.Status.Phase = v2.PhaseRunning
	create(t, test)
	assert.Empty(t, test.Status.Phase, "a status in a manifest is ignored")
	test.Status.Phase = v2.PhasePending
	test.Spec.Image = "other"
	require.NoError(t, k8s.Status().Update(t.Context(), test))
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(test), test))
	assert.Equal(t, "locustio/locust:2.47.0", test.Spec.Image)
	assert.Equal(t, v2.PhasePending, test.Status.Phase)
	assert.EqualValues(t, 1, test.Generation)
	require.NoError(t, k8s.Delete(t.Context(), test), "this status breaks the contract, and another watcher would report it")
}

// TestCRD_FitsApply checks the size of the CRD: kubectl apply keeps the whole manifest in an annotation, and two versions
// must fit.
func TestCRD_FitsApply(t *testing.T) {
	raw, err := os.ReadFile("../../config/crd/bases/locust.io_locusttests.yaml")
	require.NoError(t, err)
	var crd map[string]any
	require.NoError(t, yaml.Unmarshal(raw, &crd))
	compact, err := json.Marshal(crd)
	require.NoError(t, err)
	assert.Less(t, len(compact), 256*1024/2, "one version")
	t.Logf("the CRD has %d bytes as JSON", len(compact))
}
