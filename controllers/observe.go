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

	// trustWrites is how long an object that was just written is believed to exist although the cache does not
	// have it; after that the API server is asked.
	trustWrites = 5 * time.Second
	// dnsRest is a little more than the time to live that CoreDNS gives a Service by default (5 s). A worker that is
	// given the address of the old Service waits for minutes, until its connection times out.
	dnsRest = 6 * time.Second
)

// observe gathers what is known of the test: from the cache, from what was just written, from those who ask apart, and from
// the API server only where something is missing that should be there.
func (r *LocustTestReconciler) observe(ctx context.Context, test *v2.LocustTest, mem *memory) (*status.Observation, error) {
	obs := &status.Observation{Test: test, FirstObservation: !mem.looked}
	if err := r.observeObjects(ctx, test, mem, obs); err != nil {
		return nil, err
	}
	if err := r.observePods(ctx, test, mem, obs); err != nil {
		return nil, err
	}
	if job := obs.MasterJob; job != nil && job.DeletionTimestamp != nil && !status.HasOutcome(obs) {
		obs.MasterJob = nil
	}
	if err := r.observeRun(ctx, mem, obs); err != nil {
		return nil, err
	}
	r.observeClocks(test, mem, obs)
	r.observeLocust(test, mem, obs)
	r.observeSettling(mem, obs)
	r.observeEvents(test, mem, obs)
	return obs, nil
}

// observeClocks takes the times of the objects, which are those of other clocks.
func (r *LocustTestReconciler) observeClocks(test *v2.LocustTest, mem *memory, obs *status.Observation) {
	if test.Status.IsTerminal() && obs.Stopped() {
		mem.clocks = nil
		return
	}
	if mem.clocks == nil {
		mem.clocks = &status.Clocks{}
	}
	mem.clocks.Observe(obs, r.Clock.Now())
	obs.Clocks = mem.clocks
}

func (r *LocustTestReconciler) observeObjects(ctx context.Context, test *v2.LocustTest, mem *memory, obs *status.Observation) error {
	mem.recheck = 0
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
		exists, err := r.read(ctx, test, mem, want.kind, key, want.object)
		if err != nil {
			return fmt.Errorf("read %s %s: %w", want.kind, key, err)
		}
		if exists && (r.claim(ctx, test, want.kind, want.object, mem, obs) || want.kind == kindMasterJob && mayShowOutcome(test, master)) {
			want.found()
		}
	}
	return nil
}

// read gets one object: from the cache, or newer from memory, or, when it should exist and is not there, from
// the API server, because a cache may be behind.
func (r *LocustTestReconciler) read(ctx context.Context, test *v2.LocustTest, mem *memory, kind string, key client.ObjectKey, into client.Object) (bool, error) {
	// It is the cache's own, not a copy: nobody writes to it.
	err := r.Get(ctx, key, into, client.UnsafeDisableDeepCopy)
	if client.IgnoreNotFound(err) != nil {
		return false, err
	}
	written, remembered := mem.objects[kind]
	switch {
	case err == nil && mem.deleted[into.GetUID()]:
		return false, nil
	case err == nil && remembered && newer(written.object, into):
		return true, copyInto(written.object, into)
	case err == nil:
		delete(mem.objects, kind)
		return true, nil
	case remembered && r.Clock.Since(written.at) < trustWrites:
		// Should it have been deleted before the cache had it, nothing else would tell.
		mem.recheck = trustWrites
		return true, copyInto(written.object, into)
	case !remembered && (test.Status.IsTerminal() || !meta.IsStatusConditionTrue(test.Status.Conditions, v2.ConditionTypeReady)):
		// It is not there, and nothing says that it should be.
		return false, nil
	}
	delete(mem.objects, kind)
	err = r.Live.Get(ctx, key, into)
	if err == nil && mem.deleted[into.GetUID()] {
		return false, nil
	}
	return err == nil, client.IgnoreNotFound(err)
}

// copyInto shares what the object points to: nobody writes to what was observed.
func copyInto(from, into client.Object) error {
	switch target := into.(type) {
	case *corev1.Service:
		*target = *from.(*corev1.Service)
	case *batchv1.Job:
		*target = *from.(*batchv1.Job)
	default:
		return fmt.Errorf("unexpected object %T", into)
	}
	return nil
}

// mayShowOutcome reports whether a master Job that is being deleted is the test's own, and its outcome is not recorded yet: it
// may have ended before it was deleted.
func mayShowOutcome(test *v2.LocustTest, master *batchv1.Job) bool {
	return master.DeletionTimestamp != nil && metav1.IsControlledBy(master, test) && !test.Status.IsTerminal()
}

// claim reports whether the object is this test's own. An object of an earlier test of the same name, or one
// that is being deleted, keeps its name for a while; any other owner keeps it for good. The names of two tests may give the
// same names of objects ("a.b" and "a-b"): while both exist, the objects belong to the one that has them.
func (r *LocustTestReconciler) claim(ctx context.Context, test *v2.LocustTest, kind string, object client.Object, mem *memory, obs *status.Observation) bool {
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
		mem.recheck = soonest(mem.recheck, twinRetry)
	default:
		obs.Foreign = append(obs.Foreign, what)
	}
	return false
}

