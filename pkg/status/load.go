package status

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

const (
	// noRequestsAfter is how long a load may run without a finished request before the status reports it.
	noRequestsAfter = 30 * time.Second
	// workersGoneTimeout is how long a load that lost all its workers may take to start again before the run fails.
	workersGoneTimeout = 30 * time.Second
	// cutShortTolerance is how early a load must end to count as cut short, in addition to two poll intervals, if only its
	// duration is known.
	cutShortTolerance = 5 * time.Second
	// saturationRatio is the fraction of a worker's available processor time above which its measurements include delays of the
	// generator.
	saturationRatio = 0.9
	// endAccuracy is the accuracy with which the ends of workers and of the load can be compared: the kubelet reports whole
	// seconds, the web API caches for two seconds (locust/web.py, memoize).
	endAccuracy = 2 * time.Second
)

// loadReasons are the reasons of LoadDelivered that have the status False, in the order in which they are reported.
var loadReasons = []string{
	v2.ReasonNoRequests, v2.ReasonLoadCutShort, v2.ReasonUsersMissing, v2.ReasonWorkersLost, v2.ReasonGeneratorSaturated,
}

// loadAssessment is the state of the condition LoadDelivered, and what the phase needs of it.
type loadAssessment struct {
	status          metav1.ConditionStatus
	reason, message string
	// ended is true if the load has ended; the master may keep running.
	ended bool
	// workersGone is true if the load has ended because all workers were lost.
	workersGone bool
	// undecided is true while worker pods may still show that they exited cleanly.
	undecided bool
	// requeueAfter is when the assessment may change by time alone; zero means no requeue.
	requeueAfter time.Duration
}

// assessLoad assesses the load by the reporter's final report, by the reports of the running master, or by the last one. Without
// a new report the previous assessment stays.
func assessLoad(prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) loadAssessment {
	masterEnded := endedMaster(obs) != nil || obs.MasterJob != nil && isFinished(obs.MasterJob)
	final := finalReport(obs)
	switch {
	case final != nil && (masterEnded || isMasterTerminating(obs)):
		return assessView(prev, obs, settings, now, finalView(obs, final))
	case fromReporter(prev.TestResult):
		return previousLoad(prev) // the pod with the final report is gone
	case masterEnded:
		return assessWithoutReport(prev, obs, settings, now)
	}
	if obs.Locust.freshReport(settings, now) == nil || RunningMaster(obs) == nil {
		return assessUnreachable(prev, obs, now)
	}
	view := liveView(prev, obs)
	if !view.started && !isLoadKnown(prev) {
		return loadAssessment{status: metav1.ConditionUnknown, reason: v2.ReasonLoadNotStarted, message: "No load has started yet"}
	}
	return assessView(prev, obs, settings, now, view)
}

// assessUnreachable assesses the load of a master that does not answer.
func assessUnreachable(prev *v2.LocustTestStatus, obs *Observation, now time.Time) loadAssessment {
	known := previousLoad(prev)
	if isLoadKnown(prev) || !masterStarted(obs) {
		return known
	}
	switch l := obs.Locust; {
	case l == nil:
		return notObserved("Locust's web API is not polled")
	case l.isUnreachable(prev, obs, now):
		return notObserved("Locust's web API cannot be reached: " + l.lastError())
	}
	return known
}

// assessWithoutReport assesses the load of a master that has ended without a final report.
func assessWithoutReport(prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time) loadAssessment {
	result := resultAtEnd(prev, obs)
	end := masterEnd(obs)
	switch {
	case result != nil && (result.TotalRequests > 0 || result.Final):
		return assessView(prev, obs, settings, now, lastView(prev, obs, result))
	case previousLoad(prev).status == metav1.ConditionFalse:
		return previousLoad(prev)
	case end != nil && report.IsFinal(end.Message):
		return notObserved(withoutFinalReport(obs))
	case end != nil && runsReporter(obs):
		// Without a load: the reporter writes a report during the load, and when Locust quits with code 0.
		return assessView(prev, obs, settings, now, loadView{masterEnded: true, workersLeft: -1, elapsed: -1, maxElapsed: -1})
	case end == nil && runsReporter(obs):
		return notObserved("the master's pod was gone before its result could be read")
	case obs.Locust != nil && obs.Locust.LastError != "":
		return notObserved("there is no final report, and Locust's web API could not be reached: " + obs.Locust.lastError())
	}
	return notObserved("there is no final report, and Locust's web API did not report the end of the load")
}

