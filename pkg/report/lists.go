package report

import (
	"cmp"
	"slices"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

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
			P50: status.Duration(p.P50), P95: status.Duration(p.P95),
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
