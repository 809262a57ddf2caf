package controllers

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

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

const (
	// eventsEvery is how often the Events of what hangs in a namespace are read again.
	eventsEvery = 4 * time.Second
	// eventsRest is how much longer than it took to read them nobody reads them again. The API server has no index of
	// Events: it goes through all of a namespace for each question, which takes seconds where there are tens of thousands.
	eventsRest = 5
	// eventsLongestRest is the most of that: what hangs has to be told some day.
	eventsLongestRest = 2 * time.Minute
	// eventsPatience bounds the time for one question.
	eventsPatience = time.Minute
	// eventsAtOnce is of how many namespaces they are read at the same time.
	eventsAtOnce = 4
	// eventsPage is how many Events are read at once.
	eventsPage = 500
)

// explainer reads the Events of what hangs without a word, apart from the reconciles: a reconcile takes what is known, and
// what is new starts another one. Events only explain: when they cannot be read, what was known before stands.
//
// On a busy cluster hundreds of tests wait for their pods at the same time, and nothing is wrong with most of them. All that
// hang in a namespace share two questions: for warnings, and, when these tell of any of them, for what else was said.
type explainer struct {
	live  client.Reader
	clock clock.PassiveClock
	waker *waker
	slots chan struct{}

	mu sync.Mutex
	// hanging are the tests of which something hangs, by namespace and name. A namespace is there while it is followed.
	hanging map[string]map[string]*hangingTest
}

type hangingTest struct {
	// objects are what hangs: Jobs without pods, and pods.
	objects []types.UID
	said    said
}

// said is what Events say of a test's objects. Nobody changes it.
type said struct {
	events []corev1.Event
	// at is when they were read; the zero time while nobody has.
	at time.Time
}

func newExplainer(live client.Reader, passive clock.PassiveClock) *explainer {
	return &explainer{
		live: live, clock: passive, waker: newWaker(), slots: make(chan struct{}, eventsAtOnce), hanging: map[string]map[string]*hangingTest{},
	}
}

// observeEvents takes what is known of what hangs without a word.
func (r *LocustTestReconciler) observeEvents(test *v2.LocustTest, mem *memory, obs *status.Observation) {
	if r.explainer == nil {
		return
	}
	silence := status.FindStuckObjects(&test.Status, obs, r.Clock.Now())
	known := r.explainer.about(client.ObjectKeyFromObject(test), silence.UIDs)
	mem.eventsKnown = mem.eventsKnown || len(silence.UIDs) == 0 || !known.at.IsZero()
	obs.Events, obs.EventsAt, obs.EventsUnread = known.events, known.at, !mem.eventsKnown
}

// about is what Events say of those objects of a test, as far as it is known by now. They are read until the test is said
// to have none.
func (x *explainer) about(test types.NamespacedName, objects []types.UID) said {
	x.mu.Lock()
	defer x.mu.Unlock()
	tests := x.hanging[test.Namespace]
	if len(objects) == 0 {
		delete(tests, test.Name)
		return said{}
	}
	if tests == nil {
		tests = map[string]*hangingTest{}
		x.hanging[test.Namespace] = tests
		go x.follow(test.Namespace)
	}
	one := tests[test.Name]
	if one == nil {
		one = &hangingTest{}
		tests[test.Name] = one
	}
	one.objects = objects
	return one.said
}

// follow reads the Events of a namespace while something hangs there.
func (x *explainer) follow(namespace string) {
	for x.hangs(namespace) {
		select {
		case x.slots <- struct{}{}:
		case <-x.waker.ctx.Done():
			return
		}
		began := time.Now()
		news, err := x.round(namespace)
		took := time.Since(began)
		<-x.slots
		if err != nil && x.waker.ctx.Err() == nil {
			logf.Log.WithName("events").Error(err, "the Events of what hangs cannot be read", "namespace", namespace)
		}
		for _, name := range news {
			x.waker.wake(types.NamespacedName{Namespace: namespace, Name: name})
		}
		select {
		case <-time.After(min(max(eventsEvery, eventsRest*took), eventsLongestRest)):
		case <-x.waker.ctx.Done():
			return
		}
	}
}

// hangs tells whether anything hangs in a namespace; else nobody follows it any more.
func (x *explainer) hangs(namespace string) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.hanging[namespace]) > 0 {
		return true
	}
	delete(x.hanging, namespace)
	return false
}

// round reads the Events of what hangs in a namespace once. It names the tests for which there is something new.
func (x *explainer) round(namespace string) ([]string, error) {
	began, of := x.clock.Now(), map[types.UID][]corev1.Event{}
	wanted := x.wanted(namespace)
	err := x.read(namespace, corev1.EventTypeWarning, func(e *corev1.Event) {
		if uid := e.InvolvedObject.UID; wanted[uid] && status.IsFailureEvent(e.Reason) {
			of[uid] = append(of[uid], slim(e))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list the warnings of namespace %s: %w", namespace, err)
	}
	if len(of) > 0 {
		err := x.read(namespace, corev1.EventTypeNormal, func(e *corev1.Event) {
			if uid := e.InvolvedObject.UID; len(of[uid]) > 0 && status.IsProgressEvent(e.Reason) {
				of[uid] = append(of[uid], slim(e))
			}
		})
		if err != nil {
			return nil, fmt.Errorf("list the Events of namespace %s: %w", namespace, err)
		}
	}
	return x.learn(namespace, wanted, of, began), nil
}

// wanted are the objects that hang in a namespace.
func (x *explainer) wanted(namespace string) map[types.UID]bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	all := map[types.UID]bool{}
	for _, one := range x.hanging[namespace] {
		for _, uid := range one.objects {
			all[uid] = true
		}
	}
	return all
}

// read goes through the Events of one type in a namespace, page by page.
func (x *explainer) read(namespace, eventType string, each func(*corev1.Event)) error {
	ctx, stop := context.WithTimeout(x.waker.ctx, eventsPatience)
	defer stop()
	for next := ""; ; {
		var page corev1.EventList
		err := x.live.List(ctx, &page, client.InNamespace(namespace), client.MatchingFields{"type": eventType},
			client.Limit(eventsPage), client.Continue(next))
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

// slim is what is used of an Event.
func slim(e *corev1.Event) corev1.Event {
	return corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{UID: e.UID, ResourceVersion: e.ResourceVersion, CreationTimestamp: e.CreationTimestamp},
		InvolvedObject: corev1.ObjectReference{UID: e.InvolvedObject.UID},
		Reason:         e.Reason, Message: e.Message,
		LastTimestamp: e.LastTimestamp, EventTime: e.EventTime, Series: e.Series,
	}
}

// learn keeps what a round has read, and names the tests for which something of it is new. Objects that nobody had named when
// the round began have to wait for the next one.
func (x *explainer) learn(namespace string, wanted map[types.UID]bool, of map[types.UID][]corev1.Event, at time.Time) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	var news []string
	for name, one := range x.hanging[namespace] {
		if !slices.ContainsFunc(one.objects, func(uid types.UID) bool { return wanted[uid] }) {
			continue
		}
		now := said{at: at}
		for _, uid := range one.objects {
			now.events = append(now.events, of[uid]...)
		}
		if !slices.EqualFunc(one.said.events, now.events, same) {
			news = append(news, name)
		}
		one.said = now
	}
	return news
}

func same(a, b corev1.Event) bool { return a.UID == b.UID && a.ResourceVersion == b.ResourceVersion }
