//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// visitors has two user classes.
const visitors = longHeartbeat + locustBase + user + `
class Other(User):
    @task
    def ask(self):
        self.client.get("/hit/other-" + KEY, name="/other")
`

// option adds a custom option to Locust's command line.
const option = longHeartbeat + locustBase + `
@events.init_command_line_parser.add_listener
def add(parser):
    parser.add_argument("--basket", default="small")
class Visitor(HttpUser):
    host = HOST
    @task
    def ask(self):
        pass
`

// finite has users whose requests end long before the run time does. Locust does not count requests that the end of the run
// interrupts, and with --stop-timeout its master does not wait for the last statistics.
const finite = longHeartbeat + locustBase + `
class Visitor(HttpUser):
    host = HOST
    @task
    def ask(self):
        for _ in range(5):
            self.client.get("/hit/" + KEY, name="/hit")
        gevent.sleep(600)
`

// reads opens a file while it is loaded.
const reads = longHeartbeat + locustBase + `
open("/etc/private/token").read()
`

// caseFiles creates the ConfigMaps with the locustfiles of this file.
func (s *fixture) caseFiles(spec *v2.LocustTestSpec) {
	s.configMap("cases", map[string]string{"visitors.py": visitors, "reads.py": reads, "finite.py": finite})
	s.configMap("option", map[string]string{"option.py": option})
	spec.TestFiles.ConfigMapRef = "cases"
}

// TestCommand checks comments in commands, names of user classes after --, variables that only a master may have, and
// several processes in each worker.
func TestCommand(t *testing.T) {
	t.Parallel()
	eachLocust(t, func(t *testing.T, name, image string) {
		t.Parallel()
		s := newFixture(t)
		processes, workers := "", "2/2"
		if name == "newest" {
			processes, workers = " --processes 2", "4/4" // since 2.19
		}
		test := s.create(s.test("command", 8, s.caseFiles, func(spec *v2.LocustTestSpec) {
			spec.Image = image
			spec.Master.Command = "# the load, don't quote\n--locustfile /lotest/src/visitors.py # two classes\n--users 4 \\\n  --spawn-rate 4\n-- User\n"
			spec.Worker.Command = "--locustfile /lotest/src/visitors.py" + processes
			spec.Env.Variables = append(spec.Env.Variables, corev1.EnvVar{Name: "LOCUST_RUN_TIME", Value: "8s"}, corev1.EnvVar{Name: "LOCUST_AUTOQUIT", Value: "1"})
		}))
		final := s.UntilPhase(test, v2.PhaseSucceeded)
		assert.Equal(t, workers, final.Workers)
		require.NotNil(t, final.Progress)
		assert.Equal(t, 8*time.Second, final.Progress.Duration.Duration)
		assert.Positive(t, count(t, "hit", s.key("command")))
		assert.Zero(t, count(t, "hit", "other-"+s.key("command")), "only the named class runs")
		assert.Equal(t, 1, count(t, "started", s.key("command")))
	})
}

