package controllers

import (
	"context"
	"errors"
	"fmt"
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
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
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
	// cancelled are the questions that nobody waited for.
	cancelled int
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
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		s.cancelled++
		return ctx.Err()
	}
	if s.broken != nil {
		return s.broken
	}
	list := into.(*corev1.EventList)
	for i := first; i < len(s.events); i++ {
		e := &s.events[i]
		if !options.FieldSelector.Matches(fields.Set{"type": e.Type}) {
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
		x := newExplainer(s, clock.RealClock{})
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
	warnings = "type=Warning"
	others   = "type=Normal"
)

// reasons are those of the Events that are known, by object.
func (s said) reasons() map[types.UID][]string {
	all := map[types.UID][]string{}
	for i := range s.events {
		all[s.events[i].InvolvedObject.UID] = append(all[s.events[i].InvolvedObject.UID], s.events[i].Reason)
	}
	return all
}

func TestExplainer_TellsWhatIsNew(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		s.events = []corev1.Event{
			eventOf("foreign", corev1.EventTypeWarning, "FailedMount"),
			eventOf("pod-1", corev1.EventTypeWarning, "FailedScheduling"), eventOf("pod-1", corev1.EventTypeWarning, "FailedMount"),
			eventOf("pod-1", corev1.EventTypeNormal, "Scheduled"), eventOf("pod-1", corev1.EventTypeNormal, "Pulling"),
			eventOf("pod-2", corev1.EventTypeWarning, "FailedScheduling"), eventOf("pod-2", corev1.EventTypeNormal, "Pulling"),
		}
		one, two := []types.UID{"pod-1"}, []types.UID{"pod-2"}
		assert.Zero(t, x.about(named("one"), one), "nothing is known yet, and nobody waits")
		assert.Zero(t, x.about(named("two"), two))
		assert.Equal(t, []string{"one"}, woken())
		assert.Equal(t, []string{warnings, others}, s.questions(), "all share them")
		assert.Equal(t, map[types.UID][]string{"pod-1": {"FailedMount", "Pulling"}}, x.about(named("one"), one).reasons(), "what tells something, from all pages")

		time.Sleep(eventsEvery)
		assert.Empty(t, woken(), "nothing is new")
		assert.Len(t, s.questions(), 4)
		assert.Equal(t, said{at: time.Now()}, x.about(named("two"), two), "it had to wait for its node, and that is past")

		s.becomes(func() { s.events[2].ResourceVersion = "2" })
		time.Sleep(eventsEvery)
		assert.Equal(t, []string{"one"}, woken(), "it happened again")

		s.becomes(func() { s.events = append(s.events, eventOf("pod-3", corev1.EventTypeWarning, "FailedMount")) })
		one = append(one, "pod-3")
		assert.Len(t, x.about(named("one"), one).reasons(), 1, "what is known")
		time.Sleep(eventsEvery)
		assert.Equal(t, []string{"one"}, woken())
		assert.Len(t, x.about(named("one"), one).reasons(), 2)

		s.becomes(func() { s.events = nil })
		time.Sleep(eventsEvery)
		assert.Equal(t, []string{"one"}, woken(), "Events are kept for an hour")
		assert.Empty(t, x.about(named("one"), one).events)
		before := len(s.questions())
		time.Sleep(eventsEvery)
		assert.Empty(t, woken())
		assert.Equal(t, []string{warnings}, s.questions()[before:], "nothing else is asked where no warning tells of anything")
	})
}

// TestExplainer_FirstRoundOfATest: a test that is named while a round goes on has not been asked about when it ends.
func TestExplainer_FirstRoundOfATest(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		s.takes = time.Second
		x.about(named("one"), []types.UID{"pod-1"})
		time.Sleep(s.takes / 2)
		assert.Zero(t, x.about(named("two"), []types.UID{"pod-2"}))
		time.Sleep(s.takes / 2)
		synctest.Wait()
		assert.NotZero(t, x.about(named("one"), []types.UID{"pod-1"}))
		assert.Zero(t, x.about(named("two"), []types.UID{"pod-2"}))
		time.Sleep(eventsRest*s.takes + s.takes)
		assert.Empty(t, woken(), "nothing is said of either")
		assert.NotZero(t, x.about(named("two"), []types.UID{"pod-2"}))
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

		assert.Zero(t, x.about(named("one"), []types.UID{"pod-1"}), "it may be another test of that name")
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

// TestExplainer_ManyTests: their number makes no more questions.
func TestExplainer_ManyTests(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, woken func() []string) {
		s.page = eventsPage
		pod := func(i int) types.UID { return types.UID(fmt.Sprint("pod-", i)) }
		for i := range 300 {
			s.events = append(s.events, eventOf(pod(i), corev1.EventTypeWarning, "FailedMount"))
		}
		for i := range 300 {
			x.about(named(fmt.Sprint("test-", i)), []types.UID{pod(i)})
		}
		told := woken()
		time.Sleep(eventsEvery) // some were named when the first round had begun
		assert.Len(t, append(told, woken()...), 300)
		assert.LessOrEqual(t, len(s.questions()), 4)
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
		known := x.about(named("one"), []types.UID{"pod-1"})
		s.becomes(func() { s.broken = errors.New("out of order") })
		time.Sleep(time.Minute)
		assert.Empty(t, woken())
		assert.Equal(t, known, x.about(named("one"), []types.UID{"pod-1"}))
		s.becomes(func() { s.broken, s.takes = nil, time.Hour })
		time.Sleep(10 * time.Minute)
		assert.Empty(t, woken())
		assert.Equal(t, known, x.about(named("one"), []types.UID{"pod-1"}))
		s.becomes(func() { s.takes, s.events = 0, nil })
		time.Sleep(10 * time.Minute)
		assert.Equal(t, []string{"one"}, woken(), "it is asked again")
	})
}

func TestExplainer_EndsWithTheManager(t *testing.T) {
	explaining(t, func(t *testing.T, s *eventServer, x *explainer, _ func() []string) {
		s.takes = time.Hour
		x.about(named("one"), []types.UID{"pod-1"})
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		require.NoError(t, x.waker.Start(ctx))
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		assert.Equal(t, 1, s.cancelled)
	})
}
