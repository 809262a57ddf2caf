package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/output"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// storedReport returns the report of a run of a test that ended at a time, after a minute.
func storedReport(name, test, uid string, ended time.Time) *v1alpha1.LocustReport {
	start := metav1.NewTime(ended.Add(-time.Minute))
	return &v1alpha1.LocustReport{
		ObjectMeta: metav1.ObjectMeta{Namespace: "load", Name: name, Labels: map[string]string{resources.LabelTestName: test}},
		Test:       v1alpha1.Test{Name: test, UID: uid, Generation: 1},
		Outcome:    v1alpha1.Outcome{Phase: v2.PhaseSucceeded, Reason: v2.ReasonTestSucceeded, Message: "Test completed successfully"},
		Run: v1alpha1.Run{StartTime: &start, EndTime: metav1.NewTime(ended), Image: "locustio/locust:2.47.0", ExpectedWorkers: 3, ConnectedWorkers: 2,
			Users: new(int32(100))},
		Summary: &v1alpha1.Summary{Final: true, Source: v2.ResultSourceReporter, FailureRatio: "0.01", Statistics: v1alpha1.Statistics{
			TotalRequests: 1000, FailedRequests: 10, RequestsPerSecond: "16.67", P95: &metav1.Duration{Duration: 41 * time.Millisecond},
		}},
	}
}

// finishedTest returns a test in a final phase that names its report.
func finishedTest(phase, report string) *v2.LocustTest {
	return storedTest("shop", func(test *v2.LocustTest) {
		start, end := metav1.NewTime(time.Unix(1_700_000_010, 0)), metav1.NewTime(time.Unix(1_700_000_070, 0))
		test.Status = v2.LocustTestStatus{
			Phase: phase, Report: report, StartTime: &start, CompletionTime: &end, Workers: "2/2", ExpectedWorkers: 2, ConnectedWorkers: 2,
			Progress: &v2.Progress{CurrentUsers: 3, TargetUsers: new(int32(20)), StartTime: &start},
			Conditions: []metav1.Condition{
				{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionTrue, Reason: "Test" + phase, Message: "the cause"},
				{Type: v2.ConditionTypeLoadDelivered, Status: metav1.ConditionTrue, Reason: v2.ReasonLoadAsPlanned},
			},
			TestResult: &v2.TestResult{
				Final: true, Source: v2.ResultSourceReporter, TotalRequests: 500, FailedRequests: 5, FailureRatio: "0.01", RequestsPerSecond: "8.33",
				P95:       &metav1.Duration{Duration: 90 * time.Millisecond},
				Endpoints: []v2.EndpointResult{{Method: "GET", Name: "/", TotalRequests: 500, FailedRequests: 5}},
				Errors:    []v2.ErrorResult{{Method: "GET", Name: "/", Error: "HTTPError", Occurrences: 5}, {Error: "KeyError", Occurrences: 1}},
			},
		}
	})
}

// ownReport is the report of finishedTest.
func ownReport() *v1alpha1.LocustReport {
	return storedReport("shop-11111111", "shop", "11111111-2222-3333-4444-555555555555", time.Unix(1_700_000_070, 0))
}

// readerOf returns a reader of a cluster that serves reports.
func readerOf(c client.Client) *reader {
	return &reader{Client: c, served: func(context.Context) (bool, error) { return true, nil }}
}

// oldCluster returns a reader of a cluster whose operator has no reports; err is the response to requests for them.
func oldCluster(err error, objects ...client.Object) *reader {
	return &reader{
		Client: fakeCluster(refusing(nil, err), objects...),
		served: func(context.Context) (bool, error) { return false, nil },
	}
}

// quick are options that do not wait for long.
func quick(format string) reportOptions {
	return reportOptions{format: format, every: 5 * time.Millisecond, patience: 20 * time.Millisecond}
}

