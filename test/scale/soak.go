package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// sample holds the values of all meters at one time.
type sample struct {
	Seconds    float64 `json:"seconds"`
	Started    int     `json:"testsStarted"`
	Over       int     `json:"testsOver"`
	Resident   uint64  `json:"residentBytes"`
	HeapLive   float64 `json:"heapLiveBytes"`
	Goroutines float64 `json:"goroutines"`
	// Series is the number of metrics series, TestSeries of those that belong to single tests.
	Series     float64 `json:"series"`
	TestSeries float64 `json:"testSeries"`
	Depth      float64 `json:"workqueueDepth"`
	// Watches is the number of watches on the API server for the kinds that the operator watches.
	Watches float64 `json:"watches"`
}

const (
	// linger is the time from the end of a test to its deletion.
	linger = 5 * time.Second
	// collected is the wait for a garbage collection after the last test. Go runs one at least every two minutes.
	collected = 130 * time.Second
	// forgotten is the wait until all caches are empty: client-go keeps each sent Event for six to twelve minutes, in case it
	// repeats (k8s.io/client-go/tools/events, finishTime).
	forgotten = 12*time.Minute + collected
)

// soak starts tests at a steady pace and deletes each shortly after its end. When all tests are deleted, all meters must be
// back at their values after the warm-up.
func soak(ctx context.Context, c *cluster, o *options) error {
	const namespace = "scale-soak"
	if err := c.startKwok(ctx, o.kwok, 4000); err != nil {
		return err
	}
	if err := c.restoreOperatorAtEnd(ctx); err != nil {
		return err
	}
	s, err := c.operator(ctx, o.settings())
	if err != nil {
		return err
	}
	if err := c.makeNamespace(ctx, namespace); err != nil {
		return err
	}
	seen := &timelines{byName: map[string]*timeline{}}
	if err := seen.watch(ctx, c, namespace); err != nil {
		return err
	}
	w := &soaking{cluster: c, target: s, seen: seen, namespace: namespace, began: time.Now(), o: o}
	c.log("warming up")
	if err := w.keepStarting(ctx, min(time.Minute, o.duration/4)); err != nil {
		return err
	}
	before, err := w.drained(ctx, collected)
	if err != nil {
		return err
	}
	c.log("soaking for %s", o.duration)
	if err := w.keepStarting(ctx, o.duration); err != nil {
		return err
	}
	after, err := w.drained(ctx, forgotten)
	if err != nil {
		return err
	}
	if err := save(filepath.Join(o.work, "soak.json"), map[string]any{"before": before, "after": after, "samples": w.samples}); err != nil {
		return err
	}
	fmt.Fprintf(os.Stdout, "\n%d tests were created and deleted in %.0f s\n", after.Started, after.Seconds)
	var wrong []string
	for _, f := range []struct {
		name          string
		before, after float64
		most          float64
	}{
		{"goroutines", before.Goroutines, after.Goroutines, before.Goroutines + 10},
		{"watches", before.Watches, after.Watches, before.Watches},
		{"metrics series", before.Series, after.Series, before.Series + 10}, // for status codes that occur for the first time
		{"metrics series of tests", before.TestSeries, after.TestSeries, 0},
		{"work-queue depth", before.Depth, after.Depth, 0},
		{"live heap, MiB", before.HeapLive / mebibyte, after.HeapLive / mebibyte, before.HeapLive/mebibyte*1.1 + 2},
		{"resident memory, MiB", float64(before.Resident) / mebibyte, float64(after.Resident) / mebibyte, float64(before.Resident)/mebibyte*1.2 + 4},
	} {
		outcome := "held"
		if f.after > f.most {
			outcome = "GREW"
			wrong = append(wrong, f.name)
		}
		fmt.Fprintf(os.Stdout, "%-26s before %8.1f  after %8.1f  bound %8.1f  %s\n", f.name, f.before, f.after, f.most, outcome)
	}
	if w.bad > 0 {
		return fmt.Errorf("%d tests did not have exactly the three phases", w.bad)
	}
	if len(wrong) > 0 {
		return errors.New("grew during the soak: " + strings.Join(wrong, ", "))
	}
	return nil
}

type soaking struct {
	*cluster
	o         *options
	target    *target
	seen      *timelines
	namespace string
	began     time.Time
	started   int
	over      int
	// bad is the number of tests without exactly the three phases.
	bad int
	// living are the names of the tests that are not deleted yet, in the order of creation.
	living  []string
	samples []sample
}

