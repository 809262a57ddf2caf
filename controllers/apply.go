package controllers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/validation"
)

// apply carries out the plan, and returns what it changed. It returns an error if a retry may succeed; the changes contain
// permanent failures.
func (r *LocustTestReconciler) apply(ctx context.Context, test *v2.LocustTest, state *testState, obs *status.Observation, plan *status.Plan) (status.Changes, error) {
	changes := status.Changes{RecheckAfter: plan.RequeueAfter}
	// The report comes before the end of its sources. No failure may prevent that the load is stopped.
	var reported error
	if plan.CreateReport {
		reported = r.createReport(ctx, test, state, obs)
	}
	if err := errors.Join(reported, r.prune(ctx, test, state), r.end(ctx, state, obs, plan, r.ttl(reported)), r.deleteOrphans(ctx, plan)); err != nil {
		return changes, err
	}
	if err := r.create(ctx, test, state, obs.Run, plan, &changes); err != nil {
		return changes, err
	}
	if plan.EndLoad != nil {
		logf.FromContext(ctx).Info("stopping the load as spec.stop requests", "job", plan.EndLoad.Name)
		return changes, r.patchJob(ctx, state, kindMasterJob, plan.EndLoad, status.EndLoadPatch())
	}
	if plan.ReplaceWorkerJob {
		return changes, r.deleteWorkerJob(ctx, state, obs.WorkerJob)
	}
	if n := plan.WorkerCompletions; n > 0 {
		spec := map[string]any{"completions": n, "parallelism": n}
		return changes, r.patchJob(ctx, state, kindWorkerJob, obs.WorkerJob, spec)
	}
	return changes, nil
}

// create creates the missing objects. It builds all objects before it creates the first, so that an invalid spec creates none.
// Lost objects are built from the spec that the run was started from.
func (r *LocustTestReconciler) create(ctx context.Context, test *v2.LocustTest, state *testState, run *resources.Run, plan *status.Plan, changes *status.Changes) error {
	if !plan.Creates() {
		state.creation.permit()
		return nil
	}
	// Other reconciles may come before the retry is due, one for each poll.
	if wait := state.creation.retryAt.Sub(r.Clock.Now()); wait > 0 {
		changes.RecheckIn(wait)
		changes.Failure = state.creation.refusal
		if taken := state.creation.taken; taken != "" {
			changes.Foreign = append(changes.Foreign, taken)
		}
		return nil
	}
	source := run.ApplyTo(test)
	if run == nil {
		run = resources.NewRun(test)
	}
	service := resources.BuildService(source)
	var master, worker *batchv1.Job
	var err error
	if plan.CreateMaster || plan.CreateWorker { // the Service needs only the name
		err = validation.Validate(source).ToAggregate()
	}
	if plan.CreateMaster && err == nil {
		master, err = resources.BuildMasterJob(source, &r.Settings.PodDefaults)
	}
	if plan.CreateWorker && err == nil {
		worker, err = resources.BuildWorkerJob(source, &r.Settings.PodDefaults)
	}
	if err != nil {
		changes.Failure = &status.Failure{Message: buildMessage(err), Final: !hasStarted(test)}
		return nil
	}
	for _, step := range []struct {
		wanted bool
		kind   string
		object client.Object
		done   func()
	}{
		{plan.CreateService, kindService, service, func() { changes.Service = service }},
		{plan.CreateMaster, kindMasterJob, master, func() { changes.MasterJob = master }},
		{plan.CreateWorker, kindWorkerJob, worker, func() { changes.WorkerJob = worker }},
	} {
		if !step.wanted {
			continue
		}
		own, err := r.createOne(ctx, test, state, changes, step.kind, step.object)
		if err != nil || !own {
			return err
		}
		step.done()
	}
	changes.Run = run
	return nil
}

// buildMessage returns why the objects of a test cannot be built: the first error and the number of errors, then each error on
// its own line if there are several.
func buildMessage(err error) string {
	var problems utilerrors.Aggregate
	if !errors.As(err, &problems) || len(problems.Errors()) == 0 {
		return err.Error()
	}
	all := problems.Errors()
	if len(all) == 1 {
		return all[0].Error()
	}
	lines := []string{fmt.Sprintf("%d problems, first: %s", len(all), all[0])}
	for _, problem := range all {
		lines = append(lines, problem.Error())
	}
	return strings.Join(lines, "\n")
}

// deleteOrphans deletes pods whose owner no longer exists.
func (r *LocustTestReconciler) deleteOrphans(ctx context.Context, plan *status.Plan) error {
	var errs []error
	for i := range plan.Orphans {
		pod := &plan.Orphans[i]
		err := r.Delete(ctx, pod, client.Preconditions{UID: &pod.UID})
		if client.IgnoreNotFound(err) != nil {
			errs = append(errs, fmt.Errorf("delete orphaned pod %s/%s: %w", pod.Namespace, pod.Name, err))
			continue
		}
		logf.FromContext(ctx).Info("deleted orphaned pod", "pod", pod.Name)
	}
	return errors.Join(errs...)
}

