package validation

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
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
		"everything":                {[]edit{builder.Everything}, nil},
		"latest":                    {[]edit{image("locustio/locust:latest")}, []string{`spec.image: "locustio/locust:latest" has the tag latest`}},
		"no tag":                    {[]edit{image("registry:5000/locust")}, []string{`spec.image: "registry:5000/locust" has the tag latest or none`}},
		"a tag after a port":        {[]edit{image("registry:5000/locust:2.11")}, nil},
		"a digest":                  {[]edit{image("locust@sha256:0123")}, nil},
		"an option in the command":  {[]edit{func(s *spec) { s.Worker.Command = "-f t --worker --master-host=x" }}, []string{"spec.worker.command: --worker is managed", "spec.worker.command: --master-host is managed by the operator; the value given here is ignored; remove it"}},
		"repeated, one warning":     {[]edit{func(s *spec) { s.Worker.Command = "-f t --worker --worker" }}, []string{"spec.worker.command: --worker"}},
		"an option in extraArgs":    {[]edit{func(s *spec) { s.Master.ExtraArgs = []string{"--loglevel", "--expect-workers=3"} }}, []string{"spec.master.extraArgs[1]: --expect-workers is managed by the operator (spec.worker.replicas); the value given here wins"}},
		"telemetry by hand":         {[]edit{func(s *spec) { s.Master.Command += " --otel" }}, []string{"spec.master.command: --otel is managed by the operator (spec.observability.openTelemetry); set spec.observability.openTelemetry instead"}},
		"autostart by hand":         {[]edit{func(s *spec) { s.Master.Autostart, s.Master.Command = new(false), "-f t.py --autostart" }}, []string{"--autostart is managed by the operator (spec.master.autostart); set spec.master.autostart instead"}},
		"a port of its own":         {[]edit{func(s *spec) { s.Master.ExtraArgs = []string{"--master-bind-port", "1"} }}, []string{"spec.master.extraArgs[0]: --master-bind-port is managed by the operator; remove it"}},
		"processes of a worker":     {[]edit{func(s *spec) { s.Worker.ExtraArgs = []string{"--processes", "4"} }}, nil},
		"an option of the other":    {[]edit{func(s *spec) { s.Worker.ExtraArgs = []string{"--autostart"} }}, nil},
		"no reporter, no web API":   {[]edit{func(s *spec) { s.Master.Command = "--headless --users 1" }}, []string{"spec.master.reporter: cannot be loaded together with the locustfile of this test, and with --headless there is no web API"}},
		"no reporter, web API":      {[]edit{func(s *spec) { s.Master.Command = "--users 1" }}, []string{"spec.master.reporter: cannot be loaded together with the locustfile of this test, so the result is the last one"}},
		"old Locust":                {[]edit{image("locustio/locust:2.8.6")}, []string{`spec.master.reporter: cannot be loaded by Locust before 2.11, the release in "locustio/locust:2.8.6", so the result is the last one`}},
		"old Locust, no web API":    {[]edit{image("locustio/locust:2.8.6"), func(s *spec) { s.Master.Command += " --headless" }}, []string{"there will be no result; choose a newer image"}},
		"no reporter wanted":        {[]edit{builder.NoReporter, func(s *spec) { s.Master.Command = "--users 1" }}, nil},
		"a volume without a mount":  {[]edit{func(s *spec) { s.Volumes = []corev1.Volume{{Name: "a"}} }}, []string{`spec.volumes[0].name: "a" is not mounted`}},
		"an unbalanced quote":       {[]edit{func(s *spec) { s.Worker.Command = "it's --worker" }}, nil}, // an error
		"several of them, in order": {[]edit{image("a"), func(s *spec) { s.Master.Command += " --master" }}, []string{"spec.image", "spec.master.command"}},
	} {
		t.Run(name, func(t *testing.T) {
			warnings := Warnings(builder.MakeShop(row.edits...))
			require.Len(t, warnings, len(row.want), "%q", warnings)
			for i, want := range row.want {
				assert.Contains(t, warnings[i], want)
				assert.Contains(t, warnings[i], "; ", "a warning has a remedy")
			}
		})
	}
}

func TestWarnings_Name(t *testing.T) {
	test := builder.MakeShop()
	test.Name = "2024-load"
	require.Len(t, Warnings(test), 1)
	assert.Contains(t, Warnings(test)[0], "metadata.name")
}
