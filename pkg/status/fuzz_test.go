package status

import (
	"strconv"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// FuzzDerive drives a test through any sequence of changes. Every status obeys the
// contract (fixture.derive checks each transition), and deriving twice from the same observation changes nothing.
func FuzzDerive(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5})
	f.Add([]byte{1, 1, 1, 8, 3, 9, 12, 13})
	f.Add([]byte{0, 2, 2, 2, 2, 39, 61, 83, 18, 39, 20, 6})
	f.Add([]byte{0, 2, 2, 21, 61, 62, 248, 41, 7})
	f.Add([]byte{10, 30, 11, 30, 14, 7, 6, 5})
	f.Fuzz(func(t *testing.T, steps []byte) {
		s := created(t)
		now := t0.Add(2 * time.Second)
		s.obs.Clocks = &Clocks{}
		for _, step := range steps {
			now = now.Add(time.Duration(step) * 700 * time.Millisecond)
			applyStep(s, step, now)
			s.obs.Clocks.Observe(&s.obs, now)
			plan := PlanFor(&s.prev, &s.obs, settings, now)
			if s.prev.IsTerminal() && (plan.Creates() || plan.WorkerCompletions > 0 || plan.ReplaceWorkerJob) {
				t.Fatalf("a test that has ended gets new objects: %+v", plan)
			}
			s.derive(now)
			again := Derive(s.prev, s.obs, settings, now)
			if change := Compare(&s.prev, &again.Status); change != NoChange || len(again.Events) > 0 {
				t.Fatalf("the same observation gives another status:\n%+v\n%+v\n%v", s.prev, again.Status, again.Events)
			}
			if plan.CreateMaster && s.obs.MasterJob == nil {
				s.obs.MasterJob = s.job("shop-master", 1)
			}
		}
	})
}

func applyStep(s *fixture, step byte, now time.Time) {
	at := metav1.NewTime(now)
	if len(s.obs.Pods) == 0 {
		return
	}
	pod := &s.obs.Pods[int(step)%len(s.obs.Pods)]
	switch step % 23 {
	case 0:
		if s.obs.MasterJob != nil {
			s.runMaster(now)
		}
	case 1, 2:
		s.runPod(pod, now)
	case 3:
		s.endPod(pod, now, int32(step%3), "message")
	case 4:
		pod.DeletionTimestamp = &at
	case 5:
		if len(s.obs.Pods) > 1 {
			s.dropPod(s.worker(0))
		}
	case 6:
		if s.obs.MasterJob != nil && !isFinished(s.obs.MasterJob) {
			s.endJob(s.obs.MasterJob, batchv1.JobComplete, now)
		}
	case 7:
		if s.obs.MasterJob != nil && !isFinished(s.obs.MasterJob) {
			s.endJob(s.obs.MasterJob, batchv1.JobFailed, now)
		}
	case 8:
		s.obs.MasterJob = nil
	case 9:
		s.obs.WorkerJob = nil
	case 10:
		s.obs.Test.Generation++
		s.obs.Test.Spec.Worker.Replicas = int32(step%5) + 1
	case 11:
		s.waitPod(pod, "ErrImagePull", "message")
	case 12:
		s.obs.Failure = &Failure{Message: "message", Final: step > 128}
	case 13:
		s.obs.Failure = nil
	case 14:
		s.obs.FirstObservation = !s.obs.FirstObservation
	case 15:
		if s.obs.WorkerJob != nil {
			s.obs.WorkerJob.Status.CompletedIndexes = "0-1"
		}
	case 17, 18:
		s.obs.Locust = &Locust{At: now, PolledAt: now, Report: &report.Report{
			State:   []report.State{report.StateReady, report.StateSpawning, report.StateRunning, report.StateStopped}[step/22%4],
			Workers: int32(step / 64), Stats: report.Stats{Requests: int64(step) &^ 1, Failures: int64(step) / 3}, Delivery: anyDelivery(step),
		}}
		if s.obs.Locust.Report.State.Ended() {
			s.obs.Locust.EndedSince = now.Add(-time.Duration(step) * time.Second)
		}
	case 19:
		s.obs.Locust = &Locust{}
		s.obs.Locust.RecordFailure("no answer", step/22%2 == 0, now)
		s.obs.Locust.Failures = int(step)
	case 20:
		more := []string{}
		if d := anyDelivery(step); d != nil {
			more = append(more, delivered(string(d.EndedBy), "lost", strconv.Itoa(int(d.WorkersLost)), "cpu", "["+strconv.Itoa(int(step))+`,"w"]`))
		}
		s.endPod(pod, now, int32(step%3), finalMessage(step/22%2 == 0, int(step/64), int(step)&^1, int(step/3), more...))
	case 21:
		if s.obs.Run != nil && !s.prev.IsTerminal() {
			s.obs.Run.Spec.LoadGuarantee = []v2.LoadGuarantee{"", v2.LoadGuaranteeBasic, v2.LoadGuaranteeStrict, v2.LoadGuaranteeNone}[step/22%4]
			s.obs.Run.Spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.2", AbortOnViolation: step/22%2 == 0}
		}
	case 22:
		s.obs.Test.Spec.Stop = true
		if job := s.obs.MasterJob; job != nil && step > 128 {
			job.Spec.ActiveDeadlineSeconds = ptr.To[int64](1)
			pod.DeletionTimestamp, pod.DeletionGracePeriodSeconds = &at, ptr.To[int64](0)
		}
	case 16:
		if s.obs.WorkerJob != nil && !isFinished(s.obs.WorkerJob) {
			s.endJob(s.obs.WorkerJob, batchv1.JobFailed, now)
		}
	}
}

// anyDelivery returns an arbitrary delivery of a reporter; nil for an older reporter.
func anyDelivery(step byte) *report.Delivery {
	ends := []report.EndedBy{"", report.EndedByRunTime, report.EndedByWorkersMissing, report.EndedByWorkersQuit, report.EndedBySignal, report.EndedByMain, "new"}
	d := &report.Delivery{EndedBy: ends[int(step/3)%len(ends)], WorkersLost: int32(step % 4)}
	switch step % 5 {
	case 0:
		return nil
	case 1:
		d.Missing = &report.UsersMissing{Users: 1, Due: int32(step)}
	case 2:
		d.Busiest = &report.ProcessorUse{Worker: "w", Percent: float64(step)}
	}
	return d
}
