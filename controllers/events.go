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
	// eventsEvery is how often the warnings of a namespace where something hangs are read again, explainEvery how often all
	// that is said of a test that they tell of: most of the time its kubelet only repeats itself.
	eventsEvery, explainEvery = 4 * time.Second, 8 * time.Second
	// eventsRest is how much longer than it took to read them nobody reads them again. The API server has no index of
	// Events: it goes through all of a namespace for each question, which takes seconds where there are tens of thousands.
	eventsRest = 5
	// eventsPatience bounds the time for all questions about one namespace.
	eventsPatience = 30 * time.Second
	// eventsAtOnce is about how many namespaces the API server is asked at the same time.
	eventsAtOnce = 4
	// eventsPage is how many Events are read at once.
	eventsPage = 500
)

// explainer reads the Events of what hangs without a word, apart from the reconciles: a reconcile takes what is known, and
// Events that are new start another one. They only explain: when they cannot be read, what was known before stands.
//
// On a busy cluster hundreds of tests wait for their pods at the same time, and nothing is wrong with any: those of a namespace
// share one question, and only of what some warning tells are all Events read.
type explainer struct {
	live  client.Reader
	waker *waker
	slots chan struct{}

	mu sync.Mutex
	// hanging are the tests of which something hangs, by namespace and name. A namespace is there while it is followed.
	hanging map[string]map[string]*hangingTest
}

type hangingTest struct {
	// objects are what hangs: Jobs without pods, and pods.
	objects []types.UID
	// events are those read last, which nobody changes; asked is when, the zero time when there are objects of which they were
	// not read.
	events []corev1.Event
	asked  time.Time
}

func newExplainer(live client.Reader) *explainer {
	return &explainer{
		live: live, waker: newWaker(), slots: make(chan struct{}, eventsAtOnce), hanging: map[string]map[string]*hangingTest{},
	}
}

// observeEvents takes what is known of what hangs without a word.
func (r *LocustTestReconciler) observeEvents(test *v2.LocustTest, obs *status.Observation) {
	if r.explainer == nil {
		return
	}
	silence := status.Silent(&test.Status, obs, r.Clock.Now())
	obs.Events = r.explainer.about(client.ObjectKeyFromObject(test), silence.Objects)
}

// about is what Events say of those objects of a test, as far as it is known by now. They are read until the test is said
// to have none.
func (x *explainer) about(test types.NamespacedName, objects []types.UID) []corev1.Event {
	x.mu.Lock()
	defer x.mu.Unlock()
	tests := x.hanging[test.Namespace]
	if len(objects) == 0 {
		delete(tests, test.Name)
		return nil
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
	if !slices.Equal(one.objects, objects) {
		one.objects, one.asked = objects, time.Time{}
	}
	return one.events
}

// follow asks about a namespace while something hangs there.
func (x *explainer) follow(namespace string) {
	for x.hangs(namespace) {
		select {
		case x.slots <- struct{}{}:
		case <-x.waker.ctx.Done():
			return
		}
		began := time.Now()
		err := x.ask(namespace)
		took := time.Since(began)
		<-x.slots
		if err != nil && x.waker.ctx.Err() == nil {
			logf.Log.WithName("events").Error(err, "the Events of what hangs cannot be read", "namespace", namespace)
		}
		select {
		case <-time.After(max(eventsEvery, eventsRest*took)):
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

func (x *explainer) ask(namespace string) error {
	ctx, stop := context.WithTimeout(x.waker.ctx, eventsPatience)
	defer stop()
	warned, err := x.warned(ctx, namespace)
	if err != nil {
		return fmt.Errorf("list the warnings of namespace %s: %w", namespace, err)
	}
	for _, name := range x.concerned(namespace, warned) {
		if err := x.explain(ctx, types.NamespacedName{Namespace: namespace, Name: name}, warned); err != nil {
			return err
		}
	}
	return nil
}

// warned are the objects that hang and that a warning tells of.
func (x *explainer) warned(ctx context.Context, namespace string) (map[types.UID]bool, error) {
	wanted, found := map[types.UID]bool{}, map[types.UID]bool{}
	x.mu.Lock()
	for _, one := range x.hanging[namespace] {
		for _, uid := range one.objects {
			wanted[uid] = true
		}
	}
	x.mu.Unlock()
	err := x.read(ctx, namespace, client.MatchingFields{"type": corev1.EventTypeWarning}, func(e *corev1.Event) {
		if uid := e.InvolvedObject.UID; wanted[uid] {
			found[uid] = true
		}
	})
	return found, err
}

// read goes through those Events of a namespace that match, page by page.
func (x *explainer) read(ctx context.Context, namespace string, match client.MatchingFields, each func(*corev1.Event)) error {
	for page := (corev1.EventList{}); ; {
		err := x.live.List(ctx, &page, client.InNamespace(namespace), match, client.Limit(eventsPage), client.Continue(page.Continue))
		if err != nil {
			return err
		}
		for i := range page.Items {
			each(&page.Items[i])
		}
		if page.Continue == "" {
			return nil
		}
	}
}

// concerned names the tests that warnings tell of and whose Events are to be read, those first that have waited longest:
// there may be no time for all.
func (x *explainer) concerned(namespace string, warned map[types.UID]bool) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	tests := x.hanging[namespace]
	var names []string
	for name, one := range tests {
		switch {
		case !slices.ContainsFunc(one.objects, func(uid types.UID) bool { return warned[uid] }):
			one.events = nil
		case time.Since(one.asked) >= explainEvery:
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return tests[a].asked.Compare(tests[b].asked) })
	return names
}

// explain reads what Events say of a test, and starts a reconcile when that is new.
func (x *explainer) explain(ctx context.Context, test types.NamespacedName, warned map[types.UID]bool) error {
	var read []corev1.Event
	for _, uid := range x.objectsOf(test) {
		if !warned[uid] {
			continue
		}
		match := client.MatchingFields{"involvedObject.uid": string(uid)}
		err := x.read(ctx, test.Namespace, match, func(e *corev1.Event) { read = append(read, *e) })
		if err != nil {
			return fmt.Errorf("list the Events of object %s in namespace %s: %w", uid, test.Namespace, err)
		}
	}
	if x.learn(test, read) {
		x.waker.wake(test)
	}
	return nil
}

func (x *explainer) objectsOf(test types.NamespacedName) []types.UID {
	x.mu.Lock()
	defer x.mu.Unlock()
	if one := x.hanging[test.Namespace][test.Name]; one != nil {
		return one.objects
	}
	return nil
}

// learn keeps what was read, and tells whether anything of it is new.
func (x *explainer) learn(test types.NamespacedName, read []corev1.Event) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	one := x.hanging[test.Namespace][test.Name]
	if one == nil {
		return false
	}
	before := one.events
	one.events, one.asked = read, time.Now()
	return !slices.EqualFunc(before, read, func(a, b corev1.Event) bool { return a.UID == b.UID && a.ResourceVersion == b.ResourceVersion })
}