func TestPrintReport(t *testing.T) {
	key := client.ObjectKey{Namespace: "load", Name: "shop"}
	older := storedReport("shop-22222222", "shop", "2", time.Unix(1_600_000_000, 0))
	newer := storedReport("shop-33333333", "shop", "3", time.Unix(1_650_000_000, 0))
	restored := storedReport("shop-44444444", "shop", "4", time.Unix(1_500_000_000, 0))
	restored.CreationTimestamp = metav1.NewTime(time.Unix(1_690_000_000, 0))
	otherTest := storedReport("api-55555555", "api", "5", time.Unix(1_690_000_000, 0))
	for name, row := range map[string]struct {
		reader *reader
		name   string
		want   string // the name of the printed report
		note   string
	}{
		"of a finished test": {readerOf(fakeCluster(interceptor.Funcs{}, finishedTest(v2.PhaseSucceeded, "shop-11111111"), ownReport(), newer)),
			"shop", "shop-11111111", ""},
		"the newest of a deleted test": {readerOf(fakeCluster(interceptor.Funcs{}, older, newer, restored, otherTest)),
			"shop", "shop-33333333", "note: the test load/shop has been deleted; this is the newest of its reports (3)\n"},
		"by its own name": {readerOf(fakeCluster(interceptor.Funcs{}, finishedTest(v2.PhaseSucceeded, "shop-11111111"), ownReport(), older)),
			"shop-22222222", "shop-22222222", ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := &outputs{}
			require.NoError(t, o.app().printReport(t.Context(), row.reader, client.ObjectKey{Namespace: key.Namespace, Name: row.name}, quick(output.JSON)))
			var printed v1alpha1.LocustReport
			require.NoError(t, json.Unmarshal(o.out.Bytes(), &printed))
			assert.Equal(t, row.want, printed.Name)
			assert.Equal(t, "locust.io/v1alpha1, Kind=LocustReport", printed.GroupVersionKind().String())
			assert.Equal(t, row.note, o.errOut.String())
		})
	}
}

func TestPrintReport_Problems(t *testing.T) {
	forbiddenReports := apierrors.NewForbidden(reportsResource, "shop-11111111", errors.New("eve cannot"))
	unknown := readerOf(fakeCluster(interceptor.Funcs{}, finishedTest(v2.PhaseSucceeded, "")))
	unknown.served = func(context.Context) (bool, error) { return false, errors.New("connection refused") }
	for name, row := range map[string]struct {
		reader *reader
		want   string
	}{
		"neither test nor report": {readerOf(fakeCluster(interceptor.Funcs{})),
			"there is neither a test nor a report with the name load/shop\nBoth: kubectl locust list -n load; reports are kept with spec.report.retain"},
		"no status yet": {readerOf(fakeCluster(interceptor.Funcs{}, storedTest("shop", nil))), "the test load/shop has not ended: its phase is not known yet\n" +
			"Add --wait to wait for its report; follow it with: kubectl locust watch -n load shop; earlier runs: kubectl locust list -n load shop"},
		"it runs": {readerOf(fakeCluster(interceptor.Funcs{}, storedTest("shop", inPhase(v2.PhaseRunning)))), "the test load/shop has not ended: its phase is Running\n"},
		"its report is missing": {readerOf(fakeCluster(interceptor.Funcs{}, finishedTest(v2.PhaseSucceeded, "shop-11111111"))),
			"the report shop-11111111 of the test load/shop does not exist: it was deleted, or the operator could not create it yet\n" +
				"If it is refused, an Event ReportNotCreated has the cause: kubectl describe locusttest -n load shop; see docs/reports.md"},
		"it ended before the upgrade": {readerOf(fakeCluster(interceptor.Funcs{}, finishedTest(v2.PhaseFailed, ""))),
			"the test load/shop has no report: it ended under an operator that was older than reports, and has been upgraded since\n" +
				"Its result: kubectl get locusttest -n load shop -o yaml; run it again for a report: kubectl locust rerun -n load shop"},
		"no permission to read reports": {readerOf(fakeCluster(refusing(nil, forbiddenReports), finishedTest(v2.PhaseSucceeded, "shop-11111111"))),
			"read the report load/shop-11111111: locustreports.locust.io \"shop-11111111\" is forbidden: eve cannot\n" +
				"Ask an administrator for the ClusterRole locust-k8s-operator-locusttest-viewer-role"},
		"no permission to list reports": {readerOf(fakeCluster(refusing(nil, forbiddenReports))), "list the reports of namespace load: "},
		"no permission to read tests":   {readerOf(fakeCluster(refusing(apierrors.NewForbidden(testsResource, "shop", errors.New("eve cannot")), nil))), "read the test load/shop: "},
		"no operator":                   {readerOf(fakeCluster(refusing(notServed(testsResource), nil))), "this cluster does not serve LocustTests"},
		"an old operator, a deleted test": {oldCluster(notServed(reportsResource)),
			"the test load/shop does not exist, and this cluster does not serve LocustReports, which outlive their tests: the operator is older than them\n"},
		"no discovery": {unknown, "discover whether the cluster serves LocustReports: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			o := &outputs{}
			err := o.app().printReport(t.Context(), row.reader, client.ObjectKey{Namespace: "load", Name: "shop"}, quick(output.Table))
			require.ErrorContains(t, err, row.want)
			if name != "no discovery" {
				assert.Contains(t, err.Error(), "\n", "no remedy")
			}
			assert.Empty(t, o.out.String())
		})
	}
}

