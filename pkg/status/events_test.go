package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestStartupDeadline_RecoversBefore(t *testing.T) {
	s := created(t)
	s.waitPod(s.worker(0), "ErrImagePull", "not found")
	s.derive(t0.Add(10 * time.Second))
	s.waitPod(s.worker(0), "ContainerCreating", "")
	d := s.derive(t0.Add(20 * time.Second))
	requireCondition(t, &s.prev, v2.ConditionTypePodsHealthy, metav1.ConditionTrue, v2.ReasonPodsStarting)
	require.Len(t, d.Events, 1)
	assert.Equal(t, corev1.EventTypeNormal, d.Events[0].Type)
	s.derive(t0.Add(time.Hour))
	assert.Equal(t, v2.PhasePending, s.prev.Phase, "slow is not broken")
}
