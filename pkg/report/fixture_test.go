package report

import (
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
	testbuilder "github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/schema"
)

// The result of the fixtures' runs.
const requests, failures = 1000, 30

var (
	started = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ended   = started.Add(time.Minute)
)

// finished returns the observation of a finished test, after changes. Its status has five endpoints and two errors, and no other source
// exists.
func finished(changes ...func(*status.Observation)) *status.Observation {
	test := testbuilder.MakeLocustTest("shop").Namespace("load").Stored("0a1b2c3d-0000-0000-0000-000000000000", 2, started).
		Image("locust").Locustfile("/lotest/src/t.py").Args("--users 4 --run-time 1m --host http://me:secret@shop").Obj()
	at, end := metav1.NewTime(started), metav1.NewTime(ended)
	test.Status = v2.LocustTestStatus{
		Phase: v2.PhaseSucceeded, ObservedGeneration: 2, StartTime: &at, CompletionTime: &end, ExpectedWorkers: 2, ConnectedWorkers: 2,
		Progress: &v2.Progress{StartTime: &at, TargetUsers: new(int32(4)), Duration: &metav1.Duration{Duration: time.Minute}},
		Report:   "shop-0a1b2c3d",
		Conditions: []metav1.Condition{
			{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionTrue, Reason: v2.ReasonTestSucceeded, Message: "Locust exited with code 0"},
			{Type: v2.ConditionTypeLoadDelivered, Status: metav1.ConditionTrue, Reason: v2.ReasonLoadAsPlanned, Message: "The load was delivered"},
		},
		TestResult: &v2.TestResult{
			Final: true, Source: v2.ResultSourceReporter, TotalRequests: requests, FailedRequests: failures, FailureRatio: "0.03", RequestsPerSecond: "50",
			AverageResponseTime: &metav1.Duration{Duration: time.Millisecond}, P95: &metav1.Duration{Duration: 2 * time.Millisecond},
			Errors: []v2.ErrorResult{{Method: "GET", Name: "/0", Error: "500", Occurrences: 30}, {Error: "KeyError", Occurrences: 2}},
		},
	}
	for i := range 5 {
		test.Status.TestResult.Endpoints = append(test.Status.TestResult.Endpoints, v2.EndpointResult{Method: "GET", Name: "/" + strconv.Itoa(i), TotalRequests: 10})
	}
	obs := &status.Observation{
		Test: test, Run: resources.NewRun(test.DeepCopy()),
		MasterJob: &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "shop-master", UID: "job"}},
	}
	for _, change := range changes {
		change(obs)
	}
	return obs
}

// withMessage adds the pod of a master that ended with a termination message.
func withMessage(message string) func(*status.Observation) {
	return func(obs *status.Observation) {
		obs.Pods = []corev1.Pod{{
			ObjectMeta: metav1.ObjectMeta{
				Name: "shop-master-x", OwnerReferences: []metav1.OwnerReference{{UID: "job"}},
				Labels: map[string]string{resources.LabelPodName: "shop-master", resources.LabelComponent: string(resources.RoleMaster)},
			},
			Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{{
				Name: "shop-master", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
					StartedAt: metav1.NewTime(started), FinishedAt: metav1.NewTime(ended), Message: message,
				}},
			}}},
		}}
	}
}

// withWebAPI adds the last response of the web API.
func withWebAPI(r *report.Report) func(*status.Observation) {
	return func(obs *status.Observation) { obs.Locust = &status.Locust{Report: r} }
}

func withTest(change func(*v2.LocustTest)) func(*status.Observation) {
	return func(obs *status.Observation) { change(obs.Test) }
}

// lists is how many elements something has.
type lists struct{ endpoints, errors, exceptions, history, workers int }

