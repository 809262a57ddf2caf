package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"text/tabwriter"
)

// slopes are the coefficients of a linear model of memory.
type slopes struct {
	// Base is the memory without tests, PerTest and PerPod the memory of one more test or pod, in bytes.
	Base    float64 `json:"baseBytes"`
	PerTest float64 `json:"perTestBytes"`
	PerPod  float64 `json:"perPodBytes"`
}

// at returns the estimated memory for numbers of tests and pods, in bytes.
func (s slopes) at(tests, pods int) float64 {
	return s.Base + s.PerTest*float64(tests) + s.PerPod*float64(pods)
}

// sizesResult is the result of sizes.
type sizesResult struct {
	Runs []*result `json:"runs"`
	// Heap and Resident are the slopes of the live heap and of the max resident memory.
	Heap     slopes `json:"heap"`
	Resident slopes `json:"resident"`
	Stopped  string `json:"stopped,omitempty"`
}

// sizes measures a restarted operator for each size, and fits its memory.
func sizes(ctx context.Context, c *cluster, o *options) error {
	var loads []load
	most := 0
	for _, size := range strings.Split(o.sizes, ",") {
		tests, workers, ok := strings.Cut(strings.TrimSpace(size), "x")
		n, err := strconv.Atoi(tests)
		w, err2 := strconv.Atoi(workers)
		if !ok || err != nil || err2 != nil || n < 1 || w < 1 {
			return fmt.Errorf("--sizes: %q is not a size; use TESTSxWORKERS, for example 300x5", size)
		}
		l := o.load("scale-size", n, w)
		loads = append(loads, l)
		most = max(most, n*(w+1))
	}
	if err := c.startKwok(ctx, o.kwok, most); err != nil {
		return err
	}
	if err := c.restoreOperatorAtEnd(ctx); err != nil {
		return err
	}
	all := &sizesResult{}
	for _, l := range loads {
		s, err := c.operator(ctx, o.settings())
		if err != nil {
			return err
		}
		r, err := c.measure(ctx, s, l)
		if err != nil {
			// The earlier sizes are still useful.
			all.Stopped = fmt.Sprintf("%dx%d: %s", l.tests, l.workers, err)
			c.log("stopped at %s", all.Stopped)
			break
		}
		if r.good() != r.Tests {
			all.Stopped = fmt.Sprintf("%dx%d: only %d tests ran before they ended; use a longer --run-time", l.tests, l.workers, r.good())
			c.log("stopped at %s", all.Stopped)
			break
		}
		all.Runs = append(all.Runs, r)
	}
	all.Heap = fit(all.Runs, func(r *result) float64 { return r.HeapLive })
	all.Resident = fit(all.Runs, func(r *result) float64 { return float64(r.PeakMemory) })
	if err := save(filepath.Join(o.work, "sizes.json"), all); err != nil {
		return err
	}
	all.print(os.Stdout)
	if all.Stopped != "" {
		return errors.New("stopped at " + all.Stopped)
	}
	return nil
}

func (s *sizesResult) print(to io.Writer) {
	columns := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "\ntests\tworkers\tpods\tseconds\tall Jobs\tfinal status max\tlive heap\tmax resident\tCPU\trequests per test\tstatus writes, max\tgood")
	for _, r := range s.Runs {
		fmt.Fprintf(columns, "%d\t%d\t%d\t%.0f\t%.1f s\t%.2f s\t%.1f MiB\t%.1f MiB\t%.1f s\t%.1f\t%d\t%d\n", r.Tests, r.Workers, r.Tests*(r.Workers+1), r.Seconds, r.AllJobs, r.StatusDelay.Max,
			r.HeapLive/mebibyte, float64(r.PeakMemory)/mebibyte, r.CPU, float64(r.Counts.Total)/float64(r.Tests), r.Counts.MostStatusWrites, r.good())
	}
	_ = columns.Flush()
	for name, fitted := range map[string]slopes{"live heap": s.Heap, "max resident": s.Resident} {
		fmt.Fprintf(to, "%s: %.1f MiB + %.1f KiB per test + %.2f KiB per pod\n", name, fitted.Base/mebibyte, fitted.PerTest/1024, fitted.PerPod/1024)
		fmt.Fprintf(to, "  50,000 tests of 20 pods would take %.1f GiB\n", fitted.at(50_000, 1_000_000)/(1<<30))
	}
}

// fit returns the least-squares fit of the slopes. It returns zero slopes for fewer than three sizes.
func fit(runs []*result, of func(*result) float64) slopes {
	if len(runs) < 3 {
		return slopes{}
	}
	// The normal equations, with the right side as the last column.
	var m [3][4]float64
	for _, r := range runs {
		row := [3]float64{1, float64(r.Tests), float64(r.Tests * (r.Workers + 1))}
		for i := range row {
			for j := range row {
				m[i][j] += row[i] * row[j]
			}
			m[i][3] += row[i] * of(r)
		}
	}
	for i := range m {
		if m[i][i] == 0 {
			return slopes{}
		}
		for j := range m {
			if j == i {
				continue
			}
			factor := m[j][i] / m[i][i]
			for k := range m[j] {
				m[j][k] -= factor * m[i][k]
			}
		}
	}
	return slopes{m[0][3] / m[0][0], m[1][3] / m[1][1], m[2][3] / m[2][2]}
}
