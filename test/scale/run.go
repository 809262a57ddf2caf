package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/prometheus/procfs"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// load is what is asked of an operator.
type load struct {
	namespace      string
	tests, workers int
	// runTime is how long the first test runs, from the creation of the first on; the others follow within spread.
	runTime, spread time.Duration
	// patience bounds the whole.
	patience time.Duration
	// fill makes a spec as large as it may be; nil leaves it small.
	fill func(*v2.LocustTestSpec)
}

// subject is who does the work.
type subject struct {
	name string
	// pod is the operator's; empty for the baseline.
	pod     string
	process procfs.Proc
	wanted  func(*request) bool
	// scraper reads its metrics; nil when it has none.
	scraper *scraper
}

// latency is a distribution of times, in seconds.
type latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func latencyOf(all []float64) latency {
	if len(all) == 0 {
		return latency{}
	}
	slices.Sort(all)
	at := func(share float64) float64 { return all[min(int(share*float64(len(all))), len(all)-1)] }
	return latency{at(0.5), at(0.99), all[len(all)-1]}
}

// result is what one run measured.
type result struct {
	Subject string  `json:"subject"`
	Tests   int     `json:"tests"`
	Workers int     `json:"workers"`
	Seconds float64 `json:"seconds"`
	// AllJobs is from the first creation until the last test has both Jobs.
	AllJobs float64 `json:"allJobsSeconds"`
	// Jobs is from a test's creation until it has both Jobs, Told from the end of its master Job until its status is final.
	Jobs latency `json:"jobsSeconds"`
	Told latency `json:"toldSeconds"`
	// Phases are the sequences of phases that were seen, and how many tests had each.
	Phases map[string]int `json:"phases"`
	// Connected is how many tests were told to have all workers.
	Connected int     `json:"connected"`
	Counts    *counts `json:"counts"`

	CPU        float64 `json:"cpuSeconds"`
	PeakMemory uint64  `json:"peakMemoryBytes"`
	// HeapLive is what the last garbage collection left, while all tests were there; 0 when it is not known.
	HeapLive   float64 `json:"heapLiveBytes"`
	Reconciles float64 `json:"reconciles"`
	Requests   float64 `json:"clientRequests"`

	APIServerCPU float64 `json:"apiServerCPUSeconds"`
	// Busy is the share of the machine that was busy until the last test had its Jobs, and over the whole run.
	BusyStart float64 `json:"busyWhileStarting"`
	Busy      float64 `json:"busy"`
	// Starting is what the API server had to do until then, Serving over the whole run.
	Starting saturation `json:"apiServerWhileStarting"`
	Serving  saturation `json:"apiServer"`
}

// goodRun are the phases of a test that went well, as joined writes them.
const goodRun = "Pending → Running → Succeeded"

// neverRan are those of a test whose pods did not all run at the same time.
const neverRan = "Pending → Succeeded"

// good is how many tests took the three phases, and no other.
func (r *result) good() int { return r.Phases[goodRun] }

// moment are the meters at one time.
type moment struct {
	at                   time.Time
	cpu, apiServer       float64
	all, idle            float64
	reconciles, requests float64
	heapLive             float64
	served               served
}

func (c *cluster) meters(ctx context.Context, s *subject, apiServer procfs.Proc) (m moment, err error) {
	m.at = time.Now()
	if m.cpu, err = cpu(s.process); err != nil {
		return m, fmt.Errorf("%s has ended: %w", s.name, err)
	}
	if m.apiServer, err = cpu(apiServer); err != nil {
		return m, fmt.Errorf("the API server has ended: %w", err)
	}
	if m.all, m.idle, err = machine(); err != nil {
		return m, err
	}
	asked, err := c.apiServerMetrics(ctx)
	if err != nil {
		return m, err
	}
	m.served = servedBy(asked)
	if s.scraper == nil {
		return m, nil
	}
	read, err := s.scraper.read(ctx)
	if err != nil {
		return m, err
	}
	m.reconciles = read.sum("controller_runtime_reconcile_total", "controller", "locusttest")
	m.requests = read.sum("rest_client_requests_total")
	m.heapLive = heapLive(read)
	return m, nil
}

