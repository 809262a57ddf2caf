package controllers

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// waker starts reconciles for those who learn something apart from them, until the manager that it was added to ends.
type waker struct {
	tests chan event.TypedGenericEvent[*v2.LocustTest]
	// ctx ends with the manager.
	ctx  context.Context
	stop context.CancelFunc
}

func newWaker() *waker {
	w := &waker{tests: make(chan event.TypedGenericEvent[*v2.LocustTest])}
	w.ctx, w.stop = context.WithCancel(context.Background())
	return w
}

// Start ends with the manager.
func (w *waker) Start(ctx context.Context) error {
	<-ctx.Done()
	w.stop()
	return nil
}

// source is what the controller watches.
func (w *waker) source() source.Source {
	return source.Channel(w.tests, &handler.TypedEnqueueRequestForObject[*v2.LocustTest]{})
}

func (w *waker) wake(test types.NamespacedName) {
	about := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: test.Namespace, Name: test.Name}}
	select {
	case w.tests <- event.TypedGenericEvent[*v2.LocustTest]{Object: about}:
	case <-w.ctx.Done():
	}
}
