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
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/contract"
)

// lookAround runs in a container and tells what its first process, Locust, was given.
const lookAround = `
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

// within is what Locust's process has, as seen in its container.
type within struct {
	Arguments   []string
	Environment map[string]string
	// Process is /proc/1/status.
	Process map[string]string
	// MemoryLimit of the cgroup, in bytes.
	MemoryLimit string
	Mounts      map[string]mount
	// Files are the contents of what is mounted, by path.
	Files map[string]string
}

type mount struct {
	// Root is which part of the mounted file system it is.
	Root    string
	Options []string
	// Tags tell how mounts propagate, for example "master:7".
	Tags     []string
	Type     string
	Writable bool
}

// running is a pod at work, from outside and from within.
type running struct {
	corev1.Pod
	within
}

func (s *scenario) look(pod *corev1.Pod) *running {
	s.t.Helper()
	seen, _ := s.mustKubectl("exec", pod.Name, "--", "python3", "-c", lookAround)
	r := &running{Pod: *pod}
	require.NoError(s.t, json.Unmarshal([]byte(seen), &r.within), "look into %s", pod.Name)
	return r
}

// scene is a test at work.
type scene struct {
	*scenario
	test   *v2.LocustTest
	status *v2.LocustTestStatus
	master *running
	// workers are all pods of the worker Job, worker is one of them.
	workers []corev1.Pod
	worker  *running
}

// survey looks at a test whose workers are connected.
func (s *scenario) survey(test *v2.LocustTest) *scene {
	s.t.Helper()
	sc := &scene{scenario: s, test: test}
	sc.status = s.until(test, "all workers are connected", func(status *v2.LocustTestStatus) bool {
		require.False(s.t, status.IsTerminal(), "it has ended before: %s", contract.Describe(status))
		return condition(status, v2.ConditionTypeWorkersConnected).Reason == v2.ReasonAllWorkersConnected
	})
	masters := s.livePods(test, resources.RoleMaster)
	require.Len(s.t, masters, 1)
	sc.workers = s.livePods(test, resources.RoleWorker)
	require.NotEmpty(s.t, sc.workers)
	sc.master, sc.worker = s.look(&masters[0]), s.look(&sc.workers[0])
	return sc
}

// onBoth checks a pod of each role.
func onBoth(check func(t *testing.T, r *running)) func(*testing.T, *scene) {
	return func(t *testing.T, sc *scene) {
		t.Run("master", func(t *testing.T) { check(t, sc.master) })
		t.Run("worker", func(t *testing.T) { check(t, sc.worker) })
	}
}

func onMaster(check func(t *testing.T, r *running)) func(*testing.T, *scene) {
	return func(t *testing.T, sc *scene) { check(t, sc.master) }
}

func onWorker(check func(t *testing.T, r *running)) func(*testing.T, *scene) {
	return func(t *testing.T, sc *scene) { check(t, sc.worker) }
}

// given tells whether words stand among the arguments, one after the other.
func (r *running) given(words ...string) bool {
	for i := range r.Arguments {
		if slices.Equal(words, r.Arguments[i:min(i+len(words), len(r.Arguments))]) {
			return true
		}
	}
	return false
}

func hasArguments(words ...string) func(*testing.T, *running) {
	return func(t *testing.T, r *running) {
		assert.True(t, r.given(words...), "Locust runs with %q, not with %q", r.Arguments, words)
	}
}

func hasVariable(name, value string) func(*testing.T, *running) {
	return func(t *testing.T, r *running) {
		assert.Equal(t, value, r.Environment[name], "the variable %s", name)
	}
}

func hasFile(path, content string) func(*testing.T, *running) {
	return func(t *testing.T, r *running) {
		assert.Equal(t, content, r.Files[path], "the file %s", path)
	}
}

// container is the pod's only one.
func (r *running) container(t *testing.T) *corev1.Container {
	t.Helper()
	require.Len(t, r.Spec.Containers, 1)
	return &r.Spec.Containers[0]
}

// said waits until the kubelet has told something of a pod in an event.
func said(t *testing.T, pod *corev1.Pod, reason string, words ...string) {
	t.Helper()
	eventually(t, fmt.Sprintf("the event %s of %s with %q", reason, pod.Name, words), func() bool {
		var events corev1.EventList
		require.NoError(t, k8s.List(t.Context(), &events, client.InNamespace(pod.Namespace)))
		return slices.ContainsFunc(events.Items, func(e corev1.Event) bool {
			return e.InvolvedObject.UID == pod.UID && e.Reason == reason &&
				!slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(e.Message, word) })
		})
	})
}
