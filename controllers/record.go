package controllers

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// record writes the derived status if it differs, and sends the derived Events. A refresh of counters and messages may have to
// wait.
func (r *LocustTestReconciler) record(ctx context.Context, test *v2.LocustTest, state *testState, obs *status.Observation, derived *status.Derivation) error {
	r.exportMetrics(test, obs, &derived.Status)
	now := r.Clock.Now()
	change := status.Compare(&test.Status, &derived.Status)
	if change == status.Refresh {
		if due := r.RefreshInterval - now.Sub(state.written[testKind].at); due > 0 {
			derived.RequeueIn(due)
			change = status.NoChange
		}
	}
	if change == status.NoChange {
		r.emit(test, state, derived)
		return nil
	}
	// The patch contains only the status and the resource version it was derived from: it must fail rather than overwrite
	// conditions that it has not seen.
	before := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{UID: test.UID, ResourceVersion: test.ResourceVersion}, Status: test.Status}
	next := &v2.LocustTest{ObjectMeta: before.ObjectMeta, Status: derived.Status}
	patch := client.MergeFromWithOptions(before, client.MergeFromWithOptimisticLock{})
	data, err := patch.Data(next)
	if err != nil {
		return fmt.Errorf("compare status of test %s/%s: %w", test.Namespace, test.Name, err)
	}
	// Only the new resource version is needed; metadata is cheaper to send and to decode.
	response := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: test.Namespace, Name: test.Name}}
	response.SetGroupVersionKind(v2.GroupVersion.WithKind(testKind))
	err = r.Status().Patch(ctx, response, client.RawPatch(patch.Type(), data))
	r.Metrics.Operator.StatusWrite(writeLabels(change, err))
	switch {
	case apierrors.IsNotFound(err):
		derived.RequeueAfter = 0
		return r.explainNotFound(ctx, test, err)
	case apierrors.IsConflict(err):
		derived.RequeueAfter = conflictInterval
		return nil
	case err != nil:
		return fmt.Errorf("write status of test %s/%s: %w", test.Namespace, test.Name, err)
	}
	state.written.expect(testKind, response, false, now)
	if test.Status.Phase != next.Status.Phase {
		logf.FromContext(ctx).Info("phase changed", "from", test.Status.Phase, "to", next.Status.Phase)
	}
	written := *test
	written.ResourceVersion = response.ResourceVersion
	r.emit(&written, state, derived)
	r.reportEnd(ctx, &written, &next.Status, state, obs)
	return nil
}

// writeLabels returns the metric labels of a status write.
func writeLabels(change status.Change, err error) (metrics.WriteKind, metrics.WriteResult) {
	kind, result := metrics.KindRefresh, metrics.ResultWritten
	if change == status.Transition {
		kind = metrics.KindTransition
	}
	switch {
	case apierrors.IsConflict(err):
		result = metrics.ResultConflict
	case client.IgnoreNotFound(err) != nil:
		result = metrics.ResultError
	}
	return kind, result
}

// exportMetrics updates the test's metrics. The status may be written later.
func (r *LocustTestReconciler) exportMetrics(test *v2.LocustTest, obs *status.Observation, now *v2.LocustTestStatus) {
	seen := &v2.LocustTest{ObjectMeta: test.ObjectMeta, Status: *now}
	r.Metrics.Tests.Observe(seen)
	if obs.Locust != nil && obs.Locust.Report != nil {
		r.Metrics.Tests.ObserveEndpoints(test.Namespace, test.Name, test.UID, obs.Locust.Report.Endpoints)
	}
}

// emit sends the Events and marks the test as observed.
func (r *LocustTestReconciler) emit(test *v2.LocustTest, state *testState, derived *status.Derivation) {
	state.observed = true
	for _, e := range derived.Events {
		r.Recorder.Eventf(test, nil, e.Type, e.Reason, e.Reason, "%s", e.Message)
	}
}

// explainNotFound returns nil if the test was deleted, and an error if the CRD has no status subresource.
func (r *LocustTestReconciler) explainNotFound(ctx context.Context, test *v2.LocustTest, cause error) error {
	err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(test), &v2.LocustTest{})
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	return fmt.Errorf("the CRD in the cluster has no status subresource; install the CRD of this version: %w", cause)
}
