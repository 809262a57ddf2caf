package resources

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func TestMasterArgs(t *testing.T) {
	const head = "-f t.py --master --master-port=5557 --expect-workers=3"
	const tail = "--enable-rebalancing --only-summary"
	autostart := func(on bool) edit { return func(s *v2.LocustTestSpec) { s.Master.Autostart = &on } }
	command := func(c string) edit { return func(s *v2.LocustTestSpec) { s.Master.Command = c } }
	extra := func(args ...string) edit { return func(s *v2.LocustTestSpec) { s.Master.ExtraArgs = args } }
	headless := func(value string) edit {
		return func(s *v2.LocustTestSpec) {
			s.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{{Name: "LOCUST_HEADLESS", Value: value}}}
		}
	}

	for name, row := range map[string]struct {
		edits []edit
		want  string
	}{
		"defaults": {nil, head + " --autostart --autoquit 60 " + tail},
		"autoquit off": {
			[]edit{func(s *v2.LocustTestSpec) {
				s.Master.Autoquit = &v2.AutoquitConfig{Enabled: new(false), Timeout: new(int32(5))}
			}},
			head + " --autostart " + tail,
		},
		"autoquit at once": {
			[]edit{func(s *v2.LocustTestSpec) { s.Master.Autoquit = &v2.AutoquitConfig{Timeout: new(int32(0))} }},
			head + " --autostart --autoquit 0 " + tail,
		},
		"no autoquit without autostart, Locust refuses it": {[]edit{autostart(false)}, head + " " + tail},
		"autostart by the environment": {
			[]edit{autostart(false), builder.Variables(corev1.EnvVar{Name: "LOCUST_AUTOSTART", Value: "1"})},
			head + " --autoquit 60 " + tail,
		},
		"headless with autoquit by the environment": {
			[]edit{extra("--headless"), builder.Variables(corev1.EnvVar{Name: "LOCUST_AUTOQUIT", Value: "5"})},
			head + " --autostart " + tail + " --headless",
		},
		"autostart in the command": {
			[]edit{autostart(false), command("-f t.py --autostart")},
			"-f t.py --autostart --master --master-port=5557 --expect-workers=3 --autoquit 60 " + tail,
		},
		"headless starts and quits by itself": {
			[]edit{command("-f t.py --headless")},
			"-f t.py --headless --master --master-port=5557 --expect-workers=3 " + tail,
		},
		"headless in extraArgs":          {[]edit{extra("--headless")}, head + " " + tail + " --headless"},
		"headless by the environment":    {[]edit{headless("True")}, head + " " + tail},
		"not headless after all":         {[]edit{headless("false")}, head + " --autostart --autoquit 60 " + tail},
		"headless taken back":            {[]edit{headless("True"), extra("--headful")}, head + " --autostart --autoquit 60 " + tail + " --headful"},
		"headless with autoquit of user": {[]edit{extra("--headless", "--autoquit=5")}, head + " --autostart " + tail + " --headless --autoquit=5"},
		"OpenTelemetry":                  {[]edit{builder.OpenTelemetry}, head + " --autostart --autoquit 60 " + tail + " --otel"},
		"extraArgs come last and win":    {[]edit{builder.OpenTelemetry, extra("--autoquit", "1")}, head + " --autostart --autoquit 60 " + tail + " --otel --autoquit 1"},
		"flags of the operator in the command are kept": {
			[]edit{command("-f t.py --master --expect-workers=9")},
			"-f t.py --master --expect-workers=9 --master --master-port=5557 --expect-workers=3 --autostart --autoquit 60 " + tail,
		},
	} {
		t.Run(name, func(t *testing.T) {
			test := builder.MakeShop(append([]edit{builder.NoReporter, command("-f t.py")}, row.edits...)...)
			assert.Equal(t, row.want, strings.Join(container(masterOf(t, test)).Args, " "))
		})
	}
}

func TestWorkerArgs(t *testing.T) {
	test := builder.MakeShop(builder.OpenTelemetry, func(s *v2.LocustTestSpec) {
		s.Worker.Command = "-f '/a b.py'"
		s.Worker.ExtraArgs = []string{"--processes", "2"}
	})
	assert.Equal(t,
		[]string{"-f", "/a b.py", "--worker", "--master-host=shop-load-master", "--master-port=5557", "--otel", "--processes", "2"},
		container(workerOf(t, test)).Args)
	assert.Empty(t, container(workerOf(t, test)).Command, "the image's entrypoint is locust")
}
