// Package bundle checks the OLM bundle against the requirements of OperatorHub and against the rest of the project.
package bundle

import (
	"encoding/json"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/operator-framework/api/pkg/manifests"
	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/operator-framework/api/pkg/validation"
	"github.com/operator-framework/api/pkg/validation/errors"
	validator "github.com/operator-framework/api/pkg/validation/interfaces"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	crdschema "github.com/AbdelrhmanHamouda/locust-k8s-operator/test/schema"
)

const root = "../.."

func load(t *testing.T) *manifests.Bundle {
	t.Helper()
	bundle, err := manifests.GetBundleFromDir(filepath.Join(root, "bundle"))
	require.NoError(t, err)
	require.NotNil(t, bundle.CSV)
	return bundle
}

// TestValidators accepts neither errors nor warnings. It leaves out the validator for multiple architectures, because that
// one pulls the image.
func TestValidators(t *testing.T) {
	all := slices.Concat(validation.DefaultBundleValidators, validator.Validators{
		validation.OperatorHubV2Validator, validation.StandardCapabilitiesValidator, validation.StandardCategoriesValidator,
		validation.GoodPracticesValidator, validation.AlphaDeprecatedAPIsValidator,
	})
	bundle := load(t)
	objects := []any{bundle, bundle.CSV, map[string]string{"k8s-version": "1.37"}}
	results := 0
	for _, v := range all {
		for _, result := range v.Validate(objects...) {
			results++
			assert.Empty(t, result.Errors, result.Name)
			warnings := slices.DeleteFunc(slices.Clone(result.Warnings), func(w errors.Error) bool {
				// Only the operator creates reports, and the scorecard fails for an example without a spec.
				return strings.Contains(w.Error(), "Kind=LocustReport: provided API should have an example annotation")
			})
			assert.Empty(t, warnings, result.Name)
		}
	}
	assert.Greater(t, results, 5, "the validators have checked the bundle")
}

// TestExamples checks that there are a few valid examples with descriptions, and that the first of the newest version, which a
// console offers, needs no other object.
func TestExamples(t *testing.T) {
	var examples []json.RawMessage
	csv := load(t).CSV
	require.NoError(t, json.Unmarshal([]byte(csv.Annotations["alm-examples"]), &examples))
	assert.LessOrEqual(t, len(examples), 5)
	var descriptions map[string]struct{ Description string }
	require.NoError(t, json.Unmarshal([]byte(csv.Annotations["alm-examples-metadata"]), &descriptions))
	assert.Len(t, descriptions, len(examples))
	crd, err := crdschema.Read(filepath.Join(root, "config", "crd", "bases", "locust.io_locusttests.yaml"))
	require.NoError(t, err)
	var first *v2.LocustTest
	for _, example := range examples {
		var test v2.LocustTest
		require.NoError(t, json.Unmarshal(example, &test))
		assert.NotEmpty(t, descriptions[test.Name].Description, test.Name)
		assert.NoError(t, crd[path.Base(test.APIVersion)].Check(t.Context(), example), test.Name)
		if first == nil && test.APIVersion == v2.GroupVersion.String() {
			first = &test
		}
	}
	require.NotNil(t, first)
	assert.NotEmpty(t, first.Spec.TestFiles.Inline)
	assert.Equal(t, v2.LocustTestSpec{
		Image: first.Spec.Image, Master: first.Spec.Master, Worker: first.Spec.Worker,
		TestFiles: &v2.TestFilesConfig{Inline: first.Spec.TestFiles.Inline},
	}, first.Spec, "it refers to no other object")
	assert.NotContains(t, first.Spec.Master.Command, "--host")
	assert.Contains(t, string(first.Spec.TestFiles.Inline["locustfile.py"]), "environment.parsed_options.master_host",
		"its target is its own master, also under another name")
}