// keepStarting starts tests for a period.
func (w *soaking) keepStarting(ctx context.Context, length time.Duration) error {
	pace := time.NewTicker(time.Duration(float64(time.Second) / w.o.pace))
	defer pace.Stop()
	meter := time.NewTicker(15 * time.Second)
	defer meter.Stop()
	end := time.After(length)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return nil
		case <-meter.C:
			current, err := w.sample(ctx)
			if err != nil {
				return err
			}
			w.samples = append(w.samples, current)
			w.log("%d tests started, %d finished; resident %.1f MiB, live heap %.1f MiB, %.0f goroutines, %.0f series, depth %.0f, %.0f watches", current.Started, current.Over,
				float64(current.Resident)/mebibyte, current.HeapLive/mebibyte, current.Goroutines, current.Series, current.Depth, current.Watches)
		case <-pace.C:
			name := fmt.Sprintf("soak-%d", w.started)
			w.seen.recordCreate(name)
			if err := w.Create(ctx, newTest(w.namespace, name, w.o.workers, time.Now().Add(20*time.Second))); err != nil {
				return fmt.Errorf("create test %s: %w", name, err)
			}
			w.started++
			w.living = append(w.living, name)
			if err := w.delete(ctx); err != nil {
				return err
			}
		}
	}
}

// delete deletes the tests that have been finished for a while.
func (w *soaking) delete(ctx context.Context) error {
	var still []string
	for _, name := range w.living {
		w.seen.mu.Lock()
		entry := *w.seen.get(name)
		w.seen.mu.Unlock()
		final := entry.final
		if final.IsZero() || time.Since(final) < linger {
			still = append(still, name)
			continue
		}
		test := &v2.LocustTest{}
		test.Namespace, test.Name = w.namespace, name
		if err := w.Delete(ctx, test, client.PropagationPolicy("Background")); err != nil {
			return fmt.Errorf("delete test %s: %w", name, err)
		}
		w.over++
		if joinPhases(entry.phases) != goodRun {
			w.bad++
		}
		w.seen.mu.Lock()
		delete(w.seen.byName, name)
		w.seen.mu.Unlock()
	}
	w.living = still
	return nil
}

// drained waits until no test and no pod is left, then for settleTime, and returns a sample.
func (w *soaking) drained(ctx context.Context, settleTime time.Duration) (sample, error) {
	deadline := time.Now().Add(w.o.timeout)
	for {
		if err := w.delete(ctx); err != nil {
			return sample{}, err
		}
		pods, err := w.podsIn(ctx, w.namespace)
		if err != nil {
			return sample{}, err
		}
		if len(w.living) == 0 && pods == 0 {
			break
		}
		if time.Now().After(deadline) {
			return sample{}, fmt.Errorf("%d tests are not finished, and %d pods are left, after %s", len(w.living), pods, w.o.timeout)
		}
		time.Sleep(time.Second)
	}
	w.log("no test is left; waiting %s", settleTime)
	select {
	case <-ctx.Done():
		return sample{}, ctx.Err()
	case <-time.After(settleTime):
	}
	final, err := w.sample(ctx)
	if err == nil {
		w.samples = append(w.samples, final)
	}
	return final, err
}

func (w *soaking) sample(ctx context.Context) (sample, error) {
	read, err := w.target.scraper.read(ctx)
	if err != nil {
		return sample{}, err
	}
	status, err := w.target.process.NewStatus()
	if err != nil {
		return sample{}, err
	}
	watches, err := w.watches(ctx)
	if err != nil {
		return sample{}, err
	}
	current := sample{
		Seconds: time.Since(w.began).Seconds(), Started: w.started, Over: w.over, Resident: status.VmRSS,
		HeapLive: heapLive(read), Goroutines: read.sum("go_goroutines"),
		Series: float64(read.series()), Depth: read.sum("workqueue_depth"), Watches: watches,
	}
	for name, family := range read {
		if strings.HasPrefix(name, "locust_test_") {
			current.TestSeries += float64(len(family.GetMetric()))
		}
	}
	return current, nil
}

// watches returns the number of watches of all clients for the kinds that the operator watches.
func (w *soaking) watches(ctx context.Context) (float64, error) {
	all, err := w.apiServerMetrics(ctx)
	if err != nil {
		return 0, err
	}
	n := 0.0
	for _, kind := range []string{"locusttests", "jobs", "pods", "services"} {
		n += all.sum("apiserver_longrunning_requests", "verb", "WATCH", "resource", kind)
	}
	return n, nil
}
