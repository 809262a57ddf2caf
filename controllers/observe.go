package controllers

import (
	"context"
	"fmt"
	"sort"
	"strconv"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

const (
	testKind      = "LocustTest"
	kindService   = "Service"
	kindMasterJob = "master Job"
	kindWorkerJob = "worker Job"
)

// staleError reports that the cache does not have the last writes of the operator yet.
type staleError struct{ wait time.Duration }

func (staleError) Error() string { return "the cache does not have the last writes yet" }

// observe collects the state of the test: from the cache, from the background observers, and from the API server only if an
// expected object is missing from the cache. It returns a staleError if the cache is behind the operator's own writes.
func (r *LocustTestReconciler) observe(ctx context.Context, test *v2.LocustTest, state *testState) (*status.Observation, error) {
	obs := &status.Observation{Test: test, FirstObservation: !state.observed}
	if err := r.observeObjects(ctx, test, state, obs); err != nil {
		return nil, err
	}
	if err := r.observePods(ctx, test, obs); err != nil {
		return nil, err
	}
	if job := obs.MasterJob; job != nil && job.DeletionTimestamp != nil && !status.HasOutcome(obs) {
		obs.MasterJob = nil
	}
	if err := r.observeReport(ctx, test, state, obs); err != nil {
		return nil, err
	}
	observeFinal(state, obs)
	if err := r.observeRun(ctx, state, obs); err != nil {
		return nil, err
	}
	r.observeClocks(test, state, obs)
	r.observeLocust(test, obs)
	r.observeDNSWait(state, obs)
	r.observeEvents(test, obs)
	return obs, nil
}

// observeClocks relates the times in the objects, which are set by other machines, to the operator's clock.
func (r *LocustTestReconciler) observeClocks(test *v2.LocustTest, state *testState, obs *status.Observation) {
	if test.Status.IsTerminal() && obs.Stopped() {
		state.clocks = nil
		return
	}
	if state.clocks == nil {
		state.clocks = &status.Clocks{}
	}
	state.clocks.Observe(obs, r.Clock.Now())
	obs.Clocks = state.clocks
}

func (r *LocustTestReconciler) observeObjects(ctx context.Context, test *v2.LocustTest, state *testState, obs *status.Observation) error {
	service, master, worker := &corev1.Service{}, &batchv1.Job{}, &batchv1.Job{}
	for _, want := range []struct {
		kind, name string
		object     client.Object
		found      func()
	}{
		{kindService, resources.MasterName(test.Name), service, func() { obs.Service = service }},
		{kindMasterJob, resources.MasterName(test.Name), master, func() { obs.MasterJob = master }},
		{kindWorkerJob, resources.WorkerName(test.Name), worker, func() { obs.WorkerJob = worker }},
	} {
		key := client.ObjectKey{Namespace: test.Namespace, Name: want.name}
		exists, err := r.read(ctx, test, state, want.kind, key, want.object)
		if err != nil {
			return fmt.Errorf("read %s %s: %w", want.kind, key, err)
		}
		if exists && (r.claim(ctx, test, want.kind, want.object, obs) || want.kind == kindMasterJob && mayShowOutcome(test, master)) {
			want.found()
		}
	}
	return nil
}

// read gets one object from the cache, and reports whether it exists.
func (r *LocustTestReconciler) read(ctx context.Context, test *v2.LocustTest, state *testState, kind string, key client.ObjectKey, into client.Object) (bool, error) {
	// Points into the cache; must not be modified.
	err := r.Get(ctx, key, into, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return false, err
	}
	found, cached := err == nil, into
	if !found {
		cached = nil
	}
	if wait := state.written.wait(kind, cached, r.Clock.Now()); wait > 0 {
		return false, staleError{wait}
	}
	expected := state.written[kind].created || meta.IsStatusConditionTrue(test.Status.Conditions, v2.ConditionTypeReady)
	if found || !expected || test.Status.IsTerminal() {
		return found, nil
	}
	return r.confirmAbsent(ctx, key, into)
}

// confirmAbsent reads an object that is missing from the cache from the API server, before it counts as lost. It reports whether
// the object exists: the cache may be behind, or the object may have lost the label by which the cache selects it.
func (r *LocustTestReconciler) confirmAbsent(ctx context.Context, key client.ObjectKey, into client.Object) (exists bool, err error) {
	err = r.APIReader.Get(ctx, key, into)
	return err == nil, client.IgnoreNotFound(err)
}

// mayShowOutcome reports whether a master Job that is being deleted belongs to the test and its outcome is not recorded yet: it
// may have finished before it was deleted.
func mayShowOutcome(test *v2.LocustTest, master *batchv1.Job) bool {
	return master.DeletionTimestamp != nil && metav1.IsControlledBy(master, test) && !test.Status.IsTerminal()
}

// claim reports whether the object belongs to this test. Otherwise it adds the object to the Predecessors of the observation if
// its name will become free (it belongs to an earlier test of the same name, or is being deleted), else to Foreign. Two tests
// may have the same object names ("a.b" and "a-b"): while both exist, the objects belong to the test that created them.
func (r *LocustTestReconciler) claim(ctx context.Context, test *v2.LocustTest, kind string, object client.Object, obs *status.Observation) bool {
	what := fmt.Sprintf("%s %s", kind, object.GetName())
	owner := metav1.GetControllerOf(object)
	switch {
	case owner != nil && owner.UID == test.UID && object.GetDeletionTimestamp() == nil:
		return true
	case owner != nil && owner.UID == test.UID:
		obs.Predecessors = append(obs.Predecessors, what+" (being deleted)")
	case owner != nil && owner.Kind == testKind && owner.Name == test.Name:
		obs.Predecessors = append(obs.Predecessors, what+" (of an earlier test)")
	case owner != nil && isTwin(test, owner) && (object.GetDeletionTimestamp() != nil || !r.exists(ctx, test.Namespace, owner.Name, owner.UID)):
		obs.Predecessors = append(obs.Predecessors, what+" (of test "+owner.Name+")")
		obs.RecheckAfter = status.Soonest(obs.RecheckAfter, twinRetryInterval)
	default:
		obs.Foreign = append(obs.Foreign, what)
	}
	return false
}

// isTwin reports whether the owner of an object is a test with the same object names.
func isTwin(test *v2.LocustTest, owner *metav1.OwnerReference) bool {
	return owner.Kind == testKind && resources.MasterName(owner.Name) == resources.MasterName(test.Name)
}

// exists reports whether the test exists and is not being deleted. An empty uid matches any test of that name.
func (r *LocustTestReconciler) exists(ctx context.Context, namespace, name string, uid types.UID) bool {
	other := &v2.LocustTest{}
	// Points into the cache; must not be modified.
	err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, other, client.UnsafeDisableDeepCopy)
	if err != nil {
		return !apierrors.IsNotFound(err)
	}
	return other.DeletionTimestamp.IsZero() && (uid == "" || other.UID == uid)
}

