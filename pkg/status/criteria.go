package status

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

const (
	// ratioDigits and rateDigits are the numbers of decimals in the status.
	ratioDigits = 6
	rateDigits  = 2
	// maxRoundingError bounds how much less a rate in the status may be than the measured one.
	maxRoundingError = 0.005
)

// criteria returns the success criteria of the run; nil if it has none.
func (o *Observation) criteria() *v2.SuccessCriteria {
	if o.Run != nil {
		return o.Run.Spec.SuccessCriteria
	}
	return o.Test.Spec.SuccessCriteria
}

// criteriaViolated returns which criteria the run does not meet, or why they cannot be checked; empty if it meets all.
func (f *facts) criteriaViolated() string {
	c := f.criteria()
	if c == nil {
		return ""
	}
	r := f.result
	if r == nil || !r.Final {
		return "the success criteria cannot be checked: there is no final result (" + f.withoutFinalReport() + ", and the master's web API did not report that the load had stopped)"
	}
	return violations(c, r, f.stats)
}

// violations returns the criteria that a result does not meet, each with its limit and the measured value; empty if it meets all.
// Stats are the unrounded statistics of the result; nil if they are not known.
func violations(c *v2.SuccessCriteria, r *v2.TestResult, stats *report.Stats) string {
	var broken []string
	breach := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }

	if limit, given := decimal(c.MaxFailureRatio); given && r.TotalRequests > 0 {
		if measured := float64(r.FailedRequests) / float64(r.TotalRequests); measured > limit {
			breach("maxFailureRatio is %s, measured %s (%d of %d requests failed)", c.MaxFailureRatio, exactRatio(r.FailedRequests, r.TotalRequests, limit), r.FailedRequests, r.TotalRequests)
		}
	}
	slow := func(name string, limit, measured *metav1.Duration) {
		switch {
		case limit == nil:
		case measured == nil && r.TotalRequests == 0:
			breach("%s is %s, not measured (no request was made)", name, limit.Duration)
		case measured == nil:
			breach("%s is %s, not measured", name, limit.Duration)
		case measured.Duration > limit.Duration:
			breach("%s is %s, measured %s", name, limit.Duration, measured.Duration)
		}
	}
	slow("maxAverageResponseTime", c.MaxAverageResponseTime, r.AverageResponseTime)
	if limits := c.MaxResponseTime; limits != nil {
		slow("maxResponseTime.p50", limits.P50, r.P50)
		slow("maxResponseTime.p90", limits.P90, r.P90)
		slow("maxResponseTime.p95", limits.P95, r.P95)
		slow("maxResponseTime.p99", limits.P99, r.P99)
	}
	if limit, given := decimal(c.MinRequestsPerSecond); given {
		if measured, ok := requestsPerSecond(r, stats, limit); !ok {
			breach("minRequestsPerSecond is %s, measured %s", c.MinRequestsPerSecond, measured)
		}
	}
	if limit := c.MinTotalRequests; limit != nil && r.TotalRequests < *limit {
		breach("minTotalRequests is %d, measured %d", *limit, r.TotalRequests)
	}
	if len(broken) == 0 {
		return ""
	}
	return "success criteria not met: " + strings.Join(broken, "; ")
}

// requestsPerSecond returns the measured rate, and whether it reaches the limit. Without stats the rate is the rounded one of
// the status; a difference that rounding explains does not fail the run.
func requestsPerSecond(r *v2.TestResult, stats *report.Stats, limit float64) (measured string, ok bool) {
	if stats != nil {
		return exact(stats.RequestsPerSecond, limit, rateDigits), stats.RequestsPerSecond >= limit
	}
	rounded, _ := decimal(r.RequestsPerSecond)
	if r.TotalRequests > 0 {
		rounded += maxRoundingError
	}
	return r.RequestsPerSecond, rounded >= limit
}

// exact formats a measured number with the given number of decimals, or with as many more as show on which side of the limit
// it is.
func exact(measured, limit float64, digits int) string {
	for ; ; digits++ {
		text := strconv.FormatFloat(measured, 'f', digits, 64)
		shown, err := strconv.ParseFloat(text, 64)
		if err != nil || shown == measured || cmp.Compare(shown, limit) == cmp.Compare(measured, limit) {
			return text
		}
	}
}

// exactRatio is like ratio, with the decimals that show on which side of the limit it is.
func exactRatio(part, whole int64, limit float64) string {
	return trimZeros(exact(float64(part)/float64(whole), limit, ratioDigits))
}

// decimal parses a decimal number that the schema has validated.
func decimal(text string) (value float64, given bool) {
	value, err := strconv.ParseFloat(text, 64)
	return value, text != "" && err == nil
}

// criteriaUnreachable returns why a running test can no longer meet its criteria and is aborted; empty if it can, or must not
// be aborted.
func (f *facts) criteriaUnreachable() string {
	c := f.criteria()
	r := f.report
	if c == nil || !c.AbortOnViolation || r == nil || !r.State.Loading() || r.Requests == 0 {
		return ""
	}
	elapsed := f.Locust.At.Sub(f.loadStart().Time)
	limit, given := decimal(c.MaxFailureRatio)
	if !given || elapsed < abortGracePeriod(c) || float64(r.Failures)/f.expectedRequests(r, elapsed) <= limit {
		return ""
	}
	return fmt.Sprintf("aborted after %s, because the success criteria can no longer be met: maxFailureRatio is %s, measured %s (%d of %d requests failed)",
		elapsed.Truncate(time.Second), c.MaxFailureRatio, exactRatio(r.Failures, r.Requests, limit), r.Failures, r.Requests)
}

func abortGracePeriod(c *v2.SuccessCriteria) time.Duration {
	if c.AbortGracePeriod == nil {
		return v2.DefaultAbortGracePeriod
	}
	return c.AbortGracePeriod.Duration
}

// expectedRequests extrapolates the number of requests to the whole run; without a known run time it returns the requests so far.
func (f *facts) expectedRequests(r *report.Report, elapsed time.Duration) float64 {
	runTime := f.targetLoad(r).RunTime
	if runTime == nil || elapsed <= 0 || *runTime <= elapsed {
		return float64(r.Requests)
	}
	return float64(r.Requests) * runTime.Seconds() / elapsed.Seconds()
}

// failedRequestsOnly reports whether the master failed only because of failed requests: Locust then exits with the code of
// --exit-code-on-error (locust/main.py, shutdown).
func (f *facts) failedRequestsOnly() bool {
	end, r := f.masterEnd(), f.result
	if end == nil || r == nil || !r.Final || r.FailedRequests == 0 || f.Run == nil {
		return false
	}
	for _, pod := range f.masters {
		if pod.DeletionTimestamp != nil && pod != f.stoppedMaster() || wasDisrupted(pod) {
			return false
		}
	}
	if report.IsFinal(end.Message) {
		if f.final == nil || f.final.CustomExit || !f.final.Complete {
			return false
		}
	}
	return end.ExitCode == f.Run.Locust.ExitCodeOnError
}
