package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// testEvent is what a testWatch has observed. Exactly one field is set, or none if the test can be read again after a problem.
type testEvent struct {
	// test is a new state.
	test *v2.LocustTest
	// problem is why the test cannot be read at present.
	problem error
	// err is why it cannot be watched any longer.
	err error
}

// testWatch watches one test. It lists the test, so that it notices a deletion, and watches it from there; when the watch ends, which
// API servers do after some time, it starts again.
type testWatch struct {
	client client.WithWatch
	test   *v2.LocustTest
	events chan testEvent
	// pause is the time between two attempts, and patience how long attempts may fail.
	pause, patience time.Duration
	now             func() time.Time
}

// The times of a testWatch. An API server that is upgraded is away for some minutes.
const (
	watchPause    = time.Second
	watchPatience = 5 * time.Minute
)

// run watches until the context ends, or the test cannot be watched any longer.
func (w *testWatch) run(ctx context.Context) {
	var failingSince time.Time
	connected := false
	for ctx.Err() == nil {
		err := w.once(ctx, func() {
			connected = true
			if !failingSince.IsZero() {
				failingSince = time.Time{}
				w.send(ctx, testEvent{})
			}
		})
		switch {
		case err == nil:
		case errors.As(err, &deletedError{}), !connected && isPermanent(err):
			w.send(ctx, testEvent{err: err})
			return
		default:
			if failingSince.IsZero() {
				failingSince = w.now()
			}
			if failing := w.now().Sub(failingSince); failing >= w.patience {
				w.send(ctx, testEvent{err: fmt.Errorf("no connection for %s: %w", failing.Round(time.Second), err)})
				return
			}
			w.send(ctx, testEvent{problem: err})
		}
		select {
		case <-time.After(w.pause):
		case <-ctx.Done():
		}
	}
}

// isPermanent reports whether another attempt cannot succeed. An API server that starts may refuse requests for a moment, because it
// does not know the roles yet; so this holds only for the first attempt.
func isPermanent(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) || apierrors.IsNotFound(err)
}

// once lists and watches the test until the watch ends. It calls connected after the list.
func (w *testWatch) once(ctx context.Context, connected func()) error {
	key := client.ObjectKeyFromObject(w.test)
	options := []client.ListOption{client.InNamespace(key.Namespace), client.MatchingFields{"metadata.name": key.Name}}
	list := &v2.LocustTestList{}
	if err := w.client.List(ctx, list, options...); err != nil {
		return explain("read the test "+key.String(), viewerRole, err)
	}
	connected()
	if len(list.Items) == 0 || list.Items[0].UID != w.test.UID {
		return deletedError{key}
	}
	w.send(ctx, testEvent{test: &list.Items[0]})

	options = append(options, &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.ResourceVersion}})
	stream, err := w.client.Watch(ctx, &v2.LocustTestList{}, options...)
	if err != nil {
		return explain("watch the test "+key.String(), viewerRole, err)
	}
	defer stream.Stop()
	for {
		select {
		case event, open := <-stream.ResultChan():
			if !open || event.Type == watch.Error {
				return nil // the list shows whether it is an error that lasts
			}
			test, isTest := event.Object.(*v2.LocustTest)
			switch {
			case !isTest:
			case event.Type == watch.Deleted, test.UID != w.test.UID:
				return deletedError{key}
			default:
				w.send(ctx, testEvent{test: test})
			}
		case <-ctx.Done():
			return nil
		}
	}
}

func (w *testWatch) send(ctx context.Context, event testEvent) {
	select {
	case w.events <- event:
	case <-ctx.Done():
	}
}
