package status

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/cause"
)

const (
	// stuckThreshold is how long pods may hang, or Jobs be without pods, before their Events are asked:
	// a good start is quicker, so that it costs no request.
	stuckThreshold = 5 * time.Second
	// recheckInterval is how often a verdict by Events is looked into again: by time alone they may mean something else, and an
	// operator that has just started may have read them meanwhile.
	recheckInterval = 5 * time.Second
	// jobEventMaxAge is how old a Job's complaint may be when it is read: the Job controller repeats it at least every minute.
	jobEventMaxAge = 2 * time.Minute
	// transientPeriod is how long a kubelet's complaint about itself is taken for one that passes.
	transientPeriod = time.Minute
)

// podProblem is what is wrong with the test's pods.
type podProblem struct {
	reason  string
	message string
	// carriedOver is true of a verdict that was found before, and that nobody has looked into again yet.
	carriedOver bool
}

// severity orders the verdicts: what a user has to mend comes before what may pass by itself.
var severity = []string{
	v2.ReasonCreationError,
	v2.ReasonConfigurationError,
	v2.ReasonImagePullError,
	v2.ReasonInitializationError,
	v2.ReasonCrashLoopBackOff,
	v2.ReasonSchedulingError,
}

// waitingReasons are the kubelet's reasons for a waiting container, by verdict. Sources:
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

// eventReasons are the reasons of Events that explain a silence, by verdict.
var eventReasons = map[string]string{
	"FailedMount":            v2.ReasonConfigurationError,
	"FailedAttachVolume":     v2.ReasonConfigurationError,
	"FailedMapVolume":        v2.ReasonConfigurationError,
	"FailedCreatePodSandBox": v2.ReasonInitializationError,
	"FailedCreate":           v2.ReasonCreationError,
}

// progressReasons are the reasons of Events that tell that a pod, or a Job, got past its trouble.
var progressReasons = map[string]bool{"Pulling": true, "Pulled": true, "Created": true, "Started": true, "SuccessfulCreate": true}

// IsFailureEvent tells whether Events of a reason explain why something hangs.
func IsFailureEvent(reason string) bool { return eventReasons[reason] != "" }

// IsProgressEvent tells whether Events of a reason take back what earlier ones complained of.
func IsProgressEvent(reason string) bool { return progressReasons[reason] }

// transientMessages are a busy kubelet's complaints about its own caches, not about the pod: it tries again, and it finds what
// it did not know yet (k8s.io/kubernetes/pkg/kubelet/util/manager).
var transientMessages = []string{"failed to sync configmap cache", "failed to sync secret cache", "not registered"}

func isTransient(message string) bool {
	return slices.ContainsFunc(transientMessages, func(words string) bool { return strings.Contains(message, words) })
}

// stuckPodsPerJob is how many pods of a Job are asked what they hang on: they mostly share their cause.
const stuckPodsPerJob = 3

// StuckObjects names what hangs without a word in its own status.
type StuckObjects struct {
	// UIDs are the UIDs of the Jobs and pods whose Events tell more: the Jobs and a few pods of each.
	UIDs []types.UID
	// RequeueAfter is when something hangs that does not yet, or when to judge once more; 0 for neither.
	RequeueAfter time.Duration
}

// FindStuckObjects tells whose Events have to be read to know what is wrong: missing ConfigMaps, Secrets and volumes
// show only in the pod's Events, a quota only in the Job's.
func FindStuckObjects(prev *v2.LocustTestStatus, obs *Observation, now time.Time) StuckObjects {
	var s StuckObjects
	if prev.IsTerminal() {
		return s
	}
	hangs := func(since time.Time) bool {
		silent := now.Sub(since)
		if wait := stuckThreshold - silent; wait > 0 {
			s.RequeueAfter = soonest(s.RequeueAfter, wait)
			return false
		}
		if len(obs.Events) > 0 || (obs.EventsUnread && problemBeforeRestart(prev) != nil) {
			s.RequeueAfter = soonest(s.RequeueAfter, recheckInterval)
		}
		return true
	}
	for _, job := range []*batchv1.Job{obs.MasterJob, obs.WorkerJob} {
		if lacksPods(obs, job) && hangs(obs.local(job.UID, job.CreationTimestamp.Time)) {
			s.UIDs = append(s.UIDs, job.UID)
		}
		asked := 0
		for _, pod := range obs.podsOf(job) {
			if since, silent := stuckSince(obs, pod); silent && hangs(since) && asked < stuckPodsPerJob {
				s.UIDs = append(s.UIDs, pod.UID)
				asked++
			}
		}
	}
	return s
}

