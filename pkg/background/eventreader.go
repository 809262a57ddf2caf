package background

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

const (
	// eventsInterval is the minimum interval between two reads of the Events in a namespace.
	eventsInterval = 4 * time.Second
	// eventsIdleFactor is the wait between two reads as a multiple of the duration of the last one. The API server has no index
	// of Events: each request scans all Events of the namespace, which takes seconds for tens of thousands.
	eventsIdleFactor = 5
	// maxEventsInterval bounds that wait, so that stuck pods are reported eventually.
	maxEventsInterval = 2 * time.Minute
	// eventsTimeout bounds all requests for Events of one type.
	eventsTimeout = time.Minute
	// maxConcurrentEventReads is the maximum number of namespaces read concurrently.
	maxConcurrentEventReads = 4
	// eventsPageSize is the maximum number of Events in one response.
	eventsPageSize = 500
)

// EventReader lists Events of stuck objects in the background. Reconciles use the latest result; new Events trigger one. If
// Events cannot be read, the last result remains valid, because Events only explain a problem.
//
// On a busy cluster hundreds of tests wait for their pods, most of them without a problem. All stuck objects of a namespace
// share two requests: one for Warning Events and, only if any of these is about a stuck object, one for Normal Events.
type EventReader struct {
	apiReader client.Reader
	clock     clock.PassiveClock
	slots     chan struct{}
	*reconcileTrigger

	mu sync.Mutex
	// stuck holds the tests with stuck objects, by namespace and name. It has a key for each namespace that is being read.
	stuck map[string]map[string]*stuckTest
	// known holds the tests whose Events have been read since the operator started, or that had no stuck objects.
	known map[types.NamespacedName]bool
}

type stuckTest struct {
	// objects are the stuck Jobs without pods, and the stuck pods.
	objects  []types.UID
	snapshot EventSnapshot
}

// EventSnapshot holds the Events of a test's stuck objects. It must not be modified.
type EventSnapshot struct {
	Events []corev1.Event
	// At is when the Events were read; zero means not yet.
	At time.Time
}

// NewEventReader returns an EventReader. Add it to the manager.
func NewEventReader(apiReader client.Reader, passive clock.PassiveClock) *EventReader {
	return &EventReader{
		apiReader: apiReader, clock: passive, reconcileTrigger: newReconcileTrigger(), slots: make(chan struct{}, maxConcurrentEventReads),
		stuck: map[string]map[string]*stuckTest{}, known: map[types.NamespacedName]bool{},
	}
}

// Latest returns the Events of the stuck objects of a test, as last read. They are known once they have been read, or nothing was
// stuck.
func (x *EventReader) Latest(test types.NamespacedName) (latest EventSnapshot, known bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if stuck := x.stuck[test.Namespace][test.Name]; stuck != nil {
		latest = stuck.snapshot
	}
	return latest, x.known[test]
}

// Request reads the Events of the stuck objects of a test in the background, until it is called without objects.
func (x *EventReader) Request(test types.NamespacedName, objects []types.UID) {
	if x == nil {
		return // without a manager
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	tests := x.stuck[test.Namespace]
	if len(objects) == 0 {
		x.known[test] = true
		delete(tests, test.Name)
		return
	}
	if tests == nil {
		tests = map[string]*stuckTest{}
		x.stuck[test.Namespace] = tests
		go x.follow(test.Namespace)
	}
	if tests[test.Name] == nil {
		tests[test.Name] = &stuckTest{}
	}
	tests[test.Name].objects = objects
}

// Forget drops what is known of a test.
func (x *EventReader) Forget(test types.NamespacedName) {
	if x == nil {
		return
	}
	x.Request(test, nil)
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.known, test)
}

// follow reads the Events of a namespace until it has no stuck objects.
func (x *EventReader) follow(namespace string) {
	for x.hasStuck(namespace) {
		select {
		case x.slots <- struct{}{}:
		case <-x.ctx.Done():
			return
		}
		began := time.Now()
		changed, err := x.readNamespace(namespace)
		took := time.Since(began)
		<-x.slots
		if err != nil && x.ctx.Err() == nil {
			logf.Log.WithName("events").Error(err, "cannot list Events of stuck objects", "namespace", namespace)
		}
		for _, name := range changed {
			x.enqueue(types.NamespacedName{Namespace: namespace, Name: name})
		}
		select {
		case <-time.After(min(max(eventsInterval, eventsIdleFactor*took), maxEventsInterval)):
		case <-x.ctx.Done():
			return
		}
	}
}