// webReport returns an exact response of the web API whose result is that of the status.
func webReport(l lists) *report.Report {
	r := &report.Report{State: report.StateStopped, Exact: true}
	r.Requests, r.Failures, r.RequestsPerSecond = requests, failures, 50
	r.EndpointCount, r.ErrorCount = int32(l.endpoints), int32(l.errors)
	for i := range min(l.endpoints, report.MaxEndpoints) {
		p := time.Duration(i) * time.Millisecond
		r.Endpoints = append(r.Endpoints, report.Endpoint{
			Method: "GET", Name: fmt.Sprintf("/%d", i), Requests: 100, RequestsPerSecond: 7, Percentiles: report.Percentiles{P50: &p},
		})
	}
	for i := range min(l.errors, report.MaxErrors) {
		r.Errors = append(r.Errors, report.Error{Method: "GET", Name: fmt.Sprintf("/%d", i), Text: "500", Occurrences: 1})
	}
	return r
}

// withDetails adds to a response what a reporter sends with it.
func withDetails(r *report.Report, l lists) *report.Report {
	r.Details = &report.Details{LocustVersion: "2.47.0", Counts: report.Counts{
		Endpoints: int32(l.endpoints), Errors: int32(l.errors), Exceptions: int32(l.exceptions), History: int32(l.history), Workers: int32(l.workers),
	}}
	for i := range min(l.exceptions, report.MaxErrors) {
		r.Exceptions = append(r.Exceptions, report.Error{Text: fmt.Sprintf("KeyError %d", i), Occurrences: 1})
	}
	for i := range min(l.history, report.MaxHistory) {
		r.Details.History = append(r.Details.History, report.Point{Time: started.Add(time.Duration(i) * time.Second), Users: 4, RequestsPerSecond: 50})
	}
	for i := range min(l.workers, report.MaxWorkers) {
		r.Details.Workers = append(r.Details.Workers, report.Worker{Name: fmt.Sprintf("shop-worker-%d", i), Processor: 60})
	}
	return r
}

// summaryOf returns the first line of a final report, without its end.
func summaryOf(total int) string {
	return fmt.Sprintf(`{"locust.io/report":2,"complete":true,"state":"running","users":4,"workers":2,"start":%d,"end":%d,`+
		`"requests":%d,"failures":30,"avg":1,"rps":50,"min":0.5,"max":900.25,"p50":1,"p90":2,"p95":2,"p99":3,"p999":880.5,`+
		`"custom_exit":false,"version":"2.47.0","host":"https://shop.example","target_users":4,"run_time":60,"shape":false,`+
		`"ended_by":"run-time","lost":0,"missing":null,"cpu":[60,"w"],"log":[]`, started.Unix(), ended.Unix(), total)
}

// rowsOf returns the rows of a final report.
func rowsOf(l lists) [][]string {
	var rows [][]string
	add := func(n int, row func(i string) []string) {
		for i := range n {
			rows = append(rows, row(strconv.Itoa(i)))
		}
	}
	add(l.exceptions, func(i string) []string { return []string{"x", "2", "KeyError " + i} })
	add(l.errors, func(i string) []string { return []string{"f", "GET", "/" + i, "3", "HTTPError " + i} })
	add(l.endpoints, func(i string) []string {
		return []string{"e", "GET", "/" + i, "100", "", "1", "1", "9", "1", "2", "3", "4", "5", "18"}
	})
	add(l.history, func(i string) []string { return []string{"h", i, "4", "50", "0.5", "1", "2"} })
	add(l.workers, func(i string) []string { return []string{"w", "shop-worker-" + i, "60", "7340032"} })
	return rows
}

// message returns a final report of a reporter that had all, and room for kept.
func message(t testing.TB, total int, kept, all lists) string {
	t.Helper()
	var packed bytes.Buffer
	encoder := ascii85.NewEncoder(&packed)
	compressor := zlib.NewWriter(encoder)
	require.NoError(t, csv.NewWriter(compressor).WriteAll(rowsOf(kept)))
	require.NoError(t, compressor.Close())
	require.NoError(t, encoder.Close())
	return fmt.Sprintf(`%s,"n":[%d,%d,%d,%d,%d],"rest":%d,"crc":%d}`+"\n%s", summaryOf(total),
		all.endpoints, all.errors, all.exceptions, all.history, all.workers, packed.Len(), crc32.ChecksumIEEE(packed.Bytes()), packed.String())
}

