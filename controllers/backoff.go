package controllers

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// backOff is the queue's rate limiter: failed reconciles are retried with exponential back-off, but no later than another
// reconcile is due. The queue itself ignores RequeueAfter if Reconcile returns an error.
type backOff struct {
	workqueue.TypedRateLimiter[reconcile.Request]
	due sync.Map // time.Duration by reconcile.Request
}

func newBackOff() *backOff {
	return &backOff{TypedRateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryInterval, maxRetryInterval)}
}

// dueIn sets the time until the next reconcile that is due regardless of the error; zero means that none is due.
func (b *backOff) dueIn(request reconcile.Request, wait time.Duration) {
	if b == nil {
		return
	}
	b.due.Store(request, wait)
}

// When returns the delay before the next retry.
func (b *backOff) When(request reconcile.Request) time.Duration {
	wait := b.TypedRateLimiter.When(request)
	if due, set := b.due.LoadAndDelete(request); set {
		wait = status.Soonest(wait, due.(time.Duration))
	}
	return wait
}
