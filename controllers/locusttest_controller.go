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
	"sigs.k8s.io/controller-runtime/pkg/handler"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// The operator writes Jobs, Services, Events and the status subresource; of the LocustTest itself only the finalizer of the
// 2.x operator, which it removes. The finalizers permission is what the admission plugin OwnerReferencesPermissionEnforcement
// asks of whoever sets blockOwnerDeletion in an owner reference.
//
// +kubebuilder:rbac:groups=locust.io,resources=locusttests,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=locust.io,resources=locusttests/status,verbs=patch
// +kubebuilder:rbac:groups=locust.io,resources=locusttests/finalizers,verbs=update
// +kubebuilder:rbac:groups=batch,resources=jobs,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch;create
// +kubebuilder:rbac:groups="",resources=pods,verbs=list;watch;delete
// +kubebuilder:rbac:groups="",resources=events,verbs=list
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// LocustTestReconciler runs LocustTests and tells the truth about them in their status.
type LocustTestReconciler struct {
	// Client reads from the cache and writes to the API server.
	client.Client
	// Live reads from the API server: what the cache may not know yet, and Events, which are not cached.
	Live client.Reader
	// Recorder emits Events.
	Recorder events.EventRecorder
	// Clock is the time; a fake one makes time testable.
	Clock clock.PassiveClock

	// Settings are what the derivation depends on.
	Settings status.Settings
	// RefreshInterval is how often counters and messages are written while nothing else changes.
	RefreshInterval time.Duration
	// Concurrency is how many tests are reconciled at the same time.
	Concurrency int

	// Poller asks Locust's masters; nil asks none.
	Poller *Poller
	// Metrics are what Prometheus is told; the zero value tells nothing.
	Metrics metrics.Metrics

	memories  memories
	explainer *explainer
	backOff   *backOff
}

// Reconcile brings one test's objects and status up to date.
func (r *LocustTestReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	// However little urgent this look is, the next one is urgent when it is due.
	again := ctrl.Result{Priority: ptr.To(0)}
	test, mem, err := r.get(ctx, req)
	if test == nil || err != nil {
		return again, err
	}
	obs, err := r.observe(ctx, test, mem)
	if err != nil {
		return again, err
	}
	if !test.DeletionTimestamp.IsZero() {
		plan := status.PlanDeleted(obs)
		return again, first(r.ensure(ctx, test, mem, obs, &plan), r.removeCleanupFinalizer(ctx, test))
	}
	plan := status.PlanFor(&test.Status, obs, r.Settings, r.Clock.Now())
	ensured := r.ensure(ctx, test, mem, obs, &plan)
	if ensured == nil && plan.HasMadeAll(&test.Status, obs) {
		// Other tests may wait for their objects, and this one runs without word of its own: that comes when nothing more
		// urgent is to be done.
		mem.looked = true
		return ctrl.Result{RequeueAfter: atOnceAgain, Priority: ptr.To(handler.LowPriority)}, nil
	}

	derived := status.Derive(test.Status, *obs, r.Settings, r.Clock.Now())
	wait, err := r.record(ctx, test, mem, &derived)
	next := r.ask(test, mem, obs, &derived)
	if err != nil {
		return again, first(err, ensured)
	}
	due := soonest(derived.RequeueAfter, plan.RequeueAfter, wait, next, mem.recheck, mem.forgetIn(&derived.Status))
	if ensured != nil {
		// What cannot be ensured now delays neither polls nor refreshes.
		r.backOff.dueIn(req, due)
		return again, ensured
	}
	again.RequeueAfter = due
	return again, nil
}

// atOnceAgain asks for another look without waiting: 0 would ask for none.
const atOnceAgain = time.Nanosecond

// get reads the test with its newest known status, and what is remembered of it. The test is nil when it is
// gone or going, for its objects follow it by their owner references; unless somebody's finalizer holds it.
func (r *LocustTestReconciler) get(ctx context.Context, req ctrl.Request) (*v2.LocustTest, *memory, error) {
	test := &v2.LocustTest{}
	// It is the cache's own, not a copy: nobody writes to it.
	if err := r.Get(ctx, req.NamespacedName, test, client.UnsafeDisableDeepCopy); err != nil {
		if apierrors.IsNotFound(err) {
			r.memories.forget(req.NamespacedName)
			r.Metrics.Tests.Forget(req.Namespace, req.Name)
			if r.explainer != nil {
				r.explainer.about(req.NamespacedName, nil)
			}
		}
		return nil, nil, client.IgnoreNotFound(err)
	}
	if !test.DeletionTimestamp.IsZero() && !heldByOthers(test) {
		return nil, nil, nil
	}
	mem := r.memories.of(test)
	return mem.newest(test), mem, nil
}

// heldByOthers tells whether a finalizer other than the garbage collector's own keeps a deleted test.
func heldByOthers(test *v2.LocustTest) bool {
	return slices.ContainsFunc(test.Finalizers, func(name string) bool {
		return name != metav1.FinalizerDeleteDependents && name != metav1.FinalizerOrphanDependents
	})
}

// soonest is the shortest of several waiting times, where 0 means never.
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
