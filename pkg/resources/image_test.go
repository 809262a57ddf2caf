package resources

import (
	"testing"

	"github.com/stretchr/testify/assert"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func image(name string) edit {
	return func(s *v2.LocustTestSpec) { s.Image = name }
}

func TestOlderThan(t *testing.T) {
	for tag, want := range map[string]bool{
		"locustio/locust:2.8.6":                       true,
		"locustio/locust:1.6.0":                       true,
		"locust:0.14":                                 true,
		"localhost:5000/locust:2.10.2":                true,
		"mirror.example/a/locustio/locust:2.8.6-slim": true,
		"registry.example/locust:2.8.6":               true,
		"registry.example/perf/locust:1.4":            false,
		"perf/locust:1.4":                             false,
		"locust:2.8.6@sha256:0123":                    true,
		"locustio/locust:2.11.0":                      false,
		"locustio/locust:2.43.3":                      false,
		"locustio/locust:10.0":                        false,
		"locustio/locust:latest":                      false,
		"locustio/locust:2":                           false,
		"locustio/locust:v2.8.6":                      false,
		"locustio/locust":                             false,
		"locust@sha256:0123":                          false,
		"shop/load-test:1.4.0":                        false, // counts its own versions
		"shop/locust-plugins:1.4.0":                   false,
		"":                                            false,
	} {
		assert.Equal(t, want, olderThan(tag, 2, 11), tag)
	}
}

// TestReporter_OldLocust: v1 has no field to turn the reporter off, so the image's tag does it.
func TestReporter_OldLocust(t *testing.T) {
	old := builder.MakeShop(image("locustio/locust:2.8.6"))
	assert.False(t, ConfigFor(&old.Spec).Reporter)
	job, err := BuildMasterJob(old, &PodDefaults{})
	assert.NoError(t, err)
	assert.NotContains(t, container(job).Args, "--locustfile="+reporterPath)
	for _, arg := range container(job).Args {
		assert.NotContains(t, arg, reporterPath)
	}
	assert.Empty(t, job.Spec.Template.Annotations)
	assert.True(t, ConfigFor(&builder.MakeShop(image("locustio/locust:2.11.0")).Spec).Reporter)
}
