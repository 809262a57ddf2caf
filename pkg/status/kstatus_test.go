package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
)

// kstatus returns the status that Flux and other tools compute by the kstatus convention.
func kstatus(t *testing.T, s *fixture) status.Status {
	t.Helper()
	test := s.obs.Test.DeepCopy()
	test.Status = s.prev
	o, err := runtime.DefaultUnstructuredConverter.ToUnstructured(test)
	require.NoError(t, err)
	o["apiVersion"], o["kind"] = v2.GroupVersion.String(), "LocustTest"
	result, err := status.Compute(&unstructured.Unstructured{Object: o})
	require.NoError(t, err)
	return result.Status
}

func TestKstatus(t *testing.T) {
	s := newFixture(t)
	s.derive(t0)
	assert.Equal(t, status.InProgressStatus, kstatus(t, s), "initialised")
	s = created(t)
	assert.Equal(t, status.InProgressStatus, kstatus(t, s), "created")
	s.waitPod(s.master(), "ErrImagePull", "x")
	s.derive(t0.Add(5 * time.Second))
	assert.Equal(t, status.InProgressStatus, kstatus(t, s), "unhealthy, and may heal")

	s = running(t)
	assert.Equal(t, status.CurrentStatus, kstatus(t, s), "running")
	s.endJob(s.obs.MasterJob, batchv1.JobComplete, t0.Add(time.Minute))
	s.derive(t0.Add(time.Minute))
	assert.Equal(t, status.CurrentStatus, kstatus(t, s), "succeeded")

	// LoadDelivered does not change the kstatus until it decides the phase.
	s = polled(t)
	s.answerWithDelivery(t0.Add(15*time.Second), report.StateRunning, 0, report.Delivery{})
	s.answerWithDelivery(t0.Add(60*time.Second), report.StateRunning, 0, report.Delivery{})
	requireLoad(t, s, v2.ReasonNoRequests)
	assert.Equal(t, status.CurrentStatus, kstatus(t, s), "no requests, and there may be some yet")
	s.endMaster(t0.Add(time.Hour), 0, finalMessage(true, 3, 0, 0, delivered("run-time")))
	s.derive(t0.Add(time.Hour))
	assert.Equal(t, status.FailedStatus, kstatus(t, s), "no requests at the end")

	s = running(t)
	s.obs.MasterJob = nil
	s.derive(t0.Add(time.Minute))
	assert.Equal(t, status.FailedStatus, kstatus(t, s), "failed")
}