// heapLive is what the last garbage collection left: the next one comes when the heap has grown by GOGC percent.
func heapLive(m metrics) float64 {
	return m.sum("go_memstats_next_gc_bytes") / (1 + m.sum("go_gc_gogc_percent")/100)
}

func (a moment) busySince(b moment) float64 {
	if a.all <= b.all {
		return 0
	}
	return 1 - (a.idle-b.idle)/(a.all-b.all)
}

// run creates tests and watches until all are over.
func (c *cluster) run(ctx context.Context, s *subject, l load) (*result, error) {
	ctx, stop := context.WithTimeout(ctx, l.patience)
	defer stop()
	apiServer, err := apiServerProcess()
	if err != nil {
		return nil, err
	}
	seen := &stories{byName: map[string]*story{}}
	if err := seen.watch(ctx, c, l.namespace); err != nil {
		return nil, err
	}
	log, err := openAuditLog()
	if err != nil {
		return nil, err
	}
	defer log.close()
	r := &result{Subject: s.name, Tests: l.tests, Workers: l.workers, Phases: map[string]int{}, Counts: newCounts()}
	before, err := c.meters(ctx, s, apiServer)
	if err != nil {
		return nil, err
	}
	ended, logged := make(chan struct{}), make(chan error, 1)
	go func() { logged <- log.follow(ended, s.wanted, r.Counts.add) }()

	began := time.Now()
	tests := make([]*v2.LocustTest, l.tests)
	for i := range tests {
		end := began.Add(l.runTime + time.Duration(i)*l.spread/time.Duration(l.tests))
		tests[i] = newTest(l.namespace, fmt.Sprintf("test-%d", i), l.workers, end)
		if l.fill != nil {
			l.fill(&tests[i].Spec)
		}
	}
	failed := c.create(ctx, seen, tests)
	started, middle := moment{}, moment{}
	for last := time.Now(); failed == nil; {
		withJobs, running, finals := seen.numbers()
		if withJobs == l.tests && started.at.IsZero() {
			if started, failed = c.meters(ctx, s, apiServer); failed != nil {
				break
			}
		}
		if running == l.tests && middle.at.IsZero() {
			if middle, failed = c.meters(ctx, s, apiServer); failed != nil {
				break
			}
		}
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			c.log("%s: %d tests, %d with Jobs, %d have run, %d are over", s.name, l.tests, withJobs, running, finals)
		}
		if finals == l.tests {
			break
		}
		select {
		case <-ctx.Done():
			failed = fmt.Errorf("%s: %d of %d tests are over: %w", s.name, finals, l.tests, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	// What is written late would be written for nothing; it counts.
	time.Sleep(3 * time.Second)
	close(ended)
	if err := <-logged; failed == nil {
		failed = err
	}
	if failed != nil {
		return nil, failed
	}
	after, err := c.meters(ctx, s, apiServer)
	if err != nil {
		return nil, err
	}
	if r.PeakMemory, err = peakMemory(s.process); err != nil {
		return nil, err
	}
	r.Seconds = after.at.Sub(before.at).Seconds()
	r.CPU, r.APIServerCPU = after.cpu-before.cpu, after.apiServer-before.apiServer
	r.Reconciles, r.Requests = after.reconciles-before.reconciles, after.requests-before.requests
	r.HeapLive = max(middle.heapLive, after.heapLive)
	r.BusyStart, r.Busy = started.busySince(before), after.busySince(before)
	r.Starting, r.Serving = started.served.since(before.served), after.served.since(before.served)
	r.tell(seen, began)
	c.log("%s: %d tests are over", s.name, l.tests)
	return r, nil
}

// tell adds up the stories.
func (r *result) tell(seen *stories, began time.Time) {
	seen.mu.Lock()
	defer seen.mu.Unlock()
	var jobs, told []float64
	for _, name := range slices.Sorted(maps.Keys(seen.byName)) {
		one := seen.byName[name]
		jobs = append(jobs, one.jobs.Sub(one.asked).Seconds())
		// A status that was seen before the end of the Job, in another watch, was not late.
		told = append(told, max(one.told.Sub(one.ended).Seconds(), 0))
		r.AllJobs = max(r.AllJobs, one.jobs.Sub(began).Seconds())
		r.Phases[joined(one.phases)]++
		if one.connected {
			r.Connected++
		}
	}
	r.Jobs, r.Told = latencyOf(jobs), latencyOf(told)
}
