package status

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestRunningMaster: the newest running pod, in any order of the list.
func TestRunningMaster(t *testing.T) {
	s := created(t)
	assert.Nil(t, RunningMaster(&s.obs), "it has not started")
	s.runMaster(t0.Add(10 * time.Second))
	assert.Same(t, s.master(), RunningMaster(&s.obs))

	s.pod("master", 1)
	newer := &s.obs.Pods[len(s.obs.Pods)-1]
	s.runPod(newer, t0.Add(20*time.Second))
	assert.Same(t, newer, RunningMaster(&s.obs))
	assert.Equal(t, t0.Add(20*time.Second), newFacts(&s.prev, &s.obs, settings, t0).masterRunningSince())
	s.runPod(s.master(), t0.Add(30*time.Second))
	assert.Same(t, s.master(), RunningMaster(&s.obs))

	at := metav1.NewTime(t0)
	s.master().DeletionTimestamp = &at
	assert.Same(t, newer, RunningMaster(&s.obs), "the other goes")
	s.endPod(newer, t0.Add(40*time.Second), 0, "")
	assert.Nil(t, RunningMaster(&s.obs))
}
