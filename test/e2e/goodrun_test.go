//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

func (s *fixture) requireGoodRun(test *v2.LocustTest) {
	t := s.t
	t.Helper()
	final := s.UntilPhase(test, v2.PhaseSucceeded)
	assert.Equal(t, []string{"", v2.PhasePending, v2.PhaseRunning, v2.PhaseSucceeded}, watcher.Phases(test.UID))
	assert.Equal(t, test.Spec.Worker.Replicas, final.ConnectedWorkers, "last observed value during the run")
	assert.Equal(t, []string{v2.ReasonWaitingForWorkers, v2.ReasonAllWorkersConnected}, watcher.Reasons(test.UID, v2.ConditionTypeWorkersConnected))
	assert.Equal(t, []string{v2.ReasonTestInProgress, v2.ReasonTestSucceeded}, watcher.Reasons(test.UID, v2.ConditionTypeTestCompleted))
	assert.Equal(t, []string{v2.ReasonPodsStarting, v2.ReasonPodsHealthy}, watcher.Reasons(test.UID, v2.ConditionTypePodsHealthy))
	assert.Equal(t, s.locustEnded(final.MasterPod, resources.MasterName(test.Name)), final.CompletionTime.Unix(), "when Locust ended")
	assert.Equal(t, 1, count(t, "started", s.key(test.Name)), "Locust ran once")
	assert.Positive(t, count(t, "hit", s.key(test.Name)), "and sent requests")
}

func TestGoodRun(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	test := s.create(s.test("good.run", 8))
	s.requireGoodRun(test)
	s.requireNoLoad(test)

	// Events report the transitions.
	eventually(t, "events", func() bool {
		events := s.events()
		return events["good.run TestStarted"] == 1 && events["good.run AllWorkersConnected"] == 1 && events["good.run TestSucceeded"] == 1
	})
	if auditLog() != "" {
		time.Sleep(time.Second)
		assert.LessOrEqual(t, len(requests(t, s.namespace)), 18, "requests of one good run")
	}
}

// TestGoodRun_DebiansLocust uses the oldest supported Locust.
func TestGoodRun_DebiansLocust(t *testing.T) {
	t.Parallel()
	image := imageOf(t, "debian")
	s := newFixture(t)
	s.requireGoodRun(s.create(s.test("old", 8, func(spec *v2.LocustTestSpec) { spec.Image = image })))
}

// TestManyAtOnce runs ten tests in several namespaces, two of them with the same name. It is not parallel, because ten tests
// keep a small machine busy. The load ends by requests, not by time, because the first tests wait for CPU while the last
// ones start.
func TestManyAtOnce(t *testing.T) {
	var fixtures []*fixture
	for range 3 {
		fixtures = append(fixtures, newFixture(t))
	}
	type entry struct {
		s    *fixture
		test *v2.LocustTest
	}
	var all []entry
	for i := range 10 {
		s := fixtures[i%3]
		name := fmt.Sprintf("many-%d", i)
		if i < 2 {
			name = "same"
		}
		all = append(all, entry{s, s.create(s.test(name, 120, enough(50), func(spec *v2.LocustTestSpec) { spec.Worker.Replicas = 1 + int32(i%3) }))})
	}
	for _, o := range all {
		o.s.requireGoodRun(o.test)
	}
}

// TestFailures checks that failures of Locust are reported with Locust's own message.
func TestFailures(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	broken := s.create(s.test("broken", 5, func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/hatch.py --run-time 5s"
		spec.Worker.Command = "--locustfile /lotest/src/hatch.py"
	}))
	failing := s.create(s.test("failing", 5, func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/failing.py --users 4 --spawn-rate 4 --run-time 5s"
		spec.Worker.Command = "--locustfile /lotest/src/failing.py"
	}))
	// Only the workers fail: their Job restarts them until the startup deadline, and the cause is reported meanwhile.
	workers := s.create(s.test("workers", 5, func(spec *v2.LocustTestSpec) { spec.Worker.Command = "--locustfile /lotest/src/hatch.py" }))
	s.UntilReason(workers, v2.ConditionTypePodsHealthy, v2.ReasonCrashLoopBackOff)
	for _, tc := range []struct {
		test *v2.LocustTest
		want []string
	}{
		{workers, []string{"CrashLoopBackOff", "RuntimeError: the locustfile of this test is broken on purpose"}},
		{broken, []string{"exited with code 1", "RuntimeError: the locustfile of this test is broken on purpose"}},
		{failing, []string{"exited with code 1", "/fail", "100"}},
	} {
		final := s.UntilPhase(tc.test, v2.PhaseFailed)
		c := condition(final, v2.ConditionTypeTestCompleted)
		assert.Equal(t, v2.ReasonTestFailed, c.Reason)
		for _, want := range tc.want {
			assert.Contains(t, c.Message, want)
		}
		line, _, _ := strings.Cut(c.Message, "\n")
		assert.Equal(t, line, condition(final, v2.ConditionTypeStalled).Message, "the cause alone")
		t.Logf("%s: %s", tc.test.Name, strings.ReplaceAll(c.Message, "\n", "\n    "))
		s.requireNoLoad(tc.test)
		s.requireFrozen(tc.test, final)
	}
	// A ready pod may not be connected: a worker may take seconds to fail. In the end no worker is connected.
	final := s.UntilPhase(workers, v2.PhaseFailed)
	assert.NotEqual(t, v2.ReasonAllWorkersConnected, condition(final, v2.ConditionTypeWorkersConnected).Reason)
	assert.Equal(t, []string{"", v2.PhasePending, v2.PhaseRunning, v2.PhaseFailed}, watcher.Phases(failing.UID))
	assert.Equal(t, []string{v2.ReasonWaitingForWorkers, v2.ReasonAllWorkersConnected}, watcher.Reasons(failing.UID, v2.ConditionTypeWorkersConnected))
}

// TestSpecChanged checks that a change of the spec during the run is ignored and reported.
func TestSpecChanged(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	test := s.create(s.test("edited", 14))
	s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	before := s.job(test, resources.RoleWorker)
	edit := func(replicas int32) {
		require.NoError(t, k8s.Get(t.Context(), client.ObjectKeyFromObject(test), test))
		test.Spec.Worker.Replicas = replicas
		require.NoError(t, k8s.Update(t.Context(), test))
	}
	edit(3)
	seen := s.UntilReason(test, v2.ConditionTypeSpecDrifted, v2.ReasonSpecChangeIgnored)
	assert.EqualValues(t, 2, seen.ExpectedWorkers)
	assert.Equal(t, test.Generation, seen.ObservedGeneration)
	edit(2)
	s.untilReasons(test, v2.ConditionTypeSpecDrifted, v2.ReasonSpecInSync, v2.ReasonSpecChangeIgnored, v2.ReasonSpecInSync)
	final := s.UntilPhase(test, v2.PhaseSucceeded)
	assert.Equal(t, before.UID, s.job(test, resources.RoleWorker).UID)
	assert.EqualValues(t, 2, *s.job(test, resources.RoleWorker).Spec.Completions)

	// After the end no change has an effect.
	edit(7)
	require.NoError(t, k8s.Delete(t.Context(), s.job(test, resources.RoleMaster), client.PropagationPolicy("Background")))
	require.NoError(t, k8s.Delete(t.Context(), s.job(test, resources.RoleWorker), client.PropagationPolicy("Background")))
	require.NoError(t, k8s.Delete(t.Context(), &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: resources.MasterName(test.Name)}}))
	time.Sleep(5 * time.Second)
	s.requireFrozen(test, final)
	assert.Equal(t, 1, count(t, "started", s.key(test.Name)))
}
