package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// table compares the operator with the baseline.
type table struct {
	Baseline *result `json:"floor"`
	Operator *result `json:"operator"`
	// Alone is the operator with a single test.
	Alone *result `json:"alone"`
	// IdleBaseline and Idle are the two with a few tests that end one after the other; empty unless times are checked.
	IdleBaseline *result `json:"idleFloor"`
	Idle         *result `json:"idle"`
}

// figure is a line of the table.
type figure struct {
	name               string
	baseline, operator string
	ratio              string
	budget             string
	// missed reports that the budget was missed, count that the figure is an exact count that does not depend on the machine.
	missed, count bool
}

const mebibyte = 1 << 20

// The values of --check.
const (
	checkAll    = "all"
	checkCounts = "counts"
	checkNone   = "none"
)

// burst is the number of tests from which on the budgets of a burst apply.
const burst = 300

// figures compares the results with the budgets. Times have budgets only in relation to the baseline of the same run.
func (t *table) figures() []figure {
	o, f := t.Operator, t.Baseline
	tests := float64(o.Tests)
	seconds := func(name string, baseline, operator float64, budget string, missed bool) figure {
		ratio := ""
		if baseline > 0 {
			ratio = fmt.Sprintf("%.2f", operator/baseline)
		}
		return figure{name, fmt.Sprintf("%.2f s", baseline), fmt.Sprintf("%.2f s", operator), ratio, budget, missed, false}
	}
	milliseconds := func(name string, baseline, operator float64) figure {
		one := seconds(name, baseline, operator, "", false)
		one.baseline, one.operator = fmt.Sprintf("%.1f ms", 1000*baseline), fmt.Sprintf("%.1f ms", 1000*operator)
		return one
	}
	number := func(name string, baseline, operator float64, budget string, missed bool) figure {
		return figure{name, fmt.Sprintf("%.4g", baseline), fmt.Sprintf("%.4g", operator), "", budget, missed, true}
	}
	exceeds := func(operator, baseline, factor float64) bool { return baseline > 0 && operator > factor*baseline }
	// Without a measured baseline there is no budget, so that none is shown as met.
	times := func(factor, baseline float64) string {
		if baseline <= 0 {
			return ""
		}
		return fmt.Sprintf("≤ %g × baseline", factor)
	}
	requests, writes := float64(o.Counts.Total-o.Counts.Leases)/tests, float64(o.Counts.StatusWrites)/tests
	// One reconcile serves more changes in a burst, so that each of many tests costs less than a single one.
	maxRequests, maxWrites := 14.0, 8.0
	if o.Tests >= burst {
		maxRequests, maxWrites = 12, 5
	}
	good := o.good()
	alone := t.Alone.Counts
	return []figure{
		seconds("all tests have their Jobs", f.AllJobs, o.AllJobs, times(1.5, f.AllJobs), exceeds(o.AllJobs, f.AllJobs, 1.5)),
		seconds("test created → has its Jobs, p50", f.Jobs.P50, o.Jobs.P50, "", false),
		seconds("test created → has its Jobs, p99", f.Jobs.P99, o.Jobs.P99, "", false),
		seconds("Job finished → terminal status, p50", f.StatusDelay.P50, o.StatusDelay.P50, times(2, f.StatusDelay.P50), exceeds(o.StatusDelay.P50, f.StatusDelay.P50, 2)),
		seconds("Job finished → terminal status, p99", f.StatusDelay.P99, o.StatusDelay.P99, "", false),
		seconds("Job finished → terminal status, max", f.StatusDelay.Max, o.StatusDelay.Max, "", false),
		seconds("the same on an idle cluster, p50", t.IdleBaseline.StatusDelay.P50, t.Idle.StatusDelay.P50, times(1.5, t.IdleBaseline.StatusDelay.P50), exceeds(t.Idle.StatusDelay.P50, t.IdleBaseline.StatusDelay.P50, 1.5)),
		number("API requests per test, without Leases", float64(f.Counts.Total)/tests, requests, fmt.Sprintf("≤ %g", maxRequests), requests > maxRequests),
		// Without these lower bounds, a run that counted no requests would meet all budgets.
		number("creates of Jobs", float64(f.Counts.Requests["create jobs 201"]), float64(o.Counts.Requests["create jobs 201"]), "2 per test", o.Counts.Requests["create jobs 201"] != 2*o.Tests || alone.Requests["create jobs 201"] != 2),
		number("creates of Services", float64(f.Counts.Requests["create services 201"]), float64(o.Counts.Requests["create services 201"]), "1 per test", o.Counts.Requests["create services 201"] != o.Tests || alone.Requests["create services 201"] != 1),
		number("creates of LocustReports", 0, float64(o.Counts.Requests["create locustreports 201"]), "1 per test", o.Counts.Requests["create locustreports 201"] != o.Tests || alone.Requests["create locustreports 201"] != 1),
		number("status writes", float64(f.Counts.StatusWrites), float64(o.Counts.StatusWrites), "≥ 3 per test", o.Counts.StatusWrites < 3*o.Tests || alone.StatusWrites < 3),
		number("status writes per test", float64(f.Counts.StatusWrites)/tests, writes, fmt.Sprintf("≤ %g", maxWrites), writes > maxWrites),
		number("status writes of one test, max", float64(f.Counts.MostStatusWrites), float64(o.Counts.MostStatusWrites), "≤ 8", o.Counts.MostStatusWrites > 8),
		number("status writes that changed nothing", float64(f.Counts.NoOpWrites), float64(o.Counts.NoOpWrites), "0", o.Counts.NoOpWrites > 0),
		number("writes refused as stale", float64(f.Counts.Conflicts), float64(o.Counts.Conflicts), "", false),
		number("refused creates", float64(f.Counts.RefusedCreates), float64(o.Counts.RefusedCreates), "0", o.Counts.RefusedCreates > 0),
		number("writes of the LocustTest itself", float64(f.Counts.MainWrites), float64(o.Counts.MainWrites), "0", o.Counts.MainWrites > 0),
		number("tests with exactly the 3 phases", float64(f.good()), float64(good), "all", good != o.Tests),
		number("tests that reported all workers", float64(f.Connected), float64(o.Connected), "all", o.Connected != o.Tests),
		number("requests of a single good run, without Leases", 0, float64(alone.Total-alone.Leases), "≤ 13", alone.Total-alone.Leases > 13),
		number("reconciles per test", 0, o.Reconciles/tests, "", false),
		seconds("processor time", f.CPU, o.CPU, "", false),
		{"max resident memory", fmt.Sprintf("%.1f MiB", float64(f.PeakMemory)/mebibyte), fmt.Sprintf("%.1f MiB", float64(o.PeakMemory)/mebibyte), "", "≤ 62 MiB", float64(o.PeakMemory)/mebibyte > 62, false},
		{"live heap", "", fmt.Sprintf("%.1f MiB", o.HeapLive/mebibyte), "", "", false, false},
		seconds("API server's processor time", f.APIServerCPU, o.APIServerCPU, "", false),
		milliseconds("API server: mean request, while the tests start", f.Starting.Request, o.Starting.Request),
		milliseconds("API server: mean wait in its queues, while the tests start", f.Starting.Wait, o.Starting.Wait),
		milliseconds("API server: mean request, whole run", f.Serving.Request, o.Serving.Request),
		{"API server: rejected requests", fmt.Sprint(f.Serving.Rejected), fmt.Sprint(o.Serving.Rejected), "", "", false, false},
		{"machine busy while the tests start", fmt.Sprintf("%.0f %%", 100*f.BusyStart), fmt.Sprintf("%.0f %%", 100*o.BusyStart), "", "", false, false},
		{"machine busy, whole run", fmt.Sprintf("%.0f %%", 100*f.Busy), fmt.Sprintf("%.0f %%", 100*o.Busy), "", "", false, false},
	}
}