// TestPrintReport_OldOperator checks that the status of a test is used if there is no kind of reports.
func TestPrintReport_OldOperator(t *testing.T) {
	const older = "note: the operator in this cluster is older than LocustReports: this is what the status of the test has, at most five endpoints and errors. " +
		"Upgrade it for whole reports, see docs/upgrade.md\n"
	const removed = "note: this cluster does not serve LocustReports any more, although the test had the report shop-11111111: this is what the status of the test has. " +
		"Install the CRD locustreports.locust.io, see docs/install.md\n"
	for name, row := range map[string]struct {
		reader *reader
		note   string
	}{
		"it is older than reports": {oldCluster(notServed(reportsResource), finishedTest(v2.PhaseFailed, "")), older},
		"the CRD has been deleted": {oldCluster(notServed(reportsResource), finishedTest(v2.PhaseFailed, "shop-11111111")), removed},
		"and the roles do not permit to read reports": {oldCluster(apierrors.NewForbidden(reportsResource, "", errors.New("eve cannot")),
			finishedTest(v2.PhaseFailed, "shop-11111111")), removed},
	} {
		t.Run(name, func(t *testing.T) {
			o := &outputs{}
			require.NoError(t, o.app().printReport(t.Context(), row.reader, client.ObjectKey{Namespace: "load", Name: "shop"}, quick(output.JSON)))
			assert.Equal(t, row.note, o.errOut.String())
			var printed v1alpha1.LocustReport
			require.NoError(t, json.Unmarshal(o.out.Bytes(), &printed))
			assert.Empty(t, printed.Name)
			assert.Equal(t, "shop", printed.Test.Name)
			assert.Equal(t, "the cause", printed.Outcome.Message)
			require.NotNil(t, printed.Summary)
			assert.EqualValues(t, 500, printed.Summary.TotalRequests)
			assert.Len(t, printed.Endpoints, 1)
			assert.Len(t, printed.Errors, 1)
			assert.Len(t, printed.Exceptions, 1)
			assert.NotEmpty(t, printed.Truncated)
			for _, format := range output.Formats() {
				assert.NoError(t, o.app().printReport(t.Context(), row.reader, client.ObjectKey{Namespace: "load", Name: "shop"}, quick(format)), format)
			}
		})
	}
}

// TestPrintReport_ExitCode checks that a failed test is an error only if it should be.
func TestPrintReport_ExitCode(t *testing.T) {
	failedReport := ownReport()
	failedReport.Outcome.Phase = v2.PhaseFailed
	for phase, r := range map[string]*v1alpha1.LocustReport{v2.PhaseFailed: failedReport, v2.PhaseSucceeded: ownReport()} {
		c := readerOf(fakeCluster(interceptor.Funcs{}, finishedTest(phase, r.Name), r))
		key := client.ObjectKey{Namespace: "load", Name: "shop"}
		o := &outputs{}
		assert.NoError(t, o.app().printReport(t.Context(), c, key, quick(output.Table)), phase)
		options := quick(output.Table)
		options.exitCode = true
		err := o.app().printReport(t.Context(), c, key, options)
		assert.Equal(t, phase == v2.PhaseFailed, errors.Is(err, errTestFailed), "%s: %v", phase, err)
		assert.Equal(t, 2, strings.Count(o.out.String(), "Report "), "it prints the report in each case")
	}
}

func TestPrintReport_File(t *testing.T) {
	c := readerOf(fakeCluster(interceptor.Funcs{}, finishedTest(v2.PhaseSucceeded, "shop-11111111"), ownReport()))
	key := client.ObjectKey{Namespace: "load", Name: "shop"}
	options := quick(output.JUnit)
	options.file = filepath.Join(t.TempDir(), "report.xml")
	o := &outputs{}
	require.NoError(t, o.app().printReport(t.Context(), c, key, options))
	assert.Empty(t, o.out.String())
	written, err := os.ReadFile(options.file)
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(string(written), "<?xml"), string(written))

	options.file = filepath.Join(t.TempDir(), "none", "report.xml")
	assert.ErrorContains(t, o.app().printReport(t.Context(), c, key, options), "write the report: open ")
}

