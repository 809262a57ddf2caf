//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// manifestV1 returns a manifest for v1, as existing users have it in Git.
func (s *fixture) manifestV1(name string, seconds int) string {
	return fmt.Sprintf(`apiVersion: locust.io/v1
kind: LocustTest
metadata:
  name: %s
spec:
  image: %s
  masterCommandSeed: --locustfile /lotest/src/plain.py --users 2 --spawn-rate 2 --run-time %ds --headless
  workerCommandSeed: --locustfile /lotest/src/plain.py
  workerReplicas: 2
  configMap: files
  imagePullSecrets: [registry]
  labels:
    master: {team: shop}
    worker: {team: shop}
  annotations:
    worker: {note: kept}
  affinity:
    nodeAffinity:
      requiredDuringSchedulingIgnoredDuringExecution:
        kubernetes.io/os: linux
  tolerations:
    - {key: dedicated, operator: Equal, value: load, effect: NoSchedule}
    - {key: spot, operator: Exists}
`, name, locustImage, seconds)
}

// kubectl runs kubectl in the fixture's namespace and returns its standard output and standard error.
func (s *fixture) kubectl(args ...string) (stdout, stderr string, err error) {
	s.t.Helper()
	var out, errs strings.Builder
	cmd := exec.CommandContext(s.t.Context(), "kubectl", append([]string{"-n", s.namespace}, args...)...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

func (s *fixture) mustKubectl(args ...string) (stdout, stderr string) {
	s.t.Helper()
	out, errs, err := s.kubectl(args...)
	require.NoError(s.t, err, "kubectl %s: %s", strings.Join(args, " "), errs)
	return out, errs
}

func (s *fixture) file(content string) string {
	s.t.Helper()
	path := filepath.Join(s.t.TempDir(), "manifest.yaml")
	require.NoError(s.t, os.WriteFile(path, []byte(content), 0o600))
	return path
}

// raw returns a test as JSON object in one of the versions.
func (s *fixture) raw(version, name string) map[string]any {
	s.t.Helper()
	out, _ := s.mustKubectl("get", "locusttests."+version+".locust.io", name, "-o", "json")
	var object map[string]any
	require.NoError(s.t, json.Unmarshal([]byte(out), &object))
	require.Equal(s.t, "locust.io/"+version, object["apiVersion"])
	return object
}

func (s *fixture) get(name string) *v2.LocustTest {
	s.t.Helper()
	var test v2.LocustTest
	require.NoError(s.t, k8s.Get(s.t.Context(), client.ObjectKey{Namespace: s.namespace, Name: name}, &test))
	return &test
}

// TestVersions applies a manifest of v1, reads and edits it in both versions, and applies it again, as GitOps tools do.
func TestVersions(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name string
		args []string
	}{
		{"client-side", []string{"apply"}},
		{"server-side", []string{"apply", "--server-side"}},
	} {
		t.Run(mode.name, func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			disturbed.add(t) // each edit of the spec is a transition of SpecDrifted
			manifest := s.manifestV1("old", 45)
			path := s.file(manifest)
			apply := slices.Concat(mode.args, []string{"-f", path})

			_, warnings := s.mustKubectl(apply...)
			assert.Contains(t, warnings, "deprecated", "v1 is deprecated")
			assert.Contains(t, warnings, "locust.io/v2", "the warning names the replacement")
			test := s.get("old")
			assert.Equal(t, "files", test.Spec.TestFiles.ConfigMapRef)
			assert.Equal(t, int32(2), test.Spec.Worker.Replicas)
			assert.Len(t, test.Spec.Scheduling.Tolerations, 2)
			s.UntilReason(test, v2.ConditionTypeReady, v2.ReasonResourcesCreated)

			// Applying it again with either tool changes nothing.
			unchanged := func(what string) {
				t.Helper()
				now := s.get("old")
				assert.Equal(t, test.Generation, now.Generation, what)
				assert.Equal(t, test.Spec, now.Spec, what)
				assert.Equal(t, metav1.ConditionFalse, condition(&now.Status, v2.ConditionTypeSpecDrifted).Status, what)
			}
			s.requireNoDiff(apply[1:])
			for range 2 {
				s.mustKubectl(apply...)
				unchanged("applied again")
			}

			// Fields that only v2 has are kept when v1 is applied again.
			before := test.DeepCopy()
			test.Spec.Worker.ExtraArgs = []string{"--loglevel", "INFO"}
			test.Spec.Scheduling.NodeSelector = map[string]string{"kubernetes.io/os": "linux"}
			require.NoError(t, k8s.Patch(t.Context(), test, client.MergeFrom(before)))
			s.UntilReason(test, v2.ConditionTypeSpecDrifted, v2.ReasonSpecChangeIgnored)
			v1 := s.raw("v1", "old")
			assert.Contains(t, fmt.Sprint(v1["metadata"].(map[string]any)["annotations"]), "--loglevel", "v1 keeps fields of v2 in an annotation")
			s.requireNoDiff(apply[1:])
			s.mustKubectl(apply...)
			now := s.get("old")
			assert.Equal(t, test.Generation, now.Generation)
			assert.Equal(t, test.Spec, now.Spec)

			// Fields of v1 take precedence.
			edited := strings.Replace(manifest, "kubernetes.io/os: linux", "kubernetes.io/arch: any", 1)
			s.mustKubectl(slices.Concat(mode.args, []string{"-f", s.file(edited)})...)
			now = s.get("old")
			term := now.Spec.Scheduling.Affinity.NodeAffinity.RequiredDuringSchedulingIgnoredDuringExecution.NodeSelectorTerms
			require.Len(t, term, 1)
			require.Len(t, term[0].MatchExpressions, 1)
			assert.Equal(t, "kubernetes.io/arch", term[0].MatchExpressions[0].Key)
			assert.Equal(t, test.Spec.Worker.ExtraArgs, now.Spec.Worker.ExtraArgs)

			// Revert to the original spec: no drift is left.
			s.mustKubectl(apply...)
			now = s.get("old")
			before = now.DeepCopy()
			now.Spec.Worker.ExtraArgs, now.Spec.Scheduling.NodeSelector = nil, nil
			require.NoError(t, k8s.Patch(t.Context(), now, client.MergeFrom(before)))
			eventually(t, "the drift is gone", func() bool {
				return condition(&s.get("old").Status, v2.ConditionTypeSpecDrifted).Status == metav1.ConditionFalse
			})

			// The status is the same in both versions, and so is what kubectl prints.
			s.UntilPhase(test, v2.PhaseSucceeded)
			assert.Equal(t, s.raw("v2", "old")["status"], s.raw("v1", "old")["status"])
			inV1, _ := s.mustKubectl("get", "locusttests.v1.locust.io", "old")
			inV2, _ := s.mustKubectl("get", "locusttests.v2.locust.io", "old")
			assert.Equal(t, withoutAge(inV2), withoutAge(inV1))
			assert.Contains(t, inV1, "Succeeded")
		})
	}
}

