package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"k8s.io/utils/clock"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/background"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// reportName is the name of the report of the fixture's test.
const reportName = "test-1"

// finalMessage is a final report of a run with 9 requests.
const finalMessage = `{"locust.io/report":1,"complete":true,"state":"running","users":1,"workers":1,"start":1700000000,"end":1700000009,"requests":9,"failures":0,` +
	`"avg":1,"rps":1,"endpoints":[],"errors":[],"exceptions":[],"log":[]}`

// reportFixture is a finished test whose status was written by an operator that was killed before it created the report.
type reportFixture struct {
	*fixture
	recorder *events.FakeRecorder
	// patches are the patches of Jobs, and deletions the deleted reports with their precondition.
	patches, deletions []string
}

// newReportFixture ends a test after changes; its Jobs get a TTL of one hour.
func newReportFixture(t *testing.T, changes ...func(*v2.LocustTest)) *reportFixture {
	t.Helper()
	f := &reportFixture{fixture: newFixture(t)}
	for _, change := range changes {
		change(f.test)
	}
	require.NoError(t, f.client.Update(t.Context(), f.test))
	f.client = interceptor.NewClient(f.client.(client.WithWatch), interceptor.Funcs{
		Create: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.CreateOption) error {
			if r, isReport := o.(*v1alpha1.LocustReport); isReport && r.CreationTimestamp.IsZero() {
				r.CreationTimestamp, r.UID = ago(0), "new" // as the API server does
			}
			return c.Create(ctx, o, opts...)
		},
		Patch: func(ctx context.Context, c client.WithWatch, o client.Object, p client.Patch, opts ...client.PatchOption) error {
			data, err := p.Data(o)
			require.NoError(t, err)
			f.patches = append(f.patches, o.GetName()+" "+string(data))
			return c.Patch(ctx, o, p, opts...)
		},
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			options := (&client.DeleteOptions{}).ApplyOptions(opts)
			if _, isReport := o.(*metav1.PartialObjectMetadata); isReport {
				f.deletions = append(f.deletions, fmt.Sprintf("%s %s", o.GetName(), ptr.Deref(options.Preconditions.UID, "")))
			}
			return c.Delete(ctx, o, opts...)
		},
	})
	f.restart()
	f.requireWrites("status")
	f.requireWrites("test-master", "test-master", "test-worker", "status")
	job := f.job("test-master")
	job.UID = "master-job"
	require.NoError(t, f.client.Update(t.Context(), job))
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "master", Labels: map[string]string{
		resources.LabelTestName: "test", resources.LabelTestUID: "1", resources.LabelPodName: "test-master",
		resources.LabelComponent: string(resources.RoleMaster),
	}, OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "Job", Name: "test-master", UID: "master-job", Controller: ptr.To(true)}}}}
	pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "test-master", State: corev1.ContainerState{
		// Long ago, so that the workers have no grace period left.
		Terminated: &corev1.ContainerStateTerminated{StartedAt: ago(2 * time.Hour), FinishedAt: ago(time.Hour), Message: finalMessage},
	}}}
	require.NoError(t, f.client.Create(t.Context(), pod))
	f.restart()
	f.refuse(errors.New("the operator was killed"))
	f.requireWrites("status", reportName)
	f.refuses = func(string) bool { return false }
	f.restart()
	require.Equal(t, v2.PhaseSucceeded, f.phase())
	require.Equal(t, reportName, f.test.Status.Report)
	require.Empty(t, f.patches, "the Jobs are not stopped before their end is recorded")
	f.events()
	return f
}

func ago(d time.Duration) metav1.Time {
	return metav1.NewTime(time.Now().Add(-d).Truncate(time.Second))
}

// restart replaces the reconciler by that of a new process.
func (f *reportFixture) restart() {
	f.fixture.restart()
	f.recorder = events.NewFakeRecorder(100)
	f.reconciler.Recorder, f.reconciler.Settings.JobTTL = f.recorder, ptr.To(time.Hour)
}

func (f *reportFixture) job(name string) *batchv1.Job {
	f.t.Helper()
	job := &batchv1.Job{}
	require.NoError(f.t, f.client.Get(f.t.Context(), client.ObjectKey{Namespace: "ns", Name: name}, job))
	return job
}

