package controllers

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

const (
	// eventsEvery is how often the Events of what hangs are read again.
	eventsEvery = 4 * time.Second
	// eventsPatience bounds the questions of one look: Events only explain, and other tests wait for the same answer.
	eventsPatience = 5 * time.Second
	// mostWarnings is how many of a namespace's warnings are read; where there are more, each object is asked by itself.
	mostWarnings = 500
)

// observeEvents reads the Events of what hangs without a word, a few requests at most, and only then. They only
// explain: when they cannot be read, what was known before stands.
func (r *LocustTestReconciler) observeEvents(ctx context.Context, test *v2.LocustTest, mem *memory, obs *status.Observation) {
	silence := status.Silent(&test.Status, obs, r.Clock.Now())
	if len(silence.Objects) == 0 {
		mem.events = nil
		return
	}
	if r.Clock.Since(mem.eventsAt) >= eventsEvery {
		found, at, err := r.eventsOf(ctx, test.Namespace, silence.Objects)
		mem.eventsAt = at
		if err != nil {
			logf.FromContext(ctx).Error(err, "the Events of what hangs cannot be read")
		} else {
			mem.events = found
		}
	}
	obs.Events = mem.events
}

// eventsOf reads the Events of those objects that any warning tells of, and tells how old that knowledge is.
func (r *LocustTestReconciler) eventsOf(ctx context.Context, namespace string, objects []types.UID) ([]corev1.Event, time.Time, error) {
	ctx, stop := context.WithTimeout(ctx, eventsPatience)
	defer stop()
	warned, at, err := r.warned.among(ctx, r, namespace, objects)
	if err != nil {
		return nil, at, err
	}
	var found []corev1.Event
	for _, uid := range warned {
		var list corev1.EventList
		err := r.Live.List(ctx, &list, client.InNamespace(namespace), client.Limit(100), client.MatchingFields{"involvedObject.uid": string(uid)})
		if err != nil {
			return nil, at, fmt.Errorf("list events of object %s in namespace %s: %w", uid, namespace, err)
		}
		found = append(found, list.Items...)
	}
	return found, at, nil
}

// warned knows, by namespace, which objects a warning tells of. On a busy cluster hundreds of tests wait for their pods
// at the same time, and nothing is wrong with any: they share one request.
type warned struct {
	mu     sync.Mutex
	byName map[string]*warnings
}

// warnings are those of a namespace when they were read last.
type warnings struct {
	mu sync.Mutex
	// at is when they were asked for, err why that failed.
	at  time.Time
	err error
	of  map[types.UID]bool
	// more is true when there were more than were read.
	more bool
}

// among are the objects that a warning tells of, or may tell of, and when the warnings were asked for. A question that
// failed is not asked again at once, whoever would.
func (w *warned) among(ctx context.Context, r *LocustTestReconciler, namespace string, objects []types.UID) ([]types.UID, time.Time, error) {
	known := w.in(namespace, r.Clock.Now())
	known.mu.Lock()
	defer known.mu.Unlock()
	if r.Clock.Since(known.at) >= eventsEvery {
		known.ask(ctx, r, namespace)
	}
	if known.err != nil || known.more {
		return objects, known.at, known.err
	}
	return slices.DeleteFunc(slices.Clone(objects), func(uid types.UID) bool { return !known.of[uid] }), known.at, nil
}

func (known *warnings) ask(ctx context.Context, r *LocustTestReconciler, namespace string) {
	var list corev1.EventList
	known.at = r.Clock.Now()
	known.err = r.Live.List(ctx, &list, client.InNamespace(namespace), client.Limit(mostWarnings), client.MatchingFields{"type": corev1.EventTypeWarning})
	if known.err != nil {
		known.err = fmt.Errorf("list the warnings of namespace %s: %w", namespace, known.err)
		return
	}
	known.more, known.of = list.Continue != "", map[types.UID]bool{}
	for i := range list.Items {
		known.of[list.Items[i].InvolvedObject.UID] = true
	}
}

// in are the warnings of a namespace. Those of namespaces where nothing has hung for a while are forgotten.
func (w *warned) in(namespace string, now time.Time) *warnings {
	w.mu.Lock()
	defer w.mu.Unlock()
	known := w.byName[namespace]
	if known == nil {
		for name, old := range w.byName {
			if old.mu.TryLock() {
				if now.Sub(old.at) > time.Minute {
					delete(w.byName, name)
				}
				old.mu.Unlock()
			}
		}
		if w.byName == nil {
			w.byName = map[string]*warnings{}
		}
		known = &warnings{}
		w.byName[namespace] = known
	}
	return known
}
