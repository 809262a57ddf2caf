package status

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/cause"
)

const traceback = `[2026-11-27 12:27:19,123] shop-master-x/INFO/locust.main: Starting Locust 2.47.0
Traceback (most recent call last):
  File "/opt/venv/bin/locust", line 8, in <module>
    sys.exit(main())
  File "/opt/venv/lib/python3.12/site-packages/locust/main.py", line 150, in main
    merge_locustfiles_content(locustfiles)
  File "/lotest/src/locustfile.py", line 3, in <module>
    import requests_toolbelt
ModuleNotFoundError: No module named 'requests_toolbelt'
`

func messageOf(s *v2.LocustTestStatus, conditionType string) string {
	return meta.FindStatusCondition(s.Conditions, conditionType).Message
}

// TestMessages_Failed: the first line is the cause, and the details appear once.
func TestMessages_Failed(t *testing.T) {
	s := running(t)
	s.endPod(s.master(), t0.Add(time.Minute), 1, traceback)
	d := s.derive(t0.Add(time.Minute))
	require.Equal(t, v2.PhaseFailed, s.prev.Phase)
	const want = "master exited with code 1: ModuleNotFoundError: No module named 'requests_toolbelt' (/lotest/src/locustfile.py, line 3); "
	for _, conditionType := range []string{v2.ConditionTypeReady, v2.ConditionTypeStalled, v2.ConditionTypeTestCompleted} {
		line, detail, _ := strings.Cut(messageOf(&s.prev, conditionType), "\n")
		assert.Contains(t, line, want, conditionType)
		assert.LessOrEqual(t, utf8.RuneCountInString(line), maxHeadline, conditionType)
		if conditionType == v2.ConditionTypeTestCompleted {
			assert.Contains(t, detail, "Traceback (most recent call last)")
			assert.LessOrEqual(t, len(detail), cause.MaxDetail)
		} else {
			assert.Empty(t, detail, conditionType)
		}
	}
	require.Len(t, d.Events, 1)
	assert.NotContains(t, d.Events[0].Message, "\n")
}

// TestMessages_Workers: a worker's crash is reported with its cause only.
func TestMessages_Workers(t *testing.T) {
	s := created(t)
	s.runMaster(t0.Add(2 * time.Second))
	s.endPod(s.worker(0), t0.Add(3*time.Second), 1, traceback)
	s.derive(t0.Add(4 * time.Second))
	message := messageOf(&s.prev, v2.ConditionTypePodsHealthy)
	assert.Contains(t, message, "pod shop-worker-0: exited with code 1: ModuleNotFoundError")
	assert.NotContains(t, message, "Traceback")
	assert.NotContains(t, message, "\n")
	s.derive(t0.Add(10 * time.Minute))
	assert.Contains(t, messageOf(&s.prev, v2.ConditionTypeTestCompleted), "unhealthy past the startup deadline of 5m0s: CrashLoopBackOff: pod shop-worker-0: exited with code 1: ModuleNotFoundError")
}

// TestMessages_Long: a shortened first line is followed by its full text in the details.
func TestMessages_Long(t *testing.T) {
	s := running(t)
	s.obs.Failure = &Failure{Message: "spec.master.labels: Invalid value: " + strings.Repeat("x", 300) + ": must not be so long; shorten it", Final: true}
	s.derive(t0.Add(time.Minute))
	ready := messageOf(&s.prev, v2.ConditionTypeReady)
	assert.LessOrEqual(t, utf8.RuneCountInString(ready), maxHeadline)
	assert.True(t, strings.HasPrefix(ready, "spec.master.labels: ") && strings.HasSuffix(ready, "; shorten it"), ready)
	assert.Equal(t, ready+"\n"+s.obs.Failure.Message, messageOf(&s.prev, v2.ConditionTypeTestCompleted))
}

// TestMessages_User: the remedy for a file that the chosen user may not read is the user.
func TestMessages_User(t *testing.T) {
	const denied = "PermissionError: [Errno 13] Permission denied: '/data/users.csv'"
	s := running(t)
	s.endPod(s.master(), t0.Add(time.Minute), 1, denied)
	s.derive(t0.Add(time.Minute))
	assert.Contains(t, messageOf(&s.prev, v2.ConditionTypeReady), "the operator chose user 1000; choose another with spec.security.podSecurityContext.runAsUser")

	s = running(t)
	s.obs.Run.Spec.Security = &v2.SecurityConfig{PodSecurityContext: &corev1.PodSecurityContext{RunAsUser: ptr.To[int64](7)}}
	s.endPod(s.master(), t0.Add(time.Minute), 1, denied)
	s.derive(t0.Add(time.Minute))
	assert.NotContains(t, messageOf(&s.prev, v2.ConditionTypeReady), "the operator chose")
}
