package status

import (
	"strconv"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// finishTime returns when a finished Job ended: its completion time, or the transition time of its condition, or now.
func finishTime(job *batchv1.Job, now time.Time) time.Time {
	if job.Status.CompletionTime != nil {
		return job.Status.CompletionTime.Time
	}
	for _, t := range []batchv1.JobConditionType{batchv1.JobComplete, batchv1.JobFailed} {
		if c := jobCondition(job, t); c != nil && !c.LastTransitionTime.IsZero() {
			return c.LastTransitionTime.Time
		}
	}
	return now
}

// jobCondition returns the Job's condition of a type; nil unless it is True.
func jobCondition(job *batchv1.Job, conditionType batchv1.JobConditionType) *batchv1.JobCondition {
	for i := range job.Status.Conditions {
		if c := &job.Status.Conditions[i]; c.Type == conditionType && c.Status == corev1.ConditionTrue {
			return c
		}
	}
	return nil
}

// isFinished reports whether the Job is Complete or Failed.
func isFinished(job *batchv1.Job) bool {
	return jobCondition(job, batchv1.JobComplete) != nil || jobCondition(job, batchv1.JobFailed) != nil
}

func jobReason(job *batchv1.Job) string {
	if c := jobCondition(job, batchv1.JobFailed); c != nil {
		return c.Reason
	}
	return ""
}

// jobMessage returns the reason and message of a failed Job.
func jobMessage(job *batchv1.Job) string {
	c := jobCondition(job, batchv1.JobFailed)
	if c == nil {
		return "no reason given"
	}
	return strings.TrimSpace(strings.Trim(c.Reason+": "+c.Message, ": "))
}

// isSuspended reports whether a Job must not have pods: it is suspended, or its parallelism is 0.
func isSuspended(job *batchv1.Job) bool {
	return job != nil && !isFinished(job) && (ptr.Deref(job.Spec.Suspend, false) || ptr.Deref(job.Spec.Parallelism, 1) == 0)
}

// completedIndexes parses the Job's completed indexes, for example "0,2-4".
func completedIndexes(job *batchv1.Job) []int {
	var indexes []int
	for _, part := range strings.Split(job.Status.CompletedIndexes, ",") {
		from, to, ranged := strings.Cut(part, "-")
		first, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		last := first
		if ranged {
			if last, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		for i := first; i <= last && i <= maxCompletions; i++ {
			indexes = append(indexes, i)
		}
	}
	return indexes
}

// suspendedJobs names the suspended Jobs of the test; empty if there are none.
func (f *facts) suspendedJobs() string {
	master, worker := isSuspended(f.MasterJob), isSuspended(f.WorkerJob)
	switch {
	case master && worker:
		return "the master Job and the worker Job are suspended"
	case master:
		return "the master Job is suspended"
	case worker:
		return "the worker Job is suspended"
	}
	return ""
}

func readyCount(job *batchv1.Job) int32 {
	if job.Status.Ready == nil {
		return job.Status.Active
	}
	return *job.Status.Ready
}
