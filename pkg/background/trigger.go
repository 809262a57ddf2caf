package background

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// reconcileTrigger lets background observers enqueue reconciles; it stops with the manager.
type reconcileTrigger struct {
	tests chan event.TypedGenericEvent[*v2.LocustTest]
	// ctx is canceled when the manager stops.
	ctx  context.Context
	stop context.CancelFunc
}

func newReconcileTrigger() *reconcileTrigger {
	t := &reconcileTrigger{tests: make(chan event.TypedGenericEvent[*v2.LocustTest])}
	t.ctx, t.stop = context.WithCancel(context.Background())
	return t
}

// Start implements manager.Runnable. It blocks until the manager stops.
func (t *reconcileTrigger) Start(ctx context.Context) error {
	<-ctx.Done()
	t.stop()
	return nil
}

// Source returns the source for the controller to watch.
func (t *reconcileTrigger) Source() source.Source {
	return source.Channel(t.tests, &handler.TypedEnqueueRequestForObject[*v2.LocustTest]{})
}

// enqueue requests a reconcile of the test. It blocks until the controller accepts the request or the manager stops.
func (t *reconcileTrigger) enqueue(test types.NamespacedName) {
	object := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: test.Namespace, Name: test.Name}}
	select {
	case t.tests <- event.TypedGenericEvent[*v2.LocustTest]{Object: object}:
	case <-t.ctx.Done():
	}
}