// createOne creates one object. It reports whether the object exists and belongs to this test.
func (r *LocustTestReconciler) createOne(ctx context.Context, test *v2.LocustTest, state *testState, changes *status.Changes, kind string, object client.Object) (own bool, err error) {
	name, now := object.GetName(), r.Clock.Now()
	err = r.Create(ctx, object)
	switch {
	case err == nil:
		logf.FromContext(ctx).Info("created", "object", kind, "name", name)
		changes.Created = append(changes.Created, fmt.Sprintf("%s %s", kind, name))
		state.written.expect(kind, object, true, now)
		return true, nil
	case apierrors.IsAlreadyExists(err):
		// The cache was behind, or another owner has the name.
		if err := r.APIReader.Get(ctx, client.ObjectKeyFromObject(object), object); err != nil {
			return false, fmt.Errorf("read existing %s %s: %w", kind, name, err)
		}
		found := &status.Observation{}
		if !r.claim(ctx, test, kind, object, found) {
			changes.Foreign, changes.Predecessors = append(changes.Foreign, found.Foreign...), append(changes.Predecessors, found.Predecessors...)
			changes.RecheckIn(found.RecheckAfter)
			if len(found.Foreign) > 0 {
				changes.RecheckIn(state.creation.refuseName(found.Foreign[0], now))
			}
			return false, nil
		}
		// A previous process created it, maybe from another spec: reconcile again.
		state.written.expect(kind, object, true, now)
		return false, fmt.Errorf("%s %s already exists; the cache was behind", kind, name)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		// The test will be deleted with its namespace.
		return false, fmt.Errorf("create %s %s: %w", kind, name, err)
	}
	final := isFinal(err) && !hasStarted(test)
	changes.Failure = &status.Failure{Message: fmt.Sprintf("%s %s could not be created: %s", kind, name, err), Final: final}
	if !final {
		// Do not fail the reconcile: status, polls and startup deadline must go on.
		retryIn := state.creation.refuse(changes.Failure, now)
		changes.RecheckIn(retryIn)
		logf.FromContext(ctx).Info("creation refused, will retry", "object", kind, "name", name, "reason", err.Error(), "retryIn", retryIn.String())
	}
	return false, nil
}

// isFinal reports whether the API server rejects the object itself, so that no retry can succeed. An admission webhook or
// policy may accept it later. Policies may use the same status codes but name no field; webhooks may name any field.
func isFinal(err error) bool {
	var response apierrors.APIStatus
	if !errors.As(err, &response) || strings.HasPrefix(response.Status().Message, "admission webhook ") {
		return false
	}
	var causes []metav1.StatusCause
	if details := response.Status().Details; details != nil {
		causes = details.Causes
	}
	switch {
	case apierrors.IsInvalid(err):
		return slices.ContainsFunc(causes, func(c metav1.StatusCause) bool { return c.Field != "" })
	case apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return len(causes) == 0
	}
	return false
}

// hasStarted reports whether the master is known to have run: a failed re-creation then does not end the run at once.
func hasStarted(test *v2.LocustTest) bool {
	return test.Status.Phase == v2.PhaseRunning || test.Status.MasterPod != ""
}

// ttl returns the TTL of the Jobs of a finished test; nil until its report is written.
func (r *LocustTestReconciler) ttl(reported error) *time.Duration {
	if reported != nil {
		return nil
	}
	return r.Settings.JobTTL
}

// end stops the Jobs of a finished test and sets their TTL, if not nil. A Job is stopped by an expired deadline and a parallelism of 0
// (status.StopPatch).
func (r *LocustTestReconciler) end(ctx context.Context, state *testState, obs *status.Observation, plan *status.Plan, ttl *time.Duration) error {
	var errs []error
	for _, job := range plan.Stop {
		if err := r.patchJob(ctx, state, kindOf(obs, job), job, status.StopPatch(ttl)); err != nil {
			errs = append(errs, err)
			continue
		}
		logf.FromContext(ctx).Info("stopped Job of finished test", "job", job.Name)
	}
	for _, job := range plan.Expire {
		if ttl == nil {
			continue
		}
		spec := map[string]any{"ttlSecondsAfterFinished": int64(*ttl / time.Second)}
		errs = append(errs, r.patchJob(ctx, state, kindOf(obs, job), job, spec))
	}
	return errors.Join(errs...)
}

func kindOf(obs *status.Observation, job *batchv1.Job) string {
	if job == obs.MasterJob {
		return kindMasterJob
	}
	return kindWorkerJob
}

// patchJob patches a Job's spec. It ignores a deleted Job.
func (r *LocustTestReconciler) patchJob(ctx context.Context, state *testState, kind string, job *batchv1.Job, spec map[string]any) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": job.UID}, "spec": spec})
	if err != nil {
		return fmt.Errorf("encode patch of Job %s: %w", job.Name, err)
	}
	changed := job.DeepCopy()
	err = r.Patch(ctx, changed, client.RawPatch(types.MergePatchType, patch))
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("patch %s %s/%s: %w", kind, job.Namespace, job.Name, err)
	}
	state.written.expect(kind, changed, false, r.Clock.Now())
	return nil
}

// deleteWorkerJob deletes a worker Job whose pods were all deleted, so that it is recreated.
func (r *LocustTestReconciler) deleteWorkerJob(ctx context.Context, state *testState, job *batchv1.Job) error {
	err := r.Delete(ctx, job, client.PropagationPolicy(metav1.DeletePropagationBackground),
		client.Preconditions{UID: &job.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("delete finished worker Job %s/%s: %w", job.Namespace, job.Name, err)
	}
	state.written.expectDeletion(kindWorkerJob, job, r.Clock.Now())
	logf.FromContext(ctx).Info("deleted finished worker Job to restart the workers", "job", job.Name)
	return nil
}