// observePods adds the test's pods, and the running pods of earlier tests with the same Service name: their workers would
// connect to the new master.
func (r *LocustTestReconciler) observePods(ctx context.Context, test *v2.LocustTest, obs *status.Observation) error {
	var pods corev1.PodList
	// The pods point into the cache; neither this package nor pkg/status may modify them.
	service := client.MatchingFields{podsByService: resources.MasterName(test.Name)}
	if err := r.List(ctx, &pods, client.InNamespace(test.Namespace), service, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list pods of test %s/%s: %w", test.Namespace, test.Name, err)
	}
	// Sort, because the cache has no order and the same observation must give the same status.
	sort.Slice(pods.Items, func(i, j int) bool { return pods.Items[i].Name < pods.Items[j].Name })
	obs.Pods = pods.Items[:0]
	for i := range pods.Items {
		pod := &pods.Items[i]
		if isOwn(test, pod, obs) {
			obs.Pods = append(obs.Pods, *pod)
			continue
		}
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		if name := pod.Labels[resources.LabelTestName]; name != test.Name {
			if r.exists(ctx, test.Namespace, name, types.UID(pod.Labels[resources.LabelTestUID])) {
				continue // its Service is Foreign
			}
			obs.RecheckAfter = status.Soonest(obs.RecheckAfter, twinRetryInterval)
		}
		obs.Predecessors = append(obs.Predecessors, "pod "+pod.Name+" (of an earlier test)")
		if status.IsOrphan(pod) {
			obs.OldOrphans = append(obs.OldOrphans, *pod)
		}
	}
	return nil
}

// isOwn reports whether the pod belongs to the test. Pods of the 2.x operator have no label with the test's UID; they are
// matched by their Job.
func isOwn(test *v2.LocustTest, pod *corev1.Pod, obs *status.Observation) bool {
	if uid, labeled := pod.Labels[resources.LabelTestUID]; labeled {
		return uid == string(test.UID)
	}
	return obs.MasterJob != nil && metav1.IsControlledBy(pod, obs.MasterJob) ||
		obs.WorkerJob != nil && metav1.IsControlledBy(pod, obs.WorkerJob)
}

