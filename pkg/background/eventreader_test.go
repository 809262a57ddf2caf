package background

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

// eventServer serves the Events of a namespace with a latency, as an API server with many Events.
type eventServer struct {
	client.Reader

	mu      sync.Mutex
	events  []corev1.Event
	latency time.Duration
	err     error
	// page is the page size.
	page int
	// canceled is the number of canceled requests.
	canceled int
	// requested holds the field selectors of the requests for first pages.
	requested []string
}

func (s *eventServer) update(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
}

func (s *eventServer) List(ctx context.Context, into client.ObjectList, opts ...client.ListOption) error {
	var options client.ListOptions
	options.ApplyOptions(opts)
	first, latency := s.receive(&options)
	select {
	case <-time.After(latency):
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if ctx.Err() != nil {
		s.canceled++
		return ctx.Err()
	}
	if s.err != nil {
		return s.err
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

func (s *eventServer) receive(options *client.ListOptions) (first int, latency time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if options.Continue == "" {
		s.requested = append(s.requested, options.FieldSelector.String())
	} else {
		first, _ = strconv.Atoi(options.Continue)
	}
	return first, s.latency
}

func (s *eventServer) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requested)
}

func eventOf(object types.UID, kind, reason string) corev1.Event {
	return corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Name: string(object) + reason, UID: object + types.UID(reason)},
		Type:       kind, Reason: reason, InvolvedObject: corev1.ObjectReference{UID: object},
	}
}

// requestAndGet is what a reconcile does: it requests the Events of objects and returns those read last.
func (x *EventReader) requestAndGet(test types.NamespacedName, objects []types.UID) EventSnapshot {
	x.Request(test, objects)
	latest, _ := x.Latest(test)
	return latest
}

