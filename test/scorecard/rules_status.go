package main

import (
	"context"
	"fmt"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// quietPeriod is the time without writes after which a test counts as idle.
const quietPeriod = 12 * time.Second

// jobEndDelay bounds how long after the end of Locust's container its Job ends.
const jobEndDelay = 30 * time.Second

// permanentConditions are the conditions that a status has from its first write on.
var permanentConditions = []string{
	v2.ConditionTypeReady, v2.ConditionTypeWorkersConnected, v2.ConditionTypeLoadDelivered, v2.ConditionTypeTestCompleted, v2.ConditionTypePodsHealthy, v2.ConditionTypeSpecDrifted,
}

var statusRules = []rule{
	{"status-subresource-v2", "status", "the status is a subresource: a write of the spec cannot change the status, and vice versa (v2)", subresource("v2")},
	{"status-subresource-v1", "status", "the status is a subresource: a write of the spec cannot change the status, and vice versa (v1)", subresource("v1")},
	{"status-initial", "status", "the first status has phase Pending, the observed generation, the expected workers and all conditions", initial},
	{"status-numbers", "status", "the status of a finished test has its workers, its times (within seconds of the Job's) and its exact result", numbers},
	{"status-idle", "status", "the status is not written while nothing changes", idle},
	{"status-spec-change", "status", "a change of the spec during the run changes only SpecDrifted, and is reported", specChange},
	{"status-terminal", "status", "Succeeded and Failed are final: nothing changes them, and nothing is started again", terminal},
	{"status-versions", "status", "v1 shows the same status as v2", versions},
}

// makeUnschedulable keeps a test Pending.
func makeUnschedulable(spec *v2.LocustTestSpec) {
	spec.Scheduling = &v2.SchedulingConfig{NodeSelector: map[string]string{"locust.io/scorecard": "no-such-node"}}
}

// untyped returns an empty LocustTest of an API version.
func untyped(version, namespace, name string) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("locust.io/" + version)
	object.SetKind("LocustTest")
	object.SetNamespace(namespace)
	object.SetName(name)
	return object
}

func subresource(version string) func(context.Context, *ruleRun) {
	return func(ctx context.Context, s *ruleRun) {
		observed := s.start(ctx, framework.GoodLocustfile, makeUnschedulable)
		observed.untilPhase(ctx, v2.PhasePending)
		get := func() *unstructured.Unstructured {
			object := untyped(version, s.namespace, observed.test.Name)
			s.must(s.Get(ctx, client.ObjectKeyFromObject(object), object), "read the test in "+version)
			return object
		}
		phase := func(object *unstructured.Unstructured) string {
			text, _, _ := unstructured.NestedString(object.Object, "status", "phase")
			return text
		}
		const remedy = "enable the status subresource for this version in the CRD"

		patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"scorecard":"spec"}},"status":{"phase":"Succeeded"}}`))
		object := get()
		s.must(s.Patch(ctx, object, patch), "label the test in "+version)
		s.expect(phase(get()) == v2.PhasePending, "a write of the spec leaves the phase at Pending", "phase "+phase(get()), remedy)

		generation := get().GetGeneration()
		patch = client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"labels":{"scorecard":"status"}},"spec":{"image":"changed:by-status"},"status":{}}`))
		object = get()
		s.must(s.Status().Patch(ctx, object, patch), "write the status of the test in "+version)
		image, _, _ := unstructured.NestedString(get().Object, "spec", "image")
		s.expect(image == s.image && get().GetGeneration() == generation, "a write of the status does not change the spec", "spec.image "+image, remedy)
	}
}

func initial(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.GoodLocustfile, makeUnschedulable)
	first := observed.until(ctx, "a first status", func(status *v2.LocustTestStatus) bool {
		return !equality.Semantic.DeepEqual(*status, v2.LocustTestStatus{})
	})
	const remedy = "write the whole status at once, before or with the creation of the objects"
	s.expect(first.Phase == v2.PhasePending, "phase Pending", describe(first), remedy)
	s.expect(first.ObservedGeneration == 1, "observedGeneration 1", fmt.Sprint(first.ObservedGeneration), remedy)
	s.expect(first.ExpectedWorkers == 2 && first.ConnectedWorkers == 0, "0 of 2 workers", fmt.Sprintf("%d of %d", first.ConnectedWorkers, first.ExpectedWorkers), remedy)
	for _, kind := range permanentConditions {
		s.expect(condition(first, kind).Status != "absent", "condition "+kind, describe(first), remedy)
	}
	load := condition(first, v2.ConditionTypeLoadDelivered)
	s.expect(load.Status == metav1.ConditionUnknown, "LoadDelivered=Unknown before the load", describe(first), remedy)
	s.expect(condition(first, v2.ConditionTypeTestCompleted).Reason == v2.ReasonTestInProgress, "TestCompleted=False/TestInProgress", describe(first), remedy)
}