// stuckSince tells since when a scheduled pod waits without saying why.
func stuckSince(obs *Observation, pod *corev1.Pod) (time.Time, bool) {
	at, scheduled := scheduledAt(pod)
	if !isLive(pod) || pod.Status.Phase != corev1.PodPending || !scheduled || podStatusProblem(pod) != nil {
		return time.Time{}, false
	}
	return obs.local(pod.UID, at), true
}

// scheduledAt is when the pod got its node, if it has one.
func scheduledAt(pod *corev1.Pod) (time.Time, bool) {
	c := podCondition(pod, corev1.PodScheduled)
	if c == nil || c.Status != corev1.ConditionTrue {
		return time.Time{}, false
	}
	return c.LastTransitionTime.Time, true
}

// lacksPods tells whether an unfinished Job has no pod at all for some of its indexes. A pod that failed is a reason why
// its successor is not there yet: its Job waits before it tries again.
func lacksPods(obs *Observation, job *batchv1.Job) bool {
	if job == nil || isFinished(job) || isSuspended(job) || job.Spec.Parallelism == nil {
		return false
	}
	known := map[string]bool{}
	for _, index := range completedIndexes(job) {
		known[strconv.Itoa(index)] = true
	}
	for index, pods := range byIndex(obs.podsOf(job)) {
		if slices.ContainsFunc(pods, func(pod *corev1.Pod) bool { return pod.DeletionTimestamp == nil || job == obs.MasterJob }) {
			known[index] = true
		}
	}
	return len(known) < int(*job.Spec.Parallelism)
}

// diagnosePods is the worst verdict over all pods; nil when there is none.
func diagnosePods(prev *v2.LocustTestStatus, obs *Observation, now time.Time) *podProblem {
	if obs.Failure != nil && !obs.Failure.Final {
		return &podProblem{reason: v2.ReasonCreationError, message: obs.Failure.Message}
	}
	if len(obs.Foreign) > 0 {
		return &podProblem{reason: v2.ReasonCreationError, message: foreignMessage(obs)}
	}
	found := problems{}
	for i := range obs.Pods {
		pod := &obs.Pods[i]
		if v := podStatusProblem(pod); v != nil {
			found.add(v.reason, v.message, "pod "+pod.Name)
		}
	}
	collectEvents(obs, found, now)
	collectCrashes(obs, found, now)
	var before *podProblem
	if obs.EventsUnread && len(FindStuckObjects(prev, obs, now).UIDs) > 0 {
		before = problemBeforeRestart(prev)
	}
	for _, reason := range severity {
		if before != nil && before.reason == reason {
			return before
		}
		if words := found[reason]; len(words) > 0 {
			return &podProblem{reason: reason, message: words.String()}
		}
	}
	return nil
}

// foreignMessage names the objects that have a name this test needs and another owner.
func foreignMessage(obs *Observation) string {
	return fmt.Sprintf("names that this test needs are taken by others: %s; delete those objects, or delete this test and create it under another name", strings.Join(obs.Foreign, ", "))
}

// problemBeforeRestart is the verdict by Events that the operator before told, until this one has read them too; nil when there is none.
func problemBeforeRestart(prev *v2.LocustTestStatus) *podProblem {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypePodsHealthy)
	if c == nil || c.Status != metav1.ConditionFalse || !slices.Contains(slices.Collect(maps.Values(eventReasons)), c.Reason) {
		return nil
	}
	return &podProblem{reason: c.Reason, message: c.Message, carriedOver: true}
}

// problems are what is wrong, by verdict: the words, and whom they are about.
type problems map[string]messageObjects

type messageObjects map[string][]string

func (f problems) add(reason, words, object string) {
	if f[reason] == nil {
		f[reason] = messageObjects{}
	}
	f[reason][words] = append(f[reason][words], object)
}

// String names the objects of each complaint, and says each thing once. Where it would get too long for a condition, it names
// one object of each and counts the others.
func (c messageObjects) String() string {
	text := c.format(3)
	if utf8.RuneCountInString(text) > maxHeadline {
		text = c.format(1)
	}
	return text
}