// isTwin reports whether the owner of an object is another test whose objects have the names of this one's.
func isTwin(test *v2.LocustTest, owner *metav1.OwnerReference) bool {
	return owner.Kind == testKind && resources.MasterName(owner.Name) == resources.MasterName(test.Name)
}

// exists reports whether a test is there and is not being deleted. Any test of the name counts where the UID is not known.
func (r *LocustTestReconciler) exists(ctx context.Context, namespace, name string, uid types.UID) bool {
	other := &v2.LocustTest{}
	// Points into the cache; must not be modified.
	err := r.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, other, client.UnsafeDisableDeepCopy)
	if err != nil {
		return !apierrors.IsNotFound(err)
	}
	return other.DeletionTimestamp.IsZero() && (uid == "" || other.UID == uid)
}

// observePods takes the test's pods, and those of earlier tests with the same Service name, which its UID tells apart. Old
// workers would connect to the new master.
func (r *LocustTestReconciler) observePods(ctx context.Context, test *v2.LocustTest, mem *memory, obs *status.Observation) error {
	var pods corev1.PodList
	// The pods are the cache's own, not copies: nothing here or in pkg/status writes to them.
	service := client.MatchingFields{podsByService: resources.MasterName(test.Name)}
	if err := r.List(ctx, &pods, client.InNamespace(test.Namespace), service, client.UnsafeDisableDeepCopy); err != nil {
		return fmt.Errorf("list pods of test %s/%s: %w", test.Namespace, test.Name, err)
	}
	// The cache has no order, and the same observation has to give the same status.
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
			mem.recheck = soonest(mem.recheck, twinRetry)
		}
		obs.Predecessors = append(obs.Predecessors, "pod "+pod.Name+" (of an earlier test)")
		if status.IsOrphan(pod) {
			obs.OldOrphans = append(obs.OldOrphans, *pod)
		}
	}
	return nil
}

// isOwn reports whether a pod is one of this test. The pods of the 2.x operator have no label with the test's UID: they
// belong to the test by their Job.
func isOwn(test *v2.LocustTest, pod *corev1.Pod, obs *status.Observation) bool {
	if uid, labelled := pod.Labels[resources.LabelTestUID]; labelled {
		return uid == string(test.UID)
	}
	return obs.MasterJob != nil && metav1.IsControlledBy(pod, obs.MasterJob) ||
		obs.WorkerJob != nil && metav1.IsControlledBy(pod, obs.WorkerJob)
}

// observeSettling notes how long the names of an earlier test should still rest.
func (r *LocustTestReconciler) observeSettling(mem *memory, obs *status.Observation) {
	now := r.Clock.Now()
	switch {
	case len(obs.Predecessors) > 0:
		mem.blocked = now
	case !mem.blocked.IsZero():
		obs.DNSCacheWait = max(dnsRest-now.Sub(mem.blocked), 0)
	}
}

// observeRun finds the spec that the run was started from. As long as the generation is that of the start, it is the
// test's own, and the Jobs' copy of it, which may have 200 KiB, is neither cached nor read.
func (r *LocustTestReconciler) observeRun(ctx context.Context, mem *memory, obs *status.Observation) error {
	test := obs.Test
	if test.Status.IsTerminal() {
		mem.drifted = nil
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
			obs.Run = &resources.Run{Spec: test.Spec, Generation: test.Generation}
			return nil
		}
		run, err := r.driftedRun(ctx, mem, job)
		if err != nil {
			return err
		}
		if run != nil {
			obs.Run = run
			return nil
		}
	}
	if adopted && obs.Run == nil && test.DecodeError == nil {
		obs.Run = adoptedRun(obs)
	}
	return nil
}

// adoptedRun is the run of Jobs that the 2.x operator created, which does not record what it starts from: the test's spec,
// with as many workers as the worker Job was given.
func adoptedRun(obs *status.Observation) *resources.Run {
	run := &resources.Run{Spec: obs.Test.Spec, Generation: obs.Test.Generation}
	if obs.WorkerJob != nil && obs.WorkerJob.Spec.Parallelism != nil && *obs.WorkerJob.Spec.Parallelism > 0 {
		run.Spec.Worker.Replicas = *obs.WorkerJob.Spec.Parallelism
	}
	return run
}

// driftedRun reads the run off a Job's annotations, once. It returns nil when they are damaged: the other Job has the same.
func (r *LocustTestReconciler) driftedRun(ctx context.Context, mem *memory, job *batchv1.Job) (*resources.Run, error) {
	if run, known := mem.drifted[job.UID]; known {
		return run, nil
	}
	full := &batchv1.Job{}
	if err := r.Live.Get(ctx, client.ObjectKeyFromObject(job), full); err != nil {
		if apierrors.IsNotFound(err) {
			return nil, nil // the cache will know
		}
		return nil, fmt.Errorf("read the run's spec off Job %s/%s: %w", job.Namespace, job.Name, err)
	}
	if full.UID != job.UID {
		return nil, fmt.Errorf("read the run's spec off Job %s/%s: another Job has its name now", job.Namespace, job.Name)
	}
	run, err := resources.RunOf(full)
	if err != nil {
		logf.FromContext(ctx).Error(err, "the run's spec cannot be read", "job", job.Name)
		run = nil
	}
	if mem.drifted == nil {
		mem.drifted = map[types.UID]*resources.Run{}
	}
	mem.drifted[job.UID] = run
	return run, nil
}
