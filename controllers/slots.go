package controllers

import "sync"

// reserve is how many slots there are for each one that a namespace leaves to others.
const reserve = 4

// pollSlots bounds how many polls run at the same time, and shares them between namespaces: no namespace takes all of them,
// and the one that has the fewest running is next.
type pollSlots struct {
	mu   sync.Mutex
	free int
	// share is how many slots one namespace may take.
	share int
	// queues has the namespaces that have polls.
	queues map[string]*pollQueue
	// arrived counts the polls that have come.
	arrived uint64
}

// pollQueue is the polls of one namespace.
type pollQueue struct {
	running int
	waiting []waitingPoll
}

// waitingPoll is a poll that has no slot yet. It costs no goroutine.
type waitingPoll struct {
	arrival uint64
	start   func()
}

func newPollSlots(n int) *pollSlots {
	return &pollSlots{free: n, share: max(1, min(n-1, n-n/reserve)), queues: map[string]*pollQueue{}}
}

// acquire calls start in a goroutine of its own once there is a slot, which start has to release.
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

// release gives back a slot of the namespace.
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

// assign starts polls while there are slots for them.
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

// next is the queue to take a poll from; nil when none may start one.
func (s *pollSlots) next() *pollQueue {
	var next *pollQueue
	for _, queue := range s.queues {
		if len(queue.waiting) > 0 && queue.running < s.share && (next == nil || queue.before(next)) {
			next = queue
		}
	}
	return next
}

// before orders queues: fewer running first, then who has waited longer.
func (q *pollQueue) before(other *pollQueue) bool {
	if q.running != other.running {
		return q.running < other.running
	}
	return q.waiting[0].arrival < other.waiting[0].arrival
}
