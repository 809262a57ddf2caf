package observability

import (
	"errors"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/metrics"
)

// alertCase is a sequence of changes and the alerts that it fires.
type alertCase struct {
	name string
	// step changes the fixture before each scrape, and returns false if the operator does not answer.
	step func(w *fixture, at time.Duration) (answers bool)
	long time.Duration
	// fires has the firing alerts and their time; descriptions has a part of their descriptions.
	fires        map[string]span
	descriptions map[string]string
}

const minute = time.Minute

var errNoAnswer = errors.New("no answer")

// load is a running test that makes 100 requests per second, some of which fail.
type load struct {
	*v2.LocustTest
	requests, failures float64
}

func newLoad() *load {
	l := &load{LocustTest: example("shop", v2.PhaseRunning)}
	l.Status.TestResult.TotalRequests, l.Status.TestResult.FailedRequests = 0, 0
	return l
}

// run advances the counters by the time between two scrapes.
func (l *load) run(failing float64) {
	made := 100 * scrapeEvery.Seconds()
	l.requests, l.failures = l.requests+made, l.failures+failing*made
	l.Status.TestResult.TotalRequests, l.Status.TestResult.FailedRequests = int64(l.requests), int64(l.failures)
}

// end sets the final phase of the test.
func (l *load) end(phase string, at time.Duration) {
	l.Status.Phase, l.Status.TestResult.Final = phase, true
	l.Status.CompletionTime = new(metav1.NewTime(t0.Add(at)))
}

// work updates the operator's metrics as in normal operation.
func work(w *fixture) {
	w.Operator.StatusWrite(metrics.KindTransition, metrics.ResultWritten)
	w.Operator.StatusWrite(metrics.KindRefresh, metrics.ResultConflict)
	for range 3 {
		w.Operator.Poll(20*time.Millisecond, nil)
	}
}

