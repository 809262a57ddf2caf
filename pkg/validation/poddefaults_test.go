package validation

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

func TestValidatePodDefaults(t *testing.T) {
	for text, want := range map[string]string{
		`{"master": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}}`: `master.resources.requests[cpu]: Invalid value: "2": is above the limit 1`,
		`{"worker": {"resources": {"limits": {"memory": "-1"}}}}`:                       `worker.resources.limits[memory]: Invalid value: "-1": must not be negative`,
		`{"worker": {"resources": {"limits": {"memroy": "1Gi"}}}}`:                      `worker.resources.limits[memroy]: Invalid value: "memroy": is not a resource of Kubernetes`,
		`{"worker": {"resources": {"claims": [{"name": "gpu"}]}}}`:                      "worker.resources.claims: Forbidden: a claim belongs to one pod",
		`{"imagePullSecrets": [{"name": "a"}, {"name": "B b"}]}`:                        `imagePullSecrets[1].name: Invalid value: "B b"`,
		`{"imagePullSecrets": [{}]}`:                                                    "imagePullSecrets[0].name: Required value",
		`{"nodeSelector": {"a": "x y"}}`:                                                `nodeSelector[a]: Invalid value: "x y"`,
		`{"priorityClassName": "A"}`:                                                    `priorityClassName: Invalid value: "A"`,
		`{"runtimeClassName": "A"}`:                                                     `runtimeClassName: Invalid value: "A"`,
		`{"tolerations": [{"key": "a", "operator": "Exist"}]}`:                          `tolerations[0].operator: Unsupported value: "Exist": supported values: "Exists", "Equal"`,
		`{"tolerations": [{"key": "a", "effect": "Evict"}]}`:                            `tolerations[0].effect: Unsupported value: "Evict"`,
		`{"tolerations": [{"key": "a b"}]}`:                                             `tolerations[0].key: Invalid value: "a b"`,
	} {
		defaults, err := resources.ParsePodDefaults([]byte(text))
		require.NoError(t, err, text)
		errs := ValidatePodDefaults(&defaults)
		if assert.Len(t, errs, 1, text) {
			assert.ErrorContains(t, errs[0], want, text)
		}
	}
	good, err := resources.ParsePodDefaults([]byte(`{"worker": {"resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "1", "example.com/gpu": "1"}}},
		"tolerations": [{"operator": "Exists"}, {"key": "load", "value": "x", "effect": "NoSchedule"}], "nodeSelector": {"pool": "load"}}`))
	require.NoError(t, err)
	assert.Empty(t, ValidatePodDefaults(&good))
	assert.Empty(t, ValidatePodDefaults(&resources.PodDefaults{}))
}
