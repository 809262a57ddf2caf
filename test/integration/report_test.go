//go:build integration

package integration

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// retained makes the report of a test outlive it.
func retained(test *v2.LocustTest, limit int32) *v2.LocustTest {
	test.Spec.Report = &v2.ReportConfig{Retain: true, HistoryLimit: &limit}
	return test
}

// endRun runs and ends all pods of a test.
func endRun(t *testing.T, test *v2.LocustTest) {
	t.Helper()
	master, workers := runAll(t, test)
	for i := range workers {
		endPod(t, &workers[i], 0, "")
	}
	endMaster(t, &master)
}

// reports returns the reports in the namespace of a test.
func reports(t *testing.T, test *v2.LocustTest) []v1alpha1.LocustReport {
	t.Helper()
	var list v1alpha1.LocustReportList
	require.NoError(t, k8s.List(t.Context(), &list, client.InNamespace(test.Namespace)))
	return list.Items
}

// theReport waits for the report of a finished test, and returns it.
func theReport(t *testing.T, test *v2.LocustTest) *v1alpha1.LocustReport {
	t.Helper()
	r := &v1alpha1.LocustReport{}
	eventually(t, "the report exists", func() bool {
		return k8s.Get(t.Context(), client.ObjectKey{Namespace: test.Namespace, Name: resources.ReportName(test)}, r) == nil
	})
	return r
}

