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

// sample are the meters of the soak at one moment.
type sample struct {
	Seconds    float64 `json:"seconds"`
	Started    int     `json:"testsStarted"`
	Over       int     `json:"testsOver"`
	Resident   uint64  `json:"residentBytes"`
	HeapLive   float64 `json:"heapLiveBytes"`
	Goroutines float64 `json:"goroutines"`
	// Series are all series of the metrics, TestSeries those of single tests.
	Series     float64 `json:"series"`
	TestSeries float64 `json:"testSeries"`
	Depth      float64 `json:"workqueueDepth"`
	// Watches are those on the API server of the kinds that the operator watches.
	Watches float64 `json:"watches"`
}

const (
	// linger is how long a test stays after its end.
	linger = 5 * time.Second
	// collected is how long to wait for a garbage collection after the last test: there is one at least every two minutes.
	collected = 130 * time.Second
	// forgotten is how long it takes until nothing is remembered: client-go keeps each Event that was sent for six to twelve
	// minutes, in case it repeats (k8s.io/client-go/tools/events, finishTime).
	forgotten = 12*time.Minute + collected
)

// soak starts tests at a steady pace and deletes each a while after its end. At the end, with no test left, everything has to be
// where it was before the first, but for the warm-up.
func soak(ctx context.Context, c *cluster, o *options) error {
	const namespace = "scale-soak"
	if err := c.play(ctx, o.kwok, 4000); err != nil {
		return err
	}
	if err := c.keepOperator(ctx); err != nil {
		return err
	}
	s, err := c.operator(ctx, o.settings())
	if err != nil {
		return err
	}
	if err := c.makeNamespace(ctx, namespace); err != nil {
		return err
	}
	seen := &stories{byName: map[string]*story{}}
	if err := seen.watch(ctx, c, namespace); err != nil {
		return err
	}
	w := &soaking{cluster: c, subject: s, seen: seen, namespace: namespace, began: time.Now(), o: o}
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
	fmt.Fprintf(os.Stdout, "\n%d tests came and went in %.0f s\n", after.Started, after.Seconds)
	var wrong []string
	for _, f := range []struct {
		name          string
		before, after float64
		most          float64
	}{
		{"goroutines", before.Goroutines, after.Goroutines, before.Goroutines + 10},
		{"watches", before.Watches, after.Watches, before.Watches},
		{"metrics series", before.Series, after.Series, before.Series + 10}, // a code of an answer that had not been seen
		{"metrics series of tests", before.TestSeries, after.TestSeries, 0},
		{"work-queue depth", before.Depth, after.Depth, 0},
		{"live heap, MiB", before.HeapLive / mebibyte, after.HeapLive / mebibyte, before.HeapLive/mebibyte*1.1 + 2},
		{"resident memory, MiB", float64(before.Resident) / mebibyte, float64(after.Resident) / mebibyte, float64(before.Resident)/mebibyte*1.2 + 4},
	} {
		verdict := "held"
		if f.after > f.most {
			verdict = "GREW"
			wrong = append(wrong, f.name)
		}
		fmt.Fprintf(os.Stdout, "%-26s before %8.1f  after %8.1f  bound %8.1f  %s\n", f.name, f.before, f.after, f.most, verdict)
	}
	if w.bad > 0 {
		return fmt.Errorf("%d tests did not take the three phases", w.bad)
	}
	if len(wrong) > 0 {
		return errors.New("did not end where they began: " + strings.Join(wrong, ", "))
	}
	return nil
}

type soaking struct {
	*cluster
	o         *options
	subject   *subject
	seen      *stories
	namespace string
	began     time.Time
	started   int
	over      int
	// bad are tests that did not take the three phases.
	bad int
	// living are the tests that are not deleted yet, in the order of their creation.
	living  []string
	samples []sample
}

// keepStarting starts tests for a while.
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
			one, err := w.sample(ctx)
			if err != nil {
				return err
			}
			w.samples = append(w.samples, one)
			w.log("%d tests started, %d are over; resident %.1f MiB, live heap %.1f MiB, %.0f goroutines, %.0f series, depth %.0f, %.0f watches", one.Started, one.Over,
				float64(one.Resident)/mebibyte, one.HeapLive/mebibyte, one.Goroutines, one.Series, one.Depth, one.Watches)
		case <-pace.C:
			name := fmt.Sprintf("soak-%d", w.started)
			w.seen.asked(name)
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

// delete removes the tests that have been over for a while.
func (w *soaking) delete(ctx context.Context) error {
	var still []string
	for _, name := range w.living {
		w.seen.mu.Lock()
		one := *w.seen.of(name)
		w.seen.mu.Unlock()
		told := one.told
		if told.IsZero() || time.Since(told) < linger {
			still = append(still, name)
			continue
		}
		test := &v2.LocustTest{}
		test.Namespace, test.Name = w.namespace, name
		if err := w.Delete(ctx, test, client.PropagationPolicy("Background")); err != nil {
			return fmt.Errorf("delete test %s: %w", name, err)
		}
		w.over++
		if joined(one.phases) != goodRun {
			w.bad++
		}
		w.seen.mu.Lock()
		delete(w.seen.byName, name)
		w.seen.mu.Unlock()
	}
	w.living = still
	return nil
}

// drained waits until no test and no pod is left, and then a while for the operator's memory, and reads the meters.
func (w *soaking) drained(ctx context.Context, rest time.Duration) (sample, error) {
	deadline := time.Now().Add(w.o.patience)
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
			return sample{}, fmt.Errorf("%d tests are not over, and %d pods are left, after %s", len(w.living), pods, w.o.patience)
		}
		time.Sleep(time.Second)
	}
	w.log("no test is left; waiting %s", rest)
	select {
	case <-ctx.Done():
		return sample{}, ctx.Err()
	case <-time.After(rest):
	}
	one, err := w.sample(ctx)
	if err == nil {
		w.samples = append(w.samples, one)
	}
	return one, err
}

func (w *soaking) sample(ctx context.Context) (sample, error) {
	read, err := w.subject.scraper.read(ctx)
	if err != nil {
		return sample{}, err
	}
	status, err := w.subject.process.NewStatus()
	if err != nil {
		return sample{}, err
	}
	watches, err := w.watches(ctx)
	if err != nil {
		return sample{}, err
	}
	one := sample{
		Seconds: time.Since(w.began).Seconds(), Started: w.started, Over: w.over, Resident: status.VmRSS,
		HeapLive: heapLive(read), Goroutines: read.sum("go_goroutines"),
		Series: float64(read.series()), Depth: read.sum("workqueue_depth"), Watches: watches,
	}
	for name, family := range read {
		if strings.HasPrefix(name, "locust_test_") {
			one.TestSeries += float64(len(family.GetMetric()))
		}
	}
	return one, nil
}

// watches counts the watches on the API server of the kinds that the operator watches, whosever they are.
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