// observeDNSWait sets how long to wait for DNS caches to drop the previous test's Service.
func (r *LocustTestReconciler) observeDNSWait(state *testState, obs *status.Observation) {
	now := r.Clock.Now()
	switch {
	case len(obs.Predecessors) > 0:
		state.creation.predecessorsSeenAt = now
	case !state.creation.predecessorsSeenAt.IsZero():
		obs.DNSCacheWait = max(dnsTTL-now.Sub(state.creation.predecessorsSeenAt), 0)
	}
}

// observeRun sets the spec that the run was started from. If the generation has not changed since, it is the test's spec;
// the copy in the Jobs, which may have 200 KiB, is neither cached nor read.
func (r *LocustTestReconciler) observeRun(ctx context.Context, state *testState, obs *status.Observation) error {
	test := obs.Test
	if test.Status.IsTerminal() && obs.ReportExists {
		state.run = runCache{}
		return nil
	}
	adopted := false
	for _, job := range []*batchv1.Job{obs.MasterJob, obs.WorkerJob} {
		if job == nil {
			continue
		}
		started, ok := job.Annotations[resources.AnnotationRunGeneration]
		if !ok {
			adopted = true
			continue
		}
		if started == strconv.FormatInt(test.Generation, 10) && test.DecodeError == nil {
			obs.Run = state.run.current(test)
			return nil
		}
		run, err := r.driftedRun(ctx, state, job)
		if err != nil {
			return err
		}
		if run != nil {
			obs.Run = run
			return nil
		}
	}
	if adopted && obs.Run == nil && test.DecodeError == nil {
		obs.Run = adoptedRun(obs, state.run.current(test))
	}
	return nil
}

// adoptedRun returns the run of Jobs created by the 2.x operator, which does not record the spec: the test's spec, with the
// parallelism of the worker Job as worker replicas.
func adoptedRun(obs *status.Observation, run *resources.Run) *resources.Run {
	if obs.WorkerJob != nil && obs.WorkerJob.Spec.Parallelism != nil && *obs.WorkerJob.Spec.Parallelism > 0 {
		run.Spec.Worker.Replicas = *obs.WorkerJob.Spec.Parallelism
	}
	return run
}

// driftedRun decodes the run from the annotations of a Job, once per Job. It returns nil if they are invalid: the other Job
// has a copy.
func (r *LocustTestReconciler) driftedRun(ctx context.Context, state *testState, job *batchv1.Job) (*resources.Run, error) {
	if run, known := state.run.drifted[job.UID]; known {
		return run, nil
	}
	full := &batchv1.Job{}
	if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(job), full); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil // the deletion will reach the cache
		}
		return nil, fmt.Errorf("read the run's spec from Job %s/%s: %w", job.Namespace, job.Name, err)
	}
	if full.UID != job.UID {
		return nil, fmt.Errorf("read the run's spec from Job %s/%s: it was replaced by another Job", job.Namespace, job.Name)
	}
	run, err := resources.RunFromJob(full)
	if err != nil {
		logf.FromContext(ctx).Error(err, "cannot decode the run's spec", "job", job.Name)
		run = nil
	}
	if state.run.drifted == nil {
		state.run.drifted = map[types.UID]*resources.Run{}
	}
	state.run.drifted[job.UID] = run
	return run, nil
}

// observeLocust adds the latest state of the test's master.
func (r *LocustTestReconciler) observeLocust(test *v2.LocustTest, obs *status.Observation) {
	if r.Poller == nil || obs.Run == nil {
		return
	}
	if api := obs.Run.Locust.WebAPI; api.Unreachable != "" {
		obs.Locust = &status.Locust{Unreachable: true, LastError: api.Unreachable}
		return
	}
	known := r.Poller.Latest(test)
	obs.Locust = &known
}

// observeEvents adds the latest Events of stuck objects.
func (r *LocustTestReconciler) observeEvents(test *v2.LocustTest, obs *status.Observation) {
	if r.eventReader != nil {
		latest, known := r.eventReader.Latest(client.ObjectKeyFromObject(test))
		obs.Events, obs.EventsAt, obs.EventsUnread = latest.Events, latest.At, !known
	}
}