// reports returns the names of the existing reports.
func (f *reportFixture) reports() []string {
	f.t.Helper()
	list := &v1alpha1.LocustReportList{}
	require.NoError(f.t, f.client.List(f.t.Context(), list))
	names := []string{}
	for i := range list.Items {
		names = append(names, list.Items[i].Name)
	}
	return names
}

func (f *reportFixture) report() *v1alpha1.LocustReport {
	f.t.Helper()
	r := &v1alpha1.LocustReport{}
	require.NoError(f.t, f.client.Get(f.t.Context(), client.ObjectKey{Namespace: "ns", Name: reportName}, r))
	return r
}

// requireSettled reconciles three times without a write.
func (f *reportFixture) requireSettled() {
	f.t.Helper()
	before := len(f.patches)
	for range 3 {
		f.requireWrites()
	}
	require.Len(f.t, f.patches, before, "%v", f.patches)
}

// refuse lets the creations of reports fail.
func (f *reportFixture) refuse(err error) {
	f.refusal = err
	f.refuses = func(what string) bool { return what == reportName }
}

// events returns the Events since the last call.
func (f *reportFixture) events() []string {
	var all []string
	for len(f.recorder.Events) > 0 {
		all = append(all, <-f.recorder.Events)
	}
	return all
}

const ttlPart = `"ttlSecondsAfterFinished":3600`

// isStop reports whether a patch stops a Job.
func isStop(patch string) bool { return strings.Contains(patch, `"activeDeadlineSeconds":1`) }

func TestReport_CreatedOnce(t *testing.T) {
	f := newReportFixture(t)
	f.requireWrites(reportName)
	r := f.report()
	assert.EqualValues(t, 9, r.Summary.TotalRequests)
	assert.Equal(t, v2.PhaseSucceeded, r.Outcome.Phase)
	assert.True(t, metav1.IsControlledBy(r, f.test))
	require.Len(t, f.patches, 2)
	for _, patch := range f.patches {
		assert.True(t, isStop(patch), patch)
		assert.Contains(t, patch, ttlPart, "the report exists")
	}
	assert.Nil(t, f.reconciler.states.getOrCreate(f.test).report.pending, "no report is kept in memory")
	f.requireSettled()
	assert.Empty(t, f.events())
}

func TestReport_AlreadyExists(t *testing.T) {
	f := newReportFixture(t)
	existing := &v1alpha1.LocustReport{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: reportName, Labels: map[string]string{resources.LabelTestUID: "2"}}}
	require.NoError(t, f.client.Create(t.Context(), existing))
	f.reconciler.Client = interceptor.NewClient(f.client.(client.WithWatch), interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
			if _, isReport := o.(*metav1.PartialObjectMetadata); isReport {
				return apierrors.NewNotFound(v1alpha1.GroupVersion.WithResource("locustreports").GroupResource(), key.Name) // the cache is behind
			}
			return c.Get(ctx, key, o, opts...)
		},
	})
	_, _, err := f.reconcile()
	require.ErrorContains(t, err, "an object of this name exists, with the label locust.io/test-uid=2; delete it")
	assert.Len(t, f.events(), 1)
	assert.NotContains(t, f.patches[0], ttlPart, "the sources must not expire")

	existing.Labels[resources.LabelTestUID] = "1"
	require.NoError(t, f.client.Update(t.Context(), existing))
	f.reconciler.states.getOrCreate(f.test).written = nil // 5 s later
	f.patches = nil
	f.requireWrites(reportName)
	f.requireSettled()
	assert.Empty(t, f.events(), "a previous process created it, and the cache was behind")
}

// TestReport_Invalid: if the API server refuses the report, its summary is created.
func TestReport_Invalid(t *testing.T) {
	f := newReportFixture(t)
	f.refuse(apierrors.NewInvalid(v1alpha1.GroupVersion.WithKind("LocustReport").GroupKind(), reportName, nil))
	_, _, err := f.reconcile()
	require.ErrorContains(t, err, "is invalid")
	f.refuses = func(string) bool { return false }
	f.requireWrites(reportName)
	r := f.report()
	assert.EqualValues(t, 9, r.Summary.TotalRequests)
	assert.Len(t, r.Truncated, 6)
	assert.Len(t, f.events(), 1)
}

