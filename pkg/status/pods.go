package status

import (
	"fmt"
	"sort"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/cause"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// IsMaster reports whether the pod runs a master. Pods of the 2.x operator have no component label; the label with the
// Job's name shows their role.
func IsMaster(pod *corev1.Pod) bool {
	if role, labelled := pod.Labels[resources.LabelComponent]; labelled {
		return role == string(resources.RoleMaster)
	}
	return pod.Labels[resources.LabelPodName] == resources.MasterName(pod.Labels[resources.LabelTestName])
}

// mainContainer returns the status of the container that runs Locust, which has its Job's name; nil if there is none. A pod may
// have other containers that the cluster injects.
func mainContainer(pod *corev1.Pod) *corev1.ContainerStatus {
	name := pod.Labels[resources.LabelPodName]
	for i := range pod.Status.ContainerStatuses {
		if pod.Status.ContainerStatuses[i].Name == name {
			return &pod.Status.ContainerStatuses[i]
		}
	}
	return nil
}

// startedAt returns when the Locust container started; zero if it has not. For a container that could not be started
// (StartError) the kubelet reports 1970-01-01.
func startedAt(pod *corev1.Pod) time.Time {
	c := mainContainer(pod)
	var at time.Time
	switch {
	case c == nil:
	case c.State.Running != nil:
		at = c.State.Running.StartedAt.Time
	case c.State.Terminated != nil:
		at = c.State.Terminated.StartedAt.Time
	}
	if at.Unix() <= 0 {
		return time.Time{}
	}
	return at
}

// finishedAt returns when the Locust container ended; zero if it has not.
func finishedAt(pod *corev1.Pod) time.Time {
	if c := mainContainer(pod); c != nil && c.State.Terminated != nil {
		return c.State.Terminated.FinishedAt.Time
	}
	return time.Time{}
}

// EndsRun reports whether the update of a pod from was to is shows that a master's Locust container has ended.
func EndsRun(was, is *corev1.Pod) bool {
	return IsMaster(is) && finishedAt(was).IsZero() && !finishedAt(is).IsZero()
}

// isFinishedPod reports whether the pod has ended. The kubelet reports the end of the container before the phase; containers of a
// test are never restarted.
func isFinishedPod(pod *corev1.Pod) bool {
	return pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || !finishedAt(pod).IsZero()
}

// exitedZero reports whether Locust has exited with code 0, regardless of the pod's other containers. Without a container status
// the pod's phase decides.
func exitedZero(pod *corev1.Pod) bool {
	if c := mainContainer(pod); c != nil && c.State.Terminated != nil {
		return c.State.Terminated.ExitCode == 0
	}
	return pod.Status.Phase == corev1.PodSucceeded
}

// endedByItself reports whether Locust has ended before its pod was deleted or disrupted: the exit code of a terminated process
// may be 0. Within the same second the order is not known, nor is it with a grace period of 0: when the kubelet has stopped the
// containers of a deleted pod, it deletes the pod once more without a grace period, and the API server sets that deletion's time
// (k8s.io/apiserver/pkg/registry/rest/delete.go, BeforeDelete). The Job then shows the outcome.
func endedByItself(pod *corev1.Pod) bool {
	finished := finishedAt(pod)
	if finished.IsZero() {
		return false
	}
	if pod.DeletionTimestamp != nil && (ptr.Deref(pod.DeletionGracePeriodSeconds, 0) == 0 || !finished.Before(deletionRequestedAt(pod))) {
		return false
	}
	c := podCondition(pod, corev1.DisruptionTarget)
	return c == nil || c.Status != corev1.ConditionTrue || finished.Before(c.LastTransitionTime.Time)
}

// deletionRequestedAt returns when the pod was deleted; its deletionTimestamp is the end of its grace period.
func deletionRequestedAt(pod *corev1.Pod) time.Time {
	return pod.DeletionTimestamp.Add(-time.Duration(ptr.Deref(pod.DeletionGracePeriodSeconds, 0)) * time.Second)
}

// isLive reports whether the pod runs or may still start.
func isLive(pod *corev1.Pod) bool {
	return !isFinishedPod(pod) && pod.DeletionTimestamp == nil
}

func podCondition(pod *corev1.Pod, conditionType corev1.PodConditionType) *corev1.PodCondition {
	for i := range pod.Status.Conditions {
		if pod.Status.Conditions[i].Type == conditionType {
			return &pod.Status.Conditions[i]
		}
	}
	return nil
}

// isReady reports whether Locust runs in the pod and its node reports so. Other containers of the pod, which a cluster
// injects, do not count.
func isReady(pod *corev1.Pod) bool {
	c := podCondition(pod, corev1.PodReady)
	return isLive(pod) && c != nil && (c.Status == corev1.ConditionTrue || othersUnready(pod))
}

// othersUnready reports whether the pod is not ready only because of containers other than Locust's. The kubelet sets the reason
// (k8s.io/kubernetes/pkg/kubelet/status/generate.go); a pod whose node is lost has another one.
func othersUnready(pod *corev1.Pod) bool {
	const containersNotReady = "ContainersNotReady"
	c, main := podCondition(pod, corev1.PodReady), mainContainer(pod)
	return isLive(pod) && c != nil && c.Status == corev1.ConditionFalse && c.Reason == containersNotReady &&
		main != nil && main.State.Running != nil
}

// wasDisrupted reports whether the pod was evicted or preempted, or lost its node (KEP-3329, condition DisruptionTarget).
func wasDisrupted(pod *corev1.Pod) bool {
	c := podCondition(pod, corev1.DisruptionTarget)
	return c != nil && c.Status == corev1.ConditionTrue
}

// exitedNonZero reports whether the pod has ended and Locust's exit code was not 0.
func exitedNonZero(pod *corev1.Pod) bool {
	return isFinishedPod(pod) && !exitedZero(pod)
}

// exitCause returns why a pod failed: "exited with code 1: …", and on further lines the text that the cause was found in. It is
// empty if the pod runs, exited with code 0, or does not show the cause.
func (f *facts) exitCause(pod *corev1.Pod) string {
	if c := mainContainer(pod); c != nil && c.State.Terminated != nil && !endedByEviction(pod) {
		return f.containerEnd(c.State.Terminated)
	}
	if pod.Status.Phase == corev1.PodFailed && pod.Status.Reason != "" {
		return strings.TrimRight(fmt.Sprintf("failed: %s: %s", pod.Status.Reason, pod.Status.Message), ": ")
	}
	if c := podCondition(pod, corev1.DisruptionTarget); c != nil && c.Status == corev1.ConditionTrue && isFinishedPod(pod) {
		return strings.TrimRight(fmt.Sprintf("was terminated: %s: %s", c.Reason, c.Message), ": ")
	}
	return ""
}

// endedByEviction reports whether Locust ended because its pod was evicted, preempted or lost its node: the exit code is then
// that of a signal, and the pod's own reason is the cause.
func endedByEviction(pod *corev1.Pod) bool {
	if wasDisrupted(pod) {
		return !endedByItself(pod)
	}
	return pod.Status.Phase == corev1.PodFailed && pod.Status.Reason == reasonEvicted
}

// reasonEvicted is the reason of a pod that the kubelet evicted (k8s.io/kubernetes/pkg/kubelet/eviction/eviction_manager.go).
const reasonEvicted = "Evicted"

// containerEnd describes how a container ended; empty for code 0.
func (f *facts) containerEnd(end *corev1.ContainerStateTerminated) string {
	if end.ExitCode == 0 {
		return ""
	}
	text := fmt.Sprintf("exited with code %d", end.ExitCode)
	if end.Reason != "" && end.Reason != "Error" {
		text += " (" + end.Reason + ")"
	}
	why := f.terminationCause(end.Message)
	if why.Line != "" {
		text += ": " + why.Line
	}
	if why.Detail != "" {
		text += "\n" + why.Detail
	}
	return text
}

// terminationCause finds the cause in a termination message: in the reporter's final report, or in the last log lines.
func (f *facts) terminationCause(message string) cause.Cause {
	facts := f.causeFacts()
	if !report.IsFinal(message) {
		return cause.FromLog(message, facts)
	}
	final, err := f.Final.decode(message)
	if err != nil {
		return cause.Cause{Line: cause.Shorten("its final report cannot be read: "+err.Error(), cause.MaxLine)}
	}
	return cause.FromReport(final, facts)
}

// causeFacts returns the facts that the remedies of causes depend on.
func (f *facts) causeFacts() cause.Facts {
	user, chosen := resources.ChosenUser(f.spec(), f.settings.PodDefaults.PlatformUser)
	return cause.Facts{OperatorChoseUser: chosen, User: user}
}

// maxHeadline bounds the first line of a message in characters.
const maxHeadline = 200

// countWorkersIn returns the number of workers in the worker pods that match.
func (f *facts) countWorkersIn(fits func(*corev1.Pod) bool) int32 {
	return f.countPods(fits) * f.perPod()
}

// countPods returns the number of worker pods that match.
func (f *facts) countPods(fits func(*corev1.Pod) bool) int32 {
	var n int32
	for _, pod := range f.workers {
		if fits(pod) {
			n++
		}
	}
	return n
}

// exitedCleanly reports whether the worker exited with code 0 and was neither deleted nor disrupted.
func exitedCleanly(pod *corev1.Pod) bool {
	return exitedZero(pod) && pod.DeletionTimestamp == nil && !wasDisrupted(pod)
}

// readyWorkers returns the number of workers in ready pods.
func (f *facts) readyWorkers() int32 { return f.countWorkersIn(isReady) }

// cleanlyExitedWorkers returns the number of workers that have exited cleanly.
func (f *facts) cleanlyExitedWorkers() int32 { return f.countWorkersIn(exitedCleanly) }

// byIndex groups the pods of an Indexed Job by their completion index, oldest first. A pod without an index is its own group.
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

// lastCrash returns the newest pod of one index that failed by itself; nil if none did.
func lastCrash(pods []*corev1.Pod) *corev1.Pod {
	for i := len(pods) - 1; i >= 0; i-- {
		if p := pods[i]; isFinishedPod(p) && !wasDisrupted(p) && p.DeletionTimestamp == nil && exitedNonZero(p) {
			return p
		}
	}
	return nil
}

// podTimes returns when a pod's Locust container started, and when it ended or, if earlier, its pod was deleted, by the operator's
// clock; zero for times that have not come.
func (f *facts) podTimes(pod *corev1.Pod) (started, ended time.Time) {
	started, ended = f.nodeTime(pod, startedAt(pod)), f.nodeTime(pod, finishedAt(pod))
	if pod.DeletionTimestamp != nil && pod.DeletionGracePeriodSeconds != nil {
		if at := f.serverTime(deletionRequestedAt(pod)); ended.IsZero() || at.Before(ended) {
			ended = at
		}
	}
	return started, ended
}
