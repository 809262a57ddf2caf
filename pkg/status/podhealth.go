package status

import (
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/cause"
)

// podProblem is a reason and message of the condition PodsHealthy with the status False.
type podProblem struct {
	reason  string
	message string
	// carriedOver is true for a problem from the previous status whose Events this operator has not read yet.
	carriedOver bool
}

// severity orders the reasons: problems that a user must fix come before those that may pass by themselves.
var severity = []string{
	v2.ReasonCreationError,
	v2.ReasonConfigurationError,
	v2.ReasonImagePullError,
	v2.ReasonInitializationError,
	v2.ReasonCrashLoopBackOff,
	v2.ReasonSchedulingError,
}

// waitingReasons maps the kubelet's reasons for a waiting container to the condition's reasons. Sources:
// k8s.io/kubernetes/pkg/kubelet/images/types.go and pkg/kubelet/kuberuntime (CreateContainer*, RunContainer*).
var waitingReasons = map[string]string{
	"ErrImagePull":               v2.ReasonImagePullError,
	"ImagePullBackOff":           v2.ReasonImagePullError,
	"InvalidImageName":           v2.ReasonImagePullError,
	"ErrImageNeverPull":          v2.ReasonImagePullError,
	"ImageInspectError":          v2.ReasonImagePullError,
	"RegistryUnavailable":        v2.ReasonImagePullError,
	"SignatureValidationFailed":  v2.ReasonImagePullError,
	"CreateContainerConfigError": v2.ReasonConfigurationError,
	"CreateContainerError":       v2.ReasonConfigurationError,
	"RunContainerError":          v2.ReasonConfigurationError,
	"PreCreateHookError":         v2.ReasonConfigurationError,
	"PreStartHookError":          v2.ReasonConfigurationError,
	"PostStartHookError":         v2.ReasonConfigurationError,
	"CrashLoopBackOff":           v2.ReasonCrashLoopBackOff,
}

// eventReasons maps the reasons of failure Events to the condition's reasons.
var eventReasons = map[string]string{
	"FailedMount":            v2.ReasonConfigurationError,
	"FailedAttachVolume":     v2.ReasonConfigurationError,
	"FailedMapVolume":        v2.ReasonConfigurationError,
	"FailedCreatePodSandBox": v2.ReasonInitializationError,
	"FailedCreate":           v2.ReasonCreationError,
}

// progressReasons are the reasons of Events that show that an earlier problem of a pod or a Job is resolved.
var progressReasons = map[string]bool{"Pulling": true, "Pulled": true, "Created": true, "Started": true, "SuccessfulCreate": true}

// IsFailureEvent reports whether Events of a reason explain why an object is stuck.
func IsFailureEvent(reason string) bool { return eventReasons[reason] != "" }

// IsProgressEvent reports whether Events of a reason show that an earlier failure Event is resolved.
func IsProgressEvent(reason string) bool { return progressReasons[reason] }

// transientMessages are errors of a busy kubelet's caches (k8s.io/kubernetes/pkg/kubelet/util/manager). They are not problems of
// the pod: the kubelet retries.
var transientMessages = []string{"failed to sync configmap cache", "failed to sync secret cache", "not registered"}

func isTransient(message string) bool {
	return slices.ContainsFunc(transientMessages, func(part string) bool { return strings.Contains(message, part) })
}

// stuckPodsPerJob bounds the stuck pods of a Job whose Events are read: they usually share one cause.
const stuckPodsPerJob = 3

// findStuckObjects returns the Jobs and pods whose Events must be read to find a problem: the objects that make no progress and
// whose own status does not show why, with at most stuckPodsPerJob pods of each Job. Missing ConfigMaps, Secrets and volumes
// appear only in the pod's Events, missing pods only in the Job's.
func (f *facts) findStuckObjects() []types.UID {
	if f.prev.IsTerminal() {
		return nil
	}
	var stuck []types.UID
	isStuck := func(since time.Time) bool {
		if wait := stuckGracePeriod - f.now.Sub(since); wait > 0 {
			f.requeueIn(wait)
			return false
		}
		if len(f.Events) > 0 || (f.EventsUnread && problemBeforeRestart(f.prev) != nil) {
			f.requeueIn(recheckInterval)
		}
		return true
	}
	for _, job := range []*batchv1.Job{f.MasterJob, f.WorkerJob} {
		if f.lacksPods(job) && isStuck(f.serverTime(job.CreationTimestamp.Time)) {
			stuck = append(stuck, job.UID)
		}
		stuckPods := 0
		for _, pod := range f.podsOf(job) {
			if since, waits := f.stuckSince(pod); waits && isStuck(since) && stuckPods < stuckPodsPerJob {
				stuck = append(stuck, pod.UID)
				stuckPods++
			}
		}
	}
	return stuck
}

