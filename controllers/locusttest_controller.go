package controllers

import (
	"context"
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
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// The operator writes Jobs, Services, Events and the status subresource. On the LocustTest itself it only removes the finalizer
// of the 2.x operator. The admission plugin OwnerReferencesPermissionEnforcement requires the finalizers permission to set
// blockOwnerDeletion in an owner reference.
//
// +kubebuilder:rbac:groups=locust.io,resources=locusttests,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=locust.io,resources=locusttests/status,verbs=patch
// +kubebuilder:rbac:groups=locust.io,resources=locusttests/finalizers,verbs=update
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch;delete
// +kubebuilder:rbac:groups="",resources=events,verbs=list
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
	Poller *Poller
	// Metrics are updated by each reconcile; the zero value discards updates.
	Metrics metrics.Metrics

	states      stateStore
	eventReader *eventReader
	backOff     *backOff
}

// Reconcile brings one test's objects and status up to date.
func (r *LocustTestReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	// Reset the priority: a low-priority request must not make its requeue low-priority too.
	result := ctrl.Result{Priority: ptr.To(0)}
	test, mem, err := r.get(ctx, req)
	if test == nil || err != nil {
		return result, err
	}
	obs, err := r.observe(ctx, test, mem)
	if err != nil {
		return result, err
	}
	if !test.DeletionTimestamp.IsZero() {
		plan := status.PlanDeleted(obs)
		return result, first(r.ensure(ctx, test, mem, obs, &plan), r.removeCleanupFinalizer(ctx, test))
	}
	plan := status.PlanFor(&test.Status, obs, r.Settings, r.Clock.Now())
	r.readEventsFor(test, mem, plan.EventsFor)
	ensured := r.ensure(ctx, test, mem, obs, &plan)
	derived := status.Derive(test.Status, *obs, r.Settings, r.Clock.Now())
	refreshIn, err := r.record(ctx, test, mem, &derived)
	pollIn := r.poll(test, mem, obs, &derived)
	if err != nil {
		return result, first(err, ensured)
	}
	due := soonest(derived.RequeueAfter, plan.RequeueAfter, refreshIn, pollIn, mem.recheck, mem.forgetIn(&derived.Status))
	if ensured != nil {
		// A failed write must delay neither polls nor status refreshes.
		r.backOff.dueIn(req, due)
		return result, ensured
	}
	result.RequeueAfter = due
	return result, nil
}

// get returns the test with its latest known status, and its state. It returns nil if the test is deleted or being deleted
// without a foreign finalizer; its objects are garbage-collected.
func (r *LocustTestReconciler) get(ctx context.Context, req ctrl.Request) (*v2.LocustTest, *testState, error) {
	test := &v2.LocustTest{}
	// Points into the cache; must not be modified.
	if err := r.Get(ctx, req.NamespacedName, test, client.UnsafeDisableDeepCopy); err != nil {
		if apierrors.IsNotFound(err) {
			r.states.forget(req.NamespacedName)
			r.Metrics.Tests.Forget(req.Namespace, req.Name)
			if r.eventReader != nil {
				r.eventReader.request(req.NamespacedName, nil)
			}
		}
		return nil, nil, client.IgnoreNotFound(err)
	}
	if !test.DeletionTimestamp.IsZero() && !hasOtherFinalizer(test) {
		return nil, nil, nil
	}
	mem := r.states.getOrCreate(test)
	return mem.withLastWrite(test), mem, nil
}

// hasOtherFinalizer reports whether a finalizer other than the garbage collector's keeps a deleted test.
func hasOtherFinalizer(test *v2.LocustTest) bool {
	return slices.ContainsFunc(test.Finalizers, func(name string) bool {
		return name != metav1.FinalizerDeleteDependents && name != metav1.FinalizerOrphanDependents
	})
}

// soonest returns the shortest of the durations. Zero means never.
func soonest(waits ...time.Duration) time.Duration {
	var least time.Duration
	for _, wait := range waits {
		if wait > 0 && (least == 0 || wait < least) {
			least = wait
		}
	}
	return least
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