// listsOf returns the lengths of a report's lists.
func listsOf(r *v1alpha1.LocustReport) lists {
	return lists{len(r.Endpoints), len(r.Errors), len(r.Exceptions), len(r.History), len(r.Workers)}
}

// truncatedFields returns "FIELD KEPT/TOTAL" for each entry, sorted; the total is ? if unknown.
func truncatedFields(r *v1alpha1.LocustReport) []string {
	fields := []string{}
	for _, entry := range r.Truncated {
		total := "?"
		if entry.Total != nil {
			total = strconv.Itoa(int(*entry.Total))
		}
		fields = append(fields, fmt.Sprintf("%s %d/%s", entry.Field, entry.Kept, total))
	}
	slices.Sort(fields)
	return fields
}

func truncation(r *v1alpha1.LocustReport, field string) *v1alpha1.Truncation {
	i := slices.IndexFunc(r.Truncated, func(entry v1alpha1.Truncation) bool { return entry.Field == field })
	if i < 0 {
		return nil
	}
	return &r.Truncated[i]
}

var crd = sync.OnceValues(func() (*schema.Version, error) {
	versions, err := schema.Read(filepath.Join("..", "..", "config", "crd", "bases", "locust.io_locustreports.yaml"))
	return versions["v1alpha1"], err
})

// toObject returns a report as the API server decodes it.
func toObject(t testing.TB, r *v1alpha1.LocustReport) map[string]any {
	t.Helper()
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(r)
	require.NoError(t, err)
	object["apiVersion"], object["kind"] = v1alpha1.GroupVersion.String(), "LocustReport"
	return object
}

// requireValid checks that the API server stores a report as it is, and that the report describes its gaps.
func requireValid(t testing.TB, r *v1alpha1.LocustReport) {
	t.Helper()
	version, err := crd()
	require.NoError(t, err)
	object := toObject(t, r)
	require.NoError(t, version.Admit(t.Context(), object))
	require.LessOrEqual(t, jsonSize(r), v1alpha1.MaxReportBytes)
	back := &v1alpha1.LocustReport{}
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructured(object, back))
	back.TypeMeta = r.TypeMeta
	if before, after := toJSON(t, r), toJSON(t, back); before != after {
		t.Fatal("the API server stores something else: " + firstDifference(before, after))
	}
	got := map[string]int{
		v1alpha1.FieldEndpoints: len(r.Endpoints), v1alpha1.FieldErrors: len(r.Errors), v1alpha1.FieldExceptions: len(r.Exceptions),
		v1alpha1.FieldHistory: len(r.History), v1alpha1.FieldWorkers: len(r.Workers), v1alpha1.FieldArguments: len(r.Run.Arguments),
	}
	for _, entry := range r.Truncated {
		require.EqualValues(t, got[entry.Field], entry.Kept, entry.Field)
		require.NotEmpty(t, entry.Message, entry.Field)
		if entry.Total != nil {
			require.Greater(t, *entry.Total, entry.Kept, entry.Field)
		}
	}
}

func toJSON(t testing.TB, object any) string {
	t.Helper()
	data, err := json.Marshal(object)
	require.NoError(t, err)
	return string(data)
}

// firstDifference returns the surroundings of the first difference of two texts.
func firstDifference(a, b string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	around := func(s string) string { return strings.ToValidUTF8(s[max(0, i-60):min(len(s), i+60)], "") }
	return fmt.Sprintf("%q instead of %q", around(b), around(a))
}

// live turns a report into one of a running load.
func live(r *report.Report) *report.Report {
	r.Exact, r.State = false, report.StateRunning
	return r
}
