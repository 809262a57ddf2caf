package controllers

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// eventServer has the Events of a namespace, and takes its time, as an API server does where there are many.
type eventServer struct {
	client.Reader

	mu     sync.Mutex
	events []corev1.Event
	takes  time.Duration
	broken error
	// page is how many it gives at once.
	page int
	// asked are the questions, by their field selectors, of first pages.
	asked []string
}

func (s *eventServer) becomes(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *eventServer) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	var options client.ListOptions
	options.ApplyOptions(opts)
	first, takes := s.question(&options)
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return s.broken
	}
	list := into.(*corev1.EventList)
	*list = corev1.EventList{}
	for i := first; i < len(s.events); i++ {
		e := &s.events[i]
		value, byType := options.FieldSelector.RequiresExactMatch("type")
		uid, _ := options.FieldSelector.RequiresExactMatch("involvedObject.uid")
		if (byType && e.Type != value) || (!byType && string(e.InvolvedObject.UID) != uid) {
			continue
		}
		if len(list.Items) == s.page {
			list.Continue = strconv.Itoa(i)
			return nil
		}
		list.Items = append(list.Items, *e)
	}
	return nil
}

func (s *eventServer) question(options *client.ListOptions) (first int, takes time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if options.Continue == "" {
		s.asked = append(s.asked, options.FieldSelector.String())
	} else {
		first, _ = strconv.Atoi(options.Continue)
	}
	return first, s.takes
}

func (s *eventServer) questions() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

func eventOf(object types.UID, kind, reason string) corev1.Event {
	return corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: string(object) + reason, UID: object + types.UID(reason)},
		Type:       kind, Reason: reason, InvolvedObject: corev1.ObjectReference{UID: object},
	}
}

// explaining runs a test with an explainer and the API server that it asks.
func explaining(t *testing.T, run func(t *testing.T, s *eventServer, x *explainer, woken func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &eventServer{page: 1}
		x := newExplainer(s)
		defer x.waker.stop()
		run(t, s, x, func() []string {
			var names []string
			for {
				synctest.Wait()
				select {
				case woken := <-x.waker.tests:
					names = append(names, woken.Object.Name)
				default:
					return names
				}
			}
		})
	})
}

func named(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "ns", Name: name}
}

const (
	warningsOnly = "type=Warning"
	ofPod1       = "involvedObject.uid=pod-1"
)

func TestExplainer_TellsWhatIsNew(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		s.events = []corev1.Event{
			eventOf("foreign", corev1.EventTypeWarning, "BackOff"),
			eventOf("pod-1", corev1.EventTypeWarning, "FailedMount"), eventOf("pod-1", corev1.EventTypeNormal, "Pulling"),
			eventOf("pod-2", corev1.EventTypeNormal, "Scheduled"),
		}
		assert.Empty(t, x.about(named("one"), []types.UID{"pod-1"}), "nothing is known yet, and nobody waits")
		assert.Empty(t, x.about(named("two"), []types.UID{"pod-2"}))
		assert.Equal(t, []string{"one"}, woken(), "no warning tells of the other")
		assert.Equal(t, []string{warningsOnly, ofPod1}, s.questions())
		assert.Equal(t, s.events[1:3], x.about(named("one"), []types.UID{"pod-1"}), "all that is said of it, from all pages")
		assert.Empty(t, x.about(named("two"), []types.UID{"pod-2"}))

		time.Sleep(explainEvery)
		assert.Empty(t, woken(), "nothing is new")
		assert.Equal(t, []string{warningsOnly, ofPod1, warningsOnly, warningsOnly, ofPod1}, s.questions())

		s.becomes(func() { s.events[1].ResourceVersion = "2" }) // it happened again
		time.Sleep(explainEvery)
		assert.Equal(t, []string{"one"}, woken())

		s.becomes(func() { s.events = append(s.events, eventOf("pod-3", corev1.EventTypeWarning, "FailedMount")) })
		assert.Len(t, x.about(named("one"), []types.UID{"pod-1", "pod-3"}), 2, "what is known")
		time.Sleep(eventsEvery)
		assert.Equal(t, []string{"one"}, woken(), "what hangs since then is not made to wait")
		assert.Len(t, x.about(named("one"), []types.UID{"pod-1", "pod-3"}), 3)

		s.becomes(func() { s.events = nil }) // Events are kept for an hour
		time.Sleep(eventsEvery)
		assert.Empty(t, woken())
		assert.Empty(t, x.about(named("one"), []types.UID{"pod-1", "pod-3"}))
	})
}

