//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// meshes are containers that service meshes inject into pods. Their programs are Python scripts, because the node already has
// the Locust image.
var meshes = map[string][]injected{
	// Classic Istio and Linkerd: an init container that sets up iptables, and a proxy that never ends.
	"classic": {{"initContainers", "", "pass"}, {"containers", "", "import time; time.sleep(1e9)"}},
	// A native sidecar, which the kubelet stops after Locust. It ignores SIGTERM.
	"native": {{"initContainers", `, restartPolicy: "Always"`, "import time; time.sleep(1e9)"}},
	// A proxy that is OOM-killed during the run.
	"killed": {{"containers", "", "import sys, time; time.sleep(6); sys.exit(137)"}},
}

// injected is an injected container.
type injected struct{ list, fields, program string }

// patches returns the policy expression that injects a mesh. It assumes that pods have no init containers.
func patches(mesh []injected) string { return "[" + strings.Join(patchList(mesh), ", ") + "]" }

// patchesFor returns the policy expression that injects containers only into the pods of a role, and into those of no test.
func patchesFor(role string, containers []injected) string {
	return fmt.Sprintf(`has(object.metadata.labels) && %q in object.metadata.labels && object.metadata.labels[%q] != %q ? [] : %s`,
		resources.LabelComponent, resources.LabelComponent, role, patches(containers))
}

func patchList(mesh []injected) []string {
	var all []string
	for i, c := range mesh {
		kind := "Object.spec." + c.list
		value := fmt.Sprintf(`%s{name: "mesh-%d", image: %q, command: ["python3", "-c", %q]%s, securityContext: %s.securityContext{allowPrivilegeEscalation: false, capabilities: %s.securityContext.capabilities{drop: ["ALL"]}}}`,
			kind, i, locustImage, c.program, c.fields, kind, kind)
		path := "/spec/containers/-"
		if c.list == "initContainers" {
			path, value = "/spec/initContainers", "["+value+"]"
		}
		all = append(all, fmt.Sprintf(`JSONPatch{op: "add", path: %q, value: %s}`, path, value))
	}
	return all
}

// TestSidecar checks that the run ends with Locust's own container, and that injected containers neither delay the end nor
// fail the run.
func TestSidecar(t *testing.T) {
	t.Parallel()
	for name, mesh := range meshes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.mutatePods(patches(mesh), func(pod *corev1.Pod) bool {
				return len(pod.Spec.Containers)+len(pod.Spec.InitContainers) > 1
			})
			test := s.create(s.test("meshed", 10, func(spec *v2.LocustTestSpec) { spec.Worker.Replicas = 1 }))
			final := s.UntilPhase(test, v2.PhaseSucceeded)
			assert.Equal(t, s.locustEnded(final.MasterPod, resources.MasterName(test.Name)), final.CompletionTime.Unix(), "when Locust ended")
			require.NotNil(t, final.TestResult)
			assert.True(t, final.TestResult.Final)
			assert.Equal(t, "1/1", final.Workers)
			s.requireNoLoad(test)
			s.requireFrozen(test, final)
			assert.Equal(t, 1, count(t, "started", s.key(test.Name)))
		})
	}
}

// locustEnded returns the end of a pod's container as Unix time.
func (s *fixture) locustEnded(pod, container string) int64 {
	s.t.Helper()
	var p corev1.Pod
	require.NoError(s.t, k8s.Get(context.Background(), client.ObjectKey{Namespace: s.namespace, Name: pod}, &p))
	for _, c := range p.Status.ContainerStatuses {
		if end := c.State.Terminated; c.Name == container && end != nil {
			return end.FinishedAt.Unix()
		}
	}
	require.Failf(s.t, "the container has not ended", "%+v", p.Status.ContainerStatuses)
	return 0
}

func (s *fixture) setSuspend(test *v2.LocustTest, role resources.Role, suspend bool) {
	s.t.Helper()
	patch := fmt.Sprintf(`{"spec":{"suspend":%t}}`, suspend)
	require.NoError(s.t, k8s.Patch(s.t.Context(), s.job(test, role), client.RawPatch("application/merge-patch+json", []byte(patch))))
}