// runsReporter reports whether the master runs the reporter. Jobs of the 2.x operator have none.
func runsReporter(obs *Observation) bool {
	if obs.Run == nil || obs.MasterJob == nil || obs.MasterJob.Annotations[resources.AnnotationRunGeneration] == "" {
		return false
	}
	return resources.HasReporter(&obs.Run.Spec)
}

func notObserved(why string) loadAssessment {
	return loadAssessment{status: metav1.ConditionUnknown, reason: v2.ReasonNotObserved, message: "The load was not observed: " + why}
}

// previousLoad returns the assessment in the previous status.
func previousLoad(prev *v2.LocustTestStatus) loadAssessment {
	if c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypeLoadDelivered); c != nil {
		return loadAssessment{status: c.Status, reason: c.Reason, message: c.Message, ended: prev.TestResult != nil && prev.TestResult.Final}
	}
	return loadAssessment{status: metav1.ConditionUnknown, reason: v2.ReasonLoadNotStarted, message: "No load has started yet"}
}

// isLoadKnown reports whether the load has been observed before.
func isLoadKnown(prev *v2.LocustTestStatus) bool {
	return previousLoad(prev).status != metav1.ConditionUnknown
}

// assessView assesses a load that has started or whose master has ended.
func assessView(prev *v2.LocustTestStatus, obs *Observation, settings Settings, now time.Time, view loadView) loadAssessment {
	load := loadAssessment{ended: view.started && view.ended}
	problems := map[string]string{
		v2.ReasonNoRequests:         noRequests(obs, view),
		v2.ReasonUsersMissing:       usersMissing(view),
		v2.ReasonGeneratorSaturated: saturated(obs, view),
	}
	cut, unknown := "", false
	if load.ended || view.masterEnded && view.started {
		cut, unknown = cutShort(obs, settings, view)
	}
	problems[v2.ReasonLoadCutShort] = cut
	lost := workersLost(obs, view)
	if lost > 0 && (view.lossConfirmed || lostPods(obs, view) > 0) {
		problems[v2.ReasonWorkersLost] = plural(int(lost), "worker was", "workers were") + " lost during the load, with what was measured since the last report"
	}
	if load.ended && (endedByWorkersQuit(view) && !workersQuitCleanly(obs, view) || lost > 0) {
		load.undecided = awaitsWorkersEnd(obs, view)
	}
	if load.undecided && !view.masterEnded && now.Sub(view.endedAt) < podStatusTimeout {
		// The pods of workers that have quit may not show it yet.
		delete(problems, v2.ReasonLoadCutShort)
		delete(problems, v2.ReasonWorkersLost)
		load.requeueAfter = podStatusTimeout - now.Sub(view.endedAt)
	}
	if problems[v2.ReasonLoadCutShort] != "" && !view.masterEnded && workersGone(obs, view) {
		load.workersGone = true
		load.requeueAfter = soonest(load.requeueAfter, workersGoneTimeout-now.Sub(view.endedAt))
	}
	carryOver(problems, prev, view)
	load.status, load.reason, load.message = summarize(problems)
	switch {
	case load.reason != "":
	case unknown:
		unobserved := notObserved("it is not known what ended it: neither a reporter nor a run time shows it")
		load.status, load.reason, load.message = unobserved.status, unobserved.reason, unobserved.message
	case load.ended:
		load.status, load.reason, load.message = metav1.ConditionTrue, v2.ReasonLoadAsPlanned, "The load was delivered as planned"
	default:
		load.status, load.reason, load.message = metav1.ConditionTrue, v2.ReasonLoadAsPlanned, "The load runs as planned"
	}
	return load
}

