package controllers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// Locust asks the master of a running test. It bounds the time of each question itself.
type Locust interface {
	Stats(ctx context.Context, target locust.Target) (*report.Report, error)
}

// Poller asks the masters, apart from the reconciles: a reconcile takes the newest answer that is there, and an answer
// that comes starts another reconcile. So a master that hangs holds up nobody else's test.
type Poller struct {
	locust  Locust
	clock   clock.PassiveClock
	metrics *metrics.Operator
	// spread is how far the questions are moved, back or forth, so that tests that were started together are not asked
	// together.
	spread time.Duration
	slots  *pollSlots
	*waker
}

// masterPoll is what is known of one master.
type masterPoll struct {
	mu    sync.Mutex
	known status.Locust
	// busy is true while the master is being asked.
	busy bool
	// target is where the master answers now; zero while it has no address.
	target locust.Target
	jitter time.Duration
}

// NewPoller returns a Poller that polls each master every interval, at most concurrency at a time, and three quarters of
// them in one namespace. It has to be started.
func NewPoller(asker Locust, interval time.Duration, concurrency int, passive clock.PassiveClock, m *metrics.Operator) *Poller {
	return &Poller{
		locust: asker, clock: passive, metrics: m,
		spread: interval / 10,
		slots:  newPollSlots(concurrency),
		waker:  newWaker(),
	}
}

// observeLocust takes what the test's master told last.
func (r *LocustTestReconciler) observeLocust(test *v2.LocustTest, mem *memory, obs *status.Observation) {
	if r.Poller == nil || test.Status.IsTerminal() || obs.Run == nil {
		return
	}
	if api := resources.WebAPIOf(&obs.Run.Spec); api.Unreachable != "" {
		obs.Locust = &status.Locust{Unreachable: true, LastError: api.Unreachable}
		return
	}
	mem.poll.mu.Lock()
	defer mem.poll.mu.Unlock()
	known := mem.poll.known
	obs.Locust = &known
}

// ask has the test's master asked when it is time, and tells when it will be; 0 when the answer will tell.
func (r *LocustTestReconciler) ask(test *v2.LocustTest, mem *memory, obs *status.Observation, derived *status.Derivation) time.Duration {
	wait, ask := status.NextPoll(&derived.Status, obs, r.Settings, r.Clock.Now())
	if !ask {
		mem.poll.aim(locust.Target{})
		return 0
	}
	mem.poll.aim(targetOf(test, obs))
	return r.Poller.ask(&mem.poll, test, wait)
}

// aim sets where the master answers. A poll that waits for a slot takes it as well, for another pod may have got the address
// that it was queued with.
func (m *masterPoll) aim(target locust.Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.target = target
}

// targetOf is where the test's master answers: its pod's own address.
func targetOf(test *v2.LocustTest, obs *status.Observation) locust.Target {
	api := resources.WebAPIOf(&obs.Run.Spec)
	target := locust.Target{Namespace: test.Namespace, Port: api.Port, BasePath: api.BasePath, TLS: api.TLS}
	if master := status.RunningMaster(obs); master != nil {
		target.Pod, target.IP = master.Name, master.Status.PodIP
	}
	return target
}

func (p *Poller) ask(one *masterPoll, test *v2.LocustTest, wait time.Duration) time.Duration {
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.busy {
		return 0
	}
	if wait > 0 {
		if wait += one.jitter; wait > 0 {
			return wait
		}
	}
	one.busy = true
	key := client.ObjectKeyFromObject(test)
	p.slots.acquire(key.Namespace, func() { p.poll(one, key) })
	return 0
}

// poll asks a master, in a slot of its namespace.
func (p *Poller) poll(one *masterPoll, test types.NamespacedName) {
	one.mu.Lock()
	target := one.target
	skip := target.IP == "" || p.ctx.Err() != nil
	one.busy = !skip
	one.mu.Unlock()
	if skip {
		p.slots.release(test.Namespace)
		return
	}
	began := p.clock.Now()
	answer, err := p.stats(target)
	p.slots.release(test.Namespace)
	now := p.clock.Now()
	p.metrics.Poll(now.Sub(began), err)

	one.mu.Lock()
	one.busy = false
	one.jitter = time.Duration((2*rand.Float64() - 1) * float64(p.spread))
	one.known.PollDuration = now.Sub(began)
	if err != nil {
		one.known.RecordFailure(locust.Reason(err), errors.Is(err, locust.ErrRefused), now)
	} else {
		one.known.RecordReport(answer, now)
	}
	one.mu.Unlock()
	p.wake(test)
}

// stats asks. The answer is the user's code, and whatever it is, it must not end the operator.
func (p *Poller) stats(target locust.Target) (answer *report.Report, err error) {
	defer func() {
		if r := recover(); r != nil {
			answer, err = nil, fmt.Errorf("the answer cannot be read: %v", r)
		}
	}()
	return p.locust.Stats(context.Background(), target)
}
