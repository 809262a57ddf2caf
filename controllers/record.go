package controllers

import (
	"context"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// conflictWait is how long to wait for the cache after somebody else has written the test.
const conflictWait = 200 * time.Millisecond

// record writes the derived status when it differs, once, and emits the Events that the write made true. The
// waiting time is when a change that is not urgent is due.
func (r *LocustTestReconciler) record(ctx context.Context, test *v2.LocustTest, mem *memory, derived *status.Derivation) (time.Duration, error) {
	r.observed(test, &derived.Status)
	change := status.Compare(&test.Status, &derived.Status)
	switch change {
	case status.NoChange:
		r.emit(test, mem, derived)
		return 0, nil
	case status.Refresh:
		if due := r.RefreshInterval - r.Clock.Since(mem.refreshed); due > 0 {
			r.emit(test, mem, derived)
			return due, nil
		}
	}
	// The patch is made of the status alone, and carries the resource version it was derived from: it fails rather than
	// overwrite conditions that it has not seen.
	was := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{UID: test.UID, ResourceVersion: test.ResourceVersion}, Status: test.Status}
	next := &v2.LocustTest{ObjectMeta: was.ObjectMeta, Status: derived.Status}
	patch := client.MergeFromWithOptions(was, client.MergeFromWithOptimisticLock{})
	data, err := patch.Data(next)
	if err != nil {
		return 0, fmt.Errorf("compare status of test %s/%s: %w", test.Namespace, test.Name, err)
	}
	// Of the API server's answer only the resource version is of use; metadata alone is cheaper to send and to decode.
	answer := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: test.Namespace, Name: test.Name}}
	answer.SetGroupVersionKind(v2.GroupVersion.WithKind(testKind))
	err = r.Status().Patch(ctx, answer, client.RawPatch(patch.Type(), data))
	r.Metrics.Operator.StatusWrite(written(change, err))
	switch {
	case apierrors.IsNotFound(err):
		derived.RequeueAfter = 0
		return 0, r.explainNotFound(ctx, test, err)
	case apierrors.IsConflict(err):
		derived.RequeueAfter = 0
		return conflictWait, nil
	case err != nil:
		return 0, fmt.Errorf("write status of test %s/%s: %w", test.Namespace, test.Name, err)
	}
	next.ResourceVersion = answer.ResourceVersion
	mem.wrote(next, r.Clock.Now())
	if test.Status.Phase != next.Status.Phase {
		logf.FromContext(ctx).Info("phase changed", "from", test.Status.Phase, "to", next.Status.Phase)
	}
	now := *test
	now.ResourceVersion = answer.ResourceVersion
	r.emit(&now, mem, derived)
	return 0, nil
}

// written is the kind and the result of a status write.
func written(change status.Change, err error) (metrics.WriteKind, metrics.WriteResult) {
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

// observed tells Prometheus what is known now; the status may be written a little later.
func (r *LocustTestReconciler) observed(test *v2.LocustTest, now *v2.LocustTestStatus) {
	seen := &v2.LocustTest{ObjectMeta: test.ObjectMeta, Status: *now}
	r.Metrics.Tests.Observe(seen)
}

// emit tells what is true now. From here on this operator has seen the test: what it saw is recorded.
func (r *LocustTestReconciler) emit(test *v2.LocustTest, mem *memory, derived *status.Derivation) {
	mem.looked = true
	for _, e := range derived.Events {
		r.Recorder.Eventf(test, nil, e.Type, e.Reason, e.Reason, "%s", e.Message)
	}
}

// explainNotFound tells a test that was just deleted, which is no error, from a CRD that serves no status.
func (r *LocustTestReconciler) explainNotFound(ctx context.Context, test *v2.LocustTest, cause error) error {
	err := r.Live.Get(ctx, client.ObjectKeyFromObject(test), &v2.LocustTest{})
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	return fmt.Errorf("the CRD in the cluster has no status subresource; install the CRD of this version: %w", cause)
}
