//go:build e2e

package e2e

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// specV1 is a spec of v1.
type specV1 = map[string]any

type fieldV1 = field[specV1]

func TestFields_V1(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.fieldObjects()
	labelNode(s, nodeLabelV1())
	spec := specV1{}
	for _, row := range fieldsV1 {
		row.set(spec)
	}
	live := s.inspectConnected(s.createV1("everything", spec))
	for _, row := range fieldsV1 {
		t.Run(row.path, func(t *testing.T) { row.check(t, live) })
	}
}

// createV1 creates a test in v1 and reads it in v2.
func (s *fixture) createV1(name string, spec specV1) *v2.LocustTest {
	s.t.Helper()
	object := inV1()
	object.SetNamespace(s.namespace)
	object.SetName(name)
	object.Object["spec"] = spec
	require.NoError(s.t, k8s.Create(s.t.Context(), object))
	return s.get(name)
}

func nodeLabelV1() string { return nodeLabel() + "-v1" }

func setV1(name string, value any) func(specV1) {
	return func(spec specV1) { spec[name] = value }
}

// tolerationV1 returns a row for one field of a toleration; it sets all fields.
func tolerationV1(part string, want func(corev1.Toleration) bool) fieldV1 {
	return fieldV1{"tolerations[]." + part, setV1("tolerations", []any{
		map[string]any{"key": "e2e", "operator": "Equal", "value": "yes", "effect": "NoSchedule"},
	}), onBoth(func(t *testing.T, r *runningPod) {
		for _, toleration := range r.Spec.Tolerations {
			if toleration.Key == "e2e" {
				assert.True(t, want(toleration), "%+v", toleration)
				return
			}
		}
		assert.Fail(t, "the toleration is missing", "%+v", r.Spec.Tolerations)
	})}
}

// perRole returns a row for one role of a map; it sets both roles.
func perRole(name, role string, mapOf func(*runningPod) map[string]string) fieldV1 {
	set := setV1(name, map[string]any{
		"master": map[string]any{"e2e.locust.io/role": "the-master"}, "worker": map[string]any{"e2e.locust.io/role": "the-worker"},
	})
	check := func(t *testing.T, r *runningPod) { assert.Equal(t, "the-"+role, mapOf(r)["e2e.locust.io/role"]) }
	if role == string(resources.RoleMaster) {
		return fieldV1{name + "." + role, set, onMaster(check)}
	}
	return fieldV1{name + "." + role, set, onWorker(check)}
}

func labelsOf(r *runningPod) map[string]string      { return r.Labels }
func annotationsOf(r *runningPod) map[string]string { return r.Annotations }

var fieldsV1 = []fieldV1{
	{"masterCommandSeed", setV1("masterCommandSeed", `--locustfile /lotest/src/locustfile.py --users 2 --spawn-rate 2 --run-time 10m --note 'of the "master"'`),
		onMaster(func(t *testing.T, r *runningPod) {
			hasArguments("--run-time", "10m", "--note", `of the "master"`)(t, r)
			hasArguments("--autostart", "--autoquit", "60")(t, r) // v1 has no fields for them
		})},
	{"workerCommandSeed", setV1("workerCommandSeed", `--locustfile /lotest/src/locustfile.py --note "of the 'worker'"`), onWorker(hasArguments("--note", "of the 'worker'"))},
	{"workerReplicas", setV1("workerReplicas", int64(2)), func(t *testing.T, live *liveTest) {
		assert.Len(t, live.workers, 2)
		assert.EqualValues(t, 2, live.status.ConnectedWorkers, "as counted by Locust")
		hasArguments("--expect-workers=2")(t, live.master)
	}},

	{"image", func(spec specV1) { spec["image"] = guardedImage() }, onBoth(runsTheImage)},
	{"imagePullPolicy", setV1("imagePullPolicy", "Always"), onBoth(pullsAlways)},
	{"imagePullSecrets", setV1("imagePullSecrets", []any{"registry"}), onBoth(pullsWithSecret)},

	{"configMap", setV1("configMap", "curious"), onBoth(hasFile("/lotest/src/locustfile.py", curious))},
	{"libConfigMap", setV1("libConfigMap", "library"), onBoth(func(t *testing.T, r *runningPod) {
		hasFile("/opt/locust/lib/library.py", library)(t, r)
		hasVariable("PYTHONPATH", "/opt/locust/lib")(t, r)
	})},

	perRole("labels", "master", labelsOf),
	perRole("labels", "worker", labelsOf),
	perRole("annotations", "master", annotationsOf),
	perRole("annotations", "worker", annotationsOf),

	{"affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution", func(spec specV1) {
		spec["affinity"] = map[string]any{"nodeAffinity": map[string]any{
			"requiredDuringSchedulingIgnoredDuringExecution": map[string]any{nodeLabelV1(): "yes"},
		}}
	}, onBoth(func(t *testing.T, r *runningPod) {
		assert.Equal(t, onLabelled(nodeLabelV1()), r.Spec.Affinity)
		runsOn(t, r, nodeLabelV1())
	})},
	tolerationV1("key", func(toleration corev1.Toleration) bool { return toleration.Key == "e2e" }),
	tolerationV1("operator", func(toleration corev1.Toleration) bool { return toleration.Operator == corev1.TolerationOpEqual }),
	tolerationV1("value", func(toleration corev1.Toleration) bool { return toleration.Value == "yes" }),
	tolerationV1("effect", func(toleration corev1.Toleration) bool { return toleration.Effect == corev1.TaintEffectNoSchedule }),
}
