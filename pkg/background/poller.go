package background

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
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// StatsClient requests the statistics of a running test from its master. It applies its own timeout.
type StatsClient interface {
	Stats(ctx context.Context, target locust.Target) (*report.Report, error)
}

// Poller polls the masters in the background. Reconciles use the latest result; a new result triggers one. So a master that
// does not respond cannot delay other tests. A nil Poller polls nothing.
type Poller struct {
	client  StatsClient
	clock   clock.PassiveClock
	metrics *metrics.Operator
	// spread is the maximum jitter, so that tests started together are not polled together.
	spread time.Duration
	slots  *pollSlots
	*reconcileTrigger

	mu sync.Mutex
	// masters holds the state of the masters by test.
	masters map[types.NamespacedName]*masterPoll
}

// masterPoll is the state of polling one master.
type masterPoll struct {
	// test is the UID of the test.
	test types.UID

	mu    sync.Mutex
	known status.Locust
	// busy is true while a poll is queued or running.
	busy bool
	// target is the current address of the master; zero means none.
	target locust.Target
	jitter time.Duration
}

// NewPoller returns a Poller that polls at most concurrency masters at a time, and three quarters of them in one namespace. The
// status says when (pkg/status/poll.go); the interval is that of the settings, and spreads the polls. Add it to the manager.
func NewPoller(client StatsClient, interval time.Duration, concurrency int, passive clock.PassiveClock, m *metrics.Operator) *Poller {
	return &Poller{
		client: client, clock: passive, metrics: m,
		spread:           interval / 10,
		slots:            newPollSlots(concurrency),
		reconcileTrigger: newReconcileTrigger(),
		masters:          map[types.NamespacedName]*masterPoll{},
	}
}

// targetOf returns the address of the test's master: that of its pod.
func targetOf(test *v2.LocustTest, obs *status.Observation) locust.Target {
	api := obs.Run.Locust.WebAPI
	target := locust.Target{Namespace: test.Namespace, Port: api.Port, BasePath: api.BasePath, TLS: api.TLS}
	if master := status.RunningMaster(obs); master != nil {
		target.Pod, target.IP = master.Name, master.Status.PodIP
	}
	return target
}

// Latest returns what is known of the test's master.
func (p *Poller) Latest(test *v2.LocustTest) status.Locust {
	state := p.of(test)
	state.mu.Lock()
	defer state.mu.Unlock()
	return state.known
}

// of returns the state of the test's master. A recreated test of the same name gets a new one.
func (p *Poller) of(test *v2.LocustTest) *masterPoll {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := client.ObjectKeyFromObject(test)
	if p.masters[name] == nil || p.masters[name].test != test.UID {
		p.masters[name] = &masterPoll{test: test.UID}
	}
	return p.masters[name]
}

// Request polls the master of an observed test after a wait; not positive means now. It returns the time until then; zero if the result will
// trigger the reconcile. A queued poll uses the new target too, because its old address may belong to another pod by now.
func (p *Poller) Request(test *v2.LocustTest, obs *status.Observation, wait time.Duration) time.Duration {
	return p.request(test, targetOf(test, obs), wait)
}

func (p *Poller) request(test *v2.LocustTest, target locust.Target, wait time.Duration) time.Duration {
	state := p.of(test)
	state.mu.Lock()
	defer state.mu.Unlock()
	state.target = target
	if state.busy {
		return 0
	}
	if wait > 0 {
		if wait += state.jitter; wait > 0 {
			return wait
		}
	}
	state.busy = true
	key := client.ObjectKeyFromObject(test)
	p.slots.acquire(key.Namespace, func() { p.poll(state, key) })
	return 0
}

// Cancel cancels a queued poll of the test's master.
func (p *Poller) Cancel(test *v2.LocustTest) { p.of(test).cancel() }

// Forget drops what is known of the test's master, and cancels a queued poll.
func (p *Poller) Forget(test types.NamespacedName) {
	if p == nil {
		return // without polls
	}
	p.mu.Lock()
	state := p.masters[test]
	delete(p.masters, test)
	p.mu.Unlock()
	if state != nil {
		state.cancel()
	}
}

func (m *masterPoll) cancel() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.target = locust.Target{}
}

// poll polls a master while holding a slot of its namespace.
func (p *Poller) poll(state *masterPoll, test types.NamespacedName) {
	state.mu.Lock()
	target := state.target
	skip := target.IP == "" || p.ctx.Err() != nil
	state.busy = !skip
	state.mu.Unlock()
	if skip {
		p.slots.release(test.Namespace)
		return
	}
	began := time.Now() // the clock may be corrected meanwhile
	stats, err := p.stats(target)
	p.slots.release(test.Namespace)
	took := time.Since(began)
	p.metrics.Poll(took, err)
	now := p.clock.Now()

	state.mu.Lock()
	state.busy = false
	state.jitter = time.Duration((2*rand.Float64() - 1) * float64(p.spread))
	state.known.PollDuration = took
	if err != nil {
		state.known.RecordFailure(locust.Reason(err), errors.Is(err, locust.ErrRefused), now)
	} else {
		state.known.RecordReport(stats, now)
	}
	state.mu.Unlock()
	p.enqueue(test)
}

// stats requests the statistics. The response comes from user code and must not crash the operator.
func (p *Poller) stats(target locust.Target) (response *report.Report, err error) {
	defer func() {
		if r := recover(); r != nil {
			response, err = nil, fmt.Errorf("cannot decode the response: %v", r)
		}
	}()
	return p.client.Stats(context.Background(), target)
}
