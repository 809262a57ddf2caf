//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func readCRD(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	crd := &unstructured.Unstructured{}
	crd.SetAPIVersion("apiextensions.k8s.io/v1")
	crd.SetKind("CustomResourceDefinition")
	require.NoError(t, k8s.Get(context.Background(), client.ObjectKey{Name: "locusttests.locust.io"}, crd))
	return crd
}

// setCRD replaces versions and conversion of the CRD.
func setCRD(t *testing.T, versions, conversion any) {
	t.Helper()
	body, err := json.Marshal(map[string]any{"spec": map[string]any{"versions": versions, "conversion": conversion}})
	require.NoError(t, err)
	require.NoError(t, k8s.Patch(context.Background(), readCRD(t), client.RawPatch("application/merge-patch+json", body)))
}

// asOlder changes the CRD to that before v2: v1 is stored, and there is no conversion webhook.
func asOlder(t *testing.T, crd *unstructured.Unstructured) {
	t.Helper()
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	require.NoError(t, err)
	for _, version := range versions {
		v := version.(map[string]any)
		v["storage"] = v["name"] == "v1"
	}
	setCRD(t, versions, map[string]any{"strategy": "None", "webhook": nil})
}

func storedVersions(t *testing.T) []string {
	t.Helper()
	stored, _, err := unstructured.NestedStringSlice(readCRD(t).Object, "status", "storedVersions")
	require.NoError(t, err)
	return stored
}

// store recreates a test that was read before, with its status.
func (s *fixture) store(object map[string]any) {
	s.t.Helper()
	name := object["metadata"].(map[string]any)["name"].(string)
	object["metadata"] = map[string]any{"name": name}
	body, err := json.Marshal(object)
	require.NoError(s.t, err)
	s.mustKubectl("create", "-f", s.file(string(body)))
	body, err = json.Marshal(map[string]any{"status": object["status"]})
	require.NoError(s.t, err)
	s.mustKubectl("patch", "locusttests.v1.locust.io", name, "--subresource", "status", "--type", "merge", "-p", string(body))
}

// TestStoredAsV1 checks that a test that was stored as v1 before the upgrade of the operator is readable in both versions and
// runs, and that the next write stores it as v2, as described in docs/versions.md.
func TestStoredAsV1(t *testing.T) {
	s := newFixture(t)
	disturbed.add(t)
	s.mustKubectl("apply", "-f", s.file(s.manifestV1("idle", 3)))
	s.UntilPhase(s.get("idle"), v2.PhaseSucceeded)
	finished := s.raw("v1", "idle")
	require.NoError(t, k8s.Delete(t.Context(), s.get("idle")))
	stopOperator(t)
	crd := readCRD(t)
	restore := func() {
		setCRD(t, crd.Object["spec"].(map[string]any)["versions"], crd.Object["spec"].(map[string]any)["conversion"])
		startOperator(t)
	}
	restored := false
	t.Cleanup(func() {
		if !restored {
			restore()
		}
	})

	asOlder(t, crd)
	manifest := s.file(s.manifestV1("old", 10))
	eventually(t, "the older CRD accepts the test", func() bool {
		_, _, err := s.kubectl("apply", "-f", manifest)
		return err == nil
	})
	s.store(finished)
	require.Contains(t, storedVersions(t), "v1")
	restored = true
	restore()

	eventually(t, "the test is read in v2", func() bool {
		var test v2.LocustTest
		return k8s.Get(t.Context(), client.ObjectKey{Namespace: s.namespace, Name: "old"}, &test) == nil && test.Spec.Master.Command != ""
	})
	test := s.get("old")
	assert.Equal(t, "files", test.Spec.TestFiles.ConfigMapRef)
	assert.Equal(t, map[string]string{"team": "shop"}, test.Spec.Worker.Labels)
	s.UntilPhase(test, v2.PhaseRunning)

	final := s.UntilPhase(test, v2.PhaseSucceeded)
	assert.True(t, final.TestResult.Final)
	assert.Positive(t, final.TestResult.TotalRequests)
	assert.Equal(t, v2.ReasonSpecInSync, condition(final, v2.ConditionTypeSpecDrifted).Reason)
	assert.Equal(t, s.raw("v2", "old")["status"], s.raw("v1", "old")["status"])

	// The storage migration of a finished test, which the operator no longer writes.
	before := s.get("idle")
	s.mustKubectl("patch", "locusttest", "idle", "--type", "merge", "-p", "{}")
	after := s.get("idle")
	assert.NotEqual(t, before.ResourceVersion, after.ResourceVersion, "it has been written")
	assert.Equal(t, before.Generation, after.Generation, "the spec is unchanged")
	assert.Equal(t, before.Spec, after.Spec)
	s.mustKubectl("patch", "locusttest", "idle", "--type", "merge", "-p", "{}")
	assert.Equal(t, after.ResourceVersion, s.get("idle").ResourceVersion, "the object is already migrated")
	s.mustKubectl("patch", "crd", "locusttests.locust.io", "--subresource", "status", "--type", "merge", "-p", `{"status":{"storedVersions":["v2"]}}`)
	assert.Equal(t, []string{"v2"}, storedVersions(t))
}