// TestCause checks that the message of a failed run starts with the cause and its remedy in one line, and that details are
// not repeated in other conditions.
func TestCause(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*v2.LocustTestSpec)
		want   []string
	}{
		"word": {func(spec *v2.LocustTestSpec) { spec.Master.Command = "locust --locustfile /lotest/src/visitors.py" },
			[]string{"Unknown User(s): locust", "remove the word locust"}},
		"folder": {func(spec *v2.LocustTestSpec) {
			spec.TestFiles.ConfigMapRef, spec.Master.Command = "option", "--locustfile /lotest/src"
		},
			[]string{"ArgumentError", "name the files instead of the folder"}},
		"user": {func(spec *v2.LocustTestSpec) {
			spec.Master.Command = "--locustfile /lotest/src/reads.py"
			spec.Volumes = []corev1.Volume{{Name: "private", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "private", DefaultMode: ptr.To[int32](0o400)}}}}
			spec.VolumeMounts = []v2.TargetedVolumeMount{{VolumeMount: corev1.VolumeMount{Name: "private", MountPath: "/etc/private"}}}
		}, []string{"PermissionError", "user 1000", "runAsUser"}},
		"option": {func(spec *v2.LocustTestSpec) {
			spec.Master.Command = "--locustfile /lotest/src/visitors.py --no-such-option"
		},
			[]string{"unrecognized arguments: --no-such-option"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			require.NoError(t, k8s.Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "private"}, StringData: map[string]string{"token": "x"}}))
			test := s.create(s.test("cause", 8, s.caseFiles, func(spec *v2.LocustTestSpec) {
				spec.Worker.Replicas = 1
				c.change(spec)
			}))
			final := s.UntilPhase(test, v2.PhaseFailed)
			t.Log(condition(final, v2.ConditionTypeTestCompleted).Message)
			for _, conditionType := range []string{v2.ConditionTypeReady, v2.ConditionTypeStalled, v2.ConditionTypeTestCompleted} {
				line, detail, _ := strings.Cut(condition(final, conditionType).Message, "\n")
				for _, want := range append(c.want, "master exited with code") {
					assert.Contains(t, line, want, conditionType)
				}
				assert.LessOrEqual(t, utf8.RuneCountInString(line), 200, conditionType)
				if conditionType != v2.ConditionTypeTestCompleted {
					assert.Empty(t, detail, conditionType)
				}
				assert.LessOrEqual(t, len(detail), 1024)
			}
			assert.NotContains(t, condition(final, v2.ConditionTypePodsHealthy).Message, "\n")
			eventually(t, "no pod is left", func() bool { return len(s.livePods(test, "")) == 0 })
			assert.Zero(t, count(t, "started", s.key("cause")))
		})
	}
}

// TestReportOnReadOnlyFileSystem checks that the result is exact if Locust cannot write its own report after the load, and
// that the failure names the file.
func TestReportOnReadOnlyFileSystem(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	test := s.create(s.test("html", 6, s.caseFiles, func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/finite.py --users 6 --spawn-rate 6 --run-time 6s --html report.html"
		spec.Worker.Command = "--locustfile /lotest/src/finite.py"
		spec.Worker.Replicas = 1
		spec.Security = &v2.SecurityConfig{ContainerSecurityContext: &corev1.SecurityContext{ReadOnlyRootFilesystem: ptr.To(true)}}
	}))
	final := s.UntilPhase(test, v2.PhaseFailed)
	line, _, _ := strings.Cut(condition(final, v2.ConditionTypeTestCompleted).Message, "\n")
	assert.Contains(t, line, "report.html")
	assert.Contains(t, line, "Read-only file system")
	require.NotNil(t, final.TestResult)
	assert.True(t, final.TestResult.Final, "the numbers are complete")
	assert.Equal(t, v2.ResultSourceReporter, final.TestResult.Source)
	assert.EqualValues(t, 30, final.TestResult.TotalRequests)
	assert.Equal(t, 30, count(t, "hit", s.key("html")))
	assert.Equal(t, 1, count(t, "started", s.key("html")))
}

// TestTargetOfWebUI checks that the status shows the target number of users of a load that was started in the web UI.
func TestTargetOfWebUI(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	test := s.create(s.test("web", 3600, func(spec *v2.LocustTestSpec) {
		spec.Master.Command = "--locustfile /lotest/src/locustfile.py --users 4"
		spec.Master.Autostart = ptr.To(false)
		spec.Worker.Replicas = 1
	}))
	status := s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	s.webUI(status.MasterPod, "POST", "swarm", "user_count=6&spawn_rate=6&host=http://target.e2e-target")
	status = s.Until(test, "six users run", func(status *v2.LocustTestStatus) bool {
		return status.Progress != nil && status.Progress.CurrentUsers == 6
	})
	assert.EqualValues(t, 6, *status.Progress.TargetUsers)
	assert.Equal(t, 1, count(t, "started", s.key("web")))
}

// webUI calls the master's web UI through the API server.
func (s *fixture) webUI(pod, method, page, form string) {
	s.t.Helper()
	_, err := clientset.CoreV1().RESTClient().Verb(method).Namespace(s.namespace).Resource("pods").Name(fmt.Sprintf("%s:%d", pod, resources.PortWeb)).
		SubResource("proxy").Suffix(page).SetHeader("Content-Type", "application/x-www-form-urlencoded").Body([]byte(form)).DoRaw(context.Background())
	require.NoError(s.t, err)
}
