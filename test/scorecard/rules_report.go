package main

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// reportDelay bounds how long after the end of a test its report exists, and how long after the deletion of the test it is deleted.
const reportDelay = time.Minute

var reportRules = []rule{
	{"status-report", "status", "a finished test has exactly one LocustReport, which has the outcome and the result of its status, names what it lacks, and is deleted with the test unless it is retained", reported},
}

func retain(spec *v2.LocustTestSpec) { spec.Report = &v2.ReportConfig{Retain: true} }

func reported(ctx context.Context, s *ruleRun) {
	owned, retained, failed := s.start(ctx, framework.GoodLocustfile), s.start(ctx, framework.GoodLocustfile, retain), s.start(ctx, framework.FailingLocustfile)
	s.cleanup = append(s.cleanup, func() {
		reports, _ := retained.listReports(context.Background())
		for i := range reports {
			_ = s.Delete(context.Background(), &reports[i])
		}
	})
	for _, run := range []struct {
		observed *observedTest
		phase    string
	}{{owned, v2.PhaseSucceeded}, {retained, v2.PhaseSucceeded}, {failed, v2.PhaseFailed}} {
		run.observed.untilPhase(ctx, run.phase)
		s.require(run.observed.untilReports(ctx, func(n int) bool { return n > 0 }), "a LocustReport within "+reportDelay.String(), "none",
			"check the Events of the test for ReportNotCreated")
	}
	const remedy = "build the report from the final status, and create it once, under the name in the status"
	for _, observed := range []*observedTest{owned, retained, failed} {
		reports := observed.reports(ctx)
		s.require(len(reports) == 1, "one LocustReport", fmt.Sprint(len(reports)), remedy)
		test := observed.test.DeepCopy()
		test.Status = *observed.last()
		if err := checkReport(test, &reports[0]); err != nil {
			s.expect(false, "a report that agrees with the status of its test", err.Error(), remedy)
		}
		s.logf("%s has %d endpoints and %d points", reports[0].Name, len(reports[0].Endpoints), len(reports[0].History))
	}
	for _, observed := range []*observedTest{owned, retained} {
		s.must(client.IgnoreNotFound(s.Delete(ctx, observed.test)), "delete the test "+observed.test.Name)
	}
	s.expect(owned.untilReports(ctx, func(n int) bool { return n == 0 }), "the report is deleted with its test", "it still exists", "set the test as its owner")
	s.expect(len(retained.reports(ctx)) == 1, "a retained report stays when its test is deleted", "it is gone", "set no owner if spec.report.retain is true")
}

// reports returns the reports of the test.
func (observed *observedTest) reports(ctx context.Context) []v1alpha1.LocustReport {
	reports, err := observed.listReports(ctx)
	observed.s.must(err, "list LocustReports")
	return reports
}

func (observed *observedTest) listReports(ctx context.Context) ([]v1alpha1.LocustReport, error) {
	var list v1alpha1.LocustReportList
	err := observed.s.List(ctx, &list, client.InNamespace(observed.s.namespace), client.MatchingLabels{resources.LabelTestUID: string(observed.test.UID)})
	return list.Items, err
}

// untilReports waits until the number of reports satisfies the predicate, and returns false if it does not in time.
func (observed *observedTest) untilReports(ctx context.Context, is func(int) bool) bool {
	err := wait.PollUntilContextTimeout(ctx, 200*time.Millisecond, reportDelay, true, func(ctx context.Context) (bool, error) {
		reports, err := observed.listReports(ctx)
		return is(len(reports)), err
	})
	if err != nil && !wait.Interrupted(err) {
		observed.s.must(err, "list LocustReports")
	}
	observed.s.must(ctx.Err(), "wait for a LocustReport")
	return err == nil
}

