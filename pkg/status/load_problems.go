package status

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// noRequests returns the message of NoRequests; empty if the reason does not apply.
func (f *facts) noRequests(view loadView) string {
	if view.requests > 0 {
		return ""
	}
	text := "Locust ended without having started a load"
	switch {
	case view.masterEnded && !view.started:
	case view.masterEnded, view.ended && f.Locust.isFinal(), !view.ended && view.elapsed >= noRequestsTimeout:
		text = "no request has finished"
		if view.elapsed >= 0 {
			text += " in " + view.elapsed.Truncate(time.Second).String()
		}
	default:
		return ""
	}
	if view.delivery != nil && len(view.delivery.Exceptions) > 0 {
		e := view.delivery.Exceptions[0]
		text += fmt.Sprintf("; users raised %q (%d times)", e.Text, e.Occurrences)
	}
	if cause := f.workerCause(); cause != "" {
		return text + "; " + cause
	}
	if !view.started {
		return text + "; check the command, for example for --list, and the locustfile"
	}
	return text + "; check --host, the target and the workers' logs (users that fire no request events need spec.loadGuarantee: None)"
}

// workerCause returns in one line why a worker failed; empty if none did.
func (f *facts) workerCause() string {
	for _, pod := range f.workers {
		if cause := f.exitCause(pod); cause != "" {
			return "worker pod " + pod.Name + " " + headline(cause)
		}
	}
	return ""
}

// cutShort returns why the load ended early; empty if it did not. unknown is true if neither the reporter nor the run time shows
// what ended the load.
func (f *facts) cutShort(view loadView) (why string, unknown bool) {
	after := ""
	if view.elapsed >= 0 {
		after = " after " + view.elapsed.Truncate(time.Second).String()
		if view.runTime != nil {
			after += " of " + view.runTime.String()
		}
	}
	if d := view.delivery; f.isStopping() && (d == nil || view.endUnseen || d.EndedBy == report.EndedBySignal) {
		return "", false
	}
	if d := view.delivery; d != nil && !view.endUnseen {
		switch d.EndedBy {
		case report.EndedByWorkersMissing, report.EndedByWorkersQuit:
			if f.workersGone(view) {
				return f.allLost(after), false
			}
			return "", false
		case report.EndedBySignal:
			return "a signal ended the master during the load" + after, false
		case report.EndedByShapeFailed:
			return "the load shape failed, so Locust ended the load" + after, false
		case "":
			if view.masterEnded {
				return "the master's process ended during the load" + after, false
			}
			return "", false // the cached state is older than the rest of the report
		case report.EndedByRunTime, report.EndedByShape, report.EndedByWebUI, report.EndedByLocustfile:
			return "", false
		case report.EndedByMain:
		default:
			view.endUnseen = true // of a newer reporter, or the user's own
		}
	}
	unknown = view.masterEnded && (view.delivery == nil || view.endUnseen)
	switch {
	case view.delivery == nil && view.workersLeft == 0 && f.workersGone(view):
		return f.allLost(after), false
	case view.elapsed < 0, view.shape, view.runTime == nil:
		return "", unknown
	case view.maxElapsed < *view.runTime-cutShortTolerance-2*f.Locust.pollGap(f.settings):
		if f.workersGone(view) {
			return f.allLost(after), false
		}
		return "the load ended" + after, false
	}
	return "", false
}

// allLost returns the cause of a load that ended because it had no workers left.
func (f *facts) allLost(after string) string {
	text := "all workers were lost, so Locust ended the load" + after
	if cause := f.workerCause(); cause != "" {
		text += " (" + cause + ")"
	}
	return text
}

// endedByWorkersQuit reports whether Locust ended the load because its last worker has quit.
func endedByWorkersQuit(view loadView) bool {
	return view.delivery != nil && view.delivery.EndedBy == report.EndedByWorkersQuit
}

