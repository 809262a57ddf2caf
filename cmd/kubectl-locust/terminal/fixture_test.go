package terminal

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// pending returns a test that waits for its workers, after the changes of a test case.
func pending(changes ...func(*v2.LocustTestStatus)) *v2.LocustTest {
	test := builder.MakeLocustTest("shop.one").Namespace("perf").Obj()
	test.Status = v2.LocustTestStatus{
		Phase: v2.PhasePending, ExpectedWorkers: 3, ConnectedWorkers: 1,
		Conditions: []metav1.Condition{
			{Type: v2.ConditionTypeReady, Status: metav1.ConditionTrue, Reason: v2.ReasonResourcesCreated},
			{Type: v2.ConditionTypeWorkersConnected, Status: metav1.ConditionFalse, Reason: v2.ReasonWaitingForWorkers, Message: "1/3 workers\nconnected"},
			{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionFalse, Reason: v2.ReasonTestInProgress, Message: "Test has not started"},
			{Type: v2.ConditionTypePodsHealthy, Status: metav1.ConditionFalse, Reason: v2.ReasonImagePullError, Message: "pod x: not found"},
			{Type: v2.ConditionTypeSpecDrifted, Status: metav1.ConditionFalse, Reason: v2.ReasonSpecInSync},
			{Type: v2.ConditionTypeLoadDelivered, Status: metav1.ConditionUnknown, Reason: v2.ReasonLoadNotStarted, Message: "no load yet"},
			{Type: v2.ConditionTypeReconciling, Status: metav1.ConditionTrue, Reason: v2.ReasonResourcesCreated},
		},
	}
	for _, change := range changes {
		change(&test.Status)
	}
	return test
}

// set changes a condition.
func set(s *v2.LocustTestStatus, conditionType string, status metav1.ConditionStatus, reason, message string) {
	for i := range s.Conditions {
		if c := &s.Conditions[i]; c.Type == conditionType {
			c.Status, c.Reason, c.Message = status, reason, message
		}
	}
}

func running(s *v2.LocustTestStatus) {
	s.Phase = v2.PhaseRunning
	s.StartTime = &metav1.Time{Time: start}
	s.ConnectedWorkers = 3
	set(s, v2.ConditionTypeWorkersConnected, metav1.ConditionTrue, v2.ReasonAllWorkersConnected, "3/3 workers connected")
	set(s, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy, "3/3 pods are running")
	set(s, v2.ConditionTypeLoadDelivered, metav1.ConditionTrue, v2.ReasonLoadAsPlanned, "20 users")
	s.Conditions = s.Conditions[:6]
	s.Progress = &v2.Progress{
		CurrentUsers: 10, TargetUsers: new(int32(20)), StartTime: &metav1.Time{Time: start}, Duration: &metav1.Duration{Duration: 30 * time.Second},
	}
	s.TestResult = &v2.TestResult{
		TotalRequests: 200, FailedRequests: 3, RequestsPerSecond: "12.50", Source: v2.ResultSourceWebAPI,
		AverageResponseTime: &metav1.Duration{Duration: 1234567 * time.Nanosecond}, P50: &metav1.Duration{Duration: time.Millisecond},
		Endpoints: []v2.EndpointResult{{Method: "GET", Name: "/a", TotalRequests: 200, FailedRequests: 3, P95: &metav1.Duration{Duration: 2 * time.Millisecond}}},
		Errors:    []v2.ErrorResult{{Method: "GET", Name: "/a", Error: "500", Occurrences: 3}, {Error: "KeyError", Occurrences: 1}},
	}
}

func finished(s *v2.LocustTestStatus) {
	running(s)
	s.Phase = v2.PhaseFailed
	s.Report = "shop.one-1f0c9a3e"
	s.CompletionTime = &metav1.Time{Time: start.Add(41 * time.Second)}
	set(s, v2.ConditionTypeTestCompleted, metav1.ConditionTrue, v2.ReasonTestFailed, "exit code 1")
	set(s, v2.ConditionTypeReady, metav1.ConditionFalse, v2.ReasonResourcesFailed, "exit code 1")
	s.TestResult.Final, s.TestResult.Source = true, v2.ResultSourceReporter
}

func texts(lines []Line) []string {
	var all []string
	for _, line := range lines {
		all = append(all, line.Text)
	}
	return all
}
