package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	kstatus "sigs.k8s.io/cli-utils/pkg/kstatus/status"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

var conditionRules = []rule{
	{"conditions-good-run", "conditions", "a good run goes through Pending, Running and Succeeded, with the conditions of each", goodRun},
	{"conditions-failing-run", "conditions", "a run with failures ends as Failed, with the cause", failingRun},
	{"conditions-broken-image", "conditions", "an image that cannot be pulled is reported immediately, with the kubelet's message", brokenImage},
	{"conditions-missing-configmap", "conditions", "a missing ConfigMap is reported by name", missingConfigMap},
	{"conditions-complete", "conditions", "all conditions are present from the first status on, and none is ever lost", complete},
	{"conditions-reasons", "conditions", "all reasons are in the documented table", reasons},
	{"conditions-times", "conditions", "lastTransitionTime changes if and only if the status of the condition changes; observedGeneration is set", times},
	{"conditions-kstatus", "conditions", "tools that follow the kstatus convention compute InProgress, then Current or Failed", kstatusOf},
}

var rules = slices.Concat(statusRules, reportRules, conditionRules, loadRules)

// state is the expected status and reason of a condition. An empty reason matches any reason.
type state struct {
	status metav1.ConditionStatus
	reason string
}

var (
	inSync  = state{metav1.ConditionFalse, v2.ReasonSpecInSync}
	waiting = state{metav1.ConditionFalse, v2.ReasonWaitingForWorkers}
	ongoing = state{metav1.ConditionFalse, v2.ReasonTestInProgress}
	created = state{metav1.ConditionTrue, v2.ReasonResourcesCreated}

	asPlanned = state{metav1.ConditionTrue, v2.ReasonLoadAsPlanned}
)

const absent metav1.ConditionStatus = "absent"

// expectConditions compares conditions of a status with the expected ones, by type.
func (s *ruleRun) expectConditions(of *v2.LocustTestStatus, want map[string]state) {
	for kind, w := range want {
		c := condition(of, kind)
		s.expect(c.Status == w.status && (w.reason == "" || c.Reason == w.reason), fmt.Sprintf("while %s: %s=%s/%s", of.Phase, kind, w.status, w.reason),
			fmt.Sprintf("%s=%s/%s (%s)", kind, c.Status, c.Reason, c.Message), "see the table of conditions in docs/status.md")
	}
}

func goodRun(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.GoodLocustfile)
	final := observed.untilPhase(ctx, v2.PhaseSucceeded)
	for _, version := range observed.versions() {
		of := &version.Status
		switch of.Phase {
		case v2.PhasePending:
			ready := condition(of, v2.ConditionTypeReady).Reason
			s.expect(ready == v2.ReasonResourcesCreating || ready == v2.ReasonResourcesCreated, "while Pending: Ready is ResourcesCreating, then ResourcesCreated", ready, "see the table of conditions in docs/status.md")
			s.expectConditions(of, map[string]state{
				v2.ConditionTypeWorkersConnected: waiting,
				v2.ConditionTypeLoadDelivered:    {metav1.ConditionUnknown, ""},
				v2.ConditionTypeTestCompleted:    ongoing,
				v2.ConditionTypePodsHealthy:      {metav1.ConditionTrue, ""},
				v2.ConditionTypeSpecDrifted:      inSync,
				v2.ConditionTypeReconciling:      {metav1.ConditionTrue, ""},
				v2.ConditionTypeStalled:          {absent, ""},
			})
		case v2.PhaseRunning:
			s.expectConditions(of, map[string]state{
				v2.ConditionTypeReady:         created,
				v2.ConditionTypeTestCompleted: ongoing,
				v2.ConditionTypePodsHealthy:   {metav1.ConditionTrue, ""},
				v2.ConditionTypeSpecDrifted:   inSync,
				v2.ConditionTypeReconciling:   {absent, ""},
				v2.ConditionTypeStalled:       {absent, ""},
			})
		}
	}
	phases := strings.Join(observed.watcher.Phases(observed.test.UID), " ")
	s.expect(strings.TrimPrefix(phases, " ") == "Pending Running Succeeded", "phases Pending, Running, Succeeded, each once",
		phases, "derive the phase from the master Job; it only moves forward")
	s.expectConditions(final, map[string]state{
		v2.ConditionTypeReady:            created,
		v2.ConditionTypeWorkersConnected: {metav1.ConditionTrue, v2.ReasonAllWorkersConnected},
		v2.ConditionTypeLoadDelivered:    asPlanned,
		v2.ConditionTypeTestCompleted:    {metav1.ConditionTrue, v2.ReasonTestSucceeded},
		v2.ConditionTypePodsHealthy:      {metav1.ConditionTrue, ""},
		v2.ConditionTypeSpecDrifted:      inSync,
		v2.ConditionTypeReconciling:      {absent, ""},
		v2.ConditionTypeStalled:          {absent, ""},
	})
}

