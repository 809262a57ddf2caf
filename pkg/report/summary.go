package report

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

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
		Min: status.Duration(e.Min), P50: status.Duration(p.P50), P90: status.Duration(p.P90), P95: status.Duration(p.P95), P99: status.Duration(p.P99),
		P999: status.Duration(p.P999), Max: status.Duration(e.Max), AverageContentBytes: e.ContentBytes,
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
