//go:build e2e

package e2e

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// stop sets spec.stop as a user does.
func (s *fixture) stop(test *v2.LocustTest) {
	s.t.Helper()
	s.mustKubectl("patch", "locusttest", test.Name, "--type", "merge", "-p", `{"spec":{"stop":true}}`)
}

// TestStop stops runs that would not end for a long time. Their results equal Locust's own, and the criteria decide.
func TestStop(t *testing.T) {
	t.Parallel()
	eachLocust(t, func(t *testing.T, _, image string) {
		t.Parallel()
		s := newFixture(t)
		s.configMap("mixed", map[string]string{"mixed.py": longHeartbeat + "import os\n" +
			strings.ReplaceAll(mixed, `"/hit/mixed"`, `"/hit/" + os.environ["E2E_KEY"]`)})
		var all sync.WaitGroup
		for name, change := range map[string]func(*v2.LocustTestSpec){
			"autoquit-0": withMixed(600, "", 0, image),
			"headless":   withMixed(600, "--headless", 0, image),
			"web-ui": func(spec *v2.LocustTestSpec) {
				withMixed(600, "", 0, image)(spec)
				spec.Master.Command = strings.ReplaceAll(spec.Master.Command, "--run-time 600s", "")
				spec.Master.Autoquit = &v2.AutoquitConfig{Enabled: new(false)}
			},
		} {
			test := s.create(s.test(name, 600, change, func(spec *v2.LocustTestSpec) {
				spec.TestFiles.ConfigMapRef = "mixed"
				spec.Worker.Replicas = 1
				spec.SuccessCriteria = &v2.SuccessCriteria{MaxFailureRatio: "0.5"}
			}))
			all.Go(func() {
				// The log goes with the master's pod.
				log := make(chan string, 1)
				go func() { log <- s.logsUntilEnd(test) }()
				s.untilLoad(test)
				s.stop(test)
				s.stop(test) // twice
				final := s.UntilPhase(test, v2.PhaseSucceeded)
				message := condition(final, v2.ConditionTypeTestCompleted).Message
				assert.Regexp(t, `^Test completed successfully; stopped after \d+s, as spec.stop requests$`, message)
				assert.Equal(t, v2.ReasonLoadAsPlanned, condition(final, v2.ConditionTypeLoadDelivered).Reason)
				assert.Equal(t, v2.ReasonSpecInSync, condition(final, v2.ConditionTypeSpecDrifted).Reason)
				assert.Equal(t, []string{v2.ReasonWaitingForWorkers, v2.ReasonAllWorkersConnected}, watcher.Reasons(test.UID, v2.ConditionTypeWorkersConnected))
				assert.True(t, final.TestResult.Final)
				assert.Equal(t, v2.ResultSourceReporter, final.TestResult.Source)
				assert.Positive(t, final.TestResult.TotalRequests)
				s.requireCSV(s.report(test, final), <-log)
				s.requireNoLoad(test)
				s.requireFrozen(test, final)
			})
		}
		all.Wait()
	})
}

// TestStop_NotRunning stops a test whose pods cannot run, and one together with its deletion.
func TestStop_NotRunning(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	pending := s.create(s.test("pending", 600, func(spec *v2.LocustTestSpec) { spec.Image = "localhost:5000/no-such-image:1" }))
	deleted := s.create(s.test("deleted", 600))

	s.Until(pending, "its pods cannot run", func(status *v2.LocustTestStatus) bool {
		return condition(status, v2.ConditionTypePodsHealthy).Reason == v2.ReasonImagePullError
	})
	s.stop(pending)
	final := s.UntilPhase(pending, v2.PhaseFailed)
	assert.Regexp(t, "^stopped before it started, as spec.stop requests; until then ImagePullError: ", condition(final, v2.ConditionTypeTestCompleted).Message)
	s.report(pending, final)
	eventually(t, "the pods are gone", func() bool { return len(s.livePods(pending, "")) == 0 })

	_, stderr, err := s.kubectl("patch", "locusttest", "pending", "--type", "merge", "-p", `{"spec":{"stop":false}}`)
	require.Error(t, err)
	assert.Contains(t, stderr, "stop cannot be changed back")

	s.untilLoad(deleted)
	s.stop(deleted)
	require.NoError(t, k8s.Delete(t.Context(), deleted, client.PropagationPolicy(metav1.DeletePropagationBackground)))
	eventually(t, "test and pods are gone", func() bool {
		return apierrors.IsNotFound(k8s.Get(t.Context(), client.ObjectKeyFromObject(deleted), &v2.LocustTest{})) && len(s.livePods(deleted, "")) == 0
	})
}
