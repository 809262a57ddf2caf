package framework

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
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

// Observation is one observed version of a test.
type Observation struct {
	// At is the time when the watch delivered it.
	At time.Time
	// Test is the object.
	Test *v2.LocustTest
}

// Watcher keeps all observed versions of the tests, and the breaches of the contract.
type Watcher struct {
	mu       sync.Mutex
	history  map[types.UID][]Observation
	breaches []string
	// fromOperator2 are the namespaces of FromOperator2.
	fromOperator2 map[string]bool
	// changed is closed and replaced at each observation.
	changed chan struct{}
}

// Follow calls see with each version of the objects of a kind, until the context is done: before it returns with Added for
// the existing ones, then in the background with the events of a watch. It resumes the watch at the last resourceVersion,
// so that it misses none. If that has expired, it lists the objects again. After each list, see gets it as a Bookmark.
func Follow(ctx context.Context, c client.WithWatch, list client.ObjectList, see func(watch.Event),
	options ...client.ListOption,
) error {
	source := &cache.ListWatch{WatchFuncWithContext: func(ctx context.Context, raw metav1.ListOptions) (watch.Interface, error) {
		return c.Watch(ctx, list, slices.Concat(options, []client.ListOption{&client.ListOptions{Raw: &raw}})...)
	}}
	start := func() (<-chan watch.Event, error) {
		now := list.DeepCopyObject().(client.ObjectList)
		if err := c.List(ctx, now, options...); err != nil {
			return nil, fmt.Errorf("list before a watch: %w", err)
		}
		retrying, err := toolswatch.NewRetryWatcherWithContext(ctx, now.GetResourceVersion(), source)
		if err != nil {
			return nil, fmt.Errorf("watch: %w", err)
		}
		_ = meta.EachListItem(now, func(object runtime.Object) error {
			see(watch.Event{Type: watch.Added, Object: object})
			return nil
		})
		see(watch.Event{Type: watch.Bookmark, Object: now})
		return retrying.ResultChan(), nil
	}
	events, err := start()
	if err != nil {
		return err
	}
	go func() {
		for ctx.Err() == nil {
			for event := range events {
				see(event)
			}
			// The resourceVersion has expired: a new webhook certificate in a CRD ends all watches of its objects and
			// clears the API server's watch cache.
			for ctx.Err() == nil {
				time.Sleep(200 * time.Millisecond)
				if events, err = start(); err == nil {
					break
				}
			}
		}
	}()
	return nil
}

// Watch watches LocustTests until the context is done.
func Watch(ctx context.Context, c client.WithWatch, options ...client.ListOption) (*Watcher, error) {
	w := &Watcher{history: map[types.UID][]Observation{}, changed: make(chan struct{}), fromOperator2: map[string]bool{}}
	return w, Follow(ctx, c, &v2.LocustTestList{}, func(event watch.Event) {
		switch object := event.Object.(type) {
		case *v2.LocustTest:
			if event.Type != watch.Deleted {
				w.record(object)
			}
		default:
			if event.Type == watch.Error && ctx.Err() == nil && !apierrors.IsResourceExpired(apierrors.FromObject(object)) {
				w.mu.Lock()
				defer w.mu.Unlock()
				w.breaches = append(w.breaches, fmt.Sprintf("watch error: %v", object))
			}
		}
	}, options...)
}

func (w *Watcher) record(test *v2.LocustTest) {
	w.mu.Lock()
	defer w.mu.Unlock()
	history := w.history[test.UID]
	if len(history) > 0 && history[len(history)-1].Test.ResourceVersion == test.ResourceVersion {
		return // listed again
	}
	name := test.Namespace + "/" + test.Name
	var err error
	switch {
	case w.isWrittenByOperator2(test):
	case len(history) == 0 || w.isWrittenByOperator2(history[len(history)-1].Test):
		err = status.CheckStatus(&test.Status)
	default:
		err = status.CheckTransition(&history[len(history)-1].Test.Status, &test.Status)
	}
	started := test
	if len(history) > 0 {
		started = history[0].Test // the run keeps the spec that it was started from
	}
	err = errors.Join(err, status.CheckGuarantee(started.Spec.LoadGuarantee, &test.Status))
	if err != nil {
		w.breaches = append(w.breaches, fmt.Sprintf("%s at resourceVersion %s: %v", name, test.ResourceVersion, err))
	}
	for _, finalizer := range test.Finalizers {
		if strings.Contains(finalizer, "locust") && !w.fromOperator2[test.Namespace] {
			w.breaches = append(w.breaches, fmt.Sprintf("%s has the finalizer %s", name, finalizer))
		}
	}
	w.history[test.UID] = append(history, Observation{time.Now(), test.DeepCopy()})
	close(w.changed)
	w.changed = make(chan struct{})
}

// FromOperator2 marks the tests of a namespace as created by the 2.x operator: they may have its finalizer, and its
// statuses are not checked.
func (w *Watcher) FromOperator2(namespace string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fromOperator2[namespace] = true
}

// IsFromOperator2 reports whether FromOperator2 was called for the namespace.
func (w *Watcher) IsFromOperator2(namespace string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fromOperator2[namespace]
}

// isWrittenByOperator2 reports whether the 2.x operator wrote the status: it has no field "workers".
func (w *Watcher) isWrittenByOperator2(test *v2.LocustTest) bool {
	return w.fromOperator2[test.Namespace] && test.Status.Workers == ""
}

// Breaches returns the breaches of the contract so far.
func (w *Watcher) Breaches() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.breaches...)
}

// History returns the observed versions of a test, oldest first.
func (w *Watcher) History(uid types.UID) []Observation {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]Observation(nil), w.history[uid]...)
}

// Phases returns the sequence of a test's phases; a phase that was entered twice appears twice.
func (w *Watcher) Phases(uid types.UID) []string {
	var phases []string
	for _, s := range w.History(uid) {
		if p := s.Test.Status.Phase; len(phases) == 0 || phases[len(phases)-1] != p {
			phases = append(phases, p)
		}
	}
	return phases
}

// Reasons returns the sequence of a condition's reasons; a reason that was entered twice appears twice.
func (w *Watcher) Reasons(uid types.UID, conditionType string) []string {
	var reasons []string
	for _, s := range w.History(uid) {
		c := meta.FindStatusCondition(s.Test.Status.Conditions, conditionType)
		if c != nil && (len(reasons) == 0 || reasons[len(reasons)-1] != c.Reason) {
			reasons = append(reasons, c.Reason)
		}
	}
	return reasons
}

// Until returns the first version of the test, past ones included, that satisfies the predicate. It waits for it if
// necessary. The error contains the last observed status.
func (w *Watcher) Until(ctx context.Context, uid types.UID, predicate func(*v2.LocustTest) bool) (*v2.LocustTest, error) {
	for next := 0; ; {
		w.mu.Lock()
		history, changed := w.history[uid], w.changed
		w.mu.Unlock()
		for ; next < len(history); next++ {
			if predicate(history[next].Test) {
				return history[next].Test, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if len(history) == 0 {
				return nil, errors.Join(ctx.Err(), errors.New("the test was never observed"))
			}
			last := history[len(history)-1].Test
			return last, fmt.Errorf("%w; last status: %s", ctx.Err(), Describe(&last.Status))
		}
	}
}
