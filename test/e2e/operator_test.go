//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/sets"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// The tests of this file disrupt the operator. They are not parallel, so that they run alone, before the others.

func stopOperator(t *testing.T) {
	t.Helper()
	scaleOperator(t, 0)
	eventually(t, "the operator is down", func() bool { return len(operatorPods(t)) == 0 })
}

func startOperator(t *testing.T) {
	t.Helper()
	scaleOperator(t, framework.OperatorReplicas)
	require.NoError(t, waitForOperator(context.Background()))
}

func scaleOperator(t *testing.T, replicas int) {
	t.Helper()
	d := &appsv1.Deployment{}
	d.Namespace, d.Name = framework.OperatorNamespace, framework.OperatorDeployment
	patch := client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":`+strconv.Itoa(replicas)+`}}`))
	require.NoError(t, k8s.Patch(context.Background(), d, patch))
}

func operatorPods(t *testing.T) []corev1.Pod {
	t.Helper()
	var pods corev1.PodList
	in := client.InNamespace(framework.OperatorNamespace)
	require.NoError(t, k8s.List(context.Background(), &pods, in, framework.OperatorPods))
	return pods.Items
}

// leader returns the pod that is the leader, if one is.
func leader(t *testing.T) (pod corev1.Pod, found bool) {
	t.Helper()
	name, err := framework.Leader(t.Context(), k8s, framework.OperatorNamespace, framework.OperatorLease)
	require.NoError(t, err)
	pods := operatorPods(t)
	i := slices.IndexFunc(pods, func(pod corev1.Pod) bool { return pod.Name == name && pod.DeletionTimestamp == nil })
	if i < 0 {
		return corev1.Pod{}, false
	}
	return pods[i], true
}

// killOperator kills the operator's process with SIGKILL on the embedded cluster, and deletes its pod without a grace period,
// so that the next one does not wait for the kubelet's back-off.
func killOperator(t *testing.T) {
	t.Helper()
	if auditLog() != "" {
		out, err := exec.Command("pgrep", "-x", "-f", `/manager .*`).Output()
		require.NoError(t, err, "the operator's process")
		killed := 0
		for _, line := range strings.Fields(string(out)) {
			pid, err := strconv.Atoi(line)
			require.NoError(t, err)
			if !runsInOperatorPod(t, pid) {
				continue
			}
			process, err := os.FindProcess(pid)
			require.NoError(t, err)
			require.NoError(t, process.Kill())
			killed++
		}
		require.Positive(t, killed, "no process of the operator's pod was found")
	}
	for _, pod := range operatorPods(t) {
		require.NoError(t, k8s.Delete(t.Context(), &pod, client.GracePeriodSeconds(0)))
	}
}

// runsInOperatorPod reports whether a process belongs to the operator's pod. It checks the cgroup, because other processes
// may have the same name.
func runsInOperatorPod(t *testing.T, pid int) bool {
	t.Helper()
	cgroups, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	return err == nil && slices.ContainsFunc(operatorPods(t), func(pod corev1.Pod) bool {
		return strings.Contains(string(cgroups), "pod"+string(pod.UID))
	})
}

// withoutVolatileFields returns a final status without times, pod name and numbers of the load.
func withoutVolatileFields(s *v2.LocustTestStatus) v2.LocustTestStatus {
	out := *s.DeepCopy()
	for i := range out.Conditions {
		out.Conditions[i].LastTransitionTime = metav1.Time{}
	}
	out.StartTime, out.CompletionTime, out.MasterPod, out.Report = nil, nil, "", ""
	out.Progress = nil
	if out.TestResult != nil {
		out.TestResult = &v2.TestResult{Final: out.TestResult.Final, Source: out.TestResult.Source}
	}
	return out
}

// requireContainerTimes checks that the times are those of the master's container.
func (s *fixture) requireContainerTimes(final *v2.LocustTestStatus, master *corev1.Pod) {
	s.t.Helper()
	assert.Equal(s.t, master.Name, final.MasterPod)
	end := master.Status.ContainerStatuses[0].State.Terminated
	require.NotNil(s.t, end)
	assert.Equal(s.t, end.StartedAt.Unix(), final.StartTime.Unix(), "startTime is the master container's own")
	assert.Equal(s.t, end.FinishedAt.Unix(), final.CompletionTime.Unix(), "completionTime is the master container's own")
}

