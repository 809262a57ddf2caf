package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// line returns a line of the audit log.
func line(verb, resource, subresource string, code int, version string) string {
	return fmt.Sprintf(`{"auditID":"x","stage":"ResponseComplete","verb":%q,"user":{"username":"me"},"objectRef":{"resource":%q,"subresource":%q,"namespace":"n","name":"a"},`+
		`"responseStatus":{"code":%d},"responseObject":{"metadata":{"uid":"u","resourceVersion":%q}}}`+"\n", verb, resource, subresource, code, version)
}

// TestAuditLog checks that each request is counted once, also across a rotation of the file.
func TestAuditLog(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("LOCUST_OPERATOR_CACHE", cache)
	logs := filepath.Join(cache, "cluster", "logs")
	require.NoError(t, os.MkdirAll(logs, 0o755))
	path := filepath.Join(logs, "audit.log")
	require.NoError(t, os.WriteFile(path, []byte(line("create", "jobs", "", 201, "1")), 0o600))
	log, err := openAuditLog()
	require.NoError(t, err)
	defer log.close()
	write := func(text string) {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
		require.NoError(t, err)
		_, err = file.WriteString(text)
		require.NoError(t, err)
		require.NoError(t, file.Close())
	}
	c := newCounts()
	read := func() { require.NoError(t, log.read(byUser("me"), c.add)) }

	write(line("patch", "locusttests", "status", 200, "2") + line("patch", "locusttests", "status", 200, "2"))
	half := line("create", "services", "", 409, "")
	write(half[:40])
	read()
	assert.Equal(t, 2, c.StatusWrites)
	assert.Equal(t, 1, c.NoOpWrites, "the second write changed nothing")
	write(half[40:] + line("update", "leases", "", 200, ""))
	read()
	write(line("patch", "locusttests", "status", 409, "")) // not read before the rotation
	require.NoError(t, os.Rename(path, path+".1"))
	write(line("update", "locusttests", "", 200, "3") + line("patch", "locusttests", "status", 200, "4"))
	read()
	assert.Equal(t, 7, c.Total, "earlier lines do not count: %v", c.Requests)
	assert.Equal(t, []int{1, 1, 1, 1, 3, 3}, []int{c.Leases, c.RefusedCreates, c.Conflicts, c.MainWrites, c.StatusWrites, c.MostStatusWrites})
}

func TestTimelines(t *testing.T) {
	s := &timelines{byName: map[string]*timeline{}}
	s.recordCreate("a")
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Name: "a"}}
	job := func(role resources.Role, conditions ...batchv1.JobCondition) *batchv1.Job {
		return &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{resources.LabelTestName: "a", resources.LabelComponent: string(role)}}, Status: batchv1.JobStatus{Conditions: conditions}}
	}
	for _, phase := range []string{"", v2.PhasePending, v2.PhasePending, v2.PhaseRunning, v2.PhasePending, v2.PhaseRunning} {
		test.Status.Phase = phase
		s.recordTest(test)
	}
	s.recordJob(job(resources.RoleMaster))
	withJobs, _, _ := s.numbers()
	assert.Zero(t, withJobs, "the test has one of two Jobs")
	s.recordJob(job(resources.RoleWorker))
	s.recordJob(job(resources.RoleMaster, batchv1.JobCondition{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}))
	test.Status.Phase = v2.PhaseSucceeded
	test.Status.Conditions = []metav1.Condition{{Type: v2.ConditionTypeWorkersConnected, Status: metav1.ConditionTrue}}
	s.recordTest(test)
	s.recordTest(test)
	r := &result{Phases: map[string]int{}}
	r.summarize(s, time.Now().Add(-time.Second)) // the first creation
	assert.Equal(t, map[string]int{"Pending → Running → Pending → Running → Succeeded": 1}, r.Phases, "a flapping phase is recorded")
	assert.Equal(t, 1, r.Connected)
	assert.Less(t, r.StatusDelay.Max, 0.5)
	assert.Greater(t, r.AllJobs, 0.9)
	withJobs, _, finals := s.numbers()
	assert.Equal(t, []int{1, 1}, []int{withJobs, finals})
}

// good returns a result within all budgets.
func good(tests int) *result {
	c := newCounts()
	c.Total, c.Leases, c.StatusWrites, c.MostStatusWrites = 10*tests, 2, 4*tests, 5
	c.Requests["create jobs 201"], c.Requests["create services 201"], c.Requests["create locustreports 201"] = 2*tests, tests, tests
	return &result{Target: "operator", Tests: tests, Workers: 5, AllJobs: 5, StatusDelay: latency{0.1, 0.2, 0.3}, Phases: map[string]int{"Pending → Running → Succeeded": tests},
		Connected: tests, Counts: c, CPU: 9, PeakMemory: 60 << 20}
}

