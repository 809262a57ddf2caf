//go:build e2e

package e2e

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// embedded are the fields with Kubernetes types. Rows check that such a field reaches the pod, but not each of its
// subfields, because the operator does not interpret them.
var embedded = map[string][]string{
	"v2": {
		"master.resources", "worker.resources", "scheduling.affinity", "scheduling.tolerations", "env.variables", "volumes",
		"security.podSecurityContext", "security.containerSecurityContext",
	},
}

// unsupported are subfields of Kubernetes types that a cluster refuses or drops unless a feature gate is enabled.
var unsupported = map[string][]string{
	"v2": {"volumeMounts[].bindMountOptions"}, // VolumeBindMountOptions, alpha in 1.37
}

// schema holds the field names of a CRD's schema.
type schema struct {
	Properties map[string]schema
	Items      *schema
}

// leaves returns the paths of the fields below a path, down to those in embedded.
func (s schema) leaves(path string, embedded []string) []string {
	var paths []string
	for name, inner := range s.Properties {
		at := strings.TrimPrefix(path+"."+name, ".")
		if inner.Items != nil && len(inner.Items.Properties) > 0 && !slices.Contains(embedded, at) {
			inner, at = *inner.Items, at+"[]"
		}
		if len(inner.Properties) == 0 || slices.Contains(embedded, at) {
			paths = append(paths, at)
		} else {
			paths = append(paths, inner.leaves(at, embedded)...)
		}
	}
	return paths
}

// has reports whether the schema has a field at a path.
func (s schema) has(path string) bool {
	name, rest, deeper := strings.Cut(path, ".")
	name, isList := strings.CutSuffix(name, "[]")
	inner, ok := s.Properties[name]
	if !ok || !deeper {
		return ok
	}
	if isList {
		if inner.Items == nil {
			return false
		}
		inner = *inner.Items
	}
	return inner.has(rest)
}

// specSchemas returns the spec schemas that the cluster serves, by version.
func specSchemas(t *testing.T) map[string]schema {
	t.Helper()
	object := &unstructured.Unstructured{}
	object.SetAPIVersion("apiextensions.k8s.io/v1")
	object.SetKind("CustomResourceDefinition")
	require.NoError(t, k8s.Get(t.Context(), client.ObjectKey{Name: "locusttests.locust.io"}, object))
	encoded, err := object.MarshalJSON()
	require.NoError(t, err)
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Served bool
				Schema struct{ OpenAPIV3Schema schema }
			}
		}
	}
	require.NoError(t, json.Unmarshal(encoded, &crd))
	served := map[string]schema{}
	for _, version := range crd.Spec.Versions {
		if version.Served {
			served[version.Name] = version.Schema.OpenAPIV3Schema.Properties["spec"]
		}
	}
	return served
}

// TestFields_Complete checks that each field of the spec in each served version has a row in the field tests.
func TestFields_Complete(t *testing.T) {
	t.Parallel()
	rows := map[string][]string{"v1": pathsOf(fieldsV1), "v2": nil}
	for _, run := range fieldRuns {
		rows["v2"] = append(rows["v2"], pathsOf(run.rows)...)
	}
	served := specSchemas(t)
	for version := range served {
		assert.Contains(t, rows, version, "a version without a test of its fields")
	}
	for version, paths := range rows {
		t.Run(version, func(t *testing.T) {
			spec, ok := served[version]
			require.True(t, ok, "the cluster does not serve this version")
			leaves := spec.leaves("", embedded[version])
			assert.Greater(t, len(leaves), 10)
			for _, leaf := range leaves {
				covered := slices.ContainsFunc(paths, func(path string) bool {
					return path == leaf || strings.HasPrefix(path, leaf+".") || strings.HasPrefix(path, leaf+"[].")
				})
				assert.NotEqual(t, slices.Contains(unsupported[version], leaf), covered, "spec.%s: add a row that sets it and checks it in a running pod", leaf)
			}
			for _, path := range slices.Concat(paths, embedded[version], unsupported[version]) {
				assert.True(t, spec.has(path), "there is no field spec.%s", path)
			}
			t.Logf("%d fields, %d rows", len(leaves), len(paths))
		})
	}
}
