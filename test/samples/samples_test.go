package samples

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/schema"
)

var dir = filepath.Join("..", "..", "config", "samples")

func read(t *testing.T) []Sample {
	t.Helper()
	all, err := Read(dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(all), 12)
	return all
}

// TestReadme checks that the table matches the headers of the samples.
func TestReadme(t *testing.T) {
	readme, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	var rows, want []string
	for line := range strings.Lines(string(readme)) {
		if strings.HasPrefix(line, "| [") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	for _, s := range read(t) {
		want = append(want, s.Row())
	}
	assert.Equal(t, want, rows, "the rows of the table should be\n%s", strings.Join(want, "\n"))
}

func TestSamples(t *testing.T) {
	kustomization, err := os.ReadFile(filepath.Join(dir, "demo", "kustomization.yaml"))
	require.NoError(t, err)
	name, tag, _ := strings.Cut(Image, ":")
	assert.Contains(t, string(kustomization), "newName: "+name+"\n    newTag: "+tag+"\n", "samples and demo use the same image")

	crd, err := schema.Read(filepath.Join("..", "..", "config", "crd", "bases", "locust.io_locusttests.yaml"))
	require.NoError(t, err)
	owners := map[string]string{}
	versions := map[string]int{}
	for _, s := range read(t) {
		t.Run(s.Path, func(t *testing.T) {
			objects, err := s.Objects()
			require.NoError(t, err)
			tests, err := s.Tests()
			require.NoError(t, err)
			assert.NotEmpty(t, tests)
			versions[s.Version()]++
			for _, o := range objects {
				assert.Empty(t, o.Namespace, "a sample does not set a namespace")
				key := o.Kind + "/" + o.Name
				assert.Empty(t, owners[key], "%s is also in another sample; both could not be applied to one namespace", key)
				owners[key] = s.Path
				if o.Kind != "LocustTest" {
					continue
				}
				assert.Equal(t, "locust.io/"+s.Version(), o.APIVersion)
				assert.Contains(t, o.Document, "\n  image: "+Image+"\n")
				assert.NoError(t, crd[s.Version()].Check(t.Context(), []byte(o.Document)))
			}
		})
	}
	assert.Positive(t, versions["v1"])
	assert.Positive(t, versions["v2"])
}

// TestSamples_OpenShift checks that pods of all samples leave user and groups of volumes to the platform, as OpenShift's restricted-v2
// requires.
func TestSamples_OpenShift(t *testing.T) {
	built := 0
	for _, s := range read(t) {
		tests, err := s.LocustTests()
		require.NoError(t, err)
		for _, test := range tests {
			defaults := &resources.PodDefaults{PlatformUser: true}
			for _, build := range []func(*v2.LocustTest, *resources.PodDefaults) (*batchv1.Job, error){resources.BuildMasterJob, resources.BuildWorkerJob} {
				job, err := build(test, defaults)
				require.NoError(t, err, s.Path)
				pod := job.Spec.Template.Spec
				assert.Nil(t, pod.SecurityContext.RunAsUser, s.Path)
				assert.Nil(t, pod.SecurityContext.RunAsGroup, s.Path)
				assert.Nil(t, pod.SecurityContext.FSGroup, s.Path)
				assert.Nil(t, pod.Containers[0].SecurityContext.RunAsUser, s.Path)
				assert.Nil(t, pod.Containers[0].SecurityContext.RunAsGroup, s.Path)
				built++
			}
		}
	}
	assert.Greater(t, built, 40)
}