// hasStuck reports whether a namespace has stuck objects. If not, it removes the namespace; its reader must stop.
func (x *EventReader) hasStuck(namespace string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.stuck[namespace]) > 0 {
		return true
	}
	delete(x.stuck, namespace)
	return false
}

// readNamespace reads the Events of the stuck objects in a namespace once. It returns the names of the tests with new Events.
func (x *EventReader) readNamespace(namespace string) ([]string, error) {
	began, byObject := x.clock.Now(), map[types.UID][]corev1.Event{}
	wanted := x.stuckObjects(namespace)
	err := x.read(namespace, corev1.EventTypeWarning, func(e *corev1.Event) {
		if uid := e.InvolvedObject.UID; wanted[uid] && status.IsFailureEvent(e.Reason) {
			byObject[uid] = append(byObject[uid], stripEvent(e))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list Warning Events in namespace %s: %w", namespace, err)
	}
	if len(byObject) > 0 {
		err := x.read(namespace, corev1.EventTypeNormal, func(e *corev1.Event) {
			if uid := e.InvolvedObject.UID; len(byObject[uid]) > 0 && status.IsProgressEvent(e.Reason) {
				byObject[uid] = append(byObject[uid], stripEvent(e))
			}
		})
		if err != nil {
			return nil, fmt.Errorf("list Normal Events in namespace %s: %w", namespace, err)
		}
	}
	return x.update(namespace, wanted, byObject, began), nil
}

// stuckObjects returns the UIDs of the stuck objects in a namespace.
func (x *EventReader) stuckObjects(namespace string) map[types.UID]bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := map[types.UID]bool{}
	for _, test := range x.stuck[namespace] {
		for _, uid := range test.objects {
			all[uid] = true
		}
	}
	return all
}

// read calls each for the Events of one type in a namespace, page by page.
func (x *EventReader) read(namespace, eventType string, each func(*corev1.Event)) error {
	ctx, stop := context.WithTimeout(x.ctx, eventsTimeout)
	defer stop()
	for next := ""; ; {
		var page corev1.EventList
		err := x.apiReader.List(ctx, &page, client.InNamespace(namespace), client.MatchingFields{"type": eventType},
			client.Limit(eventsPageSize), client.Continue(next))
		if err != nil {
			return err
		}
		for i := range page.Items {
			each(&page.Items[i])
		}
		if next = page.Continue; next == "" {
			return nil
		}
	}
}

// stripEvent returns the fields of an Event that are used.
func stripEvent(e *corev1.Event) corev1.Event {
	return corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{UID: e.UID, ResourceVersion: e.ResourceVersion, CreationTimestamp: e.CreationTimestamp},
		InvolvedObject: corev1.ObjectReference{UID: e.InvolvedObject.UID},
		Reason:         e.Reason, Message: e.Message,
		LastTimestamp: e.LastTimestamp, EventTime: e.EventTime, Series: e.Series,
	}
}

// update stores the Events and returns the names of the tests with new ones. Objects added since the read began have to wait
// for the next one.
func (x *EventReader) update(namespace string, wanted map[types.UID]bool, byObject map[types.UID][]corev1.Event, at time.Time) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var changed []string
	for name, test := range x.stuck[namespace] {
		if !slices.ContainsFunc(test.objects, func(uid types.UID) bool { return wanted[uid] }) {
			continue
		}
		now := EventSnapshot{At: at}
		for _, uid := range test.objects {
			now.Events = append(now.Events, byObject[uid]...)
		}
		if !slices.EqualFunc(test.snapshot.Events, now.Events, sameEvent) {
			changed = append(changed, name)
		}
		test.snapshot = now
		x.known[types.NamespacedName{Namespace: namespace, Name: name}] = true
	}
	return changed
}

func sameEvent(a, b corev1.Event) bool {
	return a.UID == b.UID && a.ResourceVersion == b.ResourceVersion
}
