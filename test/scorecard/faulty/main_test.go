package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/controllers"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// The faults intercept the reconciler's writes; if it wrote in another way, they would have no effect.
func TestFaultsReachStatusWrites(t *testing.T) {
	for _, row := range []struct {
		fault string
		holds func(status *v2.LocustTestStatus) bool
	}{
		{"no-status", func(s *v2.LocustTestStatus) bool { return s.Phase == "" && len(s.Conditions) == 0 }},
		{"frozen-times", func(s *v2.LocustTestStatus) bool {
			return s.Phase == v2.PhasePending && s.Conditions[0].LastTransitionTime.Unix() == startTime.Unix()
		}},
		{"load-claimed", func(s *v2.LocustTestStatus) bool {
			return meta.IsStatusConditionTrue(s.Conditions, v2.ConditionTypeLoadDelivered)
		}},
	} {
		t.Run(row.fault, func(t *testing.T) {
			startTime = time.Now().Add(-time.Hour)
			written := statusWithFault(t, faults[row.fault])
			assert.True(t, row.holds(written), "%+v", written)
			assert.False(t, row.holds(statusWithFault(t, faults["none"])), "without the fault")
		})
	}
}

// statusWithFault returns the status of a new test after one reconcile with the fault.
func statusWithFault(t *testing.T, f fault) *v2.LocustTestStatus {
	t.Helper()
	test := builder.MakeLocustTest("test").Namespace("ns").Stored("1", 1, time.Time{}).Obj()
	c := fake.NewClientBuilder().WithScheme(framework.NewScheme()).WithObjects(test).WithStatusSubresource(test).
		WithIndex(&corev1.Pod{}, "test", func(client.Object) []string { return nil }).
		WithIndex(&corev1.Pod{}, "service", func(client.Object) []string { return nil }).Build()
	reconciler := &controllers.LocustTestReconciler{
		Client: newFaultyClient(c, c, f), APIReader: c, Recorder: events.NewFakeRecorder(100), Clock: clock.RealClock{}, RefreshInterval: 10 * time.Second,
	}
	_, err := reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(test)})
	require.NoError(t, err)
	require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(test), test))
	return &test.Status
}

func TestFaultReachesReport(t *testing.T) {
	assert.EqualValues(t, 10, reportWithFault(t, faults["none"]).Summary.TotalRequests)
	assert.EqualValues(t, 11, reportWithFault(t, faults["wrong-report"]).Summary.TotalRequests)
}

// reportWithFault returns the report of a test that has ended, after one reconcile with the fault.
func reportWithFault(t *testing.T, f fault) *v1alpha1.LocustReport {
	t.Helper()
	test := builder.MakeLocustTest("test").Namespace("ns").Stored("1", 1, time.Time{}).Obj()
	test.Status = v2.LocustTestStatus{Phase: v2.PhaseSucceeded, Report: "test-1", TestResult: &v2.TestResult{Final: true, TotalRequests: 10}}
	c := fake.NewClientBuilder().WithScheme(framework.NewScheme(v1alpha1.AddToScheme)).WithObjects(test).WithStatusSubresource(test).
		WithIndex(&corev1.Pod{}, "test", func(client.Object) []string { return nil }).
		WithIndex(&corev1.Pod{}, "service", func(client.Object) []string { return nil }).Build()
	reconciler := &controllers.LocustTestReconciler{
		Client: newFaultyClient(c, c, f), APIReader: c, Recorder: events.NewFakeRecorder(100), Clock: clock.RealClock{}, RefreshInterval: 10 * time.Second,
	}
	_, err := reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(test)})
	require.NoError(t, err)
	report := &v1alpha1.LocustReport{}
	require.NoError(t, c.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "test-1"}, report))
	return report
}