func failingRun(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.FailingLocustfile)
	final := observed.untilPhase(ctx, v2.PhaseFailed)
	s.expectConditions(final, map[string]state{
		v2.ConditionTypeReady:            {metav1.ConditionFalse, v2.ReasonResourcesFailed},
		v2.ConditionTypeWorkersConnected: {metav1.ConditionTrue, v2.ReasonAllWorkersConnected},
		v2.ConditionTypeLoadDelivered:    asPlanned,
		v2.ConditionTypeTestCompleted:    {metav1.ConditionTrue, v2.ReasonTestFailed},
		v2.ConditionTypePodsHealthy:      {metav1.ConditionTrue, ""},
		v2.ConditionTypeSpecDrifted:      inSync,
		v2.ConditionTypeReconciling:      {absent, ""},
		v2.ConditionTypeStalled:          {metav1.ConditionTrue, v2.ReasonTestFailed},
	})
	message := condition(final, v2.ConditionTypeTestCompleted).Message
	s.expect(strings.Contains(message, "exited with code 1"), "the message of TestCompleted contains the exit code", message, "read it from the master's container")
	s.require(final.TestResult != nil, "a testResult", describe(final), "also keep the result of a failed run")
	s.expect(final.TestResult.FailedRequests > 0, "failed requests are counted", fmt.Sprintf("%+v", *final.TestResult), "compare with the master's log")
}

// untilPodsFail waits until the pods of a test cannot start, checks the status, and returns the message of PodsHealthy.
func (s *ruleRun) untilPodsFail(ctx context.Context, observed *observedTest, reason string) string {
	seen := observed.until(ctx, "PodsHealthy=False/"+reason, func(status *v2.LocustTestStatus) bool {
		return condition(status, v2.ConditionTypePodsHealthy).Reason == reason
	})
	s.expectConditions(seen, map[string]state{
		v2.ConditionTypeReady:            created,
		v2.ConditionTypePodsHealthy:      {metav1.ConditionFalse, reason},
		v2.ConditionTypeTestCompleted:    ongoing,
		v2.ConditionTypeWorkersConnected: waiting,
		v2.ConditionTypeLoadDelivered:    {metav1.ConditionUnknown, ""},
		v2.ConditionTypeSpecDrifted:      inSync,
		v2.ConditionTypeReconciling:      {metav1.ConditionTrue, ""},
		v2.ConditionTypeStalled:          {absent, ""},
	})
	s.expect(seen.Phase == v2.PhasePending, "phase Pending", seen.Phase, "the phase is Running only when the master's container runs")
	return condition(seen, v2.ConditionTypePodsHealthy).Message
}

func brokenImage(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.GoodLocustfile, func(spec *v2.LocustTestSpec) {
		spec.Image = "localhost:1/no-such-image:scorecard"
	})
	message := s.untilPodsFail(ctx, observed, v2.ReasonImagePullError)
	s.expect(strings.Contains(message, observed.test.Name+"-"), "the message names the pods", message, "name the affected pods")
	s.expect(strings.Contains(message, "no-such-image"), "the message contains the kubelet's message", message, "pass on the message of the container's waiting state")
}

func missingConfigMap(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.GoodLocustfile, func(spec *v2.LocustTestSpec) {
		spec.TestFiles.ConfigMapRef = "scorecard-no-such-configmap"
	})
	message := s.untilPodsFail(ctx, observed, v2.ReasonConfigurationError)
	s.expect(strings.Contains(message, "scorecard-no-such-configmap"), "the message names the ConfigMap", message, "read the pod's FailedMount Events")
}

