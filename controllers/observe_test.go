package controllers

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// jobReader serves Jobs as the API server stores them, and counts requests.
type jobReader struct {
	client.Reader
	jobs     map[string]*batchv1.Job
	requests int
	err      error
}

func (r *jobReader) Get(_ context.Context, key client.ObjectKey, into client.Object, _ ...client.GetOption) error {
	r.requests++
	if r.err != nil {
		return r.err
	}
	r.jobs[key.Name].DeepCopyInto(into.(*batchv1.Job))
	return nil
}

// startedJob returns a Job of a run, in full and as the cache keeps it.
func startedJob(t *testing.T, name, spec, generation string) (full, cached *batchv1.Job) {
	t.Helper()
	full = &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), Annotations: map[string]string{
		resources.AnnotationRunSpec: spec, resources.AnnotationRunGeneration: generation,
	}}}
	kept, err := strip(full.DeepCopy())
	require.NoError(t, err)
	return full, kept.(*batchv1.Job)
}

// TestObserveRun: the spec of the run is the test's while the generation is that of the start. Otherwise it is read from a Job,
// once.
func TestObserveRun(t *testing.T) {
	const good, bad = `{"image":"locust:1"}`, `{"image":`
	for name, row := range map[string]struct {
		master, worker string
		generation     int64
		undecodable    bool
		terminal       bool
		reported       bool
		image          string
		requests       int
	}{
		"not changed":                  {good, good, 1, false, false, false, "locust:2", 0},
		"not changed, damaged":         {bad, bad, 1, false, false, false, "locust:2", 0},
		"changed":                      {good, good, 2, false, false, false, "locust:1", 1},
		"changed, one copy is damaged": {bad, good, 2, false, false, false, "locust:1", 2},
		"changed, both are damaged":    {bad, bad, 2, false, false, false, "", 2},
		"cannot be decoded":            {good, good, 1, true, false, false, "locust:1", 1},
		"finished":                     {good, good, 2, false, true, true, "", 0},
		"finished, without a report":   {good, good, 2, false, true, false, "locust:1", 1},
	} {
		t.Run(name, func(t *testing.T) {
			test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Name: "t", Generation: row.generation}, Spec: v2.LocustTestSpec{Image: "locust:2"}}
			if row.undecodable {
				test.DecodeError, test.Spec = &v2.DecodeError{Field: "spec"}, v2.LocustTestSpec{}
			}
			if row.terminal {
				test.Status.Phase = v2.PhaseFailed
			}
			master, cachedMaster := startedJob(t, "t-master", row.master, "1")
			worker, cachedWorker := startedJob(t, "t-worker", row.worker, "1")
			assert.NotContains(t, cachedMaster.Annotations, resources.AnnotationRunSpec, "the cache does not keep it")
			live := &jobReader{jobs: map[string]*batchv1.Job{"t-master": master, "t-worker": worker}}
			r, mem := &LocustTestReconciler{APIReader: live}, &testState{}
			observe := func() *resources.Run {
				obs := &status.Observation{Test: test, MasterJob: cachedMaster, WorkerJob: cachedWorker, ReportExists: row.reported}
				require.NoError(t, r.observeRun(t.Context(), mem, obs))
				return obs.Run
			}
			run := observe()
			assert.Equal(t, row.requests, live.requests)
			if row.image == "" {
				assert.Nil(t, run)
				return
			}
			assert.Equal(t, row.image, run.Spec.Image)
			assert.EqualValues(t, 1, run.Generation)
			before := live.requests
			assert.Equal(t, run, observe())
			assert.LessOrEqual(t, live.requests, before+1, "a copy that could be read is not read again")
		})
	}
}

