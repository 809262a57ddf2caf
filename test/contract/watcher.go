// Package contract watches LocustTests and checks every status that is written against the invariants of the
// status contract, as any client of the API could.
package contract

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	toolswatch "k8s.io/client-go/tools/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// Sighting is one observed version of a test.
type Sighting struct {
	// At is when the watch delivered it.
	At time.Time
	// Test is the object.
	Test *v2.LocustTest
}

// Watcher keeps the history of all tests it has seen, and the breaches of the contract.
type Watcher struct {
	namespace client.InNamespace

	mu       sync.Mutex
	history  map[types.UID][]Sighting
	breaches []string
	// adopted are the namespaces of FromOperator2.
	adopted map[string]bool
	// changed is closed and replaced at each sighting.
	changed chan struct{}
}

// Watch follows the LocustTests of a namespace, or of all when it is empty, until the context ends.
func Watch(ctx context.Context, c client.WithWatch, namespace string) (*Watcher, error) {
	w := &Watcher{namespace: client.InNamespace(namespace), history: map[types.UID][]Sighting{}, changed: make(chan struct{})}
	events, err := w.list(ctx, c)
	if err != nil {
		return nil, err
	}
	go func() {
		for ctx.Err() == nil {
			w.follow(ctx, events)
			// The history was lost: a CRD whose webhook gets another certificate ends all watches of its objects, and the
			// API server forgets what was before. What it still knows is checked against what was seen.
			for ctx.Err() == nil {
				if events, err = w.list(ctx, c); err == nil {
					break
				}
				time.Sleep(200 * time.Millisecond)
			}
		}
	}()
	return w, nil
}

// list looks at all there is, and returns what happens from then on.
func (w *Watcher) list(ctx context.Context, c client.WithWatch) (<-chan watch.Event, error) {
	var list v2.LocustTestList
	if err := c.List(ctx, &list, w.namespace); err != nil {
		return nil, fmt.Errorf("list LocustTests: %w", err)
	}
	for i := range list.Items {
		w.see(&list.Items[i])
	}
	source := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, _ metav1.ListOptions) (runtime.Object, error) {
			var l v2.LocustTestList
			return &l, c.List(ctx, &l, w.namespace)
		},
		WatchFuncWithContext: func(ctx context.Context, options metav1.ListOptions) (watch.Interface, error) {
			return c.Watch(ctx, &v2.LocustTestList{}, w.namespace, &client.ListOptions{Raw: &options})
		},
	}
	// A retry watcher resumes where it was: no write in between is missed.
	retrying, err := toolswatch.NewRetryWatcherWithContext(ctx, list.ResourceVersion, source)
	if err != nil {
		return nil, fmt.Errorf("watch LocustTests: %w", err)
	}
	return retrying.ResultChan(), nil
}

// follow returns when the watch has ended.
func (w *Watcher) follow(ctx context.Context, events <-chan watch.Event) {
	for event := range events {
		switch object := event.Object.(type) {
		case *v2.LocustTest:
			if event.Type != watch.Deleted {
				w.see(object)
			}
		default:
			if event.Type == watch.Error && ctx.Err() == nil && !apierrors.IsResourceExpired(apierrors.FromObject(object)) {
				w.breach("the watch broke: %v", object)
			}
		}
	}
}

func (w *Watcher) see(test *v2.LocustTest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.history[test.UID]
	if len(seen) > 0 && seen[len(seen)-1].Test.ResourceVersion == test.ResourceVersion {
		return // listed again
	}
	name := test.Namespace + "/" + test.Name
	var err error
	switch {
	case w.isForeign(test):
	case len(seen) == 0 || w.isForeign(seen[len(seen)-1].Test):
		err = status.CheckStatus(&test.Status)
	default:
		err = status.CheckTransition(&seen[len(seen)-1].Test.Status, &test.Status)
	}
	started := test
	if len(seen) > 0 {
		started = seen[0].Test // the run keeps the spec that it was started from
	}
	err = errors.Join(err, status.CheckGuarantee(started.Spec.LoadGuarantee, &test.Status))
	if err != nil {
		w.breaches = append(w.breaches, fmt.Sprintf("%s at resourceVersion %s: %v", name, test.ResourceVersion, err))
	}
	for _, finalizer := range test.Finalizers {
		if strings.Contains(finalizer, "locust") && !w.adopted[test.Namespace] {
			w.breaches = append(w.breaches, fmt.Sprintf("%s has the finalizer %s", name, finalizer))
		}
	}
	w.history[test.UID] = append(seen, Sighting{time.Now(), test.DeepCopy()})
	close(w.changed)
	w.changed = make(chan struct{})
}

// FromOperator2 expects the tests of a namespace to come from the 2.x operator: they may have its finalizer, and a status
// that it wrote is not checked.
func (w *Watcher) FromOperator2(namespace string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.adopted == nil {
		w.adopted = map[string]bool{}
	}
	w.adopted[namespace] = true
}

// IsFromOperator2 reports whether FromOperator2 was called for the namespace.
func (w *Watcher) IsFromOperator2(namespace string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.adopted[namespace]
}

// isForeign reports whether the 2.x operator wrote the status: it has no field "workers".
func (w *Watcher) isForeign(test *v2.LocustTest) bool {
	return w.adopted[test.Namespace] && test.Status.Workers == ""
}

func (w *Watcher) breach(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.breaches = append(w.breaches, fmt.Sprintf(format, args...))
}

// Breaches are the breaches of the contract so far.
func (w *Watcher) Breaches() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.breaches...)
}

// History is every version of a test that was observed, oldest first.
func (w *Watcher) History(uid types.UID) []Sighting {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Sighting(nil), w.history[uid]...)
}

// Phases is the sequence of a test's phases, each as often as it was entered.
func (w *Watcher) Phases(uid types.UID) []string {
	var phases []string
	for _, s := range w.History(uid) {
		if p := s.Test.Status.Phase; len(phases) == 0 || phases[len(phases)-1] != p {
			phases = append(phases, p)
		}
	}
	return phases
}

// Reasons is the sequence of a condition's reasons, each as often as it was entered.
func (w *Watcher) Reasons(uid types.UID, conditionType string) []string {
	var reasons []string
	for _, s := range w.History(uid) {
		for _, c := range s.Test.Status.Conditions {
			if c.Type == conditionType && (len(reasons) == 0 || reasons[len(reasons)-1] != c.Reason) {
				reasons = append(reasons, c.Reason)
			}
		}
	}
	return reasons
}

// Until waits for a version of the test that satisfies the predicate, past ones included, and returns the
// first. The error tells the last status seen.
func (w *Watcher) Until(ctx context.Context, uid types.UID, predicate func(*v2.LocustTest) bool) (*v2.LocustTest, error) {
	for next := 0; ; {
		w.mu.Lock()
		seen, changed := w.history[uid], w.changed
		w.mu.Unlock()
		for ; next < len(seen); next++ {
			if predicate(seen[next].Test) {
				return seen[next].Test, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if len(seen) == 0 {
				return nil, errors.Join(ctx.Err(), errors.New("the test was never seen"))
			}
			last := seen[len(seen)-1].Test
			return last, fmt.Errorf("%w; last status: %s", ctx.Err(), Describe(&last.Status))
		}
	}
}

// Describe is a status in a few lines.
func Describe(s *v2.LocustTestStatus) string {
	text := fmt.Sprintf("phase %q, workers %s", s.Phase, s.Workers)
	for _, c := range s.Conditions {
		text += fmt.Sprintf("\n  %s=%s %s: %s", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}
