package main

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

var loadRules = []rule{
	{"conditions-load-delivered", "conditions", "a good run ends with LoadDelivered=True/LoadAsPlanned and its requests, and no status contradicts its own result", loadDelivered},
	{"conditions-no-requests", "conditions", "a run without a request ends as Failed, although Locust exits with code 0; with loadGuarantee None as Succeeded", noRequests},
}

func loadDelivered(ctx context.Context, s *ruleRun) {
	observed := s.start(ctx, framework.GoodLocustfile)
	final := observed.untilPhase(ctx, v2.PhaseSucceeded)
	s.expectConditions(final, map[string]state{v2.ConditionTypeLoadDelivered: asPlanned})
	const remedy = "derive LoadDelivered from the load that Locust reports"
	s.require(final.TestResult != nil, "a testResult", describe(final), remedy)
	s.expect(final.TestResult.TotalRequests > 0, "requests are counted", fmt.Sprintf("%+v", *final.TestResult), remedy)
	observed.checkStatuses(func(_, next *v2.LocustTestStatus) error {
		if c := condition(next, v2.ConditionTypeLoadDelivered); c.Status == metav1.ConditionFalse {
			return fmt.Errorf("LoadDelivered=False/%s in a good run (%s)", c.Reason, c.Message)
		}
		return contradiction(next, v2.LoadGuaranteeBasic)
	}, remedy)
}

func noRequests(ctx context.Context, s *ruleRun) {
	guaranteed := s.start(ctx, framework.IdleLocustfile)
	reported := s.start(ctx, framework.IdleLocustfile, func(spec *v2.LocustTestSpec) {
		spec.LoadGuarantee = v2.LoadGuaranteeNone
	})
	for _, run := range []struct {
		observed  *observedTest
		guarantee v2.LoadGuarantee
		phase     string
	}{
		{guaranteed, v2.LoadGuaranteeBasic, v2.PhaseFailed},
		{reported, v2.LoadGuaranteeNone, v2.PhaseSucceeded},
	} {
		final := run.observed.untilPhase(ctx, run.phase)
		s.expectConditions(final, map[string]state{v2.ConditionTypeLoadDelivered: {metav1.ConditionFalse, v2.ReasonNoRequests}})
		s.logf("with loadGuarantee %s: %s", run.guarantee, condition(final, v2.ConditionTypeTestCompleted).Message)
		run.observed.checkStatuses(func(_, next *v2.LocustTestStatus) error { return contradiction(next, run.guarantee) },
			"decide LoadDelivered and the phase from the same observation")
	}
}

// contradiction returns an error if LoadDelivered contradicts the result or the phase of the same status.
func contradiction(of *v2.LocustTestStatus, guarantee v2.LoadGuarantee) error {
	load := condition(of, v2.ConditionTypeLoadDelivered)
	requests := int64(0)
	if of.TestResult != nil {
		requests = of.TestResult.TotalRequests
	}
	switch {
	case load.Reason == v2.ReasonNoRequests && requests > 0:
		return fmt.Errorf("LoadDelivered has the reason NoRequests with %d requests in testResult", requests)
	case load.Reason == v2.ReasonLoadAsPlanned && of.Phase == v2.PhaseSucceeded && requests == 0: // a run that the operator ends keeps its reason
		return fmt.Errorf("LoadDelivered has the reason LoadAsPlanned in phase %s without a request in testResult", of.Phase)
	case load.Reason == v2.ReasonLoadNotStarted && of.Phase == v2.PhaseSucceeded:
		return fmt.Errorf("LoadDelivered has the reason LoadNotStarted in phase %s", of.Phase)
	case of.Phase != v2.PhaseSucceeded || guarantee == v2.LoadGuaranteeNone:
		return nil
	case load.Reason == v2.ReasonNoRequests, load.Reason == v2.ReasonLoadCutShort,
		guarantee == v2.LoadGuaranteeStrict && load.Status != metav1.ConditionTrue:
		return fmt.Errorf("phase Succeeded with LoadDelivered=%s/%s and loadGuarantee %s", load.Status, load.Reason, guarantee)
	}
	return nil
}