// stuckSince returns when a pod was scheduled that is still Pending and whose status does not show why; false for other pods.
func (f *facts) stuckSince(pod *corev1.Pod) (time.Time, bool) {
	at, scheduled := scheduledAt(pod)
	if !isLive(pod) || pod.Status.Phase != corev1.PodPending || !scheduled || podStatusProblem(pod) != nil {
		return time.Time{}, false
	}
	return f.schedulerTime(at), true
}

// scheduledAt returns when the pod was scheduled; false if it was not.
func scheduledAt(pod *corev1.Pod) (time.Time, bool) {
	c := podCondition(pod, corev1.PodScheduled)
	if c == nil || c.Status != corev1.ConditionTrue {
		return time.Time{}, false
	}
	return c.LastTransitionTime.Time, true
}

// lacksPods reports whether an unfinished Job has no pod for some of its indexes. A failed pod counts: its Job waits before it
// creates the replacement.
func (f *facts) lacksPods(job *batchv1.Job) bool {
	if job == nil || isFinished(job) || isSuspended(job) || job.Spec.Parallelism == nil {
		return false
	}
	known := map[string]bool{}
	for _, index := range completedIndexes(job) {
		known[strconv.Itoa(index)] = true
	}
	for index, pods := range byIndex(f.podsOf(job)) {
		if slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return pod.DeletionTimestamp == nil || job == f.MasterJob }) {
			known[index] = true
		}
	}
	return len(known) < int(*job.Spec.Parallelism)
}

// diagnosePods returns the most severe problem of all pods; nil if there is none.
func (f *facts) diagnosePods() *podProblem {
	if f.Failure != nil && !f.Failure.Final {
		return &podProblem{reason: v2.ReasonCreationError, message: f.Failure.Message}
	}
	if len(f.Foreign) > 0 {
		return &podProblem{reason: v2.ReasonCreationError, message: f.foreignMessage()}
	}
	found := problems{}
	for i := range f.Pods {
		pod := &f.Pods[i]
		if p := podStatusProblem(pod); p != nil {
			found.add(p.reason, p.message, "pod "+pod.Name)
		}
	}
	f.collectEvents(found)
	f.collectCrashes(found)
	var before *podProblem
	if f.EventsUnread && len(f.stuck) > 0 {
		before = problemBeforeRestart(f.prev)
	}
	for _, reason := range severity {
		if before != nil && before.reason == reason {
			return before
		}
		if messages := found[reason]; len(messages) > 0 {
			return &podProblem{reason: reason, message: messages.String()}
		}
	}
	return nil
}

// foreignMessage names the objects that have a name this test needs and another owner.
func (f *facts) foreignMessage() string {
	return fmt.Sprintf("objects with required names already exist and are not owned by this test: %s; delete them, or delete this test and create it with another name", strings.Join(f.Foreign, ", "))
}

// problems maps the condition's reasons to the messages of the problems found.
type problems map[string]messageObjects

// messageObjects maps a message to the objects that it applies to.
type messageObjects map[string][]string

func (p problems) add(reason, message, object string) {
	if p[reason] == nil {
		p[reason] = messageObjects{}
	}
	p[reason][message] = append(p[reason][message], object)
}

// String returns each message once with the names of its objects. If the text is too long for a condition, it names one object of
// each message and counts the others.
func (m messageObjects) String() string {
	text := m.format(3)
	if utf8.RuneCountInString(text) > maxHeadline {
		text = m.format(1)
	}
	return text
}

func (m messageObjects) format(maxObjects int) string {
	var parts []string
	for message, objects := range m {
		sort.Strings(objects)
		parts = append(parts, joinSome(objects, maxObjects)+": "+message)
	}
	sort.Strings(parts)
	return strings.Join(parts, "; ")
}

// podStatusProblem returns the problem that the pod's own status shows; nil if there is none. Once Locust runs, other containers
// that end or crash are no problem.
func podStatusProblem(pod *corev1.Pod) *podProblem {
	if !isLive(pod) {
		return nil
	}
	if c := podCondition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
		// The preemption result is useful only with priorities.
		why, _, _ := strings.Cut(c.Message, " preemption: ")
		return &podProblem{reason: v2.ReasonSchedulingError, message: strings.TrimSuffix(why, " no new claims to deallocate,")}
	}
	if started := startedAt(pod); !started.IsZero() {
		return sidecarProblem(pod)
	}
	for i := range pod.Status.InitContainerStatuses {
		c := &pod.Status.InitContainerStatuses[i]
		if w := c.State.Waiting; w != nil {
			switch waitingReasons[w.Reason] {
			case "":
			case v2.ReasonCrashLoopBackOff:
				return &podProblem{reason: v2.ReasonInitializationError, message: containerMessage("init container "+c.Name+": ", c)}
			default:
				return &podProblem{reason: waitingReasons[w.Reason], message: containerMessage("init container "+c.Name+": ", c)}
			}
		}
		if end := c.State.Terminated; end != nil && end.ExitCode != 0 {
			return &podProblem{reason: v2.ReasonInitializationError, message: containerMessage("init container "+c.Name+": ", c)}
		}
	}
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		if w := c.State.Waiting; w != nil && waitingReasons[w.Reason] != "" {
			return &podProblem{reason: waitingReasons[w.Reason], message: containerMessage("", c)}
		}
	}
	return nil
}

