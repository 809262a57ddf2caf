//go:build e2e

package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// onlyTest returns the only test of the fixture's namespace.
func (s *fixture) onlyTest() *v2.LocustTest {
	s.t.Helper()
	var list v2.LocustTestList
	require.NoError(s.t, k8s.List(s.t.Context(), &list, client.InNamespace(s.namespace)))
	require.Len(s.t, list.Items, 1)
	return &list.Items[0]
}

// write writes files into a folder of the test.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := t.TempDir()
	for name, content := range files {
		path := filepath.Join(folder, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
	}
	return folder
}

// TestPluginRun_Good runs a folder with a package and a binary file, runs it again, and leaves nothing when the tests are deleted.
func TestPluginRun_Good(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	folder := filepath.Join(write(t, map[string]string{
		"shop/locustfile.py": "from lib.quiet import *\nassert open(__file__.replace('locustfile.py', 'data.bin'), 'rb').read() == bytes([0, 255])\n",
		"shop/lib/quiet.py":  longHeartbeat + framework.GoodLocustfile, "shop/lib/__init__.py": "", "shop/data.bin": "\x00\xff",
	}), "shop")
	result := s.plugin("run", folder, "-u", "2", "-r", "2", "-t", "4s", "--max-failure-ratio", "0.01", "--min-requests", "1")
	require.Equal(t, 0, result.code, result.stderr)
	assert.NotContains(t, result.stdout, "\x1b", "a pipe gets no escape sequences")
	assert.Contains(t, result.stdout, "phase Running")
	test := s.onlyTest()
	assert.Regexp(t, "^shop-[a-z0-9]{5}$", test.Name)
	assert.Contains(t, result.stdout, s.namespace+"/"+test.Name+": Succeeded after ")
	assert.Contains(t, result.stdout, "kubectl locust report -n "+s.namespace+" "+test.Name)

	result = s.plugin("rerun", test.Name, "--replace")
	require.Equal(t, 0, result.code, result.stderr)
	again := s.onlyTest()
	assert.Equal(t, test.Name, again.Name)
	assert.NotEqual(t, test.UID, again.UID)

	require.NoError(t, k8s.Delete(t.Context(), again))
	eventually(t, "the ConfigMaps of the tests are deleted", func() bool {
		var list corev1.ConfigMapList
		require.NoError(t, k8s.List(t.Context(), &list, client.InNamespace(s.namespace)))
		for _, cm := range list.Items {
			if strings.HasPrefix(cm.Name, test.Name) {
				return false
			}
		}
		return true
	})
}

// TestPluginRun_Failing runs a test whose requests fail.
func TestPluginRun_Failing(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	file := filepath.Join(write(t, map[string]string{"failing.py": longHeartbeat + framework.FailingLocustfile}), "failing.py")
	result := s.plugin("run", file, "-u", "2", "-r", "2", "-t", "3s", "--name", "failing")
	require.Equal(t, 1, result.code, result.stderr)
	assert.Empty(t, result.stderr, "the cause is part of the outcome")
	assert.Contains(t, result.stdout, s.namespace+"/failing: Failed after ")
	assert.Contains(t, result.stdout, "on purpose")

	result = s.plugin("run", file, "-t", "3s", "--name", "failing")
	assert.Equal(t, 2, result.code)
	assert.Contains(t, result.stderr, "already exists, and a test runs only once")

	const viewer = "locust-k8s-operator-locusttest-viewer-role"
	require.NoError(t, k8s.Create(t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "viewer"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: "viewer"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: viewer},
	}))
	eventually(t, "the viewer may read tests", func() bool {
		result = s.plugin("watch", "failing", "--as", "viewer")
		return result.code != 2
	})
	assert.Equal(t, 1, result.code)
	assert.Contains(t, result.stdout, "failing: Failed after ")
	result = s.plugin("rerun", "failing", "--as", "viewer")
	assert.Equal(t, 2, result.code)
	assert.Contains(t, result.stderr, "locust-k8s-operator-locusttest-editor-role")
}

// TestPluginRun_Unloadable runs a locustfile that cannot be loaded: its containers start, but no load does.
func TestPluginRun_Unloadable(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	file := filepath.Join(write(t, map[string]string{"broken.py": "import nosuchmodule\n" + framework.GoodLocustfile}), "broken.py")
	result := s.plugin("run", file, "-t", "3s", "--name", "broken")
	require.Equal(t, 2, result.code, result.stderr)
	assert.Contains(t, result.stderr, "the test "+s.namespace+"/broken could not run: ")
	assert.Contains(t, result.stdout, s.namespace+"/broken: Failed")
	assert.Contains(t, result.stdout, "nosuchmodule")

	r := s.report(s.onlyTest(), &s.onlyTest().Status)
	assert.Equal(t, v2.PhaseFailed, r.Outcome.Phase)
	assert.NotNil(t, r.Run.StartTime, "the start of the container is no load")
	assert.Nil(t, r.Run.LoadStartTime)
	result = s.plugin("report", "broken", "-o", "junit")
	require.Equal(t, 0, result.code, result.stderr)
	assert.Contains(t, result.stdout, `failures="0" errors="1"`)
}

