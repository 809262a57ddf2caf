//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// startupProblem is a problem that keeps pods from starting, and its fix.
type startupProblem struct {
	// inject causes the problem in the spec, or in the namespace before the test is created.
	inject func(s *fixture, spec *v2.LocustTestSpec)
	// fix fixes the problem.
	fix    func(s *fixture)
	reason string
	want   []string
}

var startupProblems = map[string]startupProblem{
	"image": {
		inject: func(s *fixture, spec *v2.LocustTestSpec) { spec.Image = lateImage(s) },
		fix:    func(s *fixture) { publish(s.t, lateTag(s)) }, reason: v2.ReasonImagePullError, want: []string{"ErrImagePull", "not found"},
	},
	"configmap": {
		inject: func(_ *fixture, spec *v2.LocustTestSpec) { spec.TestFiles.ConfigMapRef = "late" },
		fix:    func(s *fixture) { s.configMap("late", map[string]string{"locustfile.py": longHeartbeat + locustfile}) },
		reason: v2.ReasonConfigurationError, want: []string{"FailedMount", `configmap "late" not found`},
	},
	"secret": {
		inject: func(_ *fixture, spec *v2.LocustTestSpec) { spec.Env.SecretRefs = []v2.SecretEnvSource{{Name: "late"}} },
		fix: func(s *fixture) {
			require.NoError(s.t, k8s.Create(s.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "late"}}))
		},
		reason: v2.ReasonConfigurationError, want: []string{"CreateContainerConfigError", `secret "late" not found`},
	},
	"secretmount": {
		inject: func(_ *fixture, spec *v2.LocustTestSpec) {
			spec.Env.SecretMounts = []v2.SecretMount{{Name: "late", MountPath: "/etc/late"}}
		},
		fix: func(s *fixture) {
			require.NoError(s.t, k8s.Create(s.t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "late"}}))
		},
		reason: v2.ReasonConfigurationError, want: []string{"FailedMount", `secret "late" not found`},
	},
	"scheduling": {
		inject: func(s *fixture, spec *v2.LocustTestSpec) {
			spec.Scheduling = &v2.SchedulingConfig{NodeSelector: map[string]string{"e2e.locust.io/" + s.namespace: "yes"}}
		},
		fix: func(s *fixture) { labelNode(s, "e2e.locust.io/"+s.namespace) }, reason: v2.ReasonSchedulingError,
		want: []string{"nodes are available", "node affinity/selector"},
	},
	"quota": {
		inject: func(s *fixture, _ *v2.LocustTestSpec) {
			quota := &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "no-pods"},
				Spec: corev1.ResourceQuotaSpec{Hard: corev1.ResourceList{corev1.ResourcePods: {}}}}
			require.NoError(s.t, k8s.Create(s.t.Context(), quota))
			eventually(s.t, "the quota is in force", func() bool {
				return k8s.Get(s.t.Context(), client.ObjectKeyFromObject(quota), quota) == nil && len(quota.Status.Hard) > 0
			})
		},
		fix: func(s *fixture) {
			require.NoError(s.t, k8s.Delete(s.t.Context(), &corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "no-pods"}}))
		},
		reason: v2.ReasonCreationError, want: []string{"FailedCreate", "exceeded quota: no-pods"},
	},
}

// start creates the test and checks that the status reports the problem in time and with the right message.
func (tr startupProblem) start(s *fixture) (*v2.LocustTest, time.Time) {
	t := s.t
	test := s.test("not-starting", 6)
	tr.inject(s, &test.Spec)
	created := time.Now()
	s.create(test)
	seen := s.UntilReason(test, v2.ConditionTypePodsHealthy, tr.reason)
	c := condition(seen, v2.ConditionTypePodsHealthy)
	for _, want := range tr.want {
		assert.Contains(t, c.Message, want)
	}
	for _, observation := range watcher.History(test.UID) {
		if condition(&observation.Test.Status, v2.ConditionTypePodsHealthy).Reason == tr.reason {
			after := observation.At.Sub(created)
			t.Logf("reported after %.1f s: %s", after.Seconds(), c.Message)
			assert.Less(t, after, 15*time.Second, "reported too late")
			break
		}
	}
	assert.Equal(t, v2.PhasePending, seen.Phase)
	return test, created
}

// requireRegistry skips a problem with the image on clusters without a registry that the suite can write to.
func (tr startupProblem) requireRegistry(t *testing.T) {
	t.Helper()
	if tr.reason == v2.ReasonImagePullError && auditLog() == "" {
		t.Skip("only the embedded cluster has a registry of its own")
	}
}

