package controllers

import (
	"context"
	"errors"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/background"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// The operator writes Jobs, Services, LocustReports, Events and the status subresource. On the LocustTest itself it only removes the finalizer
// of the 2.x operator. The admission plugin OwnerReferencesPermissionEnforcement requires the finalizers permission to set
// blockOwnerDeletion in an owner reference.
//
// +kubebuilder:rbac:groups=locust.io,resources=locusttests,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=locust.io,resources=locusttests/status,verbs=patch
// +kubebuilder:rbac:groups=locust.io,resources=locusttests/finalizers,verbs=update
// +kubebuilder:rbac:groups=locust.io,resources=locustreports,verbs=create;get;list;watch;delete
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch;delete
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// pkg/peers lists the Leases of other operators:
// +kubebuilder:rbac:groups=coordination.k8s.io,resources=leases,verbs=list
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// LocustTestReconciler creates the objects of LocustTests and reports their state in the status.
type LocustTestReconciler struct {
	// Client reads from the cache and writes to the API server.
	client.Client
	// APIReader reads from the API server: objects that may be missing from the cache, and Events, which are not cached.
	APIReader client.Reader
	// Recorder emits Events.
	Recorder events.EventRecorder
	// Clock returns the current time.
	Clock clock.PassiveClock

	// Settings configure the plan and the derivation.
	Settings status.Settings
	// RefreshInterval is the minimum time between status writes that change only counters and messages.
	RefreshInterval time.Duration
	// Concurrency is the maximum number of concurrent reconciles.
	Concurrency int

	// Poller polls the Locust masters; nil disables polling.
	Poller *background.Poller
	// Metrics are updated by each reconcile; the zero value discards updates.
	Metrics metrics.Metrics

	states  stateStore
	backOff *backOff
	// eventReader reads the Events of stuck objects; nil without a manager.
	eventReader *background.EventReader
}

// Reconcile brings one test's objects and status up to date.
func (r *LocustTestReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	// Reset the priority: a low-priority request must not make its requeue low-priority too.
	result := ctrl.Result{Priority: ptr.To(0)}
	test, state, err := r.get(ctx, req)
	if test == nil || err != nil {
		return requeueIfStale(result, err)
	}
	obs, err := r.observe(ctx, test, state)
	if err != nil {
		return requeueIfStale(result, err)
	}
	if !test.DeletionTimestamp.IsZero() {
		plan := status.PlanDeleted(obs)
		_, err := r.apply(ctx, test, state, obs, &plan)
		return result, first(err, r.removeCleanupFinalizer(ctx, test))
	}
	plan := status.PlanFor(&test.Status, obs, r.Settings, r.Clock.Now())
	r.eventReader.Request(req.NamespacedName, plan.EventsFor)
	changes, applied := r.apply(ctx, test, state, obs, &plan)
	derived := status.Derive(test.Status, obs.After(changes), r.Settings, r.Clock.Now())
	err = r.record(ctx, test, state, obs, &derived)
	r.poll(test, obs, &derived)
	if err != nil {
		return result, first(err, applied)
	}
	if applied != nil {
		// A failed write must delay neither polls nor status refreshes.
		r.backOff.dueIn(req, derived.RequeueAfter)
		return result, applied
	}
	result.RequeueAfter = derived.RequeueAfter
	return result, nil
}

// requeueIfStale returns the result of a reconcile that could not observe the test. A stale cache is no error.
func requeueIfStale(result ctrl.Result, err error) (ctrl.Result, error) {
	if stale, ok := errors.AsType[staleError](err); ok {
		result.RequeueAfter = stale.wait
		return result, nil
	}
	return result, err
}

// poll starts a poll of the test's master if one is due, and otherwise requests a reconcile when one will be.
func (r *LocustTestReconciler) poll(test *v2.LocustTest, obs *status.Observation, derived *status.Derivation) {
	switch {
	case r.Poller == nil:
	case derived.Poll:
		derived.RequeueIn(r.Poller.Request(test, obs, derived.PollIn))
	case test.Status.IsTerminal():
		r.Poller.Forget(client.ObjectKeyFromObject(test))
	default:
		r.Poller.Cancel(test)
	}
}

// get returns the test, and its state. It returns nil if the test is deleted or being deleted without a foreign finalizer; its
// objects are garbage-collected.
func (r *LocustTestReconciler) get(ctx context.Context, req ctrl.Request) (*v2.LocustTest, *testState, error) {
	test := &v2.LocustTest{}
	// Points into the cache; must not be modified.
	if err := r.Get(ctx, req.NamespacedName, test, client.UnsafeDisableDeepCopy); err != nil {
		if apierrors.IsNotFound(err) {
			r.states.forget(req.NamespacedName)
			r.Metrics.Tests.Forget(req.Namespace, req.Name)
			r.eventReader.Forget(req.NamespacedName)
			r.Poller.Forget(req.NamespacedName)
		}
		return nil, nil, client.IgnoreNotFound(err)
	}
	if !test.DeletionTimestamp.IsZero() {
		r.eventReader.Forget(req.NamespacedName)
		r.Poller.Forget(req.NamespacedName)
		if !hasOtherFinalizer(test) {
			return nil, nil, nil
		}
	}
	state := r.states.getOrCreate(test)
	if wait := state.written.wait(testKind, test, r.Clock.Now()); wait > 0 {
		return nil, nil, staleError{wait}
	}
	return test, state, nil
}

// hasOtherFinalizer reports whether a finalizer other than the garbage collector's keeps a deleted test.
func hasOtherFinalizer(test *v2.LocustTest) bool {
	return slices.ContainsFunc(test.Finalizers, func(name string) bool {
		return name != metav1.FinalizerDeleteDependents && name != metav1.FinalizerOrphanDependents
	})
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
