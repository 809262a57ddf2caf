//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// inspectScript runs in a container and prints the environment of its first process, Locust.
const inspectScript = `
import json, os
def read(path):
    with open(path, errors="replace") as file:
        return file.read()
def writable(folder):
    try:
        path = os.path.join(folder, "e2e-probe")
        open(path, "w").close()
        os.unlink(path)
        return True
    except OSError:
        return False
mounts, files = {}, {}
for line in read("/proc/1/mountinfo").splitlines():
    own, _, system = line.partition(" - ")
    root, point, options, *tags = own.split(" ")[3:]
    mounts[point] = {"root": root, "options": options.split(","), "tags": tags, "type": system.split(" ")[0], "writable": writable(point)}
    if point == "/" or point.startswith(("/proc", "/sys", "/dev")):
        continue
    if os.path.isfile(point):
        files[point] = read(point)
    for folder, folders, names in os.walk(point):
        folders[:] = [name for name in folders if not name.startswith("..")]
        files.update((path, read(path)) for path in (os.path.join(folder, name) for name in names) if os.path.isfile(path))
limits = [path for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes") if os.path.exists(path)]
print(json.dumps({
    "arguments": read("/proc/1/cmdline").split("\0")[:-1],
    "environment": dict(pair.split("=", 1) for pair in read("/proc/1/environ").split("\0") if "=" in pair),
    "process": dict(line.split(":\t", 1) for line in read("/proc/1/status").splitlines() if ":\t" in line),
    "memoryLimit": read(limits[0]).strip(), "mounts": mounts, "files": files,
}))
`

// processInfo describes Locust's process and its container from inside.
type processInfo struct {
	Arguments   []string
	Environment map[string]string
	// Process has the fields of /proc/1/status.
	Process map[string]string
	// MemoryLimit is the limit of the cgroup, in bytes.
	MemoryLimit string
	Mounts      map[string]mount
	// Files are the contents of mounted files, by path.
	Files map[string]string
}

type mount struct {
	// Root is the mounted path in its file system.
	Root    string
	Options []string
	// Tags show the mount propagation, for example "master:7".
	Tags     []string
	Type     string
	Writable bool
}

// runningPod is a running pod with the view from inside its container.
type runningPod struct {
	corev1.Pod
	processInfo
}

func (s *fixture) inspect(pod *corev1.Pod) *runningPod {
	s.t.Helper()
	out, _ := s.mustKubectl("exec", pod.Name, "--", "python3", "-c", inspectScript)
	r := &runningPod{Pod: *pod}
	require.NoError(s.t, json.Unmarshal([]byte(out), &r.processInfo), "inspect %s", pod.Name)
	return r
}

// liveTest is a running test with its pods.
type liveTest struct {
	*fixture
	test   *v2.LocustTest
	status *v2.LocustTestStatus
	master *runningPod
	// workers are all pods of the worker Job; worker is one of them.
	workers []corev1.Pod
	worker  *runningPod
}

// inspectConnected waits until all workers of a test are connected, and inspects its pods.
func (s *fixture) inspectConnected(test *v2.LocustTest) *liveTest {
	s.t.Helper()
	live := &liveTest{fixture: s, test: test}
	live.status = s.Until(test, "all workers are connected", func(status *v2.LocustTestStatus) bool {
		require.False(s.t, status.IsTerminal(), "the test ended early: %s", framework.Describe(status))
		return condition(status, v2.ConditionTypeWorkersConnected).Reason == v2.ReasonAllWorkersConnected
	})
	masters := s.livePods(test, resources.RoleMaster)
	require.Len(s.t, masters, 1)
	live.workers = s.livePods(test, resources.RoleWorker)
	require.NotEmpty(s.t, live.workers)
	live.master, live.worker = s.inspect(&masters[0]), s.inspect(&live.workers[0])
	return live
}

// onBoth checks a pod of each role.
func onBoth(check func(t *testing.T, r *runningPod)) func(*testing.T, *liveTest) {
	return func(t *testing.T, live *liveTest) {
		t.Run("master", func(t *testing.T) { check(t, live.master) })
		t.Run("worker", func(t *testing.T) { check(t, live.worker) })
	}
}

func onMaster(check func(t *testing.T, r *runningPod)) func(*testing.T, *liveTest) {
	return func(t *testing.T, live *liveTest) { check(t, live.master) }
}

func onWorker(check func(t *testing.T, r *runningPod)) func(*testing.T, *liveTest) {
	return func(t *testing.T, live *liveTest) { check(t, live.worker) }
}

// hasArgs reports whether Locust's arguments contain args as a sequence.
func (r *runningPod) hasArgs(args ...string) bool {
	for i := range r.Arguments {
		if slices.Equal(args, r.Arguments[i:min(i+len(args), len(r.Arguments))]) {
			return true
		}
	}
	return false
}

func hasArguments(args ...string) func(*testing.T, *runningPod) {
	return func(t *testing.T, r *runningPod) {
		assert.True(t, r.hasArgs(args...), "Locust runs with %q, which does not contain %q", r.Arguments, args)
	}
}

func hasVariable(name, value string) func(*testing.T, *runningPod) {
	return func(t *testing.T, r *runningPod) {
		assert.Equal(t, value, r.Environment[name], "the variable %s", name)
	}
}

func hasFile(path, content string) func(*testing.T, *runningPod) {
	return func(t *testing.T, r *runningPod) {
		assert.Equal(t, content, r.Files[path], "the file %s", path)
	}
}

// container returns the pod's only container.
func (r *runningPod) container(t *testing.T) *corev1.Container {
	t.Helper()
	require.Len(t, r.Spec.Containers, 1)
	return &r.Spec.Containers[0]
}

// untilEvent waits for an Event of a pod with a reason and texts in its message.
func untilEvent(t *testing.T, pod *corev1.Pod, reason string, texts ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the Event %s of %s with %q", reason, pod.Name, texts), func() bool {
		var events corev1.EventList
		require.NoError(t, k8s.List(t.Context(), &events, client.InNamespace(pod.Namespace)))
		return slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.UID == pod.UID && e.Reason == reason &&
				!slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(e.Message, text) })
		})
	})
}