func TestStartupProblem_Fixed(t *testing.T) {
	t.Parallel()
	for name, tr := range startupProblems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr.requireRegistry(t)
			s := newFixture(t)
			test, _ := tr.start(s)
			tr.fix(s)
			final := s.UntilPhase(test, v2.PhaseSucceeded)
			assert.Equal(t, v2.ReasonPodsHealthy, condition(final, v2.ConditionTypePodsHealthy).Reason)
			assert.Equal(t, 1, count(t, "started", s.key(test.Name)))
		})
	}
}

func TestStartupProblem_NotFixed(t *testing.T) {
	t.Parallel()
	for name, tr := range startupProblems {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr.requireRegistry(t)
			s := newFixture(t)
			test, created := tr.start(s)
			final := s.UntilPhase(test, v2.PhaseFailed)
			for _, conditionType := range []string{v2.ConditionTypePodsHealthy, v2.ConditionTypeTestCompleted, v2.ConditionTypeReady, v2.ConditionTypeStalled} {
				want := tr.want
				if conditionType == v2.ConditionTypeReady || conditionType == v2.ConditionTypeStalled {
					want = want[len(want)-1:] // one line of 200 characters
				}
				for _, w := range want {
					assert.Contains(t, condition(final, conditionType).Message, w, conditionType)
				}
			}
			assert.Equal(t, v2.ReasonResourcesFailed, condition(final, v2.ConditionTypeReady).Reason)
			assert.Nil(t, final.StartTime)
			eventually(t, "no pod is left", func() bool { return len(s.livePods(test, "")) == 0 })
			seconds := int(time.Since(created).Seconds()) + 1
			if auditLog() != "" {
				assert.LessOrEqual(t, len(requests(t, s.namespace)), seconds, "at most one request per second")
			}
			// A late fix does not change the test.
			tr.fix(s)
			time.Sleep(3 * time.Second)
			s.requireFrozen(test, final)
			assert.Empty(t, s.livePods(test, ""))
		})
	}
}

func lateTag(s *fixture) string { return "late-" + s.namespace }

func lateImage(s *fixture) string {
	repository, _ := splitImage(locustImage)
	return repository + ":" + lateTag(s)
}

// splitImage splits an image reference at its tag.
func splitImage(image string) (repository, tag string) {
	i := strings.LastIndex(image, ":")
	return image[:i], image[i+1:]
}

// publish adds a tag to the Locust image with the registry API.
func publish(t *testing.T, tag string) {
	t.Helper()
	repository, known := splitImage(locustImage)
	host, name, _ := strings.Cut(repository, "/")
	url := func(tag string) string { return fmt.Sprintf("http://%s/v2/%s/manifests/%s", host, name, tag) }
	get, err := http.NewRequest(http.MethodGet, url(known), nil)
	require.NoError(t, err)
	get.Header["Accept"] = []string{"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.oci.image.manifest.v1+json"}
	manifest, err := http.DefaultClient.Do(get)
	require.NoError(t, err)
	defer func() { _ = manifest.Body.Close() }()
	require.Equal(t, http.StatusOK, manifest.StatusCode)
	put, err := http.NewRequest(http.MethodPut, url(tag), manifest.Body)
	require.NoError(t, err)
	put.Header.Set("Content-Type", manifest.Header.Get("Content-Type"))
	answer, err := http.DefaultClient.Do(put)
	require.NoError(t, err)
	defer func() { _ = answer.Body.Close() }()
	require.Equal(t, http.StatusCreated, answer.StatusCode)
}

// labelNode labels the first node until the end of the test.
func labelNode(s *fixture, label string) {
	var nodes corev1.NodeList
	require.NoError(s.t, k8s.List(s.t.Context(), &nodes))
	node := &nodes.Items[0]
	set := func(value string) {
		patch := fmt.Sprintf(`{"metadata":{"labels":{%q:%s}}}`, label, value)
		require.NoError(s.t, k8s.Patch(s.t.Context(), node, client.RawPatch("application/merge-patch+json", []byte(patch))))
	}
	set(`"yes"`)
	s.t.Cleanup(func() {
		patch := fmt.Sprintf(`{"metadata":{"labels":{%q:null}}}`, label)
		_ = k8s.Patch(context.Background(), node, client.RawPatch("application/merge-patch+json", []byte(patch)))
	})
}