// TestPrintReport_FollowsTheStatus checks that a report that is created a moment after the status is found.
func TestPrintReport_FollowsTheStatus(t *testing.T) {
	reads := 0
	c := fakeCluster(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
		if _, isReport := object.(*v1alpha1.LocustReport); isReport {
			if reads++; reads == 2 {
				require.NoError(t, c.Create(ctx, ownReport()))
			}
		}
		return c.Get(ctx, key, object, opts...)
	}}, finishedTest(v2.PhaseSucceeded, "shop-11111111"))
	options := quick(output.Table)
	options.patience = time.Minute
	require.NoError(t, (&outputs{}).app().printReport(t.Context(), readerOf(c), client.ObjectKey{Namespace: "load", Name: "shop"}, options))
	assert.Equal(t, 2, reads)
}

func TestPrintReport_Wait(t *testing.T) {
	// until returns a cluster in which the test changes at the third read.
	until := func(change func(*v2.LocustTest)) *reader {
		reads := 0
		return readerOf(fakeCluster(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
			err := c.Get(ctx, key, object, opts...)
			if test, isTest := object.(*v2.LocustTest); isTest {
				if reads++; reads >= 3 {
					change(test)
				}
			}
			return err
		}}, storedTest("shop", inPhase(v2.PhaseRunning)), ownReport()))
	}
	ends := func(test *v2.LocustTest) { test.Status = finishedTest(v2.PhaseSucceeded, "shop-11111111").Status }
	for name, row := range map[string]struct {
		reader  *reader
		timeout time.Duration
		err     string
	}{
		"until it ends":        {until(ends), 0, ""},
		"until it ends early":  {until(ends), time.Minute, ""},
		"for too long":         {until(func(*v2.LocustTest) {}), 20 * time.Millisecond, "the test load/shop has not ended within 20ms; it continues\nFollow it with: kubectl locust watch -n load shop"},
		"until it is deleted":  {until(func(test *v2.LocustTest) { test.UID = "another" }), 0, "the test load/shop has been deleted before it ended\nReports that were kept: kubectl locust list -n load shop"},
		"not for what is gone": {readerOf(fakeCluster(interceptor.Funcs{})), 0, "there is neither a test nor a report with the name load/shop"},
	} {
		t.Run(name, func(t *testing.T) {
			options := quick(output.Table)
			options.wait, options.timeout = true, row.timeout
			o := &outputs{}
			err := o.app().printReport(t.Context(), row.reader, client.ObjectKey{Namespace: "load", Name: "shop"}, options)
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			assert.Contains(t, o.out.String(), "shop-11111111")
		})
	}
	t.Run("interrupted", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		options := quick(output.Table)
		options.wait = true
		err := (&outputs{}).app().printReport(ctx, until(func(*v2.LocustTest) {}), client.ObjectKey{Namespace: "load", Name: "shop"}, options)
		assert.ErrorIs(t, err, context.Canceled)
	})
}

