package resources

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func image(name string) edit {
	return func(s *v2.LocustTestSpec) { s.Image = name }
}

func TestWarnings(t *testing.T) {
	type spec = v2.LocustTestSpec
	for name, row := range map[string]struct {
		edits []edit
		want  []string // how each begins, and what it contains
	}{
		"smallest":                  {nil, nil},
		"everything":                {[]edit{everything}, nil},
		"latest":                    {[]edit{image("locustio/locust:latest")}, []string{`spec.image: "locustio/locust:latest" has the tag latest`}},
		"no tag":                    {[]edit{image("registry:5000/locust")}, []string{`spec.image: "registry:5000/locust" has the tag latest or none`}},
		"a tag after a port":        {[]edit{image("registry:5000/locust:1.0")}, nil},
		"a digest":                  {[]edit{image("locust@sha256:0123")}, nil},
		"an option in the command":  {[]edit{func(s *spec) { s.Worker.Command = "-f t --worker --master-host=x" }}, []string{"spec.worker.command: --worker is managed", "spec.worker.command: --master-host is managed by the operator (the name of the test); what is given here does not count; remove it"}},
		"said twice, warned once":   {[]edit{func(s *spec) { s.Worker.Command = "-f t --worker --worker" }}, []string{"spec.worker.command: --worker"}},
		"an option in extraArgs":    {[]edit{func(s *spec) { s.Master.ExtraArgs = []string{"--loglevel", "--expect-workers=3"} }}, []string{"spec.master.extraArgs[1]: --expect-workers is managed by the operator (spec.worker.replicas); what is given here wins"}},
		"an option of the other":    {[]edit{func(s *spec) { s.Worker.ExtraArgs = []string{"--autostart"} }}, nil},
		"no reporter, no web API":   {[]edit{func(s *spec) { s.Master.Command = "--headless --users 1" }}, []string{"spec.master.reporter: cannot be loaded beside the locustfile of this test, and there is no web API"}},
		"no reporter, web API":      {[]edit{func(s *spec) { s.Master.Command = "--users 1" }}, []string{"spec.master.reporter: cannot be loaded beside the locustfile of this test, so that the result is what"}},
		"no reporter wanted":        {[]edit{noReporter, func(s *spec) { s.Master.Command = "--users 1" }}, nil},
		"a volume without a mount":  {[]edit{func(s *spec) { s.Volumes = []corev1.Volume{{Name: "a"}} }}, []string{`spec.volumes[0].name: "a" is mounted nowhere`}},
		"an unbalanced quote":       {[]edit{func(s *spec) { s.Worker.Command = "it's --worker" }}, nil}, // an error
		"several of them, in order": {[]edit{image("a"), func(s *spec) { s.Master.Command += " --master" }}, []string{"spec.image", "spec.master.command"}},
	} {
		t.Run(name, func(t *testing.T) {
			warnings := Warnings(makeTest(row.edits...))
			require.Len(t, warnings, len(row.want), "%q", warnings)
			for i, want := range row.want {
				assert.Contains(t, warnings[i], want)
				assert.Contains(t, warnings[i], "; ", "a warning has a remedy")
			}
		})
	}
}

// TestWarnings_Bounded: the API server passes on as much as this, and cuts the rest somewhere.
func TestWarnings_Bounded(t *testing.T) {
	warnings := Warnings(makeTest(image(strings.Repeat("ö", 300)), func(s *v2.LocustTestSpec) {
		for i := range 30 {
			s.Volumes = append(s.Volumes, corev1.Volume{Name: fmt.Sprintf("%d-%s", i, strings.Repeat("v", 50))})
		}
	}))
	require.Len(t, warnings, maxWarnings)
	assert.Equal(t, "and 20 more warnings", warnings[maxWarnings-1], "31 in all")
	total := 0
	for _, warning := range warnings {
		assert.LessOrEqual(t, len(warning), 256)
		assert.Equal(t, warning, strings.ToValidUTF8(warning, "?"))
		total += len(warning)
	}
	assert.Less(t, total, 4096)
}

func TestSameSpec(t *testing.T) {
	before := makeTest(everything)
	same := before.DeepCopy()
	same.Spec.Master.Autostart = new(true) // the default
	assert.True(t, SameSpec(&before.Spec, &same.Spec))
	same.Spec.Worker.Replicas++
	assert.False(t, SameSpec(&before.Spec, &same.Spec))
}