func alertCases(t *testing.T) []alertCase {
	t.Helper()
	target, controller := targetOf(t), controllerName(t)
	workersMissing := fired("LocustTestWorkersMissing", "namespace", "load", "name", "shop")
	failureRatioHigh := fired("LocustTestFailureRatioHigh", "namespace", "load", "name", "shop")
	testFailed := fired("LocustTestFailed", "namespace", "load", "name", "shop")
	notDelivered := func(reason string) string {
		return fired("LocustTestLoadNotDelivered", "namespace", "load", "name", "shop", "reason", reason)
	}
	absent := fired("LocustOperatorAbsent", "job", target["job"])
	reconcileErrors := fired("LocustOperatorReconcileErrors", "namespace", target["namespace"])
	writeErrors := fired("LocustOperatorStatusWriteErrors", "namespace", target["namespace"])
	pollsFailing := fired("LocustOperatorPollsFailing", "namespace", target["namespace"])

	healthy, lateFailures, earlyFailures, ending, restarted := newLoad(), newLoad(), newLoad(), newLoad(), newLoad()
	slow, cut, lossy, unseen := newLoad(), newLoad(), newLoad(), newLoad()
	return []alertCase{
		{
			name: "a successful test, from Pending to deleted", long: 40 * minute,
			step: func(w *fixture, at time.Duration) bool {
				work(w)
				switch {
				case at < 8*minute:
					// A new node may have to start first: the test is not Running before its master is.
					w.Tests.Observe(example("shop", v2.PhasePending))
				case at < 10*minute:
					healthy.Status.ConnectedWorkers = 1
					w.Operator.Poll(time.Second, errNoAnswer)
					w.Tests.Observe(healthy.LocustTest)
				case at < 20*minute:
					healthy.Status.ConnectedWorkers = 3
					healthy.run(0.05)
					w.Tests.Observe(healthy.LocustTest)
				case at == 20*minute:
					// Workers leave when the load is over; the master may stay for its web UI.
					healthy.Status.ConnectedWorkers, healthy.Status.TestResult.Final = 0, true
					w.Tests.Observe(healthy.LocustTest)
				case at == 30*minute:
					healthy.end(v2.PhaseSucceeded, at)
					w.Tests.Observe(healthy.LocustTest)
				case at == 35*minute:
					w.Tests.Forget("load", "shop")
				}
				return true
			},
		},
		{
			name: "the operator does not answer", long: 20 * minute,
			step:         func(_ *fixture, at time.Duration) bool { return at < 5*minute || at >= 15*minute },
			fires:        map[string]span{absent: {10 * minute, 15*minute - evaluateEvery}},
			descriptions: map[string]string{absent: "for 5 minutes"},
		},
		{
			name: "the operator does not answer, and then its pod is gone", long: 20 * minute,
			step: func(w *fixture, at time.Duration) bool {
				w.gone = at >= 8*minute
				return at < 5*minute
			},
			fires: map[string]span{absent: {10 * minute, 20 * minute}},
		},
		{
			name: "the operator restarts", long: 20 * minute,
			step: func(_ *fixture, at time.Duration) bool { return at < 5*minute || at >= 8*minute },
		},
		{
			name: "a worker is missing, and the operator restarts meanwhile", long: 15 * minute,
			step: func(w *fixture, at time.Duration) bool {
				if at == 3*minute {
					w.start(t)
				}
				restarted.Status.ConnectedWorkers = 2
				if at >= 9*minute {
					restarted.Status.ConnectedWorkers = 3
				}
				w.Tests.Observe(restarted.LocustTest)
				return true
			},
			fires:        map[string]span{workersMissing: {5 * minute, 9*minute - evaluateEvery}},
			descriptions: map[string]string{workersMissing: "load/shop runs with 2 connected workers"},
		},
		{
			name: "requests begin to fail late in a long test, and recover", long: 60 * minute,
			step: func(w *fixture, at time.Duration) bool {
				if at > 30*minute && at <= 40*minute {
					lateFailures.run(0.5)
				} else {
					lateFailures.run(0)
				}
				w.Tests.Observe(lateFailures.LocustTest)
				return true
			},
			// 10 % of five minutes is reached after one minute of 50 %, and for one more minute that is not enough;
			// it lasts for all but the last minute of the five that are looked back at.
			fires:        map[string]span{failureRatioHigh: {33*minute + evaluateEvery, 43*minute + evaluateEvery}},
			descriptions: map[string]string{failureRatioHigh: "% of the requests that LocustTest load/shop made"},
		},
		{
			name: "requests fail at the start only", long: 30 * minute,
			step: func(w *fixture, at time.Duration) bool {
				if at < minute {
					earlyFailures.run(0.3)
				} else {
					earlyFailures.run(0)
				}
				w.Tests.Observe(earlyFailures.LocustTest)
				return true
			},
		},
		{
			name: "a test fails, its alerts end with it, and it is kept", long: 100 * minute,
			step: func(w *fixture, at time.Duration) bool {
				if at < 10*minute {
					ending.run(0.5)
					ending.Status.ConnectedWorkers = 1
				} else if at == 10*minute {
					ending.end(v2.PhaseFailed, at)
				}
				w.Tests.Observe(ending.LocustTest)
				return true
			},
			fires: map[string]span{
				workersMissing:   {5 * minute, 10*minute - evaluateEvery},
				failureRatioHigh: {2*minute + evaluateEvery, 10*minute - evaluateEvery},
				testFailed:       {10 * minute, 70*minute - evaluateEvery},
			},
			descriptions: map[string]string{testFailed: "LocustTest load/shop failed within the last hour"},
		},
		{
			name: "the first request takes long, and the operator restarts meanwhile", long: 20 * minute,
			step: func(w *fixture, at time.Duration) bool {
				switch at {
				case 2 * minute:
					delivered(slow.LocustTest, metav1.ConditionFalse, v2.ReasonNoRequests)
				case 4 * minute:
					w.start(t)
				case 6 * minute:
					delivered(slow.LocustTest, metav1.ConditionTrue, v2.ReasonLoadAsPlanned)
				}
				w.Tests.Observe(slow.LocustTest)
				return true
			},
			fires:        map[string]span{notDelivered(v2.ReasonNoRequests): {2 * minute, 6*minute - evaluateEvery}},
			descriptions: map[string]string{notDelivered(v2.ReasonNoRequests): "LocustTest load/shop runs or ended without the requested load, with the reason NoRequests"},
		},
		{
			name: "a load is cut short, and the failed test is kept", long: 100 * minute,
			step: func(w *fixture, at time.Duration) bool {
				if at == 10*minute {
					cut.end(v2.PhaseFailed, at)
					delivered(cut.LocustTest, metav1.ConditionFalse, v2.ReasonLoadCutShort)
				}
				w.Tests.Observe(cut.LocustTest)
				return true
			},
			fires: map[string]span{
				notDelivered(v2.ReasonLoadCutShort): {10 * minute, 70*minute - evaluateEvery},
				testFailed:                          {10 * minute, 70*minute - evaluateEvery},
			},
		},
		{
			name: "a worker is lost for a moment, and the test succeeds", long: 100 * minute,
			step: func(w *fixture, at time.Duration) bool {
				switch at {
				case 5 * minute:
					delivered(lossy.LocustTest, metav1.ConditionFalse, v2.ReasonWorkersLost)
				case 10 * minute:
					lossy.end(v2.PhaseSucceeded, at)
				}
				w.Tests.Observe(lossy.LocustTest)
				return true
			},
			fires: map[string]span{notDelivered(v2.ReasonWorkersLost): {5 * minute, 70*minute - evaluateEvery}},
		},
		{
			name: "a load is not observed", long: 20 * minute,
			step: func(w *fixture, at time.Duration) bool {
				delivered(unseen.LocustTest, metav1.ConditionUnknown, v2.ReasonNotObserved)
				if at == 10*minute {
					unseen.end(v2.PhaseSucceeded, at)
				}
				w.Tests.Observe(unseen.LocustTest)
				return true
			},
		},
		{
			name: "a failed test is deleted", long: 20 * minute,
			step: func(w *fixture, at time.Duration) bool {
				if at < 10*minute {
					w.Tests.Observe(example("shop", v2.PhaseFailed))
				} else {
					w.Tests.Forget("load", "shop")
				}
				return true
			},
			fires: map[string]span{testFailed: {0, 10*minute - evaluateEvery}},
		},
		{
			name: "an operator starts beside a test that failed long ago", long: 10 * minute,
			step: func(w *fixture, _ time.Duration) bool {
				old := example("shop", v2.PhaseFailed)
				old.Status.CompletionTime = new(metav1.NewTime(t0.Add(-2 * time.Hour)))
				w.Tests.Observe(old)
				return true
			},
		},
		{
			name: "a test cannot be reconciled", long: 40 * minute,
			step: func(w *fixture, at time.Duration) bool {
				// At most a minute lies between two tries.
				if at >= 5*minute && at < 25*minute && at%minute == 0 {
					w.reconcileErrors.WithLabelValues(controller).Inc()
				}
				return true
			},
			fires:        map[string]span{reconcileErrors: {15 * minute, 29*minute - evaluateEvery}},
			descriptions: map[string]string{reconcileErrors: "in namespace " + target["namespace"]},
		},
		{
			name: "one error, and the errors of another controller", long: 40 * minute,
			step: func(w *fixture, at time.Duration) bool {
				if at == 5*minute {
					w.reconcileErrors.WithLabelValues(controller).Inc()
					w.Operator.StatusWrite(metrics.KindRefresh, metrics.ResultError)
				}
				w.reconcileErrors.WithLabelValues("other").Inc()
				return true
			},
		},
		{
			name: "statuses cannot be written", long: 40 * minute,
			step: func(w *fixture, at time.Duration) bool {
				work(w)
				if at >= 5*minute && at < 25*minute && at%minute == 0 {
					w.Operator.StatusWrite(metrics.KindTransition, metrics.ResultError)
				}
				return true
			},
			fires:        map[string]span{writeErrors: {15 * minute, 29*minute - evaluateEvery}},
			descriptions: map[string]string{writeErrors: "failing to write statuses"},
		},
		{
			name: "Locust does not answer", long: 60 * minute,
			step: func(w *fixture, at time.Duration) bool {
				work(w)
				if at >= 15*minute && at < 40*minute {
					for range 3 {
						w.Operator.Poll(time.Second, errNoAnswer)
					}
				}
				return true
			},
			// While half of the requests fail, a fifth of ten minutes' is reached after two and a half.
			fires:        map[string]span{pollsFailing: {27*minute + evaluateEvery, 47 * minute}},
			descriptions: map[string]string{pollsFailing: "% of the requests that the Locust operator in namespace " + target["namespace"]},
		},
	}
}