// print writes the table, and returns an error if a checked budget was missed.
func (t *table) print(to io.Writer, check string) error {
	var missed []string
	columns := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(columns, "\n%d tests × %d workers\tfloor\toperator\tratio\tbudget\t\n", t.Operator.Tests, t.Operator.Workers)
	for _, f := range t.figures() {
		outcome := ""
		checked := check == checkAll || (check == checkCounts && f.count)
		switch {
		case f.budget != "" && f.missed:
			outcome = "missed"
			if checked {
				missed = append(missed, f.name)
			} else {
				outcome += " (not checked)"
			}
		case f.budget != "":
			outcome = "met"
		}
		fmt.Fprintf(columns, "%s\t%s\t%s\t%s\t%s\t%s\n", f.name, f.baseline, f.operator, f.ratio, f.budget, outcome)
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	for _, r := range []*result{t.Baseline, t.Operator, t.Alone} {
		if r.Tests == 0 {
			continue // not measured
		}
		fmt.Fprintf(to, "\nrequests of the %s, %d tests:\n", r.Target, r.Tests)
		for _, kind := range slices.Sorted(maps.Keys(r.Counts.Requests)) {
			fmt.Fprintf(to, "  %6d  %s\n", r.Counts.Requests[kind], kind)
		}
	}
	if len(t.Operator.Phases) != 1 {
		fmt.Fprintf(to, "\nphases: %v\n", t.Operator.Phases)
	}
	if t.Baseline.good() != t.Baseline.Tests && check != checkNone {
		return fmt.Errorf("the run was too short: %d of %d tests of the baseline ran before they ended; use a longer --run-time", t.Baseline.good(), t.Baseline.Tests)
	}
	if ended := t.Operator.Phases[neverRan]; ended > 0 && check != checkNone {
		missed = append(missed, fmt.Sprintf("%d tests were never Running: not all their pods ran before the end; use a longer --run-time", ended))
	}
	if len(missed) > 0 {
		return errors.New("budgets missed: " + strings.Join(missed, "; "))
	}
	return nil
}
