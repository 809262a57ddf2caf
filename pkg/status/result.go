package status

import (
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// maxListed bounds the endpoints and the errors in the status; the LocustReport has more.
const maxListed = 5

// liveResult returns the result that the running master reports.
func liveResult(prev *v2.LocustTestStatus, l *Locust) *v2.TestResult {
	r := l.Report
	if r.Requests == 0 && !r.State.Loading() && !r.State.Ended() {
		return prev.TestResult
	}
	return resultOf(&r.Stats, v2.ResultSourceWebAPI, l.isFinal())
}

// measure fills in the results. At the end the reporter's final result counts, or else the last one that the master reported.
// The status may not contain the last report yet.
func (f *facts) measure() {
	f.result = f.prev.TestResult
	if f.Locust != nil && f.Locust.Report != nil && !fromReporter(f.result) {
		if f.liveResult = liveResult(f.prev, f.Locust); f.liveResult != f.result {
			f.result, f.stats = f.liveResult, &f.Locust.Report.Stats
		}
	}
	known := f.result
	if f.final == nil || !f.final.Complete && known != nil && (known.Final || known.TotalRequests > f.final.Requests) {
		return
	}
	f.result, f.stats = resultOf(&f.final.Stats, v2.ResultSourceReporter, f.final.Complete), &f.final.Stats
}

// resultOf converts statistics to the API type.
func resultOf(s *report.Stats, source string, final bool) *v2.TestResult {
	r := &v2.TestResult{
		Final: final, Source: source,
		TotalRequests: s.Requests, FailedRequests: s.Failures,
		FailureRatio:      ratio(s.Failures, s.Requests),
		RequestsPerSecond: strconv.FormatFloat(s.RequestsPerSecond, 'f', rateDigits, 64),
	}
	if s.Requests > 0 {
		r.AverageResponseTime = &metav1.Duration{Duration: s.Average}
		r.P50, r.P90, r.P95, r.P99 = Duration(s.P50), Duration(s.P90), Duration(s.P95), Duration(s.P99)
	}
	for i := range s.Endpoints[:min(len(s.Endpoints), maxListed)] {
		e := &s.Endpoints[i]
		r.Endpoints = append(r.Endpoints, v2.EndpointResult{
			Method: e.Method, Name: e.Name, TotalRequests: e.Requests, FailedRequests: e.Failures,
			AverageResponseTime: &metav1.Duration{Duration: e.Average}, P95: Duration(e.P95),
		})
	}
	for _, e := range s.TopErrors(maxListed) {
		r.Errors = append(r.Errors, v2.ErrorResult{Method: e.Method, Name: e.Name, Error: e.Text, Occurrences: e.Occurrences})
	}
	return r
}