// TestReport_CannotBeBuilt: a panic of the builder is an error.
func TestReport_CannotBeBuilt(t *testing.T) {
	built, err := buildReport(&status.Observation{}) // without a test
	require.ErrorContains(t, err, "cannot build the report")
	assert.Nil(t, built)
}

// TestReport_Refused: a report that cannot be created delays neither the end of the load nor loses its data.
func TestReport_Refused(t *testing.T) {
	quota := func(used int) error {
		return apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("locustreports").GroupResource(), reportName,
			fmt.Errorf("exceeded quota: few, used: %d, %s", used, strings.Repeat("ü", 2000)))
	}
	f := newReportFixture(t)
	f.refuse(quota(1))
	refused := func() {
		written, _, err := f.reconcile()
		require.ErrorContains(t, err, "exceeded quota", "it is tried again")
		require.Equal(t, []string{reportName}, written)
	}
	refused()
	require.Len(t, f.patches, 2)
	for _, patch := range f.patches {
		assert.True(t, isStop(patch), "the load is stopped: %s", patch)
		assert.NotContains(t, patch, "ttlSecondsAfterFinished", "its sources must not expire")
	}
	require.NoError(t, f.client.Delete(t.Context(), &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "master"}}))
	for _, name := range []string{"test-master", "test-worker"} {
		job := f.job(name)
		job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobFailed, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		require.NoError(t, f.client.Status().Update(t.Context(), job))
	}
	f.reconciler.states.getOrCreate(f.test).written = nil // 5 s later
	f.patches = nil
	for range 3 {
		refused()
	}
	assert.Empty(t, f.patches, "no TTL")
	all := f.events()
	require.Len(t, all, 1, "one for each message")
	assert.Regexp(t, `^Warning ReportNotCreated LocustReport test-1 could not be created, will retry: .*exceeded quota: few, used: 1`, all[0])
	assert.LessOrEqual(t, len([]rune(all[0])), 700)
	f.refusal = quota(2)
	refused()
	assert.Len(t, f.events(), 1, "another message")

	f.refuses = func(string) bool { return false }
	f.requireWrites(reportName)
	r := f.report()
	assert.Equal(t, "2023-11-14T22:13:29Z", r.Run.LoadEndTime.UTC().Format(time.RFC3339), "from the termination message of a pod that is gone")
	require.Len(t, f.patches, 2)
	for _, patch := range f.patches {
		assert.Contains(t, patch, ttlPart)
		assert.False(t, isStop(patch))
	}
	f.requireSettled()
}

// TestReport_NamespaceTerminating: the report of a namespace that is being deleted is no reason for an Event.
func TestReport_NamespaceTerminating(t *testing.T) {
	f := newReportFixture(t)
	refusal := apierrors.NewForbidden(v1alpha1.GroupVersion.WithResource("locustreports").GroupResource(), reportName, errors.New("being terminated"))
	refusal.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	f.refuse(refusal)
	_, _, err := f.reconcile()
	require.Error(t, err)
	assert.Empty(t, f.events())
	assert.Len(t, f.patches, 2, "the load is stopped")
}

// TestReport_Deleted: a report that a user deletes is not created again.
func TestReport_Deleted(t *testing.T) {
	f := newReportFixture(t)
	f.requireWrites(reportName)
	require.NoError(t, f.client.Delete(t.Context(), f.report()))
	f.requireSettled()
	assert.Empty(t, f.reports())
}