// TestSuspended checks that Jobs that a queue creates suspended run when they are resumed, and that a suspension during the
// run fails the test, without a second run when the Job is resumed.
func TestSuspended(t *testing.T) {
	t.Parallel()
	t.Run("queue", func(t *testing.T) {
		t.Parallel()
		s := newFixture(t)
		s.mutateJobs(`[JSONPatch{op: "add", path: "/spec/suspend", value: true}]`, func(job *batchv1.Job) bool { return ptr.Deref(job.Spec.Suspend, false) })
		test := s.create(s.test("queued", 6))
		status := s.UntilReason(test, v2.ConditionTypePodsHealthy, v2.ReasonSuspended)
		assert.Equal(t, v2.PhasePending, status.Phase)
		assert.Equal(t, v2.ReasonSuspended, condition(status, v2.ConditionTypeReconciling).Reason)
		assert.Equal(t, v2.ReasonResourcesCreated, s.untilReady(test).Reason)
		assert.Empty(t, s.livePods(test, ""))
		s.setSuspend(test, resources.RoleMaster, false)
		s.setSuspend(test, resources.RoleWorker, false)
		s.UntilPhase(test, v2.PhaseSucceeded)
		assert.Equal(t, 1, count(t, "started", s.key(test.Name)))
	})
	for role, want := range map[resources.Role]string{
		resources.RoleMaster: "the master Job was suspended during the run",
		resources.RoleWorker: "the worker Job was suspended during the load",
	} {
		t.Run(string(role), func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			test := s.create(s.test("suspended", 120))
			s.untilLoad(test)
			s.Until(test, "the status shows the load", func(status *v2.LocustTestStatus) bool {
				return status.Progress != nil && status.Progress.StartTime != nil
			})
			s.setSuspend(test, role, true)
			final := s.UntilPhase(test, v2.PhaseFailed)
			assert.Contains(t, condition(final, v2.ConditionTypeTestCompleted).Message, want)
			eventually(t, "the Jobs are stopped", func() bool { return ptr.Deref(s.job(test, role).Spec.Parallelism, 1) == 0 })
			s.setSuspend(test, role, false)
			s.requireNoLoad(test)
			eventually(t, "the resumed Job has finished", func() bool { return len(s.job(test, role).Status.Conditions) > 1 })
			s.requireFrozen(test, final)
			assert.Equal(t, 1, count(t, "started", s.key(test.Name)), "no second run")
		})
	}
}

func (s *fixture) untilReady(test *v2.LocustTest) metav1.Condition {
	s.t.Helper()
	return condition(s.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated), v2.ConditionTypeReady)
}

// TestDeadlineOfPolicy checks that the load is stopped although a policy sets a deadline of one day in all Jobs.
func TestDeadlineOfPolicy(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.mutateJobs(`[JSONPatch{op: "add", path: "/spec/activeDeadlineSeconds", value: 86400}]`, func(job *batchv1.Job) bool { return job.Spec.ActiveDeadlineSeconds != nil })
	test := s.create(s.test("bounded", 120))
	s.untilLoad(test)
	master := s.livePods(test, resources.RoleMaster)[0]
	require.NoError(t, k8s.Delete(t.Context(), &master, client.GracePeriodSeconds(0)))
	s.UntilPhase(test, v2.PhaseFailed)
	s.requireNoLoad(test)
	assert.Equal(t, 1, count(t, "started", s.key(test.Name)))
}

// TestQuotaOnJobs checks that the test fails after the startup deadline if a quota refuses the worker Job, and that the waiting
// master is stopped.
func TestQuotaOnJobs(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "one-job"},
		Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{"count/jobs.batch": resource.MustParse("1")}}}
	require.NoError(t, k8s.Create(t.Context(), quota))
	eventually(t, "the quota is in force", func() bool {
		return k8s.Get(t.Context(), client.ObjectKeyFromObject(quota), quota) == nil && len(quota.Status.Hard) > 0
	})
	created := time.Now()
	test := s.create(s.test("refused", 6))
	status := s.UntilReason(test, v2.ConditionTypePodsHealthy, v2.ReasonCreationError)
	assert.Contains(t, condition(status, v2.ConditionTypePodsHealthy).Message, "exceeded quota: one-job")
	final := s.UntilPhase(test, v2.PhaseFailed)
	assert.Contains(t, condition(final, v2.ConditionTypeTestCompleted).Message, "exceeded quota: one-job")
	assert.Contains(t, condition(final, v2.ConditionTypeTestCompleted).Message, "startup deadline")
	eventually(t, "the master is stopped", func() bool { return len(s.livePods(test, "")) == 0 })
	if auditLog() != "" {
		assert.LessOrEqual(t, len(requests(t, s.namespace)), int(time.Since(created).Seconds())+10, "at most one request per second")
	}
	assert.Zero(t, count(t, "started", s.key(test.Name)))
}