// sidecarProblem returns the problem of a container other than Locust's that has never started; nil if there is none.
func sidecarProblem(pod *corev1.Pod) *podProblem {
	for i := range pod.Status.ContainerStatuses {
		c := &pod.Status.ContainerStatuses[i]
		w := c.State.Waiting
		if w == nil || waitingReasons[w.Reason] == "" || waitingReasons[w.Reason] == v2.ReasonCrashLoopBackOff {
			continue
		}
		return &podProblem{reason: waitingReasons[w.Reason], message: containerMessage("container "+c.Name+": ", c)}
	}
	return nil
}

// containerMessage returns the kubelet's message about a container that is waiting or terminated.
func containerMessage(prefix string, c *corev1.ContainerStatus) string {
	var message string
	switch {
	case c.State.Waiting != nil:
		message = waitingMessage(c.State.Waiting)
	case c.State.Terminated != nil:
		message = fmt.Sprintf("exited with code %d", c.State.Terminated.ExitCode)
	}
	if last := c.LastTerminationState.Terminated; last != nil && last.ExitCode != 0 {
		message += fmt.Sprintf("; last exit code %d", last.ExitCode)
		if why := cause.FromLog(last.Message, cause.Facts{}); why.Line != "" {
			message += ": " + why.Line
		}
	}
	return prefix + message
}

// waitingMessage returns the same text while the kubelet alternates between pulling an image and backing off: otherwise the
// status would never stop changing.
func waitingMessage(w *corev1.ContainerStateWaiting) string {
	const pullError = "ErrImagePull: "
	if _, cause, found := strings.Cut(w.Message, pullError); found && w.Reason == "ImagePullBackOff" {
		return pullError + cause
	}
	return strings.TrimRight(w.Reason+": "+w.Message, ": ")
}

// collectEvents adds the problems that Events show. Events of a resolved problem stay for an hour, so only objects that are still
// stuck count, each with its latest Event.
func (f *facts) collectEvents(found problems) {
	add := func(e *corev1.Event, object string) {
		if !IsProgressEvent(e.Reason) {
			found.add(eventReasons[e.Reason], e.Reason+": "+strings.TrimSpace(e.Message), object)
		}
	}
	latest := map[types.UID]*corev1.Event{}
	for i := range f.Events {
		e := &f.Events[i]
		key := e.InvolvedObject.UID
		if !IsFailureEvent(e.Reason) && !IsProgressEvent(e.Reason) {
			continue
		}
		if known := latest[key]; known == nil || eventTime(known).Before(eventTime(e)) {
			latest[key] = e
		}
	}
	for i := range f.Pods {
		pod := &f.Pods[i]
		since, waits := f.stuckSince(pod)
		e := latest[pod.UID]
		if !waits || e == nil || (isTransient(e.Message) && f.now.Sub(since) < transientErrorGracePeriod) {
			continue
		}
		add(e, "pod "+pod.Name)
	}
	for _, job := range []*batchv1.Job{f.MasterJob, f.WorkerJob} {
		if !f.lacksPods(job) {
			continue
		}
		if e := latest[job.UID]; e != nil && f.EventsAt.Sub(f.jobControllerEvent(eventTime(e))) < jobEventMaxAge {
			add(e, "Job "+job.Name)
		}
	}
}

// eventTime returns when an Event last occurred, whichever of its times is set.
func eventTime(e *corev1.Event) time.Time {
	at := e.LastTimestamp.Time
	if e.Series != nil && e.Series.LastObservedTime.After(at) {
		at = e.Series.LastObservedTime.Time
	}
	if e.EventTime.After(at) {
		at = e.EventTime.Time
	}
	if at.IsZero() {
		at = e.CreationTimestamp.Time
	}
	return at
}

// collectCrashes adds the workers that failed and that their Job replaces. A crash counts until the replacement has run for
// reconnectGracePeriod; disrupted pods do not count.
func (f *facts) collectCrashes(found problems) {
	if f.WorkerJob == nil || isFinished(f.WorkerJob) {
		return
	}
	for _, pods := range byIndex(f.workers) {
		if crash := lastCrash(pods); crash != nil && !f.hasReplacement(pods) {
			found.add(v2.ReasonCrashLoopBackOff, headline(f.exitCause(crash)), "pod "+crash.Name)
		}
	}
}

// hasReplacement reports whether a crashed worker has a replacement that has run for reconnectGracePeriod, or exited cleanly.
func (f *facts) hasReplacement(pods []*corev1.Pod) bool {
	for _, pod := range pods {
		if exitedCleanly(pod) || (isReady(pod) && f.now.Sub(f.nodeTime(pod, startedAt(pod))) >= reconnectGracePeriod) {
			return true
		}
	}
	return false
}
