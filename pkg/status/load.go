package status

import (
	"cmp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// saturationRatio is the fraction of a worker's available processor time above which its measurements include delays of the
// generator.
const saturationRatio = 0.9

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
	// failure is why the load fails the run; empty if it does not. remark is the problem of the load of a run that succeeds
	// nevertheless; usually empty.
	failure, remark string
	// workersGone is true if all workers were lost, and the load has not started again.
	workersGone bool
	// undecided is true while worker pods may still show that they exited cleanly.
	undecided bool
}

// assessLoad returns the state of the load, and what it means for the run.
func (f *facts) assessLoad() loadAssessment {
	load := f.observeLoad()
	if FailsRun(f.guarantee(), load.reason) {
		load.failure = "load not delivered (" + load.reason + "): " + load.message
	}
	switch {
	case load.reason == v2.ReasonNotObserved:
		load.remark = "; " + strings.ToLower(load.message[:1]) + load.message[1:]
	case load.status == metav1.ConditionFalse:
		load.remark = "; but " + load.message
	}
	return load
}

// observeLoad assesses the load by the reporter's final report, by the reports of the running master, or by the last one. Without
// a new report the previous assessment stays.
func (f *facts) observeLoad() loadAssessment {
	masterEnded := f.hasMasterEnded()
	switch {
	case f.final != nil && (masterEnded || f.isMasterTerminating()):
		return f.assessView(f.finalView())
	case fromReporter(f.prev.TestResult):
		return previousLoad(f.prev) // the pod with the final report is gone
	case masterEnded:
		return f.assessWithoutReport()
	}
	if f.report == nil || f.runningMaster == nil {
		return f.assessUnreachable()
	}
	view := f.liveView()
	if !view.started && !isLoadKnown(f.prev) {
		return loadAssessment{status: metav1.ConditionUnknown, reason: v2.ReasonLoadNotStarted, message: "No load has started yet"}
	}
	return f.assessView(view)
}

// assessUnreachable assesses the load of a master that does not answer.
func (f *facts) assessUnreachable() loadAssessment {
	known := previousLoad(f.prev)
	if isLoadKnown(f.prev) || !f.masterStarted() {
		return known
	}
	switch l := f.Locust; {
	case l == nil:
		return notObserved("Locust's web API is not polled")
	case f.isUnreachable():
		return notObserved("Locust's web API cannot be reached: " + l.lastError())
	}
	return known
}

// assessWithoutReport assesses the load of a master that has ended without a final report.
func (f *facts) assessWithoutReport() loadAssessment {
	result := f.result
	end := f.masterEnd()
	switch {
	case result != nil && (result.TotalRequests > 0 || result.Final):
		return f.assessView(f.lastView(result))
	case previousLoad(f.prev).status == metav1.ConditionFalse:
		return previousLoad(f.prev)
	case end != nil && report.IsFinal(end.Message):
		return notObserved(f.withoutFinalReport())
	case end != nil && f.runsReporter():
		// Without a load: the reporter writes a report during the load, and when Locust quits with code 0.
		return f.assessView(loadView{masterEnded: true, workersLeft: -1, elapsed: -1, maxElapsed: -1})
	case end == nil && f.runsReporter():
		return notObserved("the master's pod was gone before its result could be read")
	case f.Locust != nil && f.Locust.LastError != "":
		return notObserved("there is no final report, and Locust's web API could not be reached: " + f.Locust.lastError())
	}
	return notObserved("there is no final report, and Locust's web API did not report the end of the load")
}

// runsReporter reports whether the master runs the reporter. Jobs of the 2.x operator have none.
func (f *facts) runsReporter() bool {
	if f.Run == nil || f.MasterJob == nil || f.MasterJob.Annotations[resources.AnnotationRunGeneration] == "" {
		return false
	}
	return f.Run.Locust.Reporter
}

func notObserved(why string) loadAssessment {
	return loadAssessment{status: metav1.ConditionUnknown, reason: v2.ReasonNotObserved, message: "The load was not observed: " + why}
}

// assessView assesses a load that has started or whose master has ended.
func (f *facts) assessView(view loadView) loadAssessment {
	load := loadAssessment{ended: view.started && view.ended}
	problems := map[string]string{
		v2.ReasonNoRequests:         f.noRequests(view),
		v2.ReasonUsersMissing:       usersMissing(view),
		v2.ReasonGeneratorSaturated: f.saturated(view),
	}
	cut, unknown := "", false
	if load.ended || view.masterEnded && view.started {
		cut, unknown = f.cutShort(view)
	}
	problems[v2.ReasonLoadCutShort] = cut
	lost := f.workersLost(view)
	if lost > 0 && (view.lossConfirmed || f.lostPods(view) > 0) {
		problems[v2.ReasonWorkersLost] = plural(int(lost), "worker was", "workers were") + " lost during the load, with what was measured since the last report"
	}
	if load.ended && (endedByWorkersQuit(view) && !f.workersQuitCleanly(view) || lost > 0) {
		load.undecided = f.awaitsWorkersEnd(view)
	}
	if load.undecided && !view.masterEnded && f.now.Sub(view.endedAt) < podStatusTimeout {
		// The pods of workers that have quit may not show it yet.
		delete(problems, v2.ReasonLoadCutShort)
		delete(problems, v2.ReasonWorkersLost)
		f.requeueIn(podStatusTimeout - f.now.Sub(view.endedAt))
	}
	if problems[v2.ReasonLoadCutShort] != "" && !view.masterEnded && f.workersGone(view) {
		left := workersGoneTimeout - f.now.Sub(view.endedAt)
		load.workersGone = left <= 0
		f.requeueIn(left)
	}
	carryOver(problems, f.prev, view)
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
	return cmp.Or(o.spec().LoadGuarantee, v2.DefaultLoadGuarantee)
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
