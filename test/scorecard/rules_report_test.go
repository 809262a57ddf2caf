package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func TestCheckReport(t *testing.T) {
	for name, row := range map[string]struct {
		change func(test *v2.LocustTest, report *v1alpha1.LocustReport)
		want   string // empty: none
	}{
		"as the status":      {func(*v2.LocustTest, *v1alpha1.LocustReport) {}, ""},
		"another name":       {func(test *v2.LocustTest, _ *v1alpha1.LocustReport) { test.Status.Report = "" }, `status.report is ""`},
		"another test":       {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) { report.Test.UID = "2" }, "test is "},
		"another phase":      {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) { report.Outcome.Phase = v2.PhaseFailed }, "outcome.phase is Failed"},
		"another reason":     {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) { report.Outcome.Reason = "Other" }, "outcome.reason is Other"},
		"without an owner":   {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) { report.OwnerReferences = nil }, "not owned by its test"},
		"retained and owned": {func(test *v2.LocustTest, _ *v1alpha1.LocustReport) { retain(&test.Spec) }, "retained, and owned by"},
		"retained": {func(test *v2.LocustTest, report *v1alpha1.LocustReport) {
			retain(&test.Spec)
			report.OwnerReferences = nil
		}, ""},
		"no summary":         {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) { report.Summary = nil }, "summary is <nil>"},
		"another percentile": {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) { report.Summary.P95 = nil }, "summary.p95 is <nil>"},
		"another count":      {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) { report.Summary.FailedRequests++ }, "summary.failedRequests is 2"},
		"no result": {func(test *v2.LocustTest, report *v1alpha1.LocustReport) {
			test.Status.TestResult, report.Summary, report.Endpoints = nil, nil, nil
			report.Truncated = []v1alpha1.Truncation{{Field: v1alpha1.FieldSummary}}
		}, ""},
		"endpoints that are missing": {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) { report.Endpoints = report.Endpoints[:1] }, "the endpoints have 6 of 10 requests"},
		"endpoints that are named": {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) {
			report.Endpoints = report.Endpoints[:1]
			report.Truncated = []v1alpha1.Truncation{{Field: v1alpha1.FieldEndpoints, Kept: 1, Total: new(int32(2))}}
		}, ""},
		"another number": {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) {
			report.Truncated = []v1alpha1.Truncation{{Field: v1alpha1.FieldHistory, Kept: 1}}
		}, "truncated has 1 as the number of history, which are 0"},
		"a total that is too low": {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) {
			report.Truncated = []v1alpha1.Truncation{{Field: v1alpha1.FieldEndpoints, Kept: 2, Total: new(int32(1))}}
		}, "a total of 1 for 2 endpoints"},
		"an unknown field": {func(_ *v2.LocustTest, report *v1alpha1.LocustReport) {
			report.Truncated = []v1alpha1.Truncation{{Field: "spec"}}
		}, "truncated names spec"},
	} {
		t.Run(name, func(t *testing.T) {
			test := builder.MakeLocustTest("shop").Namespace("load").Stored("1", 1, time.Time{}).Obj()
			p95 := &metav1.Duration{Duration: time.Second}
			test.Status = v2.LocustTestStatus{
				Phase: v2.PhaseSucceeded, Report: "shop-1",
				Conditions: []metav1.Condition{{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionTrue, Reason: v2.ReasonTestSucceeded}},
				TestResult: &v2.TestResult{
					Final: true, Source: v2.ResultSourceReporter, TotalRequests: 10, FailedRequests: 1, FailureRatio: "0.1", RequestsPerSecond: "2", P95: p95,
					Endpoints: []v2.EndpointResult{{Name: "/"}},
				},
			}
			report := &v1alpha1.LocustReport{
				Test:    v1alpha1.Test{Name: "shop", UID: "1", Generation: 1},
				Outcome: v1alpha1.Outcome{Phase: v2.PhaseSucceeded, Reason: v2.ReasonTestSucceeded},
				Summary: &v1alpha1.Summary{
					Final: true, Source: v2.ResultSourceReporter, FailureRatio: "0.1",
					Statistics: v1alpha1.Statistics{TotalRequests: 10, FailedRequests: 1, RequestsPerSecond: "2", P95: p95, Max: p95},
				},
				Endpoints: []v1alpha1.Endpoint{
					{Name: "/", Statistics: v1alpha1.Statistics{TotalRequests: 6}}, {Name: "/cart", Statistics: v1alpha1.Statistics{TotalRequests: 4}},
				},
			}
			report.Name = "shop-1"
			report.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(test, v2.GroupVersion.WithKind("LocustTest"))}
			row.change(test, report)

			err := checkReport(test, report)
			if row.want == "" {
				assert.NoError(t, err)
				return
			}
			assert.ErrorContains(t, err, row.want)
		})
	}
}