// TestServiceVersion checks the fields that OperatorHub reviewers ask for.
func TestServiceVersion(t *testing.T) {
	csv := load(t).CSV
	require.Len(t, csv.Spec.Icon, 1)
	assert.NotEmpty(t, csv.Spec.Description)
	assert.NotEmpty(t, csv.Spec.Maintainers)
	assert.NotEmpty(t, csv.Spec.Links)
	assert.NotEmpty(t, csv.Spec.Keywords)
	assert.NotEmpty(t, csv.Spec.MinKubeVersion)
	for _, mode := range csv.Spec.InstallModes {
		assert.Equal(t, mode.Type == v1alpha1.InstallModeTypeAllNamespaces, mode.Supported, "OLM supports conversion webhooks only for operators of all namespaces: %s", mode.Type)
	}
	kinds := map[v1alpha1.WebhookAdmissionType]int{}
	for _, webhook := range csv.Spec.WebhookDefinitions {
		kinds[webhook.Type]++
	}
	assert.Equal(t, map[v1alpha1.WebhookAdmissionType]int{v1alpha1.ConversionWebhook: 1, v1alpha1.ValidatingAdmissionWebhook: 1}, kinds)

	container := csv.Spec.InstallStrategy.StrategySpec.DeploymentSpecs[0].Spec.Template.Spec.Containers[0]
	assert.NotEmpty(t, container.Resources.Requests)
	require.Len(t, csv.Spec.RelatedImages, 1)
	assert.Equal(t, container.Image, csv.Spec.RelatedImages[0].Image)
	assert.Equal(t, container.Image, csv.Annotations["containerImage"])
	for _, permission := range slices.Concat(csv.Spec.InstallStrategy.StrategySpec.Permissions, csv.Spec.InstallStrategy.StrategySpec.ClusterPermissions) {
		for _, rule := range permission.Rules {
			assert.NotContains(t, slices.Concat(rule.APIGroups, rule.Resources, rule.Verbs), "*", "least privilege")
		}
	}
}

// TestDescriptors checks that each field of spec and status has a descriptor with a name and a description.
func TestDescriptors(t *testing.T) {
	for _, crd := range load(t).CSV.Spec.CustomResourceDefinitions.Owned {
		assert.NotEmpty(t, crd.DisplayName)
		assert.NotEmpty(t, crd.Description)
		if crd.Kind == "LocustReport" {
			continue // descriptors are for fields of spec and status, which it does not have
		}
		assert.NotEmpty(t, crd.SpecDescriptors)
		assert.NotEmpty(t, crd.StatusDescriptors)
		paths := map[string]bool{}
		for _, d := range crd.SpecDescriptors {
			paths["spec."+d.Path] = true
			assert.NotEmpty(t, d.Description, d.Path)
			assert.NotEmpty(t, d.DisplayName, d.Path)
		}
		for _, d := range crd.StatusDescriptors {
			paths["status."+d.Path] = true
			assert.NotEmpty(t, d.Description, d.Path)
		}
		for _, field := range fields(t, crd.Version) {
			assert.True(t, paths[field], "%s has no descriptor: add a marker +operator-sdk:csv:customresourcedefinitions", field)
		}
	}
}

// fields returns the top-level fields of spec and status in the schema of a version.
func fields(t *testing.T, version string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, "config", "crd", "bases", "locust.io_locusttests.yaml"))
	require.NoError(t, err)
	type schema struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	var crd struct {
		Spec struct {
			Versions []struct {
				Name   string
				Schema struct{ OpenAPIV3Schema schema }
			}
		}
	}
	require.NoError(t, yaml.Unmarshal(raw, &crd))
	var all []string
	for _, v := range crd.Spec.Versions {
		if v.Name != version {
			continue
		}
		for _, part := range []string{"spec", "status"} {
			var s schema
			require.NoError(t, json.Unmarshal(v.Schema.OpenAPIV3Schema.Properties[part], &s))
			for name := range s.Properties {
				all = append(all, part+"."+name)
			}
		}
	}
	require.Greater(t, len(all), 10)
	return all
}

// TestScorecard checks that the images of the bundle's tests have the version of the bundle as tag.
func TestScorecard(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "bundle", "tests", "scorecard", "config.yaml"))
	require.NoError(t, err)
	var config struct {
		Stages []struct {
			Tests []struct {
				Image  string            `json:"image"`
				Labels map[string]string `json:"labels"`
			} `json:"tests"`
		} `json:"stages"`
	}
	require.NoError(t, yaml.Unmarshal(raw, &config))
	suites := map[string]int{}
	for _, stage := range config.Stages {
		for _, test := range stage.Tests {
			suites[test.Labels["suite"]]++
			if suite := test.Labels["suite"]; suite == "status" || suite == "conditions" {
				assert.True(t, strings.HasSuffix(test.Image, "-scorecard:v"+load(t).CSV.Spec.Version.String()), test.Image)
			}
		}
	}
	assert.Equal(t, map[string]int{"basic": 1, "olm": 5, "status": 9, "conditions": 10}, suites)
}