// withEventReader runs a test with an EventReader and its API server. enqueued returns the tests enqueued since its last call.
func withEventReader(t *testing.T, run func(t *testing.T, s *eventServer, x *EventReader, enqueued func() []string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &eventServer{page: 1}
		x := NewEventReader(s, clock.RealClock{})
		defer x.stop()
		run(t, s, x, func() []string {
			var names []string
			for {
				synctest.Wait()
				select {
				case e := <-x.tests:
					names = append(names, e.Object.Name)
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
	normal   = "type=Normal"
)

// reasons returns the reasons of the Events by object.
func (s EventSnapshot) reasons() map[types.UID][]string {
	all := map[types.UID][]string{}
	for i := range s.Events {
		all[s.Events[i].InvolvedObject.UID] = append(all[s.Events[i].InvolvedObject.UID], s.Events[i].Reason)
	}
	return all
}

func TestEventReader_ReportsNewEvents(t *testing.T) {
	withEventReader(t, func(t *testing.T, s *eventServer, x *EventReader, enqueued func() []string) {
		s.events = []corev1.Event{
			eventOf("foreign", corev1.EventTypeWarning, "FailedMount"),
			eventOf("pod-1", corev1.EventTypeWarning, "FailedScheduling"), eventOf("pod-1", corev1.EventTypeWarning, "FailedMount"),
			eventOf("pod-1", corev1.EventTypeNormal, "Scheduled"), eventOf("pod-1", corev1.EventTypeNormal, "Pulling"),
			eventOf("pod-2", corev1.EventTypeWarning, "FailedScheduling"), eventOf("pod-2", corev1.EventTypeNormal, "Pulling"),
		}
		one, two := []types.UID{"pod-1"}, []types.UID{"pod-2"}
		assert.Zero(t, x.requestAndGet(named("one"), one), "not read yet, and the call does not block")
		assert.Zero(t, x.requestAndGet(named("two"), two))
		assert.Equal(t, []string{"one"}, enqueued())
		assert.Equal(t, []string{warnings, normal}, s.requests(), "shared by all tests")
		assert.Equal(t, map[types.UID][]string{"pod-1": {"FailedMount", "Pulling"}}, x.requestAndGet(named("one"), one).reasons(), "failure and progress Events, from all pages")

		time.Sleep(eventsInterval)
		assert.Empty(t, enqueued(), "no new Events")
		assert.Len(t, s.requests(), 4)
		assert.Equal(t, EventSnapshot{At: time.Now()}, x.requestAndGet(named("two"), two), "FailedScheduling is ignored")

		s.update(func() { s.events[2].ResourceVersion = "2" })
		time.Sleep(eventsInterval)
		assert.Equal(t, []string{"one"}, enqueued(), "it was repeated")

		s.update(func() { s.events = append(s.events, eventOf("pod-3", corev1.EventTypeWarning, "FailedMount")) })
		one = append(one, "pod-3")
		assert.Len(t, x.requestAndGet(named("one"), one).reasons(), 1, "as last read")
		time.Sleep(eventsInterval)
		assert.Equal(t, []string{"one"}, enqueued())
		assert.Len(t, x.requestAndGet(named("one"), one).reasons(), 2)

		s.update(func() { s.events = nil })
		time.Sleep(eventsInterval)
		assert.Equal(t, []string{"one"}, enqueued(), "the Events expired")
		assert.Empty(t, x.requestAndGet(named("one"), one).Events)
		before := len(s.requests())
		time.Sleep(eventsInterval)
		assert.Empty(t, enqueued())
		assert.Equal(t, []string{warnings}, s.requests()[before:], "Normal Events are not read without warnings")
	})
}

// TestEventReader_TestAddedDuringRead: a test added during a read has to wait for the next one.
func TestEventReader_TestAddedDuringRead(t *testing.T) {
	withEventReader(t, func(t *testing.T, s *eventServer, x *EventReader, enqueued func() []string) {
		s.latency = time.Second
		x.requestAndGet(named("one"), []types.UID{"pod-1"})
		time.Sleep(s.latency / 2)
		assert.Zero(t, x.requestAndGet(named("two"), []types.UID{"pod-2"}))
		time.Sleep(s.latency / 2)
		synctest.Wait()
		assert.NotZero(t, x.requestAndGet(named("one"), []types.UID{"pod-1"}))
		assert.Zero(t, x.requestAndGet(named("two"), []types.UID{"pod-2"}))
		time.Sleep(eventsIdleFactor*s.latency + s.latency)
		assert.Empty(t, enqueued(), "no Events of either")
		assert.NotZero(t, x.requestAndGet(named("two"), []types.UID{"pod-2"}))
	})
}

func TestEventReader_StopsWithoutStuckObjects(t *testing.T) {
	withEventReader(t, func(t *testing.T, s *eventServer, x *EventReader, enqueued func() []string) {
		x.requestAndGet(named("one"), []types.UID{"pod-1"})
		enqueued()
		x.requestAndGet(named("one"), nil)
		time.Sleep(time.Hour)
		assert.Empty(t, enqueued())
		assert.Len(t, s.requests(), 1, "no requests without stuck objects")
		assert.Empty(t, x.stuck)

		assert.Zero(t, x.requestAndGet(named("one"), []types.UID{"pod-1"}), "nothing is kept, because it may be another test of the same name")
		enqueued()
		assert.Len(t, s.requests(), 2)
	})
}

// TestEventReader_BacksOff: slow requests block no reconcile, and the next one comes much later.
func TestEventReader_BacksOff(t *testing.T) {
	withEventReader(t, func(t *testing.T, s *eventServer, x *EventReader, enqueued func() []string) {
		s.latency = 6 * time.Second
		s.events = []corev1.Event{eventOf("pod-1", corev1.EventTypeWarning, "FailedMount")}
		began := time.Now()
		for range 1000 {
			x.requestAndGet(named("one"), []types.UID{"pod-1"})
		}
		assert.Zero(t, time.Since(began))
		time.Sleep(12 * time.Second)
		assert.Equal(t, []string{"one"}, enqueued())
		time.Sleep(59 * time.Second)
		enqueued()
		assert.Len(t, s.requests(), 2, "five times the 12 s that it took")
		time.Sleep(2 * time.Second)
		enqueued()
		assert.Len(t, s.requests(), 3)
	})
}

// TestEventReader_ManyTests: the number of requests does not depend on the number of tests.
func TestEventReader_ManyTests(t *testing.T) {
	withEventReader(t, func(t *testing.T, s *eventServer, x *EventReader, enqueued func() []string) {
		s.page = eventsPageSize
		pod := func(i int) types.UID { return types.UID(fmt.Sprint("pod-", i)) }
		for i := range 300 {
			s.events = append(s.events, eventOf(pod(i), corev1.EventTypeWarning, "FailedMount"))
		}
		for i := range 300 {
			x.Request(named(fmt.Sprint("test-", i)), []types.UID{pod(i)})
		}
		names := enqueued()
		time.Sleep(eventsInterval) // some were added during the first read
		assert.Len(t, append(names, enqueued()...), 300)
		assert.LessOrEqual(t, len(s.requests()), 4)
	})
}

// TestEventReader_Flapping: an object that is stuck, runs, and is stuck again causes no early request.
func TestEventReader_Flapping(t *testing.T) {
	withEventReader(t, func(t *testing.T, s *eventServer, x *EventReader, enqueued func() []string) {
		for range 10 {
			x.requestAndGet(named("one"), []types.UID{"pod-1"})
			enqueued()
			x.requestAndGet(named("one"), nil)
			time.Sleep(eventsInterval / 20)
		}
		assert.Len(t, s.requests(), 1)
	})
}

func TestEventReader_KeepsLastResult(t *testing.T) {
	withEventReader(t, func(t *testing.T, s *eventServer, x *EventReader, enqueued func() []string) {
		s.events = []corev1.Event{eventOf("pod-1", corev1.EventTypeWarning, "FailedMount")}
		x.requestAndGet(named("one"), []types.UID{"pod-1"})
		require.Equal(t, []string{"one"}, enqueued())
		known := x.requestAndGet(named("one"), []types.UID{"pod-1"})
		s.update(func() { s.err = errors.New("unavailable") })
		time.Sleep(time.Minute)
		assert.Empty(t, enqueued())
		assert.Equal(t, known, x.requestAndGet(named("one"), []types.UID{"pod-1"}))
		s.update(func() { s.err, s.latency = nil, time.Hour })
		time.Sleep(10 * time.Minute)
		assert.Empty(t, enqueued())
		assert.Equal(t, known, x.requestAndGet(named("one"), []types.UID{"pod-1"}))
		s.update(func() { s.latency, s.events = 0, nil })
		time.Sleep(10 * time.Minute)
		assert.Equal(t, []string{"one"}, enqueued(), "reads continue")
	})
}

func TestEventReader_StopsWithManager(t *testing.T) {
	withEventReader(t, func(t *testing.T, s *eventServer, x *EventReader, _ func() []string) {
		s.latency = time.Hour
		x.requestAndGet(named("one"), []types.UID{"pod-1"})
		ctx, stop := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, stop)
		require.NoError(t, x.Start(ctx))
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		assert.Equal(t, 1, s.canceled)
	})
}