// TestReport_OperatorRestarted: the report is created once, whenever the operator is killed.
func TestReport_OperatorRestarted(t *testing.T) {
	t.Run("before the creation", func(t *testing.T) {
		f := newReportFixture(t)
		f.restart()
		f.requireWrites(reportName)
		f.requireSettled()
		assert.EqualValues(t, 9, f.report().Summary.TotalRequests)
	})
	t.Run("after the creation", func(t *testing.T) {
		f := newReportFixture(t)
		f.requireWrites(reportName)
		f.restart()
		f.requireSettled()
	})
	t.Run("the cache cannot be read", func(t *testing.T) {
		f := newReportFixture(t)
		f.reconciler.Client = interceptor.NewClient(f.client.(client.WithWatch), interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, opts ...client.GetOption) error {
				if _, isReport := o.(*metav1.PartialObjectMetadata); isReport {
					return errors.New("unavailable")
				}
				return c.Get(ctx, key, o, opts...)
			},
		})
		written, _, err := f.reconcile()
		require.ErrorContains(t, err, "read report ns/test-1: unavailable")
		assert.Empty(t, written)
	})
}

// TestReport_EndedBeforeUpgrade: a test that ended under an earlier release has no report, and never gets one.
func TestReport_EndedBeforeUpgrade(t *testing.T) {
	f := newReportFixture(t)
	f.test.Status.Report = ""
	require.NoError(t, f.client.Status().Update(t.Context(), f.test))
	f.restart()
	for range 3 {
		_, _, err := f.reconcile()
		require.NoError(t, err)
	}
	assert.Empty(t, f.reports())
	assert.Empty(t, f.test.Status.Report)
	assert.Len(t, f.patches, 2, "the load is stopped as ever")
}

// TestReport_Retained: retained reports have no owner, and the oldest of the test's name are deleted.
func TestReport_Retained(t *testing.T) {
	for name, row := range map[string]struct {
		limit   *int32
		earlier int
		deleted []string
	}{
		"none before":   {ptr.To[int32](2), 0, nil},
		"at the limit":  {ptr.To[int32](3), 2, nil},
		"one too many":  {ptr.To[int32](2), 2, []string{"old-0 uid-0"}},
		"many too many": {ptr.To[int32](1), 4, []string{"old-0 uid-0", "old-1 uid-1", "old-2 uid-2", "old-3 uid-3"}},
		"the default":   {nil, 11, []string{"old-0 uid-0", "old-1 uid-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newReportFixture(t, func(test *v2.LocustTest) { test.Spec.Report = &v2.ReportConfig{Retain: true, HistoryLimit: row.limit} })
			old := func(name string, uid types.UID, minutes int, change func(*v1alpha1.LocustReport)) {
				r := &v1alpha1.LocustReport{ObjectMeta: metav1.ObjectMeta{
					Namespace: "ns", Name: name, UID: uid, CreationTimestamp: ago(time.Hour - time.Duration(minutes)*time.Minute),
					Labels: resources.ReportLabels(f.test),
				}}
				change(r)
				require.NoError(t, f.client.Create(t.Context(), r))
			}
			for i := range row.earlier {
				old(fmt.Sprintf("old-%d", i), types.UID(fmt.Sprintf("uid-%d", i)), i, func(*v1alpha1.LocustReport) {})
			}
			kept := []string{"another-namespace", "another-test", "owned"}
			old("owned", "o", -9, func(r *v1alpha1.LocustReport) {
				r.OwnerReferences = []metav1.OwnerReference{{UID: "earlier", Kind: "LocustTest", Name: "test"}}
			})
			old("another-test", "a", -9, func(r *v1alpha1.LocustReport) { r.Labels[resources.LabelTestName] = "another" })
			old("another-namespace", "n", -9, func(r *v1alpha1.LocustReport) { r.Namespace = "another" })

			f.requireWrites(reportName)
			assert.Empty(t, f.report().OwnerReferences)
			slices.Sort(f.deletions)
			assert.Equal(t, row.deleted, f.deletions)
			assert.Subset(t, f.reports(), append(kept, reportName))
			assert.Len(t, f.reports(), len(kept)+1+row.earlier-len(row.deleted))
			f.requireSettled()
			assert.Len(t, f.deletions, len(row.deleted), "once")
		})
	}
}