// TestBudgets checks that each budget can be missed, and that budgets of times are ignored if only counts are checked.
func TestBudgets(t *testing.T) {
	for name, row := range map[string]struct {
		spoil  func(t *table)
		counts bool
	}{
		"all met":                       {func(*table) {}, false},
		"jobs slower than the baseline": {func(t *table) { t.Operator.AllJobs = 8 }, false},
		"late status":                   {func(t *table) { t.Operator.StatusDelay.P50 = 0.21 }, false},
		"late status, idle":             {func(t *table) { t.Idle.StatusDelay.P50 = 0.16 }, false},
		"memory":                        {func(t *table) { t.Operator.PeakMemory = 63 << 20 }, false},
		"requests":                      {func(t *table) { t.Operator.Counts.Total = 13 * 300 }, true},
		"status writes":                 {func(t *table) { t.Operator.Counts.StatusWrites = 6 * 300 }, true},
		"status writes of one":          {func(t *table) { t.Operator.Counts.MostStatusWrites = 9 }, true},
		"no-ops":                        {func(t *table) { t.Operator.Counts.NoOpWrites = 1 }, true},
		"refused creates":               {func(t *table) { t.Operator.Counts.RefusedCreates = 1 }, true},
		"main object":                   {func(t *table) { t.Operator.Counts.MainWrites = 1 }, true},
		"phases":                        {func(t *table) { t.Operator.Phases["Pending → Running → Succeeded"]-- }, true},
		"ended before they ran":         {func(t *table) { t.Operator.Phases[neverRan]++ }, true},
		"workers":                       {func(t *table) { t.Operator.Connected-- }, true},
		"nothing observed":              {func(t *table) { t.Operator.Counts = newCounts() }, true},
		"Jobs created twice":            {func(t *table) { t.Operator.Counts.Requests["create jobs 201"]++ }, true},
		"a report written twice":        {func(t *table) { t.Operator.Counts.Requests["create locustreports 201"]++ }, true},
		"the run was too short":         {func(t *table) { t.Baseline.Phases["Pending → Running → Succeeded"]-- }, true},
		"one alone":                     {func(t *table) { t.Alone.Counts.Total = 16 }, true},
	} {
		t.Run(name, func(t *testing.T) {
			results := &table{Baseline: good(300), Operator: good(300), Alone: good(1), IdleBaseline: good(9), Idle: good(9)}
			row.spoil(results)
			var out bytes.Buffer
			all, counts := results.print(&out, "all"), results.print(&out, "counts")
			assert.Equal(t, name == "all met", all == nil, out.String())
			assert.Equal(t, row.counts, counts != nil, out.String())
			assert.NoError(t, results.print(&out, "none"))
		})
	}
}

// TestBudgets_WithoutBaseline: a budget that was not measured is not shown as met.
func TestBudgets_WithoutBaseline(t *testing.T) {
	results := &table{Baseline: &result{Counts: newCounts()}, Operator: good(300), Alone: good(1), IdleBaseline: &result{}, Idle: &result{}}
	var out bytes.Buffer
	require.NoError(t, results.print(&out, checkCounts))
	assert.NotContains(t, out.String(), "× baseline")
}

func TestSaturation(t *testing.T) {
	read := func(text string) served {
		m, err := decode(strings.NewReader(text), "the API server's")
		require.NoError(t, err)
		return servedBy(m)
	}
	text := func(requests, watches, waits, rejected int) string {
		return fmt.Sprintf(`# TYPE apiserver_request_duration_seconds histogram
apiserver_request_duration_seconds_bucket{verb="POST",le="+Inf"} %[1]d
apiserver_request_duration_seconds_sum{verb="POST"} %[1]d
apiserver_request_duration_seconds_count{verb="POST"} %[1]d
apiserver_request_duration_seconds_bucket{verb="WATCH",le="+Inf"} %[2]d
apiserver_request_duration_seconds_sum{verb="WATCH"} 1000
apiserver_request_duration_seconds_count{verb="WATCH"} %[2]d
# TYPE apiserver_flowcontrol_request_wait_duration_seconds histogram
apiserver_flowcontrol_request_wait_duration_seconds_bucket{execute="true",le="+Inf"} %[3]d
apiserver_flowcontrol_request_wait_duration_seconds_sum{execute="true"} 0.5
apiserver_flowcontrol_request_wait_duration_seconds_count{execute="true"} %[3]d
# TYPE apiserver_flowcontrol_rejected_requests_total counter
apiserver_flowcontrol_rejected_requests_total{reason="timeout"} %[4]d
`, requests, watches, waits, rejected)
	}
	before, after := read(text(10, 1, 5, 1)), read(text(14, 9, 5, 3))
	assert.Equal(t, saturation{Request: 1, Wait: 0, Rejected: 2}, after.since(before), "watches are left out, and no request waited in between")
	assert.InDelta(t, 0.1, after.since(served{}).Wait, 1e-9)
}

func TestFit(t *testing.T) {
	var runs []*result
	for _, size := range [][2]int{{100, 5}, {300, 5}, {300, 20}, {1000, 5}} {
		tests, pods := size[0], size[0]*(size[1]+1)
		runs = append(runs, &result{Tests: tests, Workers: size[1], HeapLive: 8e6 + 5000*float64(tests) + 1500*float64(pods)})
	}
	found := fit(runs, func(r *result) float64 { return r.HeapLive })
	assert.InDelta(t, 8e6, found.Base, 1)
	assert.InDelta(t, 5000, found.PerTest, 0.01)
	assert.InDelta(t, 1500, found.PerPod, 0.01)
	assert.InDelta(t, 8e6+5000*50000+1500*1e6, found.at(50000, 1e6), 1e3)
	assert.Zero(t, fit(runs[:2], func(r *result) float64 { return r.HeapLive }), "two sizes are not enough")
}

func TestLatency(t *testing.T) {
	var all []float64
	for i := range 100 {
		all = append(all, float64(99-i))
	}
	assert.Equal(t, latency{50, 99, 99}, latencyOf(all))
	assert.Zero(t, latencyOf(nil))
}