func TestReport_Owned(t *testing.T) {
	t.Parallel()
	op, test := startWithTest(t, "reported", withTTL)
	endRun(t, test)
	s := op.UntilPhase(test, v2.PhaseSucceeded)
	r := theReport(t, test)
	assert.Equal(t, r.Name, s.Report)
	assert.True(t, metav1.IsControlledBy(r, test))
	assert.EqualValues(t, 1000, r.Summary.TotalRequests)
	assert.Equal(t, s.TestResult.RequestsPerSecond, r.Summary.RequestsPerSecond)
	assert.True(t, r.Run.EndTime.Equal(s.CompletionTime))
	assert.Equal(t, condition(s, v2.ConditionTypeTestCompleted).Message, r.Outcome.Message)
	eventually(t, "the Job has a TTL", func() bool { return job(t, test, resources.RoleMaster).Spec.TTLSecondsAfterFinished != nil })
	assert.Len(t, reports(t, test), 1)

	// A new process neither creates it again nor reads it.
	op.stop()
	next := startOperator(t, test.Namespace, withTTL)
	time.Sleep(2 * time.Second)
	assert.Zero(t, next.requests.total("POST locustreports"))
	require.NoError(t, k8s.Delete(t.Context(), test, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	eventually(t, "the report is deleted with its test", func() bool { return len(reports(t, test)) == 0 })
}

// TestReport_DeletedByUser checks that a deleted report is not created again.
func TestReport_DeletedByUser(t *testing.T) {
	t.Parallel()
	op, test := startWithTest(t, "unwanted", withTTL)
	endRun(t, test)
	op.UntilPhase(test, v2.PhaseSucceeded)
	require.NoError(t, k8s.Delete(t.Context(), theReport(t, test)))
	eventually(t, "the Jobs have a TTL", func() bool {
		return job(t, test, resources.RoleMaster).Spec.TTLSecondsAfterFinished != nil && job(t, test, resources.RoleWorker).Spec.TTLSecondsAfterFinished != nil
	})
	time.Sleep(2 * time.Second)
	assert.Empty(t, reports(t, test))
	assert.Equal(t, 1, op.requests.total("POST locustreports"))
}

// TestReport_Retained checks that a retained report outlives its test, and that the oldest ones of the name are deleted.
func TestReport_Retained(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	op := startOperator(t, ns)
	var names []string
	for range 3 {
		test := create(t, retained(newTest(ns, "nightly"), 2))
		endRun(t, test)
		op.UntilPhase(test, v2.PhaseSucceeded)
		r := theReport(t, test)
		names = append(names, r.Name)
		assert.Empty(t, r.OwnerReferences)
		require.NoError(t, k8s.Delete(t.Context(), test, client.PropagationPolicy(metav1.DeletePropagationForeground)))
		eventually(t, "the test is gone", func() bool {
			return apierrors.IsNotFound(k8s.Get(t.Context(), client.ObjectKeyFromObject(test), &v2.LocustTest{}))
		})
		time.Sleep(time.Second) // creation times have whole seconds
	}
	var kept []string
	for _, r := range reports(t, newTest(ns, "nightly")) {
		kept = append(kept, r.Name)
	}
	assert.ElementsMatch(t, names[1:], kept)
	assert.Equal(t, 1, op.requests.total("DELETE locustreports"), "%v", op.requests.snapshot())
}

// TestReport_Immutable checks that the API server refuses each change of a report but that of its metadata.
func TestReport_Immutable(t *testing.T) {
	ns := namespace(t)
	one := int64(1)
	full := &v1alpha1.LocustReport{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "full"},
		Test:       v1alpha1.Test{Name: "a", UID: "b"}, Outcome: v1alpha1.Outcome{Phase: "Succeeded"}, Run: v1alpha1.Run{EndTime: metav1.Now()},
		Summary:    &v1alpha1.Summary{Source: "WebAPI", Statistics: v1alpha1.Statistics{TotalRequests: one}},
		Endpoints:  []v1alpha1.Endpoint{{Name: "/"}},
		Errors:     []v1alpha1.Error{{Error: "500"}},
		Exceptions: []v1alpha1.Exception{{Message: "KeyError"}},
		History:    []v1alpha1.HistoryPoint{{Time: metav1.Now(), RequestsPerSecond: "1", FailuresPerSecond: "0"}},
		Workers:    []v1alpha1.Worker{{Name: "w"}},
		Truncated:  []v1alpha1.Truncation{{Field: "endpoints", Message: "why"}},
	}
	changes := map[string]func(*v1alpha1.LocustReport){
		"test": func(r *v1alpha1.LocustReport) { r.Test.Name = "x" }, "outcome": func(r *v1alpha1.LocustReport) { r.Outcome.Phase = "Failed" },
		"run": func(r *v1alpha1.LocustReport) { r.Run.Image = "x" }, "summary": func(r *v1alpha1.LocustReport) { r.Summary.TotalRequests++ },
		"endpoints": func(r *v1alpha1.LocustReport) { r.Endpoints[0].Name = "x" }, "errors": func(r *v1alpha1.LocustReport) { r.Errors[0].Error = "x" },
		"exceptions":         func(r *v1alpha1.LocustReport) { r.Exceptions = append(r.Exceptions, v1alpha1.Exception{Message: "x"}) },
		"history":            func(r *v1alpha1.LocustReport) { r.History[0].Users++ },
		"workers":            func(r *v1alpha1.LocustReport) { r.Workers[0].Name = "x" },
		"truncated":          func(r *v1alpha1.LocustReport) { r.Truncated[0].Kept++ },
		"summary, removed":   func(r *v1alpha1.LocustReport) { r.Summary = nil },
		"endpoints, removed": func(r *v1alpha1.LocustReport) { r.Endpoints = nil },
		"history, removed":   func(r *v1alpha1.LocustReport) { r.History = nil },
		"truncated, removed": func(r *v1alpha1.LocustReport) { r.Truncated = nil },
	}
	require.NoError(t, k8s.Create(t.Context(), full))
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			changed := full.DeepCopy()
			change(changed)
			require.ErrorContains(t, k8s.Update(t.Context(), changed), "a report is immutable")
		})
	}
	bare := &v1alpha1.LocustReport{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "bare"}, Test: full.Test, Outcome: full.Outcome, Run: full.Run}
	require.NoError(t, k8s.Create(t.Context(), bare))
	added := full.DeepCopy()
	added.ObjectMeta = bare.ObjectMeta
	require.ErrorContains(t, k8s.Update(t.Context(), added), "a report is immutable")

	for _, r := range []*v1alpha1.LocustReport{full, bare} {
		r.Labels = map[string]string{"keep": "true"}
		require.NoError(t, k8s.Update(t.Context(), r), "metadata may change")
	}
	other := &unstructured.Unstructured{Object: map[string]any{"metadata": map[string]any{"labels": map[string]any{"more": "true"}}}}
	other.SetAPIVersion(v1alpha1.GroupVersion.String())
	other.SetKind("LocustReport")
	other.SetNamespace(ns)
	other.SetName("full")
	require.NoError(t, k8s.Patch(t.Context(), other, client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"labels":{"more":"true"}}}`))))
}

// TestReport_Refused checks that an operator that may not create reports stops the load all the same, and creates the report later.
func TestReport_Refused(t *testing.T) {
	t.Parallel()
	ns := namespace(t)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "no-reports"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/locustreports.locust.io": {}}}}
	require.NoError(t, k8s.Create(t.Context(), quota))
	eventually(t, "the quota is in force", func() bool {
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(quota), quota) == nil && len(quota.Status.Hard) > 0
	})
	op := startOperator(t, ns, withTTL)
	test := create(t, newTest(ns, "refused"))
	master, workers := runAll(t, test)
	op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	endPod(t, &master, 1, "ModuleNotFoundError")
	op.UntilPhase(test, v2.PhaseFailed)
	for i := range workers {
		untilDeleted(t, "the load is stopped", &workers[i])
	}
	refusals := func() []string {
		var list corev1.EventList
		require.NoError(t, k8s.List(t.Context(), &list, client.InNamespace(ns)))
		var messages []string
		for _, e := range list.Items {
			if e.Reason == "ReportNotCreated" && e.InvolvedObject.UID == test.UID && e.Type == corev1.EventTypeWarning {
				messages = append(messages, e.Message)
			}
		}
		return messages
	}
	eventually(t, "an Event names the refusal", func() bool { return len(refusals()) > 0 })
	time.Sleep(3 * time.Second)
	for _, message := range refusals() {
		assert.Contains(t, message, "quota: no-reports") // "status unknown for" it, before it is exceeded
	}
	assert.Len(t, slices.Compact(slices.Sorted(slices.Values(refusals()))), len(refusals()), "one for each message")
	assert.LessOrEqual(t, op.requests.total("POST locustreports 403"), 12, "the retries back off")
	assert.Nil(t, job(t, test, resources.RoleMaster).Spec.TTLSecondsAfterFinished, "the sources of the report do not expire")
	assert.Empty(t, reports(t, test))

	require.NoError(t, k8s.Delete(t.Context(), quota))
	r := theReport(t, test)
	assert.Equal(t, v2.PhaseFailed, r.Outcome.Phase)
	assert.Contains(t, r.Outcome.Message, "ModuleNotFoundError")
	eventually(t, "the Job has a TTL", func() bool { return job(t, test, resources.RoleMaster).Spec.TTLSecondsAfterFinished != nil })
}

// TestReport_OperatorKilled checks that exactly one report exists at the end of a run, at whatever write the operator is killed.
func TestReport_OperatorKilled(t *testing.T) {
	t.Parallel()
	for name, kill := range map[string]struct {
		request string
		done    bool
	}{
		"before the end is written":     {"PATCH locusttests/status", false},
		"after the end is written":      {"PATCH locusttests/status", true},
		"before the report is created":  {"POST locustreports", false},
		"after the report is created":   {"POST locustreports", true},
		"before the Jobs are changed":   {"PATCH jobs", false},
		"after the first Job's change":  {"PATCH jobs", true},
		"before old reports are pruned": {"DELETE locustreports", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := namespace(t)
			old := &v1alpha1.LocustReport{
				ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "old", Labels: resources.ReportLabels(newTest(ns, "killed"))},
				Test:       v1alpha1.Test{Name: "killed", UID: "old"}, Outcome: v1alpha1.Outcome{Phase: "Failed"}, Run: v1alpha1.Run{EndTime: metav1.Now()},
			}
			require.NoError(t, k8s.Create(t.Context(), old))
			op := startOperator(t, ns, withTTL)
			test := create(t, retained(newTest(ns, "killed"), 1))
			master, workers := runAll(t, test)
			op.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
			for i := range workers {
				endPod(t, &workers[i], 0, "")
			}
			killed := op.faults.killAt(kill.request, kill.done)
			endMaster(t, &master)
			select {
			case <-killed:
			case <-time.After(timeout):
				t.Fatal("the request did not occur")
			}
			op.stop()

			next := startOperator(t, ns, withTTL)
			s := next.UntilPhase(test, v2.PhaseSucceeded)
			r := theReport(t, test)
			assert.Equal(t, s.Report, r.Name)
			assert.EqualValues(t, 1000, r.Summary.TotalRequests)
			assert.Equal(t, "2/2", s.Workers)
			eventually(t, "the Job has a TTL", func() bool {
				return ptr.Deref(job(t, test, resources.RoleMaster).Spec.TTLSecondsAfterFinished, 0) == 3600
			})
			eventually(t, "only the new report is kept", func() bool { return len(reports(t, test)) == 1 })
			created := op.requests.total("POST locustreports 201") + next.requests.total("POST locustreports 201")
			assert.Equal(t, 1, created, "%v %v", op.requests.snapshot(), next.requests.snapshot())
			assert.Equal(t, r.UID, theReport(t, test).UID)
		})
	}
}

// killAt lets the operator do nothing any more from a request on: the request itself fails before it reaches the API server, or its
// response is lost. The channel is closed then.
func (f *faults) killAt(request string, done bool) <-chan struct{} {
	k := &killing{request: request, done: done, at: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.killing = k
	return k.at
}

// killing is the end of an operator at one of its requests.
type killing struct {
	request string
	done    bool
	at      chan struct{}

	mu   sync.Mutex
	dead bool
}

var errKilled = errors.New("the operator was killed")

func (k *killing) roundTrip(what string, req *http.Request, next http.RoundTripper) (*http.Response, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	first := !k.dead && what == k.request
	if first {
		k.dead = true
		defer close(k.at)
	}
	switch {
	case first && k.done:
		response, err := next.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		_ = response.Body.Close()
		return nil, fmt.Errorf("%w after %s", errKilled, what)
	case k.dead && !strings.HasPrefix(what, "WATCH"):
		return nil, fmt.Errorf("%w before %s", errKilled, what)
	}
	return next.RoundTrip(req)
}