// TestReport_PrunedByNextProcess: old reports are deleted although the operator was killed right after the creation.
func TestReport_PrunedByNextProcess(t *testing.T) {
	f := newReportFixture(t, func(test *v2.LocustTest) {
		test.Spec.Report = &v2.ReportConfig{Retain: true, HistoryLimit: ptr.To[int32](1)}
	})
	old := &v1alpha1.LocustReport{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "old", CreationTimestamp: ago(time.Hour), Labels: resources.ReportLabels(f.test)}}
	require.NoError(t, f.client.Create(t.Context(), old))
	failing := true
	f.reconciler.Client = interceptor.NewClient(f.client.(client.WithWatch), interceptor.Funcs{
		Delete: func(ctx context.Context, c client.WithWatch, o client.Object, opts ...client.DeleteOption) error {
			if failing {
				return errors.New("unavailable")
			}
			return c.Delete(ctx, o, opts...)
		},
	})
	_, _, err := f.reconcile()
	require.ErrorContains(t, err, "delete report ns/old: unavailable")
	assert.Equal(t, []string{"old", reportName}, f.reports())
	_, _, err = f.reconcile()
	require.Error(t, err, "it is tried again")
	f.restart()
	f.requireWrites()
	assert.Equal(t, []string{reportName}, f.reports())
	f.requireSettled()
}

// TestReport_ForgetsMaster: what is known of the master is kept for the report, and dropped afterwards.
func TestReport_ForgetsMaster(t *testing.T) {
	f := newReportFixture(t)
	response := &report.Report{State: report.StateStopped, Exact: true, Stats: report.Stats{
		Requests: 9, EndpointCount: 7, Endpoints: slices.Repeat([]report.Endpoint{{Method: "GET", Name: "/a", Requests: 1}}, 7),
	}}
	poller := background.NewPoller(fixedStats{response}, time.Second, 1, clock.RealClock{}, nil)
	go func() { _ = poller.Start(t.Context()) }()
	pod := corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Labels: map[string]string{resources.LabelPodName: "test-master"}, OwnerReferences: []metav1.OwnerReference{{UID: "master-job"}},
	}, Status: corev1.PodStatus{PodIP: "10.0.0.7", ContainerStatuses: []corev1.ContainerStatus{
		{Name: "test-master", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}},
	}}}
	running := &status.Observation{Test: f.test, Run: resources.NewRun(f.test), MasterJob: f.job("test-master"), Pods: []corev1.Pod{pod}}
	poller.Request(f.test, running, 0)
	require.Eventually(t, func() bool { return poller.Latest(f.test).Report != nil }, 10*time.Second, time.Millisecond)
	poller.Cancel(f.test)

	f.reconciler.Poller = poller
	f.requireWrites(reportName)
	assert.Len(t, f.report().Endpoints, 7, "from the web API")
	assert.Nil(t, poller.Latest(f.test).Report)
	f.requireSettled()
}

// fixedStats is a master with one response.
type fixedStats struct{ response *report.Report }

func (f fixedStats) Stats(context.Context, locust.Target) (*report.Report, error) {
	return f.response, nil
}

// TestExportMetrics_Endpoints: the endpoints of the latest report of the web API have series, if the setting asks for them.
func TestExportMetrics_Endpoints(t *testing.T) {
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "shop", UID: "1"}, Status: v2.LocustTestStatus{Phase: v2.PhaseRunning}}
	live := &report.Report{State: report.StateRunning}
	live.Endpoints = []report.Endpoint{{Method: "GET", Name: "/cart", Requests: 7}, {Method: "GET", Name: "/other", Requests: 2}}
	for limit, want := range map[int]int{0: 0, 1: 2, 5: 2} { // with a limit of 1, the second series is the overflow
		m := metrics.New(limit)
		r := &LocustTestReconciler{Metrics: *m}
		r.exportMetrics(test, &status.Observation{Test: test}, &test.Status)
		r.exportMetrics(test, &status.Observation{Test: test, Locust: &status.Locust{Report: live}}, &test.Status)
		registry := prometheus.NewRegistry()
		require.NoError(t, m.Register(registry))
		families, err := registry.Gather()
		require.NoError(t, err)
		count := 0
		for _, family := range families {
			if family.GetName() == "locust_test_endpoint_requests_total" {
				count = len(family.GetMetric())
			}
		}
		assert.Equal(t, want, count, "limit %d", limit)
	}
}