// checkReport returns an error if a report contradicts its test or itself.
func checkReport(test *v2.LocustTest, report *v1alpha1.LocustReport) error {
	var problems []error
	check := func(holds bool, format string, args ...any) {
		if !holds {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	status := &test.Status
	check(report.Name == status.Report, "it is named %s, and status.report is %q", report.Name, status.Report)
	check(report.Test.Name == test.Name && report.Test.UID == string(test.UID), "test is %+v", report.Test)
	check(report.Outcome.Phase == status.Phase, "outcome.phase is %s, and status.phase %s", report.Outcome.Phase, status.Phase)
	completed := condition(status, v2.ConditionTypeTestCompleted)
	check(report.Outcome.Reason == completed.Reason, "outcome.reason is %s, and that of TestCompleted %s", report.Outcome.Reason, completed.Reason)

	if retained := test.Spec.Report != nil && test.Spec.Report.Retain; retained {
		check(len(report.OwnerReferences) == 0, "it is retained, and owned by %v", report.OwnerReferences)
	} else {
		check(metav1.IsControlledBy(report, test), "it is not owned by its test, but by %v", report.OwnerReferences)
	}
	problems = append(problems, checkSummary(status.TestResult, report.Summary), checkTruncated(report))
	return errors.Join(problems...)
}

// checkSummary compares the summary with the result in the status. The summary has more.
func checkSummary(result *v2.TestResult, summary *v1alpha1.Summary) error {
	if result == nil || summary == nil {
		if result == nil && summary == nil {
			return nil
		}
		return fmt.Errorf("summary is %v, and status.testResult %v", summary, result)
	}
	want, err := runtime.DefaultUnstructuredConverter.ToUnstructured(result)
	if err != nil {
		return fmt.Errorf("read status.testResult: %w", err)
	}
	got, err := runtime.DefaultUnstructuredConverter.ToUnstructured(summary)
	if err != nil {
		return fmt.Errorf("read summary: %w", err)
	}
	var problems []error
	for field, value := range want {
		if isList := field == "endpoints" || field == "errors"; !isList && !reflect.DeepEqual(got[field], value) {
			problems = append(problems, fmt.Errorf("summary.%s is %v, and status.testResult.%s is %v", field, got[field], field, value))
		}
	}
	return errors.Join(problems...)
}

// checkTruncated checks that truncated matches the lists, and that endpoints that are complete have all requests.
func checkTruncated(report *v1alpha1.LocustReport) error {
	kept := map[string]int{
		v1alpha1.FieldEndpoints: len(report.Endpoints), v1alpha1.FieldErrors: len(report.Errors), v1alpha1.FieldExceptions: len(report.Exceptions),
		v1alpha1.FieldHistory: len(report.History), v1alpha1.FieldWorkers: len(report.Workers), v1alpha1.FieldArguments: len(report.Run.Arguments),
		v1alpha1.FieldSummary: 0,
	}
	var problems []error
	for _, t := range report.Truncated {
		n, known := kept[t.Field]
		switch {
		case !known:
			problems = append(problems, fmt.Errorf("truncated names %s, which does not exist", t.Field))
		case int(t.Kept) != n:
			problems = append(problems, fmt.Errorf("truncated has %d as the number of %s, which are %d", t.Kept, t.Field, n))
		case t.Total != nil && *t.Total < t.Kept:
			problems = append(problems, fmt.Errorf("truncated has a total of %d for %d %s", *t.Total, t.Kept, t.Field))
		}
	}
	isComplete := !slices.ContainsFunc(report.Truncated, func(t v1alpha1.Truncation) bool { return t.Field == v1alpha1.FieldEndpoints })
	if report.Summary != nil && isComplete {
		sum := int64(0)
		for i := range report.Endpoints {
			sum += report.Endpoints[i].TotalRequests
		}
		if sum != report.Summary.TotalRequests {
			problems = append(problems, fmt.Errorf("the endpoints have %d of %d requests, and truncated does not name them", sum, report.Summary.TotalRequests))
		}
	}
	return errors.Join(problems...)
}