// workersQuitCleanly reports whether the locustfile ended the workers after requests: the last worker that ended exited cleanly
// when the load ended.
func (f *facts) workersQuitCleanly(view loadView) bool {
	var last time.Time
	clean := false
	for _, pod := range f.workers {
		started, ended := f.podTimes(pod)
		if !started.Before(view.endedAt) || ended.IsZero() || ended.Before(last) || ended.After(view.endedAt.Add(workerExitGracePeriod)) {
			continue
		}
		clean = exitedCleanly(pod) || clean && ended.Equal(last)
		last = ended
	}
	return view.requests > 0 && clean && !last.Before(view.endedAt.Add(-workerExitGracePeriod))
}

// workersGone reports whether the load ended because its workers were lost. Without a reporter it checks that none is left.
func (f *facts) workersGone(view loadView) bool {
	if d := view.delivery; d != nil {
		return d.EndedBy == report.EndedByWorkersMissing || endedByWorkersQuit(view) && !f.workersQuitCleanly(view)
	}
	if view.workersLeft >= 0 { // from an older reporter
		return view.workersLeft == 0 && !f.workersQuitCleanly(view)
	}
	if view.masterEnded || f.Locust == nil || f.Locust.Report == nil || f.Locust.Report.State != report.StateStopped {
		return false
	}
	return f.countPods(func(pod *corev1.Pod) bool {
		started, _ := f.podTimes(pod)
		return isLive(pod) && !started.IsZero() && started.Before(view.endedAt)
	}) == 0
}

// awaitsWorkersEnd reports whether the end of some of the load's worker pods has not been observed yet.
func (f *facts) awaitsWorkersEnd(view loadView) bool {
	return f.countPods(func(pod *corev1.Pod) bool {
		started, _ := f.podTimes(pod)
		return isLive(pod) && !started.IsZero() && (view.endedAt.IsZero() || started.Before(view.endedAt))
	}) > 0
}

// usersMissing returns the message of UsersMissing; empty if no users were missing, or it is not known.
func usersMissing(view loadView) string {
	if view.delivery == nil || view.delivery.Missing == nil || view.shape {
		return ""
	}
	m := view.delivery.Missing
	return fmt.Sprintf("for 30s or more only %d of %d users were running", m.Users, m.Due)
}

// workersLost returns how many workers were lost during the load. Workers that exited cleanly are not lost.
func (f *facts) workersLost(view loadView) int32 {
	if !view.started {
		return 0
	}
	lost := f.lostPods(view) * f.perPod()
	if view.delivery == nil {
		return lost
	}
	until := view.endedAt.Add(-endAccuracy)
	if endedByWorkersQuit(view) {
		until = view.endedAt.Add(workerExitGracePeriod)
	}
	left := f.countWorkersIn(func(pod *corev1.Pod) bool {
		started, ended := f.podTimes(pod)
		return exitedCleanly(pod) && started.Before(view.endedAt) && !ended.After(until)
	})
	return max(lost, view.delivery.WorkersLost-left)
}

// lostPods returns how many worker pods ended during the load and did not exit cleanly.
func (f *facts) lostPods(view loadView) int32 {
	if view.startedAt.IsZero() || view.endedAt.IsZero() {
		return 0
	}
	until := view.endedAt.Add(-endAccuracy)
	return f.countPods(func(pod *corev1.Pod) bool {
		started, ended := f.podTimes(pod)
		return !started.IsZero() && ended.Sub(started) >= connectGracePeriod && !exitedCleanly(pod) &&
			ended.After(view.startedAt.Add(endAccuracy)) && ended.Before(until)
	})
}

// saturated returns the message of GeneratorSaturated; empty if the reason does not apply.
func (f *facts) saturated(view loadView) string {
	if view.busiest == nil || !view.started {
		return ""
	}
	cores := 1.0
	if limit, limited := f.spec().Worker.Resources.Limits[corev1.ResourceCPU]; limited && !limit.IsZero() {
		cores = min(cores, limit.AsApproximateFloat64()/float64(f.perPod()))
	}
	if view.busiest.Percent <= 100*saturationRatio*cores {
		return ""
	}
	return fmt.Sprintf("worker %s used %.0f %% of a core, more than 90 %% of the %.0f %% available to it: response times include delays in the generator",
		view.busiest.Worker, view.busiest.Percent, 100*cores)
}
