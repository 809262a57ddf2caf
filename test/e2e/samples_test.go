//go:build e2e

package e2e

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/samples"
)

var samplesDir = filepath.Join("..", "..", "config", "samples")

// TestSamples checks that each sample can be applied without changes, and reaches its documented phase.
func TestSamples(t *testing.T) {
	t.Parallel()
	all, err := samples.Read(samplesDir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(all), 12)
	s := newFixture(t)
	s.sampleTarget()
	for _, sample := range all {
		t.Run(sample.Path, func(t *testing.T) {
			t.Parallel()
			s := s.in(t)
			_, warnings := s.mustKubectl("apply", "--dry-run=server", "-f", filepath.Join(samplesDir, sample.Path))
			for line := range strings.Lines(warnings) {
				assert.True(t, sample.Version() == "v1" && strings.Contains(line, "deprecated"), "unexpected warning: %s", line)
			}
			s.mustKubectl("apply", "-f", s.file(sample.With(locustImage)))
			names, err := sample.Tests()
			require.NoError(t, err)
			for _, name := range names {
				test := s.get(name)
				status := s.UntilPhase(test, sample.Phase)
				s.requireShown(sample, test, status)
				if !status.IsTerminal() {
					require.NoError(t, k8s.Delete(t.Context(), test))
				}
			}
		})
	}
}

// sampleTarget deploys the target of the samples' requests, after changes of its manifest.
func (s *fixture) sampleTarget(change ...func(string) string) {
	s.t.Helper()
	manifest := sampleWithImage(s.t, samples.Target)
	for _, edit := range change {
		manifest = edit(manifest)
	}
	s.mustKubectl("apply", "-f", s.file(manifest))
	eventually(s.t, "the target is available", func() bool {
		var d appsv1.Deployment
		require.NoError(s.t, k8s.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "target"}, &d))
		return d.Status.AvailableReplicas == 1
	})
}

// requireShown checks the visible effects of a sample.
func (s *fixture) requireShown(sample samples.Sample, test *v2.LocustTest, status *v2.LocustTestStatus) {
	t := s.t
	t.Helper()
	if status.Phase == v2.PhaseSucceeded {
		require.NotNil(t, status.TestResult)
		assert.True(t, status.TestResult.Final)
		assert.Positive(t, status.TestResult.TotalRequests)
		if test.Spec.SuccessCriteria == nil {
			assert.Zero(t, status.TestResult.FailedRequests, "%+v", status.TestResult.Errors)
		}
	}
	if show, ok := shown[sample.Path]; ok {
		show(t, s, test, status)
	}
}

// shown are checks of effects in the status or in the master's log, by sample.
var shown = map[string]func(t *testing.T, s *fixture, test *v2.LocustTest, status *v2.LocustTestStatus){
	"v2/success-criteria.yaml": func(t *testing.T, s *fixture, test *v2.LocustTest, status *v2.LocustTestStatus) {
		assert.Positive(t, status.TestResult.FailedRequests)
		assert.EqualValues(t, 1, s.masterPod(test).Status.ContainerStatuses[0].State.Terminated.ExitCode, "Locust exited with code 1")
	},
	"v2/success-criteria-missed.yaml": failsWith("success criteria not met: maxResponseTime.p95 is 100ms, measured "),
	"v2/abort-early.yaml":             failsWith("aborted after ", "maxFailureRatio is 0.05, measured 1 "),
	"v2/arguments.yaml":               hasEndpoints("hello, world"),
	"v2/env-and-secrets.yaml":         hasEndpoints("/private"),
	"v2/secret-files.yaml":            hasEndpoints("/private"),
	"v2/volumes.yaml":                 hasEndpoints("/products/[id]"),
	"v2/reports.yaml":                 logs("wrote /reports/report.html ", "wrote /reports/run_stats.csv "),
	"v2/load-shape.yaml":              logs("Shape test updating to 2 users", "Shape test updating to 6 users", "Shape test updating to 3 users"),
	"v2/opentelemetry.yaml":           logs("OpenTelemetry"),
	"v2/retained-report.yaml": func(t *testing.T, s *fixture, test *v2.LocustTest, status *v2.LocustTestStatus) {
		assert.Empty(t, s.report(test, status).OwnerReferences)
	},
	"v2/headless.yaml": func(_ *testing.T, s *fixture, test *v2.LocustTest, _ *v2.LocustTestStatus) {
		s.Until(test, "the workers are counted from pods", func(status *v2.LocustTestStatus) bool {
			return strings.HasPrefix(condition(status, v2.ConditionTypeWorkersConnected).Message, "1/1 workers connected (counted from the worker Job's ready pods")
		})
	},
	"v2/web-ui.yaml": func(t *testing.T, s *fixture, test *v2.LocustTest, _ *v2.LocustTestStatus) {
		ready := s.UntilReason(test, v2.ConditionTypeWorkersConnected, v2.ReasonAllWorkersConnected)
		assert.Nil(t, ready.TestResult, "the load is not started")
		page, err := clientset.CoreV1().RESTClient().Get().Namespace(s.namespace).Resource("services").Name(resources.MasterName(test.Name) + ":8089").
			SubResource("proxy").DoRaw(t.Context())
		require.NoError(t, err)
		assert.Contains(t, string(page), "<title>Locust</title>")
	},
	"v1/two-tests.yaml": func(t *testing.T, s *fixture, test *v2.LocustTest, status *v2.LocustTestStatus) {
		hasEndpoints(map[string]string{"v1-quick": "/", "v1-slow": "/slow"}[test.Name])(t, s, test, status)
	},
}

func failsWith(want ...string) func(*testing.T, *fixture, *v2.LocustTest, *v2.LocustTestStatus) {
	return func(t *testing.T, _ *fixture, _ *v2.LocustTest, status *v2.LocustTestStatus) {
		for _, w := range want {
			assert.Contains(t, condition(status, v2.ConditionTypeTestCompleted).Message, w)
		}
	}
}

func hasEndpoints(want ...string) func(*testing.T, *fixture, *v2.LocustTest, *v2.LocustTestStatus) {
	return func(t *testing.T, _ *fixture, _ *v2.LocustTest, status *v2.LocustTestStatus) {
		var names []string
		for _, e := range status.TestResult.Endpoints {
			names = append(names, e.Name)
		}
		assert.Equal(t, want, names)
	}
}

func logs(want ...string) func(*testing.T, *fixture, *v2.LocustTest, *v2.LocustTestStatus) {
	return func(t *testing.T, s *fixture, test *v2.LocustTest, _ *v2.LocustTestStatus) {
		log := s.logs(s.masterPod(test))
		for _, w := range want {
			assert.Contains(t, log, w)
		}
	}
}
