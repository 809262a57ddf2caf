package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// criteria are the success criteria of the run; nil when it has none.
func (o *Observation) criteria() *v2.SuccessCriteria {
	if o.Run != nil {
		return o.Run.Spec.SuccessCriteria
	}
	return o.Test.Spec.SuccessCriteria
}

// violated tells which criteria do not hold on a result: criterion, limit and measured value. Empty when all hold.
func violated(c *v2.SuccessCriteria, r *v2.TestResult) string {
	if r == nil || !r.Final {
		return "the success criteria cannot be checked: there is no final result (the master left none, and its web API did not tell that the load had stopped)"
	}
	var broken []string
	breach := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }

	if limit, given := decimal(c.MaxFailureRatio); given && r.TotalRequests > 0 && float64(r.FailedRequests)/float64(r.TotalRequests) > limit {
		breach("maxFailureRatio is %s, measured %s (%d of %d requests failed)", c.MaxFailureRatio, r.FailureRatio, r.FailedRequests, r.TotalRequests)
	}
	slow := func(name string, limit, measured *metav1.Duration) {
		switch {
		case limit == nil:
		case measured == nil && r.TotalRequests == 0:
			breach("%s is %s, measured nothing (no request was made)", name, limit.Duration)
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
		if measured, _ := decimal(r.RequestsPerSecond); measured < limit {
			breach("minRequestsPerSecond is %s, measured %s", c.MinRequestsPerSecond, r.RequestsPerSecond)
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

// decimal reads a decimal number that the schema has checked.
func decimal(text string) (value float64, given bool) {
	value, err := strconv.ParseFloat(text, 64)
	return value, text != "" && err == nil
}

// hopeless tells why a running test cannot keep its criteria any more and is to be aborted; empty when it can, or is
// not to be.
func hopeless(prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) string {
	c := obs.criteria()
	r := obs.Locust.fresh(settings, now)
	if c == nil || !c.AbortOnViolation || r == nil || !r.State.Loading() || r.Requests == 0 {
		return ""
	}
	elapsed := obs.Locust.At.Sub(loadStart(prev, obs).Time)
	limit, given := decimal(c.MaxFailureRatio)
	if !given || elapsed < abortGrace(c) || float64(r.Failures)/expectedRequests(obs, r, elapsed) <= limit {
		return ""
	}
	return fmt.Sprintf("aborted after %s, because the success criteria can no longer be met: maxFailureRatio is %s, measured %s (%d of %d requests failed)",
		elapsed.Truncate(time.Second), c.MaxFailureRatio, ratio(r.Failures, r.Requests), r.Failures, r.Requests)
}

func abortGrace(c *v2.SuccessCriteria) time.Duration {
	if c.AbortGracePeriod == nil {
		return resources.DefaultAbortGrace
	}
	return c.AbortGracePeriod.Duration
}

// expectedRequests is how many requests the whole run would make if it went on as before; those so far when it is not
// known how long it is to run.
func expectedRequests(obs *Observation, r *report.Report, elapsed time.Duration) float64 {
	runTime := loadOf(obs, r).RunTime
	if runTime == nil || elapsed <= 0 || *runTime <= elapsed {
		return float64(r.Requests)
	}
	return float64(r.Requests) * runTime.Seconds() / elapsed.Seconds()
}

// failedRequestsOnly tells whether the master ended in failure for nothing but failed requests: Locust then exits with
// the code of --exit-code-on-error (locust/main.py, shutdown).
func failedRequestsOnly(obs *Observation, r *v2.TestResult) bool {
	end := masterEnd(obs)
	if end == nil || r == nil || !r.Final || r.FailedRequests == 0 || obs.Run == nil {
		return false
	}
	for _, pod := range obs.podsOf(obs.MasterJob) {
		if pod.DeletionTimestamp != nil || wasDisrupted(pod) {
			return false
		}
	}
	if report.IsFinal(end.Message) {
		if final := finalReport(obs); final == nil || final.CustomExit || !final.Complete {
			return false
		}
	}
	return end.ExitCode == resources.ExitCodeOnError(&obs.Run.Spec)
}
