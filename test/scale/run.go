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

// load describes the tests of a run.
type load struct {
	namespace      string
	tests, workers int
	// runTime is the time from the first creation to the end of the first test; the other tests end within spread after it.
	runTime, spread time.Duration
	// timeout bounds the run.
	timeout time.Duration
	// fill makes a spec as large as admitted; nil keeps it small.
	fill func(*v2.LocustTestSpec)
}

// target is the measured program: the operator or the baseline.
type target struct {
	name string
	// pod is the operator's pod; empty for the baseline.
	pod     string
	process procfs.Proc
	wanted  func(*request) bool
	// scraper reads its metrics; nil for the baseline.
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

// result holds the measurements of one run.
type result struct {
	Target  string  `json:"subject"`
	Tests   int     `json:"tests"`
	Workers int     `json:"workers"`
	Seconds float64 `json:"seconds"`
	// AllJobs is the time from the first creation until the last test has both Jobs.
	AllJobs float64 `json:"allJobsSeconds"`
	// Jobs is the time from a test's creation until it has both Jobs, StatusDelay from the end of its master Job to its
	// final status.
	Jobs        latency `json:"jobsSeconds"`
	StatusDelay latency `json:"toldSeconds"`
	// Phases is the number of tests by observed sequence of phases.
	Phases map[string]int `json:"phases"`
	// Connected is the number of tests whose status reported all workers as connected.
	Connected int     `json:"connected"`
	Counts    *counts `json:"counts"`

	CPU        float64 `json:"cpuSeconds"`
	PeakMemory uint64  `json:"peakMemoryBytes"`
	// HeapLive is the live heap after the last garbage collection while all tests existed; zero means unknown.
	HeapLive   float64 `json:"heapLiveBytes"`
	Reconciles float64 `json:"reconciles"`
	Requests   float64 `json:"clientRequests"`

	APIServerCPU float64 `json:"apiServerCPUSeconds"`
	// BusyStart is the busy share of the machine's CPU time until the last test had its Jobs, Busy over the whole run.
	BusyStart float64 `json:"busyWhileStarting"`
	Busy      float64 `json:"busy"`
	// Starting is the load of the API server until then, Serving over the whole run.
	Starting saturation `json:"apiServerWhileStarting"`
	Serving  saturation `json:"apiServer"`
}

// goodRun is the phase sequence of a successful test, as formatted by joined.
const goodRun = "Pending → Running → Succeeded"

// neverRan is the phase sequence of a test whose pods never ran all at the same time.
const neverRan = "Pending → Succeeded"

// good returns the number of tests with exactly the three phases.
func (r *result) good() int { return r.Phases[goodRun] }

// readings are the values of all meters at one time.
type readings struct {
	at                   time.Time
	cpu, apiServer       float64
	all, idle            float64
	reconciles, requests float64
	heapLive             float64
	served               served
}

func (c *cluster) readMeters(ctx context.Context, s *target, apiServer procfs.Proc) (m readings, err error) {
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
	scraped, err := c.apiServerMetrics(ctx)
	if err != nil {
		return m, err
	}
	m.served = servedBy(scraped)
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

// heapLive returns the live heap after the last garbage collection. The next one starts when the heap has grown by GOGC
// percent.
func heapLive(m metrics) float64 {
	return m.sum("go_memstats_next_gc_bytes") / (1 + m.sum("go_gc_gogc_percent")/100)
}

func (a readings) busySince(b readings) float64 {
	if a.all <= b.all {
		return 0
	}
	return 1 - (a.idle-b.idle)/(a.all-b.all)
}

// run creates tests, watches them until all have finished, and returns the measurements.
func (c *cluster) run(ctx context.Context, s *target, l load) (*result, error) {
	ctx, stop := context.WithTimeout(ctx, l.timeout)
	defer stop()
	apiServer, err := apiServerProcess()
	if err != nil {
		return nil, err
	}
	seen := &timelines{byName: map[string]*timeline{}}
	if err := seen.watch(ctx, c, l.namespace); err != nil {
		return nil, err
	}
	log, err := openAuditLog()
	if err != nil {
		return nil, err
	}
	defer log.close()
	r := &result{Target: s.name, Tests: l.tests, Workers: l.workers, Phases: map[string]int{}, Counts: newCounts()}
	before, err := c.readMeters(ctx, s, apiServer)
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
	started, middle := readings{}, readings{}
	for last := time.Now(); failed == nil; {
		withJobs, running, finals := seen.numbers()
		if withJobs == l.tests && started.at.IsZero() {
			if started, failed = c.readMeters(ctx, s, apiServer); failed != nil {
				break
			}
		}
		if running == l.tests && middle.at.IsZero() {
			if middle, failed = c.readMeters(ctx, s, apiServer); failed != nil {
				break
			}
		}
		if time.Since(last) > 5*time.Second {
			last = time.Now()
			c.log("%s: %d tests, %d with Jobs, %d have run, %d finished", s.name, l.tests, withJobs, running, finals)
		}
		if finals == l.tests {
			break
		}
		select {
		case <-ctx.Done():
			failed = fmt.Errorf("%s: %d of %d tests finished: %w", s.name, finals, l.tests, ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
	}
	// Count superfluous writes after the end, too.
	time.Sleep(3 * time.Second)
	close(ended)
	if err := <-logged; failed == nil {
		failed = err
	}
	if failed != nil {
		return nil, failed
	}
	after, err := c.readMeters(ctx, s, apiServer)
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
	r.summarize(seen, began)
	c.log("%s: %d tests finished", s.name, l.tests)
	return r, nil
}

// summarize adds the timelines to the result.
func (r *result) summarize(seen *timelines, began time.Time) {
	seen.mu.Lock()
	defer seen.mu.Unlock()
	var jobs, delays []float64
	for _, name := range slices.Sorted(maps.Keys(seen.byName)) {
		entry := seen.byName[name]
		jobs = append(jobs, entry.jobs.Sub(entry.created).Seconds())
		// The watches are independent: the status may be observed before the end of the Job.
		delays = append(delays, max(entry.final.Sub(entry.ended).Seconds(), 0))
		r.AllJobs = max(r.AllJobs, entry.jobs.Sub(began).Seconds())
		r.Phases[joinPhases(entry.phases)]++
		if entry.connected {
			r.Connected++
		}
	}
	r.Jobs, r.StatusDelay = latencyOf(jobs), latencyOf(delays)
}
