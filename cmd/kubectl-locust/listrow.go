package main

import (
	"strconv"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/duration"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// The resources of a run.
const (
	kindTest   = "locusttest"
	kindReport = "locustreport"
)

// run is one run of a test: a test, or the report of one that has been deleted.
type run struct {
	// kind is kindTest or kindReport, and name that of the object.
	kind, namespace, name string
	test, phase           string
	// started is the start of the run; the creation of the test before it has started.
	started time.Time
	// ran is how long it has been running; nil before its start, ended is false while it runs.
	ran   *time.Duration
	ended bool
	// The other columns as text; empty if not known.
	workers, users, requests, failures, p95, rate, report, load, image string
	// object is the object itself, if the format needs it.
	object client.Object
}

// testRun describes a test.
func testRun(test *v2.LocustTest) *run {
	s := &test.Status
	r := &run{
		kind: kindTest, namespace: test.Namespace, name: test.Name, test: test.Name, phase: s.Phase, started: test.CreationTimestamp.Time,
		workers: s.Workers, report: s.Report, image: test.Spec.Image, ended: s.IsTerminal(),
	}
	if s.StartTime != nil {
		r.started = s.StartTime.Time
		if s.CompletionTime != nil {
			r.ran = new(s.CompletionTime.Sub(r.started))
		}
	}
	if p := s.Progress; p != nil {
		r.users = strconv.Itoa(int(p.CurrentUsers))
		if r.ended && p.TargetUsers != nil {
			r.users = strconv.Itoa(int(*p.TargetUsers))
		}
	}
	if result := s.TestResult; result != nil {
		r.setResult(result.TotalRequests, result.FailedRequests, result.P95, result.RequestsPerSecond)
	}
	if c := meta.FindStatusCondition(s.Conditions, v2.ConditionTypeLoadDelivered); c != nil {
		r.load = c.Reason
	}
	return r
}

// reportRun describes a report.
func reportRun(report *v1alpha1.LocustReport) *run {
	r := &run{
		kind: kindReport, namespace: report.Namespace, name: report.Name, test: report.Test.Name, phase: report.Outcome.Phase,
		started: report.Run.EndTime.Time, ended: true, report: report.Name, image: report.Run.Image,
		workers: strconv.Itoa(int(report.Run.ConnectedWorkers)) + "/" + strconv.Itoa(int(report.Run.ExpectedWorkers)),
	}
	if start := report.Run.StartTime; start != nil {
		r.ran, r.started = new(report.Run.EndTime.Sub(start.Time)), start.Time
	}
	if report.Run.Users != nil {
		r.users = strconv.Itoa(int(*report.Run.Users))
	}
	if s := report.Summary; s != nil {
		r.setResult(s.TotalRequests, s.FailedRequests, s.P95, s.RequestsPerSecond)
	}
	if d := report.Outcome.LoadDelivered; d != nil {
		r.load = d.Reason
	}
	return r
}

func (r *run) setResult(requests, failures int64, p95 *metav1.Duration, rate string) {
	r.requests, r.failures, r.rate = strconv.FormatInt(requests, 10), strconv.FormatInt(failures, 10), rate
	if p95 != nil {
		r.p95 = p95.Duration.String()
	}
}

func (r *run) groupVersionKind() schema.GroupVersionKind {
	if r.kind == kindTest {
		return v2.GroupVersion.WithKind("LocustTest")
	}
	return v1alpha1.GroupVersion.WithKind("LocustReport")
}

// duration returns how long the run took, or has been running.
func (r *run) duration(now time.Time) string {
	switch {
	case r.ran != nil:
		return duration.HumanDuration(*r.ran)
	case r.phase == v2.PhaseRunning:
		return duration.HumanDuration(now.Sub(r.started))
	}
	return ""
}

// rows returns the header and a row for each run.
func (l *listing) rows(now time.Time) [][]string {
	header := []string{"NAME", "PHASE", "AGE", "DURATION", "WORKERS", "USERS", "REQUESTS", "FAILURES", "P95", "RPS", "REPORT"}
	wide, all := l.options.format == listWide, l.options.namespace == ""
	if wide {
		header = append(header, "LOAD", "KEPT AS", "IMAGE")
	}
	if all {
		header = append([]string{"NAMESPACE"}, header...)
	}
	rows := [][]string{header}
	for _, r := range l.runs {
		row := []string{
			r.test, r.phase, duration.HumanDuration(now.Sub(r.started)), r.duration(now), r.workers, r.users, r.requests, r.failures, r.p95, r.rate, r.report,
		}
		if wide {
			row = append(row, r.load, r.kind, r.image)
		}
		if all {
			row = append([]string{r.namespace}, row...)
		}
		for i, cell := range row {
			if row[i] = terminal.Safe(cell); row[i] == "" {
				row[i] = "-"
			}
		}
		rows = append(rows, row)
	}
	return rows
}