// TestPluginRun_Hangup closes the terminal of a run, which counts as an interrupt. The shell sends the signal as the kernel does.
func TestPluginRun_Hangup(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	file := filepath.Join(write(t, map[string]string{"endless.py": longHeartbeat + framework.GoodLocustfile}), "endless.py")
	running := s.startPlugin("run", file, "-u", "2", "-r", "2", "--name", "hangup")
	running.untilOutput("requests ")
	running.signal(syscall.SIGHUP)
	running.untilOutput("stopping the load")
	running.signal(syscall.SIGHUP)
	result := running.wait()
	assert.Equal(t, 130, result.code)
	assert.Contains(t, result.stdout, "exact, from the reporter")
	assert.True(t, s.onlyTest().Status.IsTerminal())
}

// TestPluginRun_Impossible runs a test whose image does not exist, and one that the operator refuses.
func TestPluginRun_Impossible(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	file := filepath.Join(write(t, map[string]string{"shop.py": framework.GoodLocustfile}), "shop.py")
	result := s.plugin("run", file, "-t", "3s", "--image", "localhost:5000/does-not/exist:1", "--startup-timeout", "10s")
	require.Equal(t, 2, result.code)
	assert.Contains(t, result.stdout, "PodsHealthy=False ImagePullError")
	assert.Contains(t, result.stderr, "could not start within 10s: ImagePullError")
	assert.Contains(t, result.stdout, "Failed\n", "the test was stopped and did not start")

	result = s.pluginInput(strings.ReplaceAll(manifestOfUnknownField, "NAMESPACE", s.namespace), "run", "-f", "-")
	assert.Equal(t, 2, result.code)
	assert.Contains(t, result.stderr, `unknown field "spec.unknown"`)
	assert.Contains(t, result.stderr, "older than this plugin")
}

const manifestOfUnknownField = `
apiVersion: locust.io/v2
kind: LocustTest
metadata: {name: unknown, namespace: NAMESPACE}
spec: {unknown: 1, image: "locust:1", master: {command: "-f a.py -t 3s"}, worker: {command: "-f a.py", replicas: 1}}
`

// TestPluginRun_Interrupted interrupts a run, which stops the load with an exact result.
func TestPluginRun_Interrupted(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	file := filepath.Join(write(t, map[string]string{"endless.py": longHeartbeat + framework.GoodLocustfile}), "endless.py")
	running := s.startPlugin("run", file, "-u", "2", "-r", "2", "--name", "endless")
	running.untilOutput("requests ")
	watching := s.startPlugin("watch", "endless")
	watching.untilOutput("phase Running")
	watching.signal(os.Interrupt)
	result := watching.wait()
	assert.Equal(t, 130, result.code)
	assert.Contains(t, result.stderr, "continues in the cluster")
	require.False(t, s.onlyTest().Spec.Stop, "watch leaves the test alone")

	running.signal(os.Interrupt)
	result = running.wait()
	assert.Equal(t, 130, result.code)
	assert.Contains(t, result.stdout, "stopping the load; press Ctrl-C again to leave")
	assert.Contains(t, result.stdout, "exact, from the reporter")
	assert.Contains(t, result.stderr, "no run time is given")
	test := s.onlyTest()
	require.True(t, test.Status.IsTerminal())
	eventually(t, "no load is left", func() bool { return len(s.livePods(test, "")) == 0 })
}

// escape matches the sequences that move the cursor, clear and color.
var escape = regexp.MustCompile(`\x1b\[[0-9;]*[A-Za-z]`)

// TestPluginRun_Terminal runs a manifest in a terminal, which shows a panel that is drawn over itself, and presses Ctrl-C.
func TestPluginRun_Terminal(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	file := filepath.Join(write(t, map[string]string{"shop.py": longHeartbeat + framework.GoodLocustfile}), "shop.py")
	printed := s.plugin("run", file, "-u", "2", "-r", "2", "-t", "10m", "--name", "terminal", "--dry-run=client", "-o", "yaml")
	require.Equal(t, 0, printed.code, printed.stderr)
	manifest := filepath.Join(write(t, map[string]string{"manifest.yaml": printed.stdout}), "manifest.yaml")

	running := s.pluginInTerminal("run", "--filename", manifest)
	running.untilOutput("█")
	running.untilOutput("terminal: Running")
	eventually(t, "it shows requests", func() bool { return regexp.MustCompile(`requests .*[1-9]\d*, \d+`).MatchString(running.output()) })
	running.send("\x03")
	running.untilOutput("stopping the load")
	result := running.wait()
	assert.Equal(t, 130, result.code)
	assert.Contains(t, result.stdout, "\x1b[J", "the panel is drawn over itself")
	text := escape.ReplaceAllString(result.stdout, "")
	assert.NotContains(t, text, "\x1b")
	assert.Regexp(t, `terminal: (Succeeded|Failed) after`, text)
	assert.Contains(t, text, "interrupted: the test "+s.namespace+"/terminal was stopped")
}