func TestExplainer_EndsWithWhatHangs(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		x.about(named("one"), []types.UID{"pod-1"})
		woken()
		x.about(named("one"), nil)
		time.Sleep(time.Hour)
		assert.Empty(t, woken())
		assert.Len(t, s.questions(), 1, "nobody is asked for nothing")
		assert.Empty(t, x.hanging)

		x.about(named("one"), []types.UID{"pod-1"})
		woken()
		assert.Len(t, s.questions(), 2)
	})
}

// TestExplainer_SparesTheServer: where one question takes seconds, nobody waits for the answer, and the next one comes much later.
func TestExplainer_SparesTheServer(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		s.takes = 6 * time.Second
		s.events = []corev1.Event{eventOf("pod-1", corev1.EventTypeWarning, "FailedMount")}
		began := time.Now()
		for range 1000 {
			x.about(named("one"), []types.UID{"pod-1"})
		}
		assert.Zero(t, time.Since(began))
		time.Sleep(12 * time.Second)
		assert.Equal(t, []string{"one"}, woken())
		time.Sleep(59 * time.Second)
		woken()
		assert.Len(t, s.questions(), 2, "five times the 12 s that it took")
		time.Sleep(2 * time.Second)
		woken()
		assert.Len(t, s.questions(), 3)
	})
}

// TestExplainer_FlappingIsNoWayRound: what hangs, runs and hangs again brings no question before its time.
func TestExplainer_FlappingIsNoWayRound(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		for range 10 {
			x.about(named("one"), []types.UID{"pod-1"})
			woken()
			x.about(named("one"), nil)
			time.Sleep(eventsEvery / 20)
		}
		assert.Len(t, s.questions(), 1)
	})
}

func TestExplainer_WhatWasKnownStands(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		s.events = []corev1.Event{eventOf("pod-1", corev1.EventTypeWarning, "FailedMount")}
		x.about(named("one"), []types.UID{"pod-1"})
		require.Equal(t, []string{"one"}, woken())
		s.becomes(func() { s.broken = errors.New("out of order") })
		time.Sleep(time.Minute)
		assert.Empty(t, woken())
		assert.Equal(t, s.events, x.about(named("one"), []types.UID{"pod-1"}))
		s.becomes(func() { s.broken, s.takes = nil, time.Hour })
		time.Sleep(10 * time.Minute)
		assert.Empty(t, woken())
		assert.Equal(t, s.events, x.about(named("one"), []types.UID{"pod-1"}))
	})
}

// TestExplainer_ThereMayBeNoTimeForAll: those come first that have waited longest.
func TestExplainer_ThereMayBeNoTimeForAll(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		s.page, s.takes = 100, 8*time.Second // 30 s are enough for the warnings and two tests
		for _, name := range []string{"a", "b", "c"} {
			s.events = append(s.events, eventOf(types.UID("pod-"+name), corev1.EventTypeWarning, "FailedMount"))
		}
		for _, name := range []string{"a", "b", "c"} {
			x.about(named(name), []types.UID{types.UID("pod-" + name)})
		}
		told := map[string]int{}
		for range 600 {
			time.Sleep(time.Second)
			for _, name := range woken() {
				told[name]++
			}
		}
		assert.Equal(t, map[string]int{"a": 1, "b": 1, "c": 1}, told)
	})
}

func TestExplainer_EndsWithTheManager(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		s.takes = time.Hour
		x.about(named("one"), []types.UID{"pod-1"})
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		require.NoError(t, x.waker.Start(ctx))
		assert.Empty(t, woken())
	})
}
