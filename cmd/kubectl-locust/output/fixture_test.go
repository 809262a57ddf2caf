package output

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

var started = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))

func lasting(d time.Duration) *metav1.Duration { return &metav1.Duration{Duration: d} }

// succeeded returns the report of a good run with two endpoints.
func succeeded() *v1alpha1.LocustReport {
	return &v1alpha1.LocustReport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "load", Name: "shop.eu-1f0c9a3e", ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "operator"}}},
		Test:       v1alpha1.Test{Name: "shop.eu", UID: "1f0c9a3e-1", Generation: 1},
		Outcome: v1alpha1.Outcome{
			Phase: v2.PhaseSucceeded, Reason: v2.ReasonTestSucceeded, Message: "Test completed successfully",
			LoadDelivered: &v1alpha1.LoadDelivered{Status: metav1.ConditionTrue, Reason: v2.ReasonLoadAsPlanned, Message: "The load was delivered as planned"},
		},
		Run: v1alpha1.Run{
			StartTime: &started, EndTime: metav1.NewTime(started.Add(3 * time.Minute)), LoadStartTime: &started, LocustVersion: "2.47.0",
			Image: "locustio/locust:2.47.0", Host: "https://shop.example.com", ExpectedWorkers: 5, ConnectedWorkers: 5, Users: new(int32(100)),
			Arguments: []string{"--users", "100"},
		},
		Summary: &v1alpha1.Summary{Final: true, Source: v2.ResultSourceReporter, FailureRatio: "0.0003", Statistics: statistics(36012, 12, "200.07")},
		Endpoints: []v1alpha1.Endpoint{
			{Method: "POST", Name: "/orders", Statistics: statistics(12, 12, "0.07")},
			{Method: "GET", Name: `/items?q="a,b"`, Statistics: statistics(36000, 0, "200")},
		},
		Errors:     []v1alpha1.Error{{Method: "POST", Name: "/orders", Error: "HTTPError('500 Server Error')", Occurrences: 12}},
		Exceptions: []v1alpha1.Exception{{Message: "KeyError: 'basket'", Occurrences: 2}},
		History:    []v1alpha1.HistoryPoint{{Time: started, Users: 1, RequestsPerSecond: "1", FailuresPerSecond: "0"}},
		Workers:    []v1alpha1.Worker{{Name: "shop-eu-worker-a", PeakProcessorPercent: 61, PeakMemoryBytes: 70 << 20}},
		Truncated:  []v1alpha1.Truncation{{Field: v1alpha1.FieldEndpoints, Kept: 2, Total: new(int32(131)), Message: "no room for more"}},
	}
}

// statistics has all response times.
func statistics(requests, failures int64, perSecond string) v1alpha1.Statistics {
	return v1alpha1.Statistics{
		TotalRequests: requests, FailedRequests: failures, RequestsPerSecond: perSecond,
		AverageResponseTime: lasting(45054 * time.Microsecond), Min: lasting(544 * time.Microsecond), P50: lasting(2 * time.Millisecond), P90: lasting(240 * time.Millisecond),
		P95: lasting(300 * time.Millisecond), P99: lasting(340 * time.Millisecond), P999: lasting(350 * time.Millisecond), Max: lasting(1351584 * time.Microsecond),
		AverageContentBytes: new(int64(5)),
	}
}

// failed returns the report of a run that missed its criteria.
func failed() *v1alpha1.LocustReport {
	r := succeeded()
	r.Outcome.Phase, r.Outcome.Reason = v2.PhaseFailed, v2.ReasonTestFailed
	r.Outcome.Message = "Success criteria not met: maxFailureRatio is 0.0001, measured 0.0003\nTraceback:\n  File \"/lotest/src/locustfile.py\""
	return r
}

// notStarted returns the report of a test that could not run.
func notStarted() *v1alpha1.LocustReport {
	r := failed()
	r.Run.StartTime, r.Run.LoadStartTime, r.Run.Users = nil, nil, nil
	r.Summary, r.Endpoints, r.Errors, r.Exceptions, r.Workers, r.Truncated = nil, nil, nil, nil, nil, nil
	r.Outcome.Message = "The image cannot be pulled"
	r.Outcome.LoadDelivered = &v1alpha1.LoadDelivered{Status: metav1.ConditionUnknown, Reason: v2.ReasonLoadNotStarted, Message: "No load has started"}
	return r
}

func write(t testing.TB, format string, report *v1alpha1.LocustReport) string {
	t.Helper()
	var out bytes.Buffer
	before := report.DeepCopy()
	require.NoError(t, Write(&out, format, report))
	require.Equal(t, before, report, "the report was changed")
	return out.String()
}