// carryOver keeps the previously reported problem: problems other than NoRequests stay for the rest of the run, and LoadCutShort
// for the rest of the load. The status has one reason, so a problem that comes before it replaces it.
func carryOver(problems map[string]string, prev *v2.LocustTestStatus, view loadView) {
	c := meta.FindStatusCondition(prev.Conditions, v2.ConditionTypeLoadDelivered)
	if c == nil || c.Status != metav1.ConditionFalse || c.Reason == v2.ReasonNoRequests {
		return
	}
	if c.Reason == v2.ReasonLoadCutShort && (view.delivery != nil || view.workersLeft >= 0 || !view.ended) {
		return // the new view is more accurate, or of another load
	}
	_, first, _ := summarize(problems)
	if first != "" && slices.Index(loadReasons, first) <= slices.Index(loadReasons, c.Reason) {
		return
	}
	problems[c.Reason] = c.Message
	if first != "" {
		problems[c.Reason], _, _ = strings.Cut(c.Message, "; ") // without the messages of later problems
	}
}

// summarize returns the reason of the first problem and the messages of all; the reason is empty without problems.
func summarize(problems map[string]string) (status metav1.ConditionStatus, reason, message string) {
	var messages []string
	for _, r := range loadReasons {
		if problems[r] == "" {
			continue
		}
		if reason == "" {
			reason = r
		}
		messages = append(messages, problems[r])
	}
	return metav1.ConditionFalse, reason, strings.Join(messages, "; ")
}

// guarantee returns which reasons of the condition LoadDelivered decide the phase.
func (o *Observation) guarantee() v2.LoadGuarantee {
	if g := o.spec().LoadGuarantee; g != "" {
		return g
	}
	return v2.LoadGuaranteeBasic
}

// FailsRun reports whether a reason of the condition LoadDelivered fails a run whose master exited with code 0.
func FailsRun(guarantee v2.LoadGuarantee, reason string) bool {
	switch guarantee {
	case v2.LoadGuaranteeNone:
		return false
	case v2.LoadGuaranteeStrict:
		return reason == v2.ReasonNotObserved || slices.Contains(loadReasons, reason)
	}
	return reason == v2.ReasonNoRequests || reason == v2.ReasonLoadCutShort
}

// undelivered returns why the load fails the run; empty if it does not.
func (l *loadAssessment) undelivered(obs *Observation) string {
	if !FailsRun(obs.guarantee(), l.reason) {
		return ""
	}
	return "load not delivered (" + l.reason + "): " + l.message
}

// remark returns the problem of the load of a run that succeeded; usually empty.
func (l *loadAssessment) remark() string {
	switch {
	case l.reason == v2.ReasonNotObserved:
		return "; " + strings.ToLower(l.message[:1]) + l.message[1:]
	case l.status == metav1.ConditionFalse:
		return "; but " + l.message
	}
	return ""
}

// workersLostForGood returns why a run that lost all its workers fails; empty if it lost none, or a load may still start again.
func workersLostForGood(obs *Observation, load *loadAssessment, now time.Time) string {
	if !load.workersGone || now.Sub(obs.Locust.EndedSince) < workersGoneTimeout {
		return ""
	}
	return load.undelivered(obs)
}

// setLoadDelivered sets the condition LoadDelivered.
func setLoadDelivered(next *v2.LocustTestStatus, load *loadAssessment, now time.Time) {
	setCondition(next, now, v2.ConditionTypeLoadDelivered, load.status, load.reason, load.message)
}

// loadReason returns the reason of the condition LoadDelivered; empty if it is absent.
func loadReason(s *v2.LocustTestStatus) string {
	if c := meta.FindStatusCondition(s.Conditions, v2.ConditionTypeLoadDelivered); c != nil {
		return c.Reason
	}
	return ""
}
