package background

import "sync"

// reserveDivisor is the number of slots per slot that a single namespace leaves to others.
const reserveDivisor = 4

// pollSlots bounds the number of concurrent polls and shares them between namespaces: no namespace can take all slots, and the
// namespace with the fewest running polls is next.
type pollSlots struct {
	mu   sync.Mutex
	free int
	// share is the maximum number of slots for one namespace.
	share int
	// queues holds the namespaces with running or waiting polls.
	queues map[string]*pollQueue
	// arrived is the total number of polls queued.
	arrived uint64
}

// pollQueue holds the polls of one namespace.
type pollQueue struct {
	running int
	waiting []waitingPoll
}

// waitingPoll is a poll without a slot. It needs no goroutine.
type waitingPoll struct {
	arrival uint64
	start   func()
}

func newPollSlots(n int) *pollSlots {
	return &pollSlots{free: n, share: max(1, min(n-1, n-n/reserveDivisor)), queues: map[string]*pollQueue{}}
}

// acquire calls start in a new goroutine once a slot is free. start must release the slot.
func (s *pollSlots) acquire(namespace string, start func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.queues[namespace]
	if queue == nil {
		queue = &pollQueue{}
		s.queues[namespace] = queue
	}
	s.arrived++
	queue.waiting = append(queue.waiting, waitingPoll{s.arrived, start})
	s.assign()
}

// release frees a slot of the namespace.
func (s *pollSlots) release(namespace string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	queue := s.queues[namespace]
	queue.running--
	if queue.running == 0 && len(queue.waiting) == 0 {
		delete(s.queues, namespace)
	}
	s.free++
	s.assign()
}

// assign starts waiting polls while slots are free.
func (s *pollSlots) assign() {
	for s.free > 0 {
		next := s.next()
		if next == nil {
			return
		}
		s.free--
		next.running++
		go next.waiting[0].start()
		next.waiting[0].start = nil
		next.waiting = next.waiting[1:]
	}
}

// next returns the queue to start a poll from; nil if no poll can start.
func (s *pollSlots) next() *pollQueue {
	var next *pollQueue
	for _, queue := range s.queues {
		if len(queue.waiting) > 0 && queue.running < s.share && (next == nil || queue.before(next)) {
			next = queue
		}
	}
	return next
}

// before reports whether q is served before other: fewer running polls first, then the longest wait.
func (q *pollQueue) before(other *pollQueue) bool {
	if q.running != other.running {
		return q.running < other.running
	}
	return q.waiting[0].arrival < other.waiting[0].arrival
}
