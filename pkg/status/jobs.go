package status

import (
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
