package status

import (
	"cmp"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// Settings are the operator's settings that the derivation depends on.
type Settings struct {
	// StartupDeadline bounds how long pods may stay unhealthy before all workers have been connected once; zero means no bound.
	StartupDeadline time.Duration
	// JobTTL is set on the Jobs of a finished test as ttlSecondsAfterFinished; nil keeps the Jobs.
	JobTTL *time.Duration
	// PollInterval is how often the web API of a running master is polled; zero means never.
	PollInterval time.Duration
	// PodDefaults apply to the pods of all tests.
	PodDefaults resources.PodDefaults
}

// Observation is the observed state of a test at one time. The derivation does not modify it.
type Observation struct {
	// Test is the LocustTest as stored; its status is ignored (Derive takes the previous status itself).
	Test *v2.LocustTest

	// Run is the spec that the run was started from, read from the Jobs; nil before the Jobs exist.
	Run *resources.Run

	// Service, MasterJob and WorkerJob are the test's own objects; nil when absent.
	Service   *corev1.Service
	MasterJob *batchv1.Job
	WorkerJob *batchv1.Job

	// Final is the decoded final report of the run's master; it is decoded when it is needed if nil.
	Final *FinalReport

	// ReportExists is true if the LocustReport of the run exists, or this operator has created it.
	ReportExists bool

	// Pods are the pods of this test (by UID), reduced to the fields that the derivation reads.
	Pods []corev1.Pod
	// Events are the failure and progress Events of stuck pods and Jobs: see Plan.EventsFor, IsFailureEvent and IsProgressEvent.
	Events []corev1.Event
	// EventsAt is when the Events were read.
	EventsAt time.Time
	// EventsUnread is true from the start of this operator until Events have been read once, or no object was stuck.
	EventsUnread bool

	// Predecessors names the terminating objects that have a name this test needs: objects of a previous test of the same
	// name, and objects of this test.
	Predecessors []string
	// DNSCacheWait is how long to wait for DNS caches to drop the Service of a previous test; zero means no wait.
	DNSCacheWait time.Duration
	// OldOrphans are pods of a previous test of the same name that have no owner.
	OldOrphans []corev1.Pod
	// Foreign names the objects that have a name this test needs and another owner.
	Foreign []string

	// Locust is the state of the running master by its web API; nil when it is not polled.
	Locust *Locust

	// Clocks converts the objects' times to the operator's clock; nil means that all clocks agree.
	Clocks *Clocks

	// FirstObservation is true for the first observation since this operator started: earlier changes may have been missed.
	FirstObservation bool

	// RecheckAfter is when to observe again what no event reports; zero means never.
	RecheckAfter time.Duration

	// Created names the objects that were created in this reconcile.
	Created []string
	// Failure is the error of creating objects in this reconcile; nil without one.
	Failure *Failure
}

// Changes are what one reconcile has done to the test's objects.
type Changes struct {
	// Service, MasterJob and WorkerJob are the created objects, and Run is their spec; nil if they were not created.
	Service              *corev1.Service
	MasterJob, WorkerJob *batchv1.Job
	Run                  *resources.Run
	// Created names the created objects, Foreign the existing ones of another owner, and Predecessors those that are terminating.
	Created, Foreign, Predecessors []string
	// Failure is the error of a creation; nil without one.
	Failure *Failure
	// RecheckAfter is when to try again; zero means not.
	RecheckAfter time.Duration
}

// After returns the observation after changes.
func (o Observation) After(c Changes) Observation {
	o.Service, o.MasterJob, o.WorkerJob = cmp.Or(c.Service, o.Service), cmp.Or(c.MasterJob, o.MasterJob), cmp.Or(c.WorkerJob, o.WorkerJob)
	o.Run = cmp.Or(c.Run, o.Run)
	o.Created, o.Failure = c.Created, c.Failure
	o.Foreign, o.Predecessors = slices.Concat(o.Foreign, c.Foreign), slices.Concat(o.Predecessors, c.Predecessors)
	o.RecheckAfter = Soonest(o.RecheckAfter, c.RecheckAfter)
	return o
}

// RecheckIn requests another attempt after a wait.
func (c *Changes) RecheckIn(wait time.Duration) { c.RecheckAfter = Soonest(c.RecheckAfter, wait) }

// Failure is a refused creation or change of one of the test's objects.
type Failure struct {
	// Message names the object and contains the error of the API server or of the validation.
	Message string
	// Final is true if a retry cannot succeed.
	Final bool
}

// spec returns the running spec.
func (o *Observation) spec() *v2.LocustTestSpec {
	if o.Run != nil {
		return &o.Run.Spec
	}
	return &o.Test.Spec
}

// expectedPods returns the number of worker pods of the running spec.
func (o *Observation) expectedPods() int32 { return o.spec().Worker.Replicas }

// perPod returns the number of workers in each worker pod.
func (o *Observation) perPod() int32 {
	if o.Run != nil {
		return o.Run.Locust.WorkerProcesses
	}
	return resources.WorkerProcesses(&o.Test.Spec)
}

// expectedWorkers returns the number of workers of the running spec.
func (o *Observation) expectedWorkers() int32 { return o.expectedPods() * o.perPod() }

// Stopped reports whether all Jobs of the test are finished or gone, so that the test gets no more pods.
func (o *Observation) Stopped() bool {
	for _, job := range []*batchv1.Job{o.MasterJob, o.WorkerJob} {
		if job != nil && !isFinished(job) {
			return false
		}
	}
	return true
}

// complete reports whether all three objects exist.
func (o *Observation) complete() bool {
	return o.Service != nil && o.MasterJob != nil && o.WorkerJob != nil
}

// podsOf returns the pods that a Job owns.
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

// IsOrphan reports whether the pod runs without a controller. A Job that is deleted through the API without a propagation
// policy orphans its pods, and they keep running.
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