// requireNoDiff checks that kubectl diff finds no difference. It retries, because kubectl reads the object twice, and the
// operator may write the status in between.
func (s *fixture) requireNoDiff(args []string) {
	s.t.Helper()
	var diff string
	for range 5 {
		out, _, err := s.kubectl(append([]string{"diff"}, args...)...)
		if err == nil {
			return
		}
		diff = out
		time.Sleep(time.Second)
	}
	require.Fail(s.t, "unexpected difference", diff)
}

// withoutAge removes the last column from kubectl's output.
func withoutAge(table string) string {
	return regexp.MustCompile(`(?m) +\S+$`).ReplaceAllString(table, "")
}

// TestAdmission checks that an invalid test is refused with all its errors.
func TestAdmission(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	test := s.test("bad", 10, func(spec *v2.LocustTestSpec) {
		spec.VolumeMounts = []v2.TargetedVolumeMount{{}, {}}
		spec.VolumeMounts[0].Name, spec.VolumeMounts[0].MountPath = "missing", "/data"
		spec.VolumeMounts[1].Name, spec.VolumeMounts[1].MountPath = "missing", "/lotest/src/inner"
		spec.Master.Labels = map[string]string{"managed-by": "me"}
	})
	err := k8s.Create(t.Context(), test)
	require.Error(t, err)
	for _, want := range []string{"spec.volumeMounts[0].name", "spec.volumeMounts[1].mountPath", "/lotest/src/inner", "spec.master.labels[managed-by]"} {
		assert.ErrorContains(t, err, want)
	}

	path := s.file(s.manifestV1("latest", 5))
	_, warnings := s.mustKubectl("apply", "-f", path, "--dry-run=server")
	assert.Equal(t, strings.HasSuffix(locustImage, ":latest"), strings.Contains(warnings, "latest image") || strings.Contains(warnings, "tag"), warnings)

	running := s.create(s.test("running", 20))
	s.UntilPhase(running, v2.PhaseRunning)
	_, warnings = s.mustKubectl("patch", "locusttest", "running", "--type", "merge", "-p", `{"spec":{"worker":{"replicas":3}}}`)
	assert.Contains(t, warnings, "ignored", "a warning reports that the change has no effect")
	s.mustKubectl("label", "locusttest", "running", "a=b")
}
