package terminal

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Clock formats a duration in whole seconds, as 0:07 or 1:02:03.
func Clock(d time.Duration) string {
	s := int(max(d, 0).Seconds())
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

// share returns part of whole, between 0 and 1.
func share(part, whole float64) float64 {
	if whole <= 0 {
		return 0
	}
	return min(max(part/whole, 0), 1)
}

// bar draws a share in a number of columns.
func bar(share float64, columns int) string {
	full := int(min(max(share, 0), 1)*float64(columns) + 0.5)
	return strings.Repeat("█", full) + strings.Repeat("░", columns-full)
}

func phaseOf(s *v2.LocustTestStatus) string {
	if s.Phase == "" {
		return "not known yet"
	}
	return s.Phase
}

func usersOf(s *v2.LocustTestStatus) string {
	switch p := s.Progress; {
	case p == nil:
		return "not known yet"
	case p.TargetUsers == nil:
		return strconv.Itoa(int(p.CurrentUsers))
	default:
		return fmt.Sprintf("%d/%d", p.CurrentUsers, *p.TargetUsers)
	}
}

// requestsOf returns the number of requests, their rate, and the number and the share of failures.
func requestsOf(r *v2.TestResult) string {
	if r == nil {
		return "none yet"
	}
	text := fmt.Sprintf("%d, %s/s, %d failed", r.TotalRequests, Safe(r.RequestsPerSecond), r.FailedRequests)
	if r.FailedRequests > 0 && r.TotalRequests > 0 {
		text += " (" + percent(share(float64(r.FailedRequests), float64(r.TotalRequests))) + ")"
	}
	return text
}

func percent(share float64) string {
	if share < 0.001 {
		return "< 0.1 %"
	}
	return strings.TrimSuffix(strconv.FormatFloat(100*share, 'f', 1, 64), ".0") + " %"
}

// responsesOf returns the known response times.
func responsesOf(r *v2.TestResult) string {
	if r == nil || r.AverageResponseTime == nil {
		return "none yet"
	}
	parts := []string{"average " + r.AverageResponseTime.Round(10*time.Microsecond).String()}
	for _, percentile := range []struct {
		name string
		time *metav1.Duration
	}{{"p50", r.P50}, {"p90", r.P90}, {"p95", r.P95}, {"p99", r.P99}} {
		if percentile.time != nil {
			parts = append(parts, percentile.name+" "+percentile.time.Duration.String())
		}
	}
	return strings.Join(parts, ", ")
}

// request returns method and name of an endpoint.
func request(method, name string) string { return Safe(method + " " + name) }

func errorLine(e *v2.ErrorResult) string {
	text := strconv.FormatInt(e.Occurrences, 10) + " × "
	if where := request(e.Method, e.Name); where != "" {
		text += where + ": "
	}
	return text + Safe(e.Error)
}
