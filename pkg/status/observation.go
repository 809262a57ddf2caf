package status

import (
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// Settings are the operator's own settings that the derivation depends on.
type Settings struct {
	// StartupDeadline is how long pods may stay unhealthy before all workers have been connected once.
	StartupDeadline time.Duration
	// JobTTL is put on the Jobs of a finished test as ttlSecondsAfterFinished; nil keeps the Jobs.
	JobTTL *time.Duration
	// PollInterval is how often the web API of a running master is asked; 0 means never.
	PollInterval time.Duration
}

// Observation is all that is known of a test at one moment. It is read-only for the derivation.
type Observation struct {
	// Test is the LocustTest as stored; its status is ignored (Derive takes the previous status itself).
	Test *v2.LocustTest

	// Run is what the run was started from, read from the Jobs; nil before there are Jobs.
	Run *resources.Run

	// Service, MasterJob and WorkerJob are the test's own objects; nil when absent.
	Service   *corev1.Service
	MasterJob *batchv1.Job
	WorkerJob *batchv1.Job

	// Pods are the pods of this very test (by UID), reduced to what verdicts need.
	Pods []corev1.Pod
	// Events are those that complain of pods and Jobs that hang without a word (Silent), and those that tell that such a pod
	// or Job got past its trouble: Complains, ShowsProgress.
	Events []corev1.Event
	// EventsAt is when they were read.
	EventsAt time.Time
	// EventsUnread is true from the start of this operator until it knows what Events say of what hangs, or that nothing hangs.
	EventsUnread bool

	// Predecessors name the objects whose names this test needs and that are still going away: those of an earlier
	// test of the same name, and its own that are being deleted.
	Predecessors []string
	// DNSCacheWait is how long the test's names should still rest after the predecessors have gone; 0 when they need not.
	DNSCacheWait time.Duration
	// OldOrphans are pods of an earlier test of the same name that nobody owns any more.
	OldOrphans []corev1.Pod
	// Foreign names the objects that have a name this test needs and belong to somebody else.
	Foreign []string

	// Locust is what the web API of the running master told; nil when it is not asked.
	Locust *Locust

	// Clocks converts the objects' times to the operator's clock; nil where all clocks agree.
	Clocks *Clocks

	// FirstObservation is true on the first look since this operator started: what happened before is unknown.
	FirstObservation bool

	// Created names the objects that were created in this pass.
	Created []string
	// Failure is what went wrong when creating objects in this pass; nil when nothing did.
	Failure *Failure
}

// Failure is a refused creation or change of one of the test's objects.
type Failure struct {
	// Message names the object and carries the API server's or the validation's own words.
	Message string
	// Final is true when no retry can mend it.
	Final bool
}

// spec is the running spec.
func (o *Observation) spec() *v2.LocustTestSpec {
	if o.Run != nil {
		return &o.Run.Spec
	}
	return &o.Test.Spec
}

// expectedPods is the number of worker pods of the running spec.
func (o *Observation) expectedPods() int32 { return o.spec().Worker.Replicas }

// perPod is the number of workers in each worker pod.
func (o *Observation) perPod() int32 { return resources.WorkerProcesses(o.spec()) }

// expectedWorkers is the number of workers of the running spec.
func (o *Observation) expectedWorkers() int32 { return o.expectedPods() * o.perPod() }

// Stopped reports whether no Job of the test can have pods any more.
func (o *Observation) Stopped() bool {
	for _, job := range []*batchv1.Job{o.MasterJob, o.WorkerJob} {
		if job != nil && !isFinished(job) {
			return false
		}
	}
	return true
}

// complete tells whether all three objects exist.
func (o *Observation) complete() bool {
	return o.Service != nil && o.MasterJob != nil && o.WorkerJob != nil
}

// podsOf are the pods of one Job, by owner.
func (o *Observation) podsOf(job *batchv1.Job) []*corev1.Pod {
	if job == nil {
		return nil
	}
	var pods []*corev1.Pod
	for i := range o.Pods {
		if ownedBy(&o.Pods[i], job) {
			pods = append(pods, &o.Pods[i])
		}
	}
	return pods
}

// IsOrphan tells whether nobody owns the pod any more. A Job that is deleted through the API without a propagation
// policy leaves its pods behind like this, and they go on.
func IsOrphan(pod *corev1.Pod) bool {
	return metav1.GetControllerOf(pod) == nil && isLive(pod)
}

func ownedBy(pod *corev1.Pod, job *batchv1.Job) bool {
	for _, ref := range pod.OwnerReferences {
		if ref.UID == job.UID {
			return true
		}
	}
	return false
}