func (c messageObjects) format(objectsOfEach int) string {
	var parts []string
	for words, objects := range c {
		sort.Strings(objects)
		parts = append(parts, joinSome(objects, objectsOfEach)+": "+words)
	}
	sort.Strings(parts)
	return strings.Join(parts, "; ")
}

// podStatusProblem is the problem that the pod's own status shows; nil when there is none. Once Locust runs, other containers that end or
// crash are not its trouble.
func podStatusProblem(pod *corev1.Pod) *podProblem {
	if !isLive(pod) {
		return nil
	}
	if c := podCondition(pod, corev1.PodScheduled); c != nil && c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable {
		// Whether preemption would help is of interest only where priorities are.
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

// sidecarProblem is what is wrong with the containers beside Locust's that have never started; nil when nothing is.
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

// IsHealthy tells whether a pod is on the way that every good pod takes, from being scheduled to its end: nothing about it
// has to be told soon.
func IsHealthy(pod *corev1.Pod) bool {
	disrupted := podCondition(pod, corev1.DisruptionTarget)
	if pod.DeletionTimestamp != nil || pod.Status.Phase == corev1.PodFailed || pod.Status.Reason != "" ||
		(disrupted != nil && disrupted.Status == corev1.ConditionTrue) || podStatusProblem(pod) != nil {
		return false
	}
	return !slices.ContainsFunc(pod.Status.InitContainerStatuses, failedOrRestarted) && !slices.ContainsFunc(pod.Status.ContainerStatuses, failedOrRestarted)
}

// failedOrRestarted tells whether a container has ended with an error, or was started again.
func failedOrRestarted(c corev1.ContainerStatus) bool {
	return c.LastTerminationState.Terminated != nil || (c.State.Terminated != nil && c.State.Terminated.ExitCode != 0)
}

// containerMessage are the kubelet's own words on a container that waits or has ended.
func containerMessage(prefix string, c *corev1.ContainerStatus) string {
	var words string
	switch {
	case c.State.Waiting != nil:
		words = waitingMessage(c.State.Waiting)
	case c.State.Terminated != nil:
		words = fmt.Sprintf("exited with code %d", c.State.Terminated.ExitCode)
	}
	if last := c.LastTerminationState.Terminated; last != nil && last.ExitCode != 0 {
		words += fmt.Sprintf("; last exit code %d", last.ExitCode)
		if why := cause.OfLog(last.Message, cause.Facts{}); why.Line != "" {
			words += ": " + why.Line
		}
	}
	return prefix + words
}

// waitingMessage says the same while the kubelet alternates between trying to pull an image and waiting before the
// next try: otherwise the status would change for ever.
func waitingMessage(w *corev1.ContainerStateWaiting) string {
	const pullError = "ErrImagePull: "
	if _, cause, found := strings.Cut(w.Message, pullError); found && w.Reason == "ImagePullBackOff" {
		return pullError + cause
	}
	return strings.TrimRight(w.Reason+": "+w.Message, ": ")
}

// collectEvents adds what Events tell about pods and Jobs that are silent themselves. The Events of a
// cause that has been mended stay for an hour, so only what still hangs is believed, and only its latest Event.
func collectEvents(obs *Observation, found problems, now time.Time) {
	note := func(e *corev1.Event, object string) {
		if !IsProgressEvent(e.Reason) {
			found.add(eventReasons[e.Reason], e.Reason+": "+strings.TrimSpace(e.Message), object)
		}
	}
	latest := map[types.UID]*corev1.Event{}
	for i := range obs.Events {
		e := &obs.Events[i]
		key := e.InvolvedObject.UID
		if !IsFailureEvent(e.Reason) && !IsProgressEvent(e.Reason) {
			continue
		}
		if known := latest[key]; known == nil || eventTime(known).Before(eventTime(e)) {
			latest[key] = e
		}
	}
	for i := range obs.Pods {
		pod := &obs.Pods[i]
		since, silent := stuckSince(obs, pod)
		e := latest[pod.UID]
		if !silent || e == nil || (isTransient(e.Message) && now.Sub(since) < transientPeriod) {
			continue
		}
		note(e, "pod "+pod.Name)
	}
	for _, job := range []*batchv1.Job{obs.MasterJob, obs.WorkerJob} {
		if !lacksPods(obs, job) {
			continue
		}
		if e := latest[job.UID]; e != nil && obs.EventsAt.Sub(eventTime(e).Add(obs.clockOffset(job))) < jobEventMaxAge {
			note(e, "Job "+job.Name)
		}
	}
}

// eventTime is when an Event last happened, whichever of its times is set.
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

// collectCrashes adds the workers that end with an error and that their Job starts again. A crash counts until the
// worker that took its place has stood for a while; pods lost with their node are not their own fault.
func collectCrashes(obs *Observation, found problems, now time.Time) {
	if obs.WorkerJob == nil || isFinished(obs.WorkerJob) {
		return
	}
	for _, pods := range byIndex(obs.podsOf(obs.WorkerJob)) {
		if crash := lastCrash(pods); crash != nil && !hasReplacement(obs, pods, now) {
			found.add(v2.ReasonCrashLoopBackOff, headline(exitCause(obs, crash)), "pod "+crash.Name)
		}
	}
}

// byIndex groups the pods of an Indexed Job by their completion index, oldest first. Pods without one stand alone.
func byIndex(pods []*corev1.Pod) map[string][]*corev1.Pod {
	groups := map[string][]*corev1.Pod{}
	for _, pod := range pods {
		key, ok := pod.Labels[batchv1.JobCompletionIndexAnnotation]
		if !ok {
			key = pod.Name
		}
		groups[key] = append(groups[key], pod)
	}
	for _, group := range groups {
		sort.SliceStable(group, func(i, j int) bool { return group[i].CreationTimestamp.Before(&group[j].CreationTimestamp) })
	}
	return groups
}

// lastCrash is the newest pod of one index that ended with an error of its own; nil when none did.
func lastCrash(pods []*corev1.Pod) *corev1.Pod {
	for i := len(pods) - 1; i >= 0; i-- {
		if p := pods[i]; isFinishedPod(p) && !wasDisrupted(p) && p.DeletionTimestamp == nil && exitedNonZero(p) {
			return p
		}
	}
	return nil
}

// hasReplacement tells whether a worker stands in the place of one that crashed.
func hasReplacement(obs *Observation, pods []*corev1.Pod, now time.Time) bool {
	for _, pod := range pods {
		if exitedCleanly(pod) || (isReady(pod) && now.Sub(obs.local(pod.UID, startedAt(pod))) >= restartedConnectTime) {
			return true
		}
	}
	return false
}

// allPodsRun tells whether the master and all expected workers run, and when to look again because that changes by time
// alone (0: never).
func allPodsRun(phase string, obs *Observation, now time.Time) (bool, time.Duration) {
	if obs.WorkerJob == nil || phase != v2.PhaseRunning {
		return false, 0
	}
	count, again := likelyConnectedPods(obs, now)
	return count >= obs.expectedPods(), again
}

// setPodsHealthy returns when to look again because the condition changes by time alone (0: never).
func setPodsHealthy(next *v2.LocustTestStatus, obs *Observation, v *podProblem, now time.Time) time.Duration {
	run, again := allPodsRun(next.Phase, obs, now)
	switch {
	case next.Phase == v2.PhaseSucceeded:
		setCondition(next, now, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy, "All pods ran")
	case !next.IsTerminal() && suspendedJobs(obs) != "":
		setCondition(next, now, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonSuspended, headline(suspendedMessage(obs, v)))
	case v != nil:
		setCondition(next, now, v2.ConditionTypePodsHealthy, metav1.ConditionFalse, v.reason, headline(v.message))
	case next.Phase == v2.PhaseFailed:
		// What was known before the end stays: pods that go because the test ended are not a finding.
		updateConditionGeneration(next, v2.ConditionTypePodsHealthy)
	case run:
		setCondition(next, now, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsHealthy, "All pods run")
	default:
		setCondition(next, now, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting, "Waiting for pods to run")
		return again
	}
	return 0
}

// suspendedMessage says which Jobs are suspended, and what is wrong besides.
func suspendedMessage(obs *Observation, v *podProblem) string {
	words := suspendedJobs(obs)
	message := strings.ToUpper(words[:1]) + words[1:] + "; the test goes on when what suspended them resumes them"
	if v != nil {
		message += ". " + v.reason + ": " + v.message
	}
	return message
}