func numbers(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.GoodLocustfile)
	final := observed.untilPhase(ctx, v2.PhaseSucceeded)
	const remedy = "compare the status with the master's log and with its Job"
	s.expect(final.ExpectedWorkers == 2 && final.ConnectedWorkers == 2 && final.Workers == "2/2", "2/2 workers, frozen at the end of the run", final.Workers, remedy)
	s.require(final.StartTime != nil && final.CompletionTime != nil, "startTime and completionTime", describe(final), remedy)
	s.expect(!final.CompletionTime.Before(final.StartTime), "completionTime after startTime", final.CompletionTime.String(), remedy)
	// Locust's container ends before its Job does.
	var job batchv1.Job
	s.must(wait.PollUntilContextTimeout(ctx, 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		err := s.Get(ctx, client.ObjectKey{Namespace: s.namespace, Name: observed.test.Name + "-master"}, &job)
		return job.Status.CompletionTime != nil, err
	}), "wait until the master Job is complete; a --job-ttl of a few seconds would remove it")
	after := job.Status.CompletionTime.Sub(final.CompletionTime.Time)
	s.expect(after >= 0 && after < jobEndDelay, "completionTime up to "+jobEndDelay.String()+" before the master Job's: "+job.Status.CompletionTime.String(), final.CompletionTime.String(), remedy)
	result := final.TestResult
	s.require(result != nil, "a testResult", describe(final), remedy)
	s.expect(result.Final && result.TotalRequests > 0 && result.FailedRequests == 0, "a final result with requests and no failures", fmt.Sprintf("%+v", *result), remedy)
	s.logf("%d requests, %s per second", result.TotalRequests, result.RequestsPerSecond)
}

func idle(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.GoodLocustfile, makeUnschedulable)
	observed.until(ctx, "PodsHealthy=False/SchedulingError", func(status *v2.LocustTestStatus) bool {
		return condition(status, v2.ConditionTypePodsHealthy).Reason == v2.ReasonSchedulingError
	})
	// Messages may change for a while: the scheduler refreshes its message for each pod every few seconds.
	const remedy = "write only changes, and no times or counters that change by themselves"
	writes := 1
	for range 4 {
		if writes = observed.writesWithin(ctx, quietPeriod); writes == 0 {
			break
		}
	}
	s.require(writes == 0, "no write within "+quietPeriod.String(), fmt.Sprintf("%d writes, the last: %s", writes, describe(observed.last())), remedy)
	writes = observed.writesWithin(ctx, 2*quietPeriod)
	s.expect(writes == 0, "no write for another "+(2*quietPeriod).String(), fmt.Sprintf("%d writes, the last: %s", writes, describe(observed.last())), remedy)
}

// writesWithin waits for d and returns the number of writes of the test meanwhile.
func (observed *observedTest) writesWithin(ctx context.Context, d time.Duration) int {
	before := len(observed.versions())
	observed.s.pause(ctx, d)
	return len(observed.versions()) - before
}

func (s *ruleRun) pause(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
		s.must(ctx.Err(), "wait")
	}
}

