package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/controllers"
)

// The faults sit between the reconciler and its writes, so that a change of how it writes could mend them all unseen.
func TestFaultsReachWhatIsWritten(t *testing.T) {
	for _, row := range []struct {
		fault string
		holds func(status *v2.LocustTestStatus) bool
	}{
		{"no-status", func(s *v2.LocustTestStatus) bool { return s.Phase == "" && len(s.Conditions) == 0 }},
		{"frozen-times", func(s *v2.LocustTestStatus) bool {
			return s.Phase == v2.PhasePending && s.Conditions[0].LastTransitionTime.Unix() == began.Unix()
		}},
		{"load-claimed", func(s *v2.LocustTestStatus) bool {
			return meta.IsStatusConditionTrue(s.Conditions, v2.ConditionTypeLoadDelivered)
		}},
	} {
		t.Run(row.fault, func(t *testing.T) {
			began = time.Now().Add(-time.Hour)
			written := statusUnder(t, faults[row.fault])
			assert.True(t, row.holds(written), "%+v", written)
			assert.False(t, row.holds(statusUnder(t, faults["none"])), "without the fault")
		})
	}
}

// statusUnder is what a new test's status says after one look of an operator with a fault.
func statusUnder(t *testing.T, f fault) *v2.LocustTestStatus {
	t.Helper()
	scheme := runtime.NewScheme()
	require.NoError(t, clientgoscheme.AddToScheme(scheme))
	require.NoError(t, v2.AddToScheme(scheme))
	test := &v2.LocustTest{
		ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "test", UID: "1", Generation: 1},
		Spec: v2.LocustTestSpec{
			Image: "locust:2", Master: v2.MasterSpec{Command: "--run-time 10s"}, Worker: v2.WorkerSpec{Command: "-f t.py", Replicas: 1},
		},
	}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(test).WithStatusSubresource(test).
		WithIndex(&corev1.Pod{}, "test", func(client.Object) []string { return nil }).Build()
	reconciler := &controllers.LocustTestReconciler{
		Client: breaking(c, c, f), APIReader: c, Recorder: events.NewFakeRecorder(100), Clock: clock.RealClock{}, RefreshInterval: 10 * time.Second,
	}
	_, err := reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(test)})
	require.NoError(t, err)
	require.NoError(t, c.Get(t.Context(), client.ObjectKeyFromObject(test), test))
	return &test.Status
}