// runWithSpecEdits changes the spec during a good run and reverts it, so that a condition flips twice.
func runWithSpecEdits(ctx context.Context, s *ruleRun) *observedTest {
	observed := s.start(ctx, framework.GoodLocustfile, func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/locustfile.py --users 2 --spawn-rate 2 --run-time 20s"
	})
	observed.untilPhase(ctx, v2.PhaseRunning)
	for i, reason := range []string{v2.ReasonSpecChangeIgnored, v2.ReasonSpecInSync} {
		s.pause(ctx, 1100*time.Millisecond) // lastTransitionTime has a resolution of one second
		body := fmt.Sprintf(`{"spec":{"worker":{"replicas":%d}}}`, 3-i)
		s.must(s.Patch(ctx, observed.test.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(body))), "change the spec")
		observed.until(ctx, "SpecDrifted with reason "+reason, func(status *v2.LocustTestStatus) bool {
			return status.ObservedGeneration >= int64(2+i) && condition(status, v2.ConditionTypeSpecDrifted).Reason == reason
		})
	}
	observed.untilPhase(ctx, v2.PhaseSucceeded)
	return observed
}

func complete(ctx context.Context, s *ruleRun) {
	runWithSpecEdits(ctx, s).checkStatuses(func(_, next *v2.LocustTestStatus) error {
		for _, kind := range permanentConditions {
			if next.Phase != "" && meta.FindStatusCondition(next.Conditions, kind) == nil {
				return fmt.Errorf("condition %s is missing: %s", kind, describe(next))
			}
		}
		return nil
	}, "write conditions as a whole; a merge patch replaces the list")
}

func reasons(ctx context.Context, s *ruleRun) {
	runWithSpecEdits(ctx, s).checkStatuses(func(_, next *v2.LocustTestStatus) error {
		for _, c := range next.Conditions {
			if !status.Known(c) {
				return fmt.Errorf("%s=%s/%s is not in the table", c.Type, c.Status, c.Reason)
			}
		}
		return nil
	}, "take reasons from the table in docs/status.md; alerts and scripts depend on it")
}

func times(ctx context.Context, s *ruleRun) {
	runWithSpecEdits(ctx, s).checkStatuses(func(previous, next *v2.LocustTestStatus) error {
		for _, c := range next.Conditions {
			if c.ObservedGeneration != next.ObservedGeneration {
				return fmt.Errorf("condition %s has observedGeneration %d, the status %d", c.Type, c.ObservedGeneration, next.ObservedGeneration)
			}
			was := meta.FindStatusCondition(previous.Conditions, c.Type)
			if was == nil {
				continue
			}
			moved, flipped := !was.LastTransitionTime.Equal(&c.LastTransitionTime), was.Status != c.Status
			if moved && !flipped {
				return fmt.Errorf("lastTransitionTime of %s changed from %s to %s although its status stayed %s", c.Type, was.LastTransitionTime, c.LastTransitionTime, c.Status)
			}
			// Other conditions may flip within the second of their first transition.
			if flipped && !moved && c.Type == v2.ConditionTypeSpecDrifted {
				return fmt.Errorf("lastTransitionTime of %s did not change although its status changed from %s to %s", c.Type, was.Status, c.Status)
			}
		}
		return nil
	}, "set conditions with meta.SetStatusCondition")
}

func kstatusOf(ctx context.Context, s *ruleRun) {
	compute := func(test *v2.LocustTest) kstatus.Status {
		content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(test)
		s.must(err, "encode the test")
		object := &unstructured.Unstructured{Object: content}
		object.SetAPIVersion("locust.io/v2")
		object.SetKind("LocustTest")
		result, err := kstatus.Compute(object)
		s.must(err, "compute the kstatus")
		return result.Status
	}
	for file, want := range map[string]kstatus.Status{
		framework.GoodLocustfile: kstatus.CurrentStatus, framework.FailingLocustfile: kstatus.FailedStatus,
	} {
		phase := v2.PhaseSucceeded
		if want == kstatus.FailedStatus {
			phase = v2.PhaseFailed
		}
		observed := s.start(ctx, file)
		observed.untilPhase(ctx, phase)
		all := observed.versions()
		for _, version := range all {
			if version.Status.Phase == v2.PhasePending {
				s.expect(compute(version) == kstatus.InProgressStatus, "InProgress while Pending", string(compute(version)), "set Reconciling while Pending")
			}
		}
		seen := compute(all[len(all)-1])
		s.expect(seen == want, string(want)+" after "+phase, string(seen), "remove Reconciling at the end, and set Stalled if the test failed")
	}
}