func specChange(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.GoodLocustfile, func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/locustfile.py --users 2 --spawn-rate 2 --run-time 1h"
	})
	observed.untilPhase(ctx, v2.PhaseRunning)
	jobs := s.jobs(ctx, observed)
	change := func(replicas int) {
		body := fmt.Sprintf(`{"spec":{"worker":{"replicas":%d}}}`, replicas)
		s.must(s.Patch(ctx, observed.test.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body))), "change the spec")
	}
	const remedy = "changes of the spec after the start are ignored by design, and reported in SpecDrifted"
	change(3)
	drifted := observed.until(ctx, "SpecDrifted=True/SpecChangeIgnored", func(status *v2.LocustTestStatus) bool {
		return condition(status, v2.ConditionTypeSpecDrifted).Reason == v2.ReasonSpecChangeIgnored
	})
	s.expect(drifted.ObservedGeneration == 2, "observedGeneration 2", fmt.Sprint(drifted.ObservedGeneration), remedy)
	s.expect(drifted.ExpectedWorkers == 2 && drifted.Phase == v2.PhaseRunning, "still Running, with 2 workers expected", describe(drifted), remedy)
	change(2)
	observed.until(ctx, "SpecDrifted=False/SpecInSync again", func(status *v2.LocustTestStatus) bool {
		return status.ObservedGeneration == 3 && condition(status, v2.ConditionTypeSpecDrifted).Reason == v2.ReasonSpecInSync
	})
	s.expect(equality.Semantic.DeepEqual(jobs, s.jobs(ctx, observed)), "unchanged Jobs", fmt.Sprint(s.jobs(ctx, observed)), remedy)
}

// jobs returns UID and generation of the test's Jobs, by name.
func (s *ruleRun) jobs(ctx context.Context, observed *observedTest) map[string]string {
	var list batchv1.JobList
	s.must(s.List(ctx, &list, client.InNamespace(s.namespace)), "list Jobs")
	all := map[string]string{}
	for _, job := range list.Items {
		if metav1.IsControlledBy(&job, observed.test) {
			all[job.Name] = fmt.Sprintf("%s at generation %d", job.UID, job.Generation)
		}
	}
	return all
}

func terminal(ctx context.Context, s *ruleRun) {
	succeeded, failed := s.start(ctx, framework.GoodLocustfile), s.start(ctx, framework.FailingLocustfile)
	succeeded.untilPhase(ctx, v2.PhaseSucceeded)
	failed.untilPhase(ctx, v2.PhaseFailed)
	s.pause(ctx, 2*time.Second)
	const remedy = "do not derive the status once the phase is Succeeded or Failed"
	final := map[*observedTest]*v2.LocustTestStatus{}
	seen := map[*observedTest]int{}
	for _, observed := range []*observedTest{succeeded, failed} {
		final[observed], seen[observed] = observed.last().DeepCopy(), len(observed.versions())
		for _, role := range []string{"-master", "-worker"} {
			job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: observed.test.Name + role}}
			err := s.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground))
			s.must(client.IgnoreNotFound(err), "delete the Job "+job.Name) // the TTL controller may have deleted it
		}
		body := []byte(`{"spec":{"worker":{"replicas":3}}}`)
		s.must(s.Patch(ctx, observed.test.DeepCopy(), client.RawPatch(types.MergePatchType, body)), "change the spec")
	}
	s.pause(ctx, quietPeriod)
	for observed, want := range final {
		for _, version := range observed.versions()[seen[observed]:] {
			if !equality.Semantic.DeepEqual(want, &version.Status) {
				s.expect(false, "unchanged status: "+describe(want), describe(&version.Status), remedy)
				break
			}
		}
		jobs := s.jobs(ctx, observed)
		s.expect(len(jobs) == 0, "no Job is recreated after "+want.Phase, fmt.Sprint(jobs), remedy)
	}
}

func versions(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.GoodLocustfile)
	observed.untilPhase(ctx, v2.PhaseSucceeded)
	read := map[string]any{}
	for _, version := range []string{"v1", "v2"} {
		object := untyped(version, s.namespace, observed.test.Name)
		s.must(s.Get(ctx, client.ObjectKeyFromObject(object), object), "read the test in "+version)
		read[version] = object.Object["status"]
	}
	s.expect(equality.Semantic.DeepEqual(read["v1"], read["v2"]), fmt.Sprintf("v2's status: %v", read["v2"]), fmt.Sprintf("in v1: %v", read["v1"]),
		"copy the status unchanged in the conversion")
}

// checkStatuses checks the rule for each pair of successive statuses, and records the first breach.
func (observed *observedTest) checkStatuses(of func(previous, next *v2.LocustTestStatus) error, remedy string) {
	previous := &v2.LocustTestStatus{}
	for _, version := range observed.versions() {
		if err := of(previous, &version.Status); err != nil {
			observed.s.expect(false, "each status satisfies the contract", fmt.Sprintf("at resourceVersion %s: %v", version.ResourceVersion, err), remedy)
			return
		}
		previous = &version.Status
	}
	observed.s.logf("%d versions of the test were observed", len(observed.versions()))
}
