package resources

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// minWorkerBackoff is the minimum number of failed worker pods that a test tolerates, Kubernetes' default
// for Jobs.
const minWorkerBackoff = int32(6)

// BuildMasterJob returns the Job of the master: one pod, never retried, because a second master would be a
// second load test. The test must be valid (pkg/validation).
//
// Neither Job has a ttlSecondsAfterFinished: the operator sets it once the outcome is recorded, so that
// the Job still exists if the operator was down at the end of the test.
func BuildMasterJob(test *v2.LocustTest, defaults *PodDefaults) (*batchv1.Job, error) {
	job, err := newJob(test, defaults, RoleMaster)
	if err != nil {
		return nil, err
	}
	job.Spec.Parallelism = new(int32(1))
	job.Spec.Completions = new(int32(1))
	job.Spec.BackoffLimit = new(int32(0))
	// No podFailurePolicy, and podReplacementPolicy stays at its default, TerminatingOrFailed: a master pod
	// that is deleted or evicted counts as failed the moment it starts to terminate, so with backoffLimit 0
	// the Job fails at once. Policy Failed would wait for the pod's end, and Locust may exit with 0 on
	// SIGTERM: an aborted test would count as a success.
	return job, nil
}

// BuildWorkerJob returns the Job of the workers. The test must be valid (pkg/validation).
func BuildWorkerJob(test *v2.LocustTest, defaults *PodDefaults) (*batchv1.Job, error) {
	job, err := newJob(test, defaults, RoleWorker)
	if err != nil {
		return nil, err
	}
	replicas := test.Spec.Worker.Replicas

	// An Indexed Job is elastic (KEP-3715): completions may change together with parallelism. A deleted
	// worker may exit with 0 and complete its index; the operator then increases both numbers.
	job.Spec.CompletionMode = new(batchv1.IndexedCompletion)
	job.Spec.Parallelism = new(replicas)
	job.Spec.Completions = new(replicas)

	// Workers lost to eviction, preemption or a dead node are replaced, and do not count as failures
	// (KEP-3329). A podFailurePolicy allows only the replacement policy Failed.
	job.Spec.PodFailurePolicy = &batchv1.PodFailurePolicy{Rules: []batchv1.PodFailurePolicyRule{{
		Action: batchv1.PodFailurePolicyActionIgnore,
		OnPodConditions: []batchv1.PodFailurePolicyOnPodConditionsPattern{{
			Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue,
		}},
	}}}
	job.Spec.PodReplacementPolicy = new(batchv1.Failed)

	// Other failures count over the whole test: each worker may crash twice.
	job.Spec.BackoffLimit = new(max(minWorkerBackoff, 2*replicas))
	return job, nil
}

func newJob(test *v2.LocustTest, defaults *PodDefaults, role Role) (*batchv1.Job, error) {
	annotations, err := runAnnotations(test)
	if err != nil {
		return nil, fmt.Errorf("locust test %s/%s: %w", test.Namespace, test.Name, err)
	}

	job := &batchv1.Job{ObjectMeta: objectMeta(test, role)}
	job.Annotations = annotations
	job.Spec.Template = podTemplate(test, WithDefaults(&test.Spec), defaults, role)
	return job, nil
}
