package output

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// unknown stands for a figure that a report does not have.
const unknown = "-"

// endpointName returns the method and the name of an endpoint in one line.
func endpointName(method, name string) string { return terminal.Safe(method + " " + name) }

// testName returns the namespace and the name of the reported test.
func testName(r *v1alpha1.LocustReport) string { return terminal.Safe(r.Namespace + "/" + r.Test.Name) }

// cause returns the first line of the outcome's message, and the other ones.
func cause(r *v1alpha1.LocustReport) (first, details string) {
	first, details, _ = strings.Cut(r.Outcome.Message, "\n")
	return terminal.Safe(first), strings.Trim(terminal.SafeLines(details), "\n")
}

// delivery describes the condition LoadDelivered in one line.
func delivery(r *v1alpha1.LocustReport) string {
	d := r.Outcome.LoadDelivered
	if d == nil {
		return "not known"
	}
	word := map[metav1.ConditionStatus]string{metav1.ConditionTrue: "delivered", metav1.ConditionFalse: "not delivered"}[d.Status]
	if word == "" {
		word = "not known"
	}
	text := word + ", " + d.Reason
	if d.Status != metav1.ConditionTrue && d.Message != "" {
		text += ": " + d.Message
	}
	return terminal.Safe(text)
}

// period describes when the run was, and how long it took.
func period(r *v1alpha1.LocustReport) string {
	start, end := r.Run.StartTime, r.Run.EndTime
	if start == nil {
		return "did not start; ended " + end.UTC().Format(time.RFC3339)
	}
	return fmt.Sprintf("%s, took %s", start.UTC().Format(time.RFC3339), max(0, end.Sub(start.Time)).Round(time.Second))
}

// took returns how long the run took in seconds; 0 if it did not start.
func took(r *v1alpha1.LocustReport) float64 {
	if r.Run.StartTime == nil {
		return 0
	}
	return max(0, r.Run.EndTime.Sub(r.Run.StartTime.Time).Seconds())
}

// software describes what ran.
func software(r *v1alpha1.LocustReport) string {
	var parts []string
	if r.Run.LocustVersion != "" {
		parts = append(parts, "Locust "+r.Run.LocustVersion)
	}
	if r.Run.Image != "" {
		parts = append(parts, "image "+r.Run.Image)
	}
	if len(parts) == 0 {
		return unknown
	}
	return terminal.Safe(strings.Join(parts, ", "))
}

// host returns the target.
func host(r *v1alpha1.LocustReport) string {
	if r.Run.Host == "" {
		return unknown
	}
	return terminal.Safe(r.Run.Host)
}

// size describes the users and workers of the run.
func size(r *v1alpha1.LocustReport) string {
	users := "users not known in advance"
	if r.Run.Users != nil {
		users = fmt.Sprintf("%d users", *r.Run.Users)
	}
	return fmt.Sprintf("%s, %d of %d workers connected", users, r.Run.ConnectedWorkers, r.Run.ExpectedWorkers)
}

// counts describes the requests of all endpoints.
func counts(s *v1alpha1.Summary) string {
	if s == nil {
		return "none reported"
	}
	text := fmt.Sprintf("%d, %d failed (%s)", s.TotalRequests, s.FailedRequests, percent(s.FailedRequests, s.TotalRequests))
	if s.RequestsPerSecond != "" {
		text += ", " + terminal.Safe(s.RequestsPerSecond) + "/s"
	}
	return text
}

// precision describes whether the result is exact.
func precision(s *v1alpha1.Summary) string {
	switch {
	case s == nil:
		return ""
	case !s.Final:
		return "not final: the last figures that were seen before Locust ended"
	case s.Source == v2.ResultSourceWebAPI:
		return "final, from Locust's web API"
	}
	return "final, from the reporter"
}

// percent returns the share of a part in a whole.
func percent(part, whole int64) string {
	if whole <= 0 {
		return "0 %"
	}
	return strconv.FormatFloat(math.Round(float64(part)*1e4/float64(whole))/1e2, 'f', -1, 64) + " %"
}

// responseTime is one of the response times of an endpoint.
type responseTime struct {
	// name is that of people, property that of programs.
	name, property string
	value          *metav1.Duration
}

// responseTimes returns the response times in their usual order.
func responseTimes(s *v1alpha1.Statistics) []responseTime {
	return []responseTime{
		{"average", "averageResponseTime", s.AverageResponseTime},
		{"min", "min", s.Min}, {"p50", "p50", s.P50}, {"p90", "p90", s.P90}, {"p95", "p95", s.P95},
		{"p99", "p99", s.P99}, {"p99.9", "p999", s.P999}, {"max", "max", s.Max},
	}
}

// responses describes the known response times in one line.
func responses(s *v1alpha1.Statistics) string {
	var parts []string
	for _, t := range responseTimes(s) {
		if t.value != nil {
			parts = append(parts, t.name+" "+short(t.value))
		}
	}
	if len(parts) == 0 {
		return "none reported"
	}
	return strings.Join(parts, ", ")
}

// short returns a duration with the digits that matter to people; unknown for nil.
func short(d *metav1.Duration) string {
	switch {
	case d == nil:
		return unknown
	case d.Duration < time.Second:
		return d.Round(10 * time.Microsecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// orUnknown returns a text in one line; unknown if it is empty.
func orUnknown(text string) string {
	if text = terminal.Safe(text); text != "" {
		return text
	}
	return unknown
}

// missing describes an entry of truncated.
func missing(t *v1alpha1.Truncation) (kept, why string) {
	kept = strconv.Itoa(int(t.Kept))
	if t.Total != nil {
		kept += fmt.Sprintf(" of %d", *t.Total)
	}
	return kept, terminal.Safe(t.Message)
}

// memory returns a number of bytes in MiB; unknown for 0.
func memory(bytes int64) string {
	if bytes <= 0 {
		return unknown
	}
	return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20))
}
