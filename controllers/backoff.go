package controllers

import (
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
)

// backOff is the queue's rate limiter: after an error a test is reconciled again with exponential back-off, but no later than
// it is due for another reason. The queue itself ignores RequeueAfter when there is an error.
type backOff struct {
	workqueue.TypedRateLimiter[reconcile.Request]
	due sync.Map // time.Duration by reconcile.Request
}

func newBackOff() *backOff {
	return &backOff{TypedRateLimiter: workqueue.NewTypedItemExponentialFailureRateLimiter[reconcile.Request](retryFirst, retryMost)}
}

// dueIn sets when a test that is to be retried is due for another reason; zero means that it is not.
func (b *backOff) dueIn(request reconcile.Request, wait time.Duration) {
	if b == nil {
		return
	}
	b.due.Store(request, wait)
}

// When returns how long to wait for the next try.
func (b *backOff) When(request reconcile.Request) time.Duration {
	wait := b.TypedRateLimiter.When(request)
	if due, set := b.due.LoadAndDelete(request); set {
		wait = soonest(wait, due.(time.Duration))
	}
	return wait
}
