package resources

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

func TestReporter_ComesBeforeTheLocustfile(t *testing.T) {
	const reporter = "/locust.io/locust-reporter.py,"
	for name, row := range map[string]struct {
		command string
		extra   []string
		vars    []corev1.EnvVar
		want    []string // each is among the arguments; none: there is no reporter
	}{
		"long":                   {command: "--locustfile /a.py", want: []string{reporter + "/a.py"}},
		"long with equals sign":  {command: "--locustfile=/a.py", want: []string{"--locustfile=" + reporter + "/a.py"}},
		"short":                  {command: "-f a.py", want: []string{reporter + "a.py"}},
		"short, attached":        {command: "-fa.py", want: []string{"-f" + reporter + "a.py"}},
		"short with equals sign": {command: "-f=a.py", want: []string{"-f=" + reporter + "a.py"}},
		"abbreviated":            {command: "--loc=a.py", want: []string{"--loc=" + reporter + "a.py"}},
		"several files":          {command: "-f '/a.py, /b.py'", want: []string{reporter + "/a.py, /b.py"}},
		"the one that counts":    {command: "-f a.py -f b.py", want: []string{"a.py", reporter + "b.py"}},
		"in extraArgs":           {command: "-f a.py", extra: []string{"-f", "$(B).py"}, want: []string{"a.py", reporter + "$$(B).py"}},
		"the kubelet's variable": {command: "--locustfile=$(DIR)/a.py", want: []string{"--locustfile=" + reporter + "$(DIR)/a.py"}},
		"all of it a variable": {
			command: "-f $(FILES)", vars: []corev1.EnvVar{{Name: "FILES", Value: "a.py,b.py"}}, want: []string{reporter + "$(FILES)"},
		},
		"by the environment": {
			command: "-u 1", vars: []corev1.EnvVar{{Name: "LOCUST_LOCUSTFILE", Value: "$(DIR)/a.py"}}, extra: []string{"-u", "2"},
			want: []string{"--locustfile=" + reporter + "$(LOCUST_LOCUSTFILE)", "-u", "2"},
		},
		"argument over environment": {
			command: "-f a.py", vars: []corev1.EnvVar{{Name: "LOCUST_LOCUSTFILE", Value: "b.py"}}, want: []string{reporter + "a.py"},
		},
		"one of several is named locust.py": {command: "-f a.py,locust.py", want: []string{reporter + "a.py,locust.py"}},

		"the only one is named locust.py": {command: "-f /src/my-locust.py"},
		"no locustfile":                   {command: "-u 1"},
		"a configuration file":            {command: "--config locust.conf"},
		"a folder":                        {command: "-f /src"},
		"a folder among files":            {command: "-f a.py,/src"},
		"a module":                        {command: "-f locustfile"},
		"an address":                      {command: "-f https://example.com/a.py"},
		"the master's own":                {command: "-f -"},
		"nothing":                         {command: "--locustfile="},
		"no value":                        {command: "-u 1 -f"},
		"an unknown variable":             {command: "-f $(FILE)"},
		"an option in a variable":         {command: "$(FILE)", vars: []corev1.EnvVar{{Name: "FILE", Value: "-fa.py"}}},
		"a variable with a source":        {command: "-u 1", vars: []corev1.EnvVar{{Name: "LOCUST_LOCUSTFILE", ValueFrom: &corev1.EnvVarSource{}}}},
	} {
		t.Run(name, func(t *testing.T) {
			edits := []edit{builder.Variables(row.vars...), func(s *v2.LocustTestSpec) {
				s.Master.Command, s.Master.ExtraArgs = row.command, row.extra
			}}
			test, without := builder.MakeShop(edits...), builder.MakeShop(append(edits, builder.NoReporter)...)
			assert.False(t, ConfigFor(&without.Spec).Reporter)
			assert.Equal(t, row.want != nil, ConfigFor(&test.Spec).Reporter)
			assert.Subset(t, container(masterOf(t, test)).Args, row.want)
			assert.Equal(t, workerOf(t, without).Spec, workerOf(t, test).Spec, "the workers do not change")
			if row.want == nil {
				assert.Equal(t, masterOf(t, without).Spec, masterOf(t, test).Spec, "nothing changes")
			}
		})
	}
}

func TestReporter_IsInTheMastersPod(t *testing.T) {
	job := masterOf(t, builder.MakeShop(func(s *v2.LocustTestSpec) {
		s.Master.Annotations = map[string]string{"note": "mine", AnnotationReporter: "mine"}
	}))
	pod := job.Spec.Template
	assert.Equal(t, map[string]string{"note": "mine", AnnotationReporter: reporterSource}, pod.Annotations)
	assert.JSONEq(t, `[{"name": "locust-reporter", "downwardAPI": {"items": [
		{"path": "locust-reporter.py", "fieldRef": {"fieldPath": "metadata.annotations['locust.io/reporter']"}}]}}]`, asJSON(t, pod.Spec.Volumes))
	assert.JSONEq(t, `[{"name": "locust-reporter", "mountPath": "/locust.io", "readOnly": true}]`, asJSON(t, container(job).VolumeMounts))
	assert.NotContains(t, job.Annotations, AnnotationReporter, "the pod's annotation is enough")
}

func TestConfigFor_UnreadableCommand(t *testing.T) {
	assert.False(t, ConfigFor(&v2.LocustTestSpec{Master: v2.MasterSpec{Command: "-f a.py '"}}).Reporter)
}

func TestReporterSource(t *testing.T) {
	assert.LessOrEqual(t, len(reporterSource), 20<<10, "it is part of every master's Job and pod")
	for _, letter := range reporterSource {
		require.Less(t, letter, rune(128), "ASCII, to work with any Python locale")
	}
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("needs python3")
	}
	out, err := exec.Command(python, "-B", "testdata/reporter_test.py", "reporter.py").CombinedOutput()
	assert.NoError(t, err, string(out))
}
