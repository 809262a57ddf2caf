package framework

import (
	"fmt"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Condition returns a condition of a status, or an empty one if it is absent.
func Condition(s *v2.LocustTestStatus, conditionType string) metav1.Condition {
	if c := meta.FindStatusCondition(s.Conditions, conditionType); c != nil {
		return *c
	}
	return metav1.Condition{}
}

// Describe formats a status in one line.
func Describe(s *v2.LocustTestStatus) string {
	if s.Phase == "" && len(s.Conditions) == 0 {
		return "no status"
	}
	text := fmt.Sprintf("phase %s, workers %s", s.Phase, s.Workers)
	for _, c := range s.Conditions {
		text += fmt.Sprintf(", %s=%s/%s (%s)", c.Type, c.Status, c.Reason, c.Message)
	}
	return text
}

// IsReady reports whether a pod is ready.
func IsReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// FinishedAs returns JobComplete or JobFailed for a finished Job, otherwise "".
func FinishedAs(job *batchv1.Job) batchv1.JobConditionType {
	for _, c := range job.Status.Conditions {
		if c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) {
			return c.Type
		}
	}
	return ""
}