func TestObserveRun_Fails(t *testing.T) {
	full, cached := startedJob(t, "t-master", `{"image":"locust:1"}`, "1")
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Name: "t", Generation: 2}}
	live := &jobReader{jobs: map[string]*batchv1.Job{"t-master": full}, err: errors.New("unavailable")}
	r := &LocustTestReconciler{APIReader: live}
	obs := &status.Observation{Test: test, MasterJob: cached}
	assert.ErrorContains(t, r.observeRun(t.Context(), &testState{}, obs), "unavailable", "otherwise the run would count as not started")

	live.err = nil
	full.UID = "another"
	assert.ErrorContains(t, r.observeRun(t.Context(), &testState{}, obs), "another Job")
}

// TestObserveRun_Adopted: the Jobs of the 2.x operator carry no run, so it is the test's spec with the parallelism of the Job.
func TestObserveRun_Adopted(t *testing.T) {
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Name: "t", Generation: 2}}
	test.Spec.Worker.Replicas = 7
	r := &LocustTestReconciler{}
	obs := &status.Observation{Test: test, MasterJob: &batchv1.Job{}, WorkerJob: &batchv1.Job{Spec: batchv1.JobSpec{Parallelism: ptr.To[int32](2)}}}
	require.NoError(t, r.observeRun(t.Context(), &testState{}, obs))
	require.NotNil(t, obs.Run)
	assert.EqualValues(t, 2, obs.Run.Spec.Worker.Replicas)
	assert.EqualValues(t, 7, test.Spec.Worker.Replicas, "the test points into the cache")
	assert.True(t, obs.Run.InSync(test))

	test.DecodeError = &v2.DecodeError{}
	obs.Run = nil
	require.NoError(t, r.observeRun(t.Context(), &testState{}, obs))
	assert.Nil(t, obs.Run, "an invalid spec is no run")
}

// TestIsOwn: pods without a UID label are matched by their Job.
func TestIsOwn(t *testing.T) {
	test := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Name: "t", UID: "u"}}
	obs := &status.Observation{Test: test, WorkerJob: &batchv1.Job{ObjectMeta: metav1.ObjectMeta{UID: "job"}}}
	pod := func(uid string, owner types.UID) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{UID: owner, Controller: ptr.To(true)}}}}
		if uid != "" {
			p.Labels = map[string]string{resources.LabelTestUID: uid}
		}
		return p
	}
	assert.True(t, isOwn(test, pod("u", "job"), obs))
	assert.True(t, isOwn(test, pod("u", ""), obs))
	assert.True(t, isOwn(test, pod("", "job"), obs), "from the 2.x operator")
	assert.False(t, isOwn(test, pod("earlier", "job"), obs))
	assert.False(t, isOwn(test, pod("", "other"), obs))
}

// TestUndecodableTestFails: one invalid test fails, with a message that names the field.
func TestUndecodableTestFails(t *testing.T) {
	f := newFixture(t)
	f.requireWrites("status")
	f.reconciler.Client = &undecodableClient{f.client}
	written, _, err := f.reconcile()
	require.NoError(t, err)
	assert.Equal(t, []string{"status", "test-1"}, written, "nothing but the report is created")
	ready := f.ready()
	assert.Equal(t, v2.PhaseFailed, f.test.Status.Phase)
	assert.Contains(t, ready.Message, `spec.master.resources.limits[cpu]: Invalid value: "1e1.5"`)
}

// undecodableClient returns tests as the cache does if their spec cannot be decoded.
type undecodableClient struct{ client.Client }

func (c *undecodableClient) Get(ctx context.Context, key client.ObjectKey, into client.Object, opts ...client.GetOption) error {
	err := c.Client.Get(ctx, key, into, opts...)
	if test, ok := into.(*v2.LocustTest); ok {
		test.Spec, test.DecodeError = v2.LocustTestSpec{Worker: v2.WorkerSpec{Replicas: 2}}, &v2.DecodeError{Field: "spec.master.resources.limits[cpu]", Value: "1e1.5", Detail: "must be a quantity; correct it"}
	}
	return err
}
