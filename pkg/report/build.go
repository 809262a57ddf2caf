package report

import (
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// kind is the kind of the reported tests.
const kind = "LocustTest"

// Build returns the report of a test whose status is final. The same observation gives the same report.
func Build(obs *status.Observation) *v1alpha1.LocustReport {
	b := newBuilder(obs)
	b.setMeta()
	b.setOutcome()
	b.setRun()
	b.setSummary()
	b.setEndpoints()
	b.setErrors()
	b.setDetails()
	b.limitSize()
	return b.out
}

// WithoutLists returns a report with its outcome and summary alone, which names the lists in truncated: the API server has refused the
// whole one.
func WithoutLists(full *v1alpha1.LocustReport) *v1alpha1.LocustReport {
	b := &builder{out: &v1alpha1.LocustReport{ObjectMeta: full.ObjectMeta, Test: full.Test, Outcome: full.Outcome, Summary: full.Summary}}
	b.out.Run = v1alpha1.Run{
		StartTime: full.Run.StartTime, EndTime: full.Run.EndTime, ExpectedWorkers: full.Run.ExpectedWorkers, ConnectedWorkers: full.Run.ConnectedWorkers,
	}
	for _, list := range []struct {
		field string
		total int
	}{
		{v1alpha1.FieldEndpoints, len(full.Endpoints)}, {v1alpha1.FieldErrors, len(full.Errors)}, {v1alpha1.FieldExceptions, len(full.Exceptions)},
		{v1alpha1.FieldHistory, len(full.History)}, {v1alpha1.FieldWorkers, len(full.Workers)}, {v1alpha1.FieldArguments, len(full.Run.Arguments)},
	} {
		b.truncated(list.field, 0, list.total, "the API server refused the whole report")
	}
	return b.out
}

// builder holds a report while it is built, and its sources.
type builder struct {
	test   *v2.LocustTest
	status *v2.LocustTestStatus
	out    *v1alpha1.LocustReport
	// spec and generation are those of the run.
	spec       *v2.LocustTestSpec
	generation int64

	// sources are the reports that agree with the result in the status; the reporter's first.
	sources []*report.Report
	// final is the reporter's final report; nil without one. problem is why it cannot be read; empty if it can, or there is none.
	final   *report.Final
	problem string
}

func newBuilder(obs *status.Observation) *builder {
	b := &builder{test: obs.Test, status: &obs.Test.Status, spec: &obs.Test.Spec, generation: obs.Test.Status.ObservedGeneration, out: &v1alpha1.LocustReport{}}
	switch {
	case obs.Run != nil:
		b.spec, b.generation = &obs.Run.Spec, obs.Run.Generation
	case meta.IsStatusConditionTrue(b.status.Conditions, v2.ConditionTypeSpecDrifted):
		// The Jobs, which have the spec of the run, are gone, and the test has another one.
		b.spec, b.generation = &v2.LocustTestSpec{}, 0
		b.truncated(v1alpha1.FieldArguments, 0, 0, "the Jobs of the run are gone, and the spec has changed since its start")
	}
	final, err := status.FinalReportOf(obs)
	if err != nil {
		b.problem = "the final report of the reporter cannot be read: " + err.Error()
	}
	b.final = final
	if final != nil && b.agrees(&final.Report) {
		b.sources = append(b.sources, &final.Report)
	}
	if l := obs.Locust; l != nil && l.Report != nil && b.agrees(l.Report) {
		b.sources = append(b.sources, l.Report)
	}
	return b
}

// agrees reports whether statistics are those of the result in the status.
func (b *builder) agrees(r *report.Report) bool {
	result := b.status.TestResult
	return result != nil && result.TotalRequests == r.Requests && result.FailedRequests == r.Failures
}

func (b *builder) setMeta() {
	b.out.ObjectMeta = metav1.ObjectMeta{
		Namespace: b.test.Namespace, Name: resources.ReportName(b.test), Labels: resources.ReportLabels(b.test),
	}
	if !Retained(b.test) {
		b.out.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(b.test, v2.GroupVersion.WithKind(kind))}
	}
	b.out.Test = v1alpha1.Test{Name: b.test.Name, UID: string(b.test.UID), Generation: b.generation}
}

func (b *builder) setOutcome() {
	b.out.Outcome = v1alpha1.Outcome{Phase: b.status.Phase}
	if c := meta.FindStatusCondition(b.status.Conditions, v2.ConditionTypeTestCompleted); c != nil {
		b.out.Outcome.Reason, b.out.Outcome.Message = c.Reason, status.Clip(c.Message, v1alpha1.MaxMessage)
	}
	if c := meta.FindStatusCondition(b.status.Conditions, v2.ConditionTypeLoadDelivered); c != nil {
		b.out.Outcome.LoadDelivered = &v1alpha1.LoadDelivered{Status: c.Status, Reason: c.Reason, Message: status.Clip(c.Message, v1alpha1.MaxMessage)}
	}
}

func (b *builder) setRun() {
	run := &b.out.Run
	*run = v1alpha1.Run{
		StartTime:       b.status.StartTime,
		Image:           b.spec.Image,
		ExpectedWorkers: b.status.ExpectedWorkers, ConnectedWorkers: b.status.ConnectedWorkers,
	}
	if b.spec.Image != "" {
		run.Host = resources.Host(b.spec)
	}
	if b.status.CompletionTime != nil {
		run.EndTime = *b.status.CompletionTime
	}
	if p := b.status.Progress; p != nil {
		run.LoadStartTime, run.Users, run.RunTime = p.StartTime, p.TargetUsers, p.Duration
	}
	if b.final != nil {
		run.LoadStartTime, run.LoadEndTime = timeOf(b.final.LoadStart, run.LoadStartTime), timeOf(b.final.LoadEnd, nil)
	}
	if details := b.details(); details != nil {
		run.LocustVersion = status.Clip(details.LocustVersion, v1alpha1.MaxVersion)
		if details.Host != "" {
			run.Host = locustcli.RedactURL(details.Host)
		}
	}
	run.Host = status.Clip(run.Host, v1alpha1.MaxArgument)
	if b.spec.Image == "" {
		return // unknown
	}
	arguments := resources.MasterArguments(b.spec)
	for _, arg := range arguments[:min(len(arguments), v1alpha1.MaxArguments)] {
		run.Arguments = append(run.Arguments, status.Clip(arg, v1alpha1.MaxArgument))
	}
	b.checkComplete(v1alpha1.FieldArguments, len(run.Arguments), int32(len(arguments)), v1alpha1.MaxArguments)
}

// details returns what only the reporter knows: from the termination message, or else from the web API; nil without it.
func (b *builder) details() *report.Details {
	if b.final != nil && b.final.Details != nil {
		return b.final.Details
	}
	for _, source := range b.sources {
		if source.Details != nil {
			return source.Details
		}
	}
	return nil
}