// TestReportCommand runs the command line against a server, as the shell does.
func TestReportCommand(t *testing.T) {
	encode := func(object client.Object, kind string) string {
		object.GetObjectKind().SetGroupVersionKind(v2.GroupVersion.WithKind(kind))
		if kind == "LocustReport" {
			object.GetObjectKind().SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
		}
		data, err := json.Marshal(object)
		require.NoError(t, err)
		return string(data)
	}
	const testPath, reportPath = "/apis/locust.io/v2/namespaces/load/locusttests/shop", "/apis/locust.io/v1alpha1/namespaces/load/locustreports/shop-11111111"
	failedReport := ownReport()
	failedReport.Outcome = v1alpha1.Outcome{Phase: v2.PhaseFailed, Reason: v2.ReasonTestFailed, Message: "\x1b[2Jcause"}
	current := map[string]string{
		testPath: encode(finishedTest(v2.PhaseFailed, "shop-11111111"), "LocustTest"), reportPath: encode(failedReport, "LocustReport"),
	}
	old := map[string]string{testPath: encode(finishedTest(v2.PhaseFailed, ""), "LocustTest")}
	// The viewers of an old operator may not read what it does not have.
	oldViewer := map[string]string{testPath: encode(finishedTest(v2.PhaseFailed, "shop-11111111"), "LocustTest"), reportPath: forbidden}
	newViewer := map[string]string{"/apis/locust.io/v1alpha1": `{"resources":[{"name":"locustreports"}]}`, testPath: oldViewer[testPath], reportPath: forbidden}
	for name, row := range map[string]struct {
		responses map[string]string
		args      string
		code      int
		stdout    string
		stderr    string
	}{
		"a report":               {current, "report shop", 0, "Outcome     Failed: \ufffd[2Jcause\n", ""},
		"with its outcome":       {current, "report shop --exit-code", 1, "Outcome     Failed: ", ""},
		"in a format":            {current, "report shop -o csv", 0, "Type,Name,Request Count,", ""},
		"in an unknown format":   {current, "report shop -o html", 2, "", "error: unknown format \"html\": use one of table, json, yaml, csv, markdown, junit"},
		"without a name":         {current, "report", 2, "", "error: accepts 1 arg(s), received 0"},
		"an old operator":        {old, "report shop", 0, "Outcome     Failed: the cause", "note: the operator in this cluster is older than LocustReports"},
		"an old one, as viewer":  {oldViewer, "report shop", 0, "Outcome     Failed: the cause", "note: this cluster does not serve LocustReports any more"},
		"a new one, no role yet": {newViewer, "report shop", 2, "", "Ask an administrator for the ClusterRole locust-k8s-operator-locusttest-viewer-role"},
		"no operator":            {nil, "report shop", 2, "", "error: this cluster does not serve LocustTests"},
	} {
		t.Run(name, func(t *testing.T) {
			stdout, stderr, code := runCommand(t, append(strings.Fields(row.args), "-n", "load", "--server", serveAPI(t, row.responses))...)
			assert.Equal(t, row.code, code, stderr)
			assert.Contains(t, stdout, row.stdout)
			assert.Contains(t, stderr, row.stderr)
			if row.stdout == "" {
				assert.Empty(t, stdout)
			}
			if row.stderr == "" {
				assert.Empty(t, stderr)
			}
			assert.NotContains(t, stdout+stderr, "\x1b")
		})
	}
}

// TestServed checks how the reader discovers reports.
func TestServed(t *testing.T) {
	for name, row := range map[string]struct {
		response map[string]string
		served   bool
		err      string
	}{
		"served":        {map[string]string{"/apis/locust.io/v1alpha1": `{"resources":[{"name":"locustschedules"},{"name":"locustreports"}]}`}, true, ""},
		"other kinds":   {map[string]string{"/apis/locust.io/v1alpha1": `{"resources":[{"name":"locustschedules"}]}`}, false, ""},
		"no version":    {nil, false, ""},
		"no permission": {map[string]string{"/apis/locust.io/v1alpha1": forbidden}, false, "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			a := testApp(t, serveAPI(t, row.response))
			r, err := a.reader()
			require.NoError(t, err)
			served, err := r.served(t.Context())
			assert.Equal(t, row.served, served)
			if row.err != "" {
				assert.ErrorContains(t, err, row.err)
			} else {
				assert.NoError(t, err)
			}
		})
	}
}

func TestEachChunk(t *testing.T) {
	var asked []string
	pages := map[string][]string{"": {"a", "b"}, "next": {"c"}, "last": {"d"}}
	c := fakeCluster(interceptor.Funcs{List: func(_ context.Context, _ client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		var options client.ListOptions
		options.ApplyOptions(opts)
		asked = append(asked, options.Continue)
		assert.EqualValues(t, 500, options.Limit)
		assert.Equal(t, "load", options.Namespace)
		tests := list.(*v2.LocustTestList)
		tests.Items, tests.Continue = nil, map[string]string{"": "next", "next": "last", "last": ""}[options.Continue]
		for _, uid := range pages[options.Continue] {
			tests.Items = append(tests.Items, *storedTest("t", func(test *v2.LocustTest) { test.UID = types.UID(uid) }))
		}
		return nil
	}})
	var uids []string
	require.NoError(t, eachChunk(t.Context(), c, &v2.LocustTestList{}, 500, func(list *v2.LocustTestList) {
		for i := range list.Items {
			uids = append(uids, string(list.Items[i].UID))
		}
	}, client.InNamespace("load")))
	assert.Equal(t, []string{"", "next", "last"}, asked)
	assert.Equal(t, []string{"a", "b", "c", "d"}, uids)
}
