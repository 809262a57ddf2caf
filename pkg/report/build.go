package report

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

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
		b.out.Outcome.Reason, b.out.Outcome.Message = c.Reason, limitText(c.Message, v1alpha1.MaxMessage)
	}
	if c := meta.FindStatusCondition(b.status.Conditions, v2.ConditionTypeLoadDelivered); c != nil {
		b.out.Outcome.LoadDelivered = &v1alpha1.LoadDelivered{Status: c.Status, Reason: c.Reason, Message: limitText(c.Message, v1alpha1.MaxMessage)}
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
		run.LocustVersion = limitText(details.LocustVersion, v1alpha1.MaxVersion)
		if details.Host != "" {
			run.Host = locustcli.RedactURL(details.Host)
		}
	}
	run.Host = limitText(run.Host, v1alpha1.MaxArgument)
	if b.spec.Image == "" {
		return // unknown
	}
	arguments := resources.MasterArguments(b.spec)
	for _, arg := range arguments[:min(len(arguments), v1alpha1.MaxArguments)] {
		run.Arguments = append(run.Arguments, limitText(arg, v1alpha1.MaxArgument))
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

func (b *builder) setSummary() {
	r := b.status.TestResult
	if r == nil {
		if c := b.out.Outcome.LoadDelivered; c != nil && c.Reason == v2.ReasonNotObserved {
			b.truncated(v1alpha1.FieldSummary, 0, 0, b.because("neither the reporter nor Locust's web API reported a result"))
		}
		return
	}
	b.out.Summary = &v1alpha1.Summary{
		Final: r.Final, Source: r.Source, FailureRatio: r.FailureRatio,
		Statistics: v1alpha1.Statistics{
			TotalRequests: r.TotalRequests, FailedRequests: r.FailedRequests, RequestsPerSecond: r.RequestsPerSecond,
			AverageResponseTime: r.AverageResponseTime, P50: r.P50, P90: r.P90, P95: r.P95, P99: r.P99,
		},
	}
	for _, source := range b.sources {
		addMissing(&b.out.Summary.Statistics, statistics(&source.Percentiles, &source.Extremes))
	}
}

// statistics converts response times.
func statistics(p *report.Percentiles, e *report.Extremes) v1alpha1.Statistics {
	return v1alpha1.Statistics{
		Min: duration(e.Min), P50: duration(p.P50), P90: duration(p.P90), P95: duration(p.P95), P99: duration(p.P99),
		P999: duration(p.P999), Max: duration(e.Max), AverageContentBytes: e.ContentBytes,
	}
}

// addMissing sets the response times that the summary does not have.
func addMissing(s *v1alpha1.Statistics, from v1alpha1.Statistics) {
	for _, field := range []struct{ to, from **metav1.Duration }{
		{&s.Min, &from.Min}, {&s.P50, &from.P50}, {&s.P90, &from.P90}, {&s.P95, &from.P95}, {&s.P99, &from.P99},
		{&s.P999, &from.P999}, {&s.Max, &from.Max},
	} {
		if *field.to == nil {
			*field.to = *field.from
		}
	}
	if s.AverageContentBytes == nil {
		s.AverageContentBytes = from.AverageContentBytes
	}
}

// setEndpoints takes the longest list of endpoints. The lists of all sources have the same numbers.
func (b *builder) setEndpoints() {
	result := b.status.TestResult
	if result == nil {
		return
	}
	list, total := longest(b.sources, func(r *report.Report) ([]report.Endpoint, int32) { return r.Endpoints, r.EndpointCount })
	if len(b.sources) == 0 {
		for _, e := range result.Endpoints {
			b.out.Endpoints = append(b.out.Endpoints, v1alpha1.Endpoint{Method: e.Method, Name: e.Name, Statistics: v1alpha1.Statistics{
				TotalRequests: e.TotalRequests, FailedRequests: e.FailedRequests, AverageResponseTime: e.AverageResponseTime, P95: e.P95,
			}})
		}
		b.truncated(v1alpha1.FieldEndpoints, len(b.out.Endpoints), 0, b.because("only those in the status of the test are known"))
		return
	}
	for i := range list[:min(len(list), v1alpha1.MaxEndpoints)] {
		e := &list[i]
		entry := v1alpha1.Endpoint{Method: e.Method, Name: e.Name, Statistics: statistics(&e.Percentiles, &e.Extremes)}
		entry.TotalRequests, entry.FailedRequests = e.Requests, e.Failures
		entry.RequestsPerSecond = strconv.FormatFloat(b.rate(e), 'f', rateDigits, 64)
		if e.Requests > 0 {
			entry.AverageResponseTime = &metav1.Duration{Duration: e.Average}
		}
		b.out.Endpoints = append(b.out.Endpoints, entry)
	}
	b.addMissingTimes()
	b.checkComplete(v1alpha1.FieldEndpoints, len(b.out.Endpoints), total, v1alpha1.MaxEndpoints)
	b.checkOldReporter(v1alpha1.FieldEndpoints, len(b.out.Endpoints))
	b.checkLive()
}

// endpointKey identifies an endpoint.
type endpointKey struct{ method, name string }

// addMissingTimes adds response times that only another source has: the JSON of the web API has fewer than the reporter's message.
func (b *builder) addMissingTimes() {
	if len(b.sources) < 2 {
		return
	}
	for _, source := range b.sources {
		known := make(map[endpointKey]*report.Endpoint, len(source.Endpoints))
		for i := range source.Endpoints {
			known[endpointKey{source.Endpoints[i].Method, source.Endpoints[i].Name}] = &source.Endpoints[i]
		}
		for i := range b.out.Endpoints {
			e := &b.out.Endpoints[i]
			if other := known[endpointKey{e.Method, e.Name}]; other != nil && other.Requests == e.TotalRequests {
				addMissing(&e.Statistics, statistics(&other.Percentiles, &other.Extremes))
			}
		}
	}
}

// checkLive records that endpoints may be missing whose number no source has: the JSON of Locust's web API lists at most 500 (web.py).
func (b *builder) checkLive() {
	complete := slices.ContainsFunc(b.sources, func(r *report.Report) bool { return r.Exact || r == b.finalSource() })
	if !complete && len(b.out.Endpoints) == v1alpha1.MaxEndpoints {
		b.truncated(v1alpha1.FieldEndpoints, len(b.out.Endpoints), 0, "Locust's web API lists at most 500 while the load runs")
	}
}

// rateDigits is the number of decimal places of a rate.
const rateDigits = 2

// rate returns the requests per second of an endpoint. In a final result it is the share of the endpoint in the total, because Locust
// divides by the same time for all (stats.py, total_rps), while a live source has the rate of the last seconds.
func (b *builder) rate(e *report.Endpoint) float64 {
	for _, source := range b.sources {
		if b.status.TestResult.Final && source.Requests > 0 && (source.Exact || source == b.finalSource()) {
			return float64(e.Requests) * source.RequestsPerSecond / float64(source.Requests)
		}
	}
	return e.RequestsPerSecond
}

// finalSource returns the reporter's final report as a source; nil without one.
func (b *builder) finalSource() *report.Report {
	if b.final == nil {
		return nil
	}
	return &b.final.Report
}

func (b *builder) setErrors() {
	result := b.status.TestResult
	if result == nil {
		return
	}
	if len(b.sources) == 0 {
		for i := range result.Errors {
			b.addStatusError(&result.Errors[i])
		}
		why := b.because("only those in the status of the test are known")
		b.truncated(v1alpha1.FieldErrors, len(b.out.Errors), 0, why)
		b.truncated(v1alpha1.FieldExceptions, len(b.out.Exceptions), 0, why)
		return
	}
	list, total := longest(b.sources, func(r *report.Report) ([]report.Error, int32) { return r.Errors, r.ErrorCount })
	for _, e := range list[:min(len(list), v1alpha1.MaxErrors)] {
		b.out.Errors = append(b.out.Errors, v1alpha1.Error{Method: e.Method, Name: e.Name, Error: e.Text, Occurrences: e.Occurrences})
	}
	b.checkComplete(v1alpha1.FieldErrors, len(b.out.Errors), total, v1alpha1.MaxErrors)
	b.checkOldReporter(v1alpha1.FieldErrors, len(b.out.Errors))
	own, total := longest(b.sources, exceptions)
	for _, e := range own[:min(len(own), v1alpha1.MaxExceptions)] {
		b.out.Exceptions = append(b.out.Exceptions, v1alpha1.Exception{Message: e.Text, Occurrences: e.Occurrences})
	}
	b.checkComplete(v1alpha1.FieldExceptions, len(b.out.Exceptions), total, v1alpha1.MaxExceptions)
	if !slices.ContainsFunc(b.sources, func(r *report.Report) bool { return r.Details != nil }) {
		b.truncated(v1alpha1.FieldExceptions, len(b.out.Exceptions), 0, b.because("only the final report of the reporter lists all"))
	}
}

// exceptions returns the exceptions of a source, and how many there are: only details have all.
func exceptions(r *report.Report) ([]report.Error, int32) {
	switch {
	case r.Details != nil:
		return r.Exceptions, r.Details.Counts.Exceptions
	case r.Delivery != nil && len(r.Delivery.Exceptions) > len(r.Exceptions):
		return r.Delivery.Exceptions, int32(len(r.Delivery.Exceptions))
	}
	return r.Exceptions, int32(len(r.Exceptions))
}

// addStatusError adds an error of the status: that of a request, or an exception, which has neither method nor name.
func (b *builder) addStatusError(e *v2.ErrorResult) {
	if e.Method == "" && e.Name == "" {
		b.out.Exceptions = append(b.out.Exceptions, v1alpha1.Exception{Message: e.Error, Occurrences: e.Occurrences})
		return
	}
	b.out.Errors = append(b.out.Errors, v1alpha1.Error{Method: e.Method, Name: e.Name, Error: e.Error, Occurrences: e.Occurrences})
}

// setDetails sets the history and the workers, which only the reporter knows.
func (b *builder) setDetails() {
	if b.details() == nil {
		if b.status.TestResult != nil {
			why := b.because("only the reporter knows them (spec.master.reporter)")
			b.truncated(v1alpha1.FieldHistory, 0, 0, why)
			b.truncated(v1alpha1.FieldWorkers, 0, 0, why)
			b.truncated(v1alpha1.FieldExceptions, len(b.out.Exceptions), 0, b.because("only the reporter knows all of them (spec.master.reporter)"))
		}
		return
	}
	// The history of a snapshot is true although the result is newer.
	sources := b.sources
	if b.final != nil && !slices.Contains(sources, &b.final.Report) {
		sources = append(slices.Clone(sources), &b.final.Report)
	}
	points, total := longest(sources, func(r *report.Report) ([]report.Point, int32) {
		if r.Details == nil {
			return nil, 0
		}
		return r.Details.History, r.Details.Counts.History
	})
	for i := range points {
		p := &points[i]
		if p.Time.Year() > maxYear {
			break
		}
		b.out.History = append(b.out.History, v1alpha1.HistoryPoint{
			Time: metav1.NewTime(p.Time.Truncate(time.Second)), Users: p.Users,
			RequestsPerSecond: rate(p.RequestsPerSecond), FailuresPerSecond: rate(p.FailuresPerSecond),
			P50: duration(p.P50), P95: duration(p.P95),
		})
	}
	b.checkComplete(v1alpha1.FieldHistory, len(b.out.History), total, v1alpha1.MaxHistory)
	workers, workerTotal := longest(sources, func(r *report.Report) ([]report.Worker, int32) {
		if r.Details == nil {
			return nil, 0
		}
		return r.Details.Workers, r.Details.Counts.Workers
	})
	for _, w := range workers {
		b.out.Workers = append(b.out.Workers, v1alpha1.Worker{Name: w.Name, PeakProcessorPercent: int32(w.Processor), PeakMemoryBytes: w.Memory})
	}
	b.checkComplete(v1alpha1.FieldWorkers, len(workers), workerTotal, v1alpha1.MaxWorkers)
	b.checkUncounted()
}

// checkUncounted names all lists if the reporter's message is damaged and does not say how much there was.
func (b *builder) checkUncounted() {
	d := b.details()
	if d.Problem == "" || d.Counts != (report.Counts{}) {
		return
	}
	for field, kept := range map[string]int{
		v1alpha1.FieldEndpoints: len(b.out.Endpoints), v1alpha1.FieldErrors: len(b.out.Errors), v1alpha1.FieldExceptions: len(b.out.Exceptions),
		v1alpha1.FieldHistory: len(b.out.History), v1alpha1.FieldWorkers: len(b.out.Workers),
	} {
		if kept == 0 {
			b.truncated(field, 0, 0, d.Problem)
		}
	}
	// In a fixed order, in spite of the map.
	slices.SortFunc(b.out.Truncated, func(a, b v1alpha1.Truncation) int { return cmp.Compare(a.Field, b.Field) })
}

// maxYear is the last year that RFC 3339 can represent. A node's clock may be wrong.
const maxYear = 9999

// longest returns the longest list of the sources, and how many elements Locust had.
func longest[T any](sources []*report.Report, of func(*report.Report) ([]T, int32)) (list []T, total int32) {
	for i, source := range sources {
		next, count := of(source)
		if i == 0 || len(next) > len(list) {
			list = next
		}
		total = max(total, count, int32(len(next)))
	}
	return list, total
}

// checkComplete records that a list lacks elements.
func (b *builder) checkComplete(field string, kept int, total int32, limit int) {
	switch {
	case kept >= int(total):
	case kept == limit:
		b.truncated(field, kept, int(total), atMost(limit))
	default:
		b.truncated(field, kept, int(total), b.because(report.ProblemNoRoom))
	}
}

// because returns why the reporter's message lacks something; otherwise if nothing is known to be wrong with it.
func (b *builder) because(otherwise string) string {
	switch {
	case b.problem != "":
		return b.problem
	case b.details() != nil && b.details().Problem != "":
		return b.details().Problem
	}
	return otherwise
}

// oldReporterLimit is how many endpoints and errors a final report of version 1 has at most.
const oldReporterLimit = 5

// checkOldReporter records that a list may lack elements if its only source is a final report of version 1, which has no counts.
func (b *builder) checkOldReporter(field string, kept int) {
	if len(b.sources) == 1 && b.sources[0] == b.finalSource() && b.sources[0].Details == nil && kept >= oldReporterLimit {
		b.truncated(field, kept, 0, fmt.Sprintf("the reporter of an earlier release lists at most %d", oldReporterLimit))
	}
}

func atMost(limit int) string { return fmt.Sprintf("a report has at most %d", limit) }

// truncated records that a field lacks elements; a total of zero is unknown.
func (b *builder) truncated(field string, kept, total int, why string) {
	entry := v1alpha1.Truncation{Field: field, Kept: int32(kept), Message: limitText(why, maxWhy)}
	if total > 0 {
		entry.Total = new(int32(total))
	}
	// One entry for each field, with the first total: later ones count what is left.
	if i := slices.IndexFunc(b.out.Truncated, func(t v1alpha1.Truncation) bool { return t.Field == field }); i >= 0 {
		entry.Total = b.out.Truncated[i].Total
		b.out.Truncated[i] = entry
		return
	}
	b.out.Truncated = append(b.out.Truncated, entry)
}

// maxWhy bounds the message of a truncation in bytes.
const maxWhy = 256

// limitSize shortens the largest lists until the report is small enough: texts of unusual characters are longer as JSON.
func (b *builder) limitSize() {
	lists := []shrinkable{
		newShrinkable(v1alpha1.FieldEndpoints, &b.out.Endpoints),
		newShrinkable(v1alpha1.FieldErrors, &b.out.Errors),
		newShrinkable(v1alpha1.FieldExceptions, &b.out.Exceptions),
		newShrinkable(v1alpha1.FieldWorkers, &b.out.Workers),
		newShrinkable(v1alpha1.FieldArguments, &b.out.Run.Arguments),
	}
	for jsonSize(b.out) > v1alpha1.MaxReportBytes {
		largest := slices.MaxFunc(lists, func(a, b shrinkable) int { return cmp.Compare(a.size(), b.size()) })
		before, kept := largest.shrink()
		if before == kept {
			return
		}
		b.truncated(largest.field, kept, before, fmt.Sprintf("a report has at most %d KiB", v1alpha1.MaxReportBytes>>10))
	}
}

// shrinkable is a list of a report whose last elements are the least important.
type shrinkable struct {
	field string
	// size is that of the list as JSON, in bytes.
	size func() int
	// shrink removes the last quarter of the list, and returns its length before and after.
	shrink func() (before, kept int)
}

func newShrinkable[T any](field string, list *[]T) shrinkable {
	return shrinkable{
		field: field,
		size:  func() int { return jsonSize(*list) },
		shrink: func() (before, kept int) {
			before = len(*list)
			kept = before * 3 / 4
			*list = (*list)[:kept]
			return before, kept
		},
	}
}

// jsonSize returns the size of a part of a report as JSON, in bytes.
func jsonSize(part any) int {
	data, err := json.Marshal(part)
	if err != nil {
		return 0
	}
	return len(data)
}