// TestOperatorKilled checks that the final status does not depend on restarts of the operator, and that Locust runs once.
func TestOperatorKilled(t *testing.T) {
	s := newFixture(t)
	disturbed.add(t)
	undisturbed := s.create(s.test("undisturbed", 6))
	want := withoutVolatileFields(s.UntilPhase(undisturbed, v2.PhaseSucceeded))

	// Each kill affects two tests in different phases. The test does not wait for their end before the next kill.
	var tests []*v2.LocustTest
	create := func(name string) *v2.LocustTest {
		t.Helper()
		test := s.test(name, 6)
		eventually(t, "the operator is available and validates", func() bool { return k8s.Create(t.Context(), test) == nil })
		tests = append(tests, test)
		return test
	}
	s.UntilPhase(create("near-the-end"), v2.PhaseRunning)
	time.Sleep(5 * time.Second)
	s.UntilPhase(create("as-it-begins"), v2.PhasePending)
	killOperator(t)
	s.UntilPhase(create("running"), v2.PhaseRunning)
	s.UntilReason(create("objects-created"), v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	killOperator(t)
	for _, test := range tests {
		final := s.UntilPhase(test, v2.PhaseSucceeded)
		assert.Equal(t, want, withoutVolatileFields(final), "killed %s", test.Name)
		assert.Equal(t, 1, count(t, "started", s.key(test.Name)), "killed %s: Locust ran once", test.Name)
		var pods corev1.PodList
		require.NoError(t, k8s.List(t.Context(), &pods, client.InNamespace(s.namespace), client.MatchingLabels{
			resources.LabelTestUID: string(test.UID), resources.LabelComponent: string(resources.RoleMaster)}))
		require.Len(t, pods.Items, 1)
		s.requireContainerTimes(final, &pods.Items[0])
		s.report(test, final)
	}
	require.NoError(t, waitForOperator(t.Context()))
}

// TestOperatorDrained evicts the leader three times, as a drain of its node does, and replaces all pods, as an upgrade does. No
// request that needs the webhooks fails, and the statuses of tests in each phase are the same as without it.
func TestOperatorDrained(t *testing.T) {
	s := newFixture(t)
	disturbed.add(t)
	undisturbed := s.create(s.test("undisturbed", 6))
	want := withoutVolatileFields(s.UntilPhase(undisturbed, v2.PhaseSucceeded))
	calls := s.callWebhooks(undisturbed.Name)

	tests := []*v2.LocustTest{s.create(s.test("all-the-time", 45))}
	s.UntilPhase(tests[0], v2.PhaseRunning)
	var leaders []string
	for i := range 3 {
		starting, running := s.create(s.test(fmt.Sprintf("starting-%d", i), 6)), tests[len(tests)-1]
		tests = append(tests, starting)
		s.UntilPhase(running, v2.PhaseRunning)
		eventually(t, "the leader is evicted", func() bool {
			pod, found := leader(t)
			if !found {
				return false
			}
			eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Namespace: pod.Namespace, Name: pod.Name}}
			err := clientset.PolicyV1().Evictions(pod.Namespace).Evict(t.Context(), eviction)
			if apierrors.IsTooManyRequests(err) { // until both pods are ready again
				return false
			}
			require.NoError(t, err)
			leaders = append(leaders, pod.Name)
			return true
		})
	}
	require.NoError(t, waitForOperator(t.Context()))
	assert.Len(t, sets.New(leaders...), 3, "each time another pod was the leader: %s", leaders)
	tests = append(tests, s.create(s.test("upgraded", 6)))
	restarted := fmt.Sprintf(`{"spec":{"template":{"metadata":{"annotations":{"e2e/restarted":%q}}}}}`, time.Now().Format(time.RFC3339Nano))
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: framework.OperatorNamespace, Name: framework.OperatorDeployment}}
	require.NoError(t, k8s.Patch(t.Context(), d, client.RawPatch("application/merge-patch+json", []byte(restarted))))
	require.NoError(t, waitForOperator(t.Context()))
	for _, test := range tests {
		s.in(t).requireGoodRun(test)
		s.requireStatus(test, want)
	}
	for name, n := range s.events() {
		assert.Equal(t, 1, n, "events %s", name)
	}

	n, failures := calls.end()
	assert.Empty(t, failures, "of %d requests", n)
	assert.Greater(t, n, 200, "requests were sent during the whole test")
	t.Logf("%d requests while the leader moved from %s, %d failed", n, leaders, len(failures))
}

