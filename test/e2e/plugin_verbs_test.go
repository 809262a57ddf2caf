//go:build e2e

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// TestPlugin_Verbs uses the verbs for a running test on one test, from its creation to its stop.
func TestPlugin_Verbs(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.viewer("eve")
	test := s.create(s.test("shop", 600, func(spec *v2.LocustTestSpec) { spec.Master.Command += " --web-base-path /locust" }))
	// Both start before the pods do.
	following, ui := s.startPlugin("logs", test.Name, "--all", "--follow"), s.startPlugin("ui", test.Name)
	s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
	s.untilLoad(test)

	t.Run("ui", func(t *testing.T) {
		ui.untilOutput("\n")
		address := strings.TrimSpace(ui.output())
		assert.True(t, strings.HasPrefix(address, "http://127.0.0.1:") && strings.HasSuffix(address, "/locust/"), address)
		for range 2 {
			response, err := http.Get(address)
			require.NoError(t, err)
			page, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			assert.Equal(t, http.StatusOK, response.StatusCode)
			assert.Contains(t, string(page), "<title>Locust</title>")
		}
		interrupted := s.in(t).startPlugin("ui", test.Name)
		interrupted.untilOutput("\n")
		interrupted.signal(os.Interrupt)
		assert.Equal(t, 0, interrupted.wait().code, "an interrupt is the usual end")
	})
	t.Run("logs", func(t *testing.T) {
		s := s.in(t)
		master := s.plugin("logs", test.Name)
		assert.Equal(t, 0, master.code)
		assert.Contains(t, master.stdout, "Starting Locust")
		assert.NotContains(t, master.stdout, "[shop-", "one log needs no prefix")
		assert.Len(t, strings.Split(strings.TrimSpace(s.plugin("logs", test.Name, "--tail", "1").stdout), "\n"), 1)

		merged := s.plugin("logs", test.Name, "--all", "--timestamps")
		assert.Equal(t, 0, merged.code)
		pods, times := parseLog(t, merged.stdout)
		assert.Len(t, pods, 3)
		assert.True(t, slices.IsSortedFunc(times, time.Time.Compare), "ordered by time")
		pods, _ = parseLog(t, s.plugin("logs", test.Name, "--workers", "--timestamps").stdout)
		assert.Len(t, pods, 2)
	})
	t.Run("completion", func(t *testing.T) {
		assert.Contains(t, s.in(t).plugin("__complete", "logs", "").stdout, "shop")
		assert.Contains(t, s.in(t).plugin("__complete", "logs", "--namespace", "").stdout, s.namespace+"\n")
	})
	t.Run("version", func(t *testing.T) {
		for _, as := range [][]string{nil, {"--as", "eve"}} {
			result := s.in(t).plugin(append([]string{"version", "-o", "json"}, as...)...)
			require.Equal(t, 0, result.code, result.stderr)
			var found struct {
				Kubernetes string
				Operator   struct {
					Installed, Reports, Stop bool
					LocustTestVersions       []string
					Deployments              []struct{ Namespace string }
					Unknown                  string
				}
			}
			require.NoError(t, json.Unmarshal([]byte(result.stdout), &found))
			assert.True(t, strings.HasPrefix(found.Kubernetes, "v1."), found.Kubernetes)
			operator := found.Operator
			assert.True(t, operator.Installed && operator.Reports && operator.Stop, "%+v", operator)
			assert.ElementsMatch(t, []string{"v1", "v2"}, operator.LocustTestVersions)
			if as == nil {
				assert.NotEmpty(t, operator.Deployments)
			} else {
				assert.Contains(t, operator.Unknown, "permission to list Deployments")
			}
		}
	})
	t.Run("missing rights", func(t *testing.T) {
		s := s.in(t)
		assert.Equal(t, 0, s.plugin("logs", test.Name, "--as", "eve").code, "the role view is enough")
		for role, args := range map[string][]string{
			"ClusterRole edit": {"ui", test.Name, "--as", "eve"},
			"ClusterRole locust-k8s-operator-locusttest-editor-role": {"stop", test.Name, "--as", "eve"},
			"ClusterRole locust-k8s-operator-locusttest-viewer-role": {"logs", test.Name, "--as", "mallory"},
		} {
			refused := s.plugin(args...)
			assert.Equal(t, 2, refused.code)
			assert.Contains(t, refused.stderr, role)
		}
	})
	t.Run("stop", func(t *testing.T) {
		s := s.in(t)
		stopped := s.plugin("stop", test.Name)
		assert.Equal(t, 0, stopped.code)
		assert.Contains(t, stopped.stdout, "stopping "+s.namespace+"/shop\n")
		final := s.UntilPhase(test, v2.PhaseSucceeded)
		assert.Contains(t, stopped.stdout, condition(final, v2.ConditionTypeTestCompleted).Message)
		again := s.plugin("stop", test.Name)
		assert.Equal(t, 0, again.code)
		assert.Contains(t, again.stdout, s.namespace+"/shop has ended: Succeeded")
	})
	t.Run("the ends of followers", func(t *testing.T) {
		assert.Equal(t, 0, ui.wait().code)
		result := following.wait()
		assert.Equal(t, 0, result.code)
		var pods []string
		for line := range strings.Lines(result.stdout) {
			pod, _, _ := strings.Cut(line, " ")
			if !slices.Contains(pods, pod) {
				pods = append(pods, pod)
			}
		}
		assert.Len(t, pods, 3)
		ended := s.in(t).plugin("ui", test.Name)
		assert.Equal(t, 2, ended.code)
		assert.Contains(t, ended.stderr, "kubectl locust report")
		eventually(t, "the stop deletes the pod of the master", func() bool { return s.in(t).plugin("logs", test.Name).code != 0 })
		assert.Contains(t, s.in(t).plugin("logs", test.Name).stderr, "kubectl locust report")
		assert.Contains(t, s.in(t).plugin("logs", test.Name, "--workers").stdout, "Shutting down", "other pods stay for their logs")
	})
	t.Run("rerun", func(t *testing.T) {
		s := s.in(t)
		require.Equal(t, 0, s.plugin("rerun", test.Name, "--detach").code)
		var list v2.LocustTestList
		require.NoError(t, k8s.List(t.Context(), &list, client.InNamespace(s.namespace)))
		require.Len(t, list.Items, 2)
		again := list.Items[slices.IndexFunc(list.Items, func(item v2.LocustTest) bool { return item.Name != test.Name })]
		assert.True(t, strings.HasPrefix(again.Name, "shop-"), again.Name)
		assert.False(t, again.Spec.Stop, "the copy of a stopped test is not stopped")
		assert.True(t, resources.SameSpec(&test.Spec, &again.Spec))

		stopped := s.plugin("stop", "--all")
		assert.Equal(t, 0, stopped.code, "although a test that never started is Failed")
		assert.Contains(t, stopped.stdout, again.Name+" has ended: Failed")
		assert.NotContains(t, stopped.stdout, "shop has ended")
	})
}

// viewer gives a user Kubernetes' own role to view, which the roles of the operator are aggregated into.
func (s *fixture) viewer(user string) {
	s.t.Helper()
	require.NoError(s.t, k8s.Create(s.t.Context(), &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: user},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "view"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	}))
}

// parseLog returns the pods and the times of lines with prefix and timestamp.
func parseLog(t *testing.T, log string) (pods []string, times []time.Time) {
	t.Helper()
	for line := range strings.Lines(log) {
		fields := strings.SplitN(line, " ", 3)
		require.GreaterOrEqual(t, len(fields), 2, line)
		at, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(fields[1]))
		require.NoError(t, err, line)
		if times = append(times, at); !slices.Contains(pods, fields[0]) {
			pods = append(pods, fields[0])
		}
	}
	return pods, times
}