// events returns the number of events by test and reason.
func (s *fixture) events() map[string]int {
	s.t.Helper()
	var list corev1.EventList
	require.NoError(s.t, k8s.List(s.t.Context(), &list, client.InNamespace(s.namespace)))
	count := map[string]int{}
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == "LocustTest" {
			n := max(1, int(e.Count))
			if e.Series != nil {
				n = int(e.Series.Count)
			}
			count[e.InvolvedObject.Name+" "+e.Reason] += n
		}
	}
	return count
}

// TestOperatorAway checks a run that ends while the operator is down, with a TTL of 3 s for Jobs.
func TestOperatorAway(t *testing.T) {
	env := map[string]string{"LOCUST_OPERATOR_STARTUP_DEADLINE": startupDeadline.String(), "LOCUST_OPERATOR_JOB_TTL": "3s"}
	require.NoError(t, configureOperator(t.Context(), env))
	t.Cleanup(func() {
		delete(env, "LOCUST_OPERATOR_JOB_TTL")
		require.NoError(t, configureOperator(context.Background(), env))
	})
	s := newFixture(t)
	disturbed.add(t)
	jobs := func(test *v2.LocustTest) int {
		t.Helper()
		var list batchv1.JobList
		require.NoError(t, k8s.List(t.Context(), &list, client.InNamespace(s.namespace), client.MatchingLabels{resources.LabelTestUID: string(test.UID)}))
		return len(list.Items)
	}
	expired := func(test *v2.LocustTest) {
		t.Helper()
		eventually(t, "the Jobs of "+test.Name+" expire", func() bool { return jobs(test) == 0 })
	}
	retain := func(spec *v2.LocustTestSpec) { spec.Report = &v2.ReportConfig{Retain: true} }
	undisturbed := s.create(s.test("seen", 6, retain))
	want := withoutVolatileFields(s.UntilPhase(undisturbed, v2.PhaseSucceeded))

	test := s.create(s.test("unseen", 6, retain))
	s.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)
	require.Equal(t, 2, jobs(test))
	stopOperator(t)
	expired(undisturbed)
	eventually(t, "the master Job is complete", func() bool { return s.job(test, resources.RoleMaster).Status.CompletionTime != nil })
	var pods corev1.PodList
	require.NoError(t, k8s.List(t.Context(), &pods, client.InNamespace(s.namespace), client.MatchingLabels{
		resources.LabelTestUID: string(test.UID), resources.LabelComponent: string(resources.RoleMaster)}))
	require.Len(t, pods.Items, 1)
	time.Sleep(8 * time.Second) // longer than the TTL
	startOperator(t)
	final := s.UntilPhase(test, v2.PhaseSucceeded)
	assert.Equal(t, want, withoutVolatileFields(final), "the same final status as with a running operator")
	s.requireContainerTimes(final, &pods.Items[0])
	assert.NotEmpty(t, s.report(test, final).Endpoints, "from the termination message, before the Jobs expire")
	expired(test)
	time.Sleep(2 * time.Second)
	s.requireFrozen(test, final)
	s.requireStatus(undisturbed, want)
	assert.Equal(t, 1, count(t, "started", s.key(test.Name)), "Locust ran once")

	// The report outlives the test, its pods and the operator.
	stopOperator(t)
	for _, ended := range []*v2.LocustTest{undisturbed, test} {
		s.requireOutlives(ended, &s.reports(ended)[0])
	}
}
