package validation

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// TestUserClasses: an option after -- is the name of a class, which the operator does not check.
func TestUserClasses(t *testing.T) {
	test := builder.MakeShop(builder.NoReporter, func(s *v2.LocustTestSpec) { s.Master.Command = "-f t.py -- --master" })
	assert.Empty(t, Validate(test))
	assert.Empty(t, Warnings(test))
}

// TestProcesses: the master waits for a number of workers that must be known.
func TestProcesses(t *testing.T) {
	command := func(args string, extra ...string) edit {
		return func(s *v2.LocustTestSpec) { s.Worker.Command += args; s.Worker.ExtraArgs = extra }
	}
	for name, edits := range map[string][]edit{
		"none": {}, "command": {command(" --processes 2")}, "attached": {command(" --processes=4")}, "abbreviated": {command(" --proc 4")},
		"last wins": {command(" --processes 4", "--processes", "3")}, "variable": {builder.Variables(corev1.EnvVar{Name: "LOCUST_PROCESSES", Value: "5"})},
		"by reference": {builder.Variables(corev1.EnvVar{Name: "N", Value: "6"}), command(" --processes $(N)")}, "unknown": {command(" --processes $(N)")},
		"zero": {command(" --processes 0")}, "of the class": {command(" -- --processes 7")}, "master's only": {command(" --profile x")},
	} {
		assert.Empty(t, Validate(builder.MakeShop(edits...)), name)
	}
	for _, bad := range []string{"-1", "65", "many"} {
		errs := Validate(builder.MakeShop(func(s *v2.LocustTestSpec) { s.Worker.ExtraArgs = []string{"--processes=" + bad} }))
		require.Len(t, errs, 1, bad)
		assert.Equal(t, "spec.worker.command", errs[0].Field)
		assert.Contains(t, errs[0].Detail, "give a number")
	}
}

func TestValidate_VariablesThatCollideWithTheOperator(t *testing.T) {
	test := &v2.LocustTest{}
	test.Spec.TestFiles = &v2.TestFilesConfig{LibConfigMapRef: "lib"}
	test.Spec.Env = &v2.EnvConfig{Variables: []corev1.EnvVar{
		{Name: "PYTHONPATH", ValueFrom: &corev1.EnvVarSource{}},
		{Name: "LOCUST_MODE_WORKER", Value: "true"},
	}}
	errs := validateEnv(&test.Spec, field.NewPath("spec")).ToAggregate()
	require.Error(t, errs)
	assert.ErrorContains(t, errs, "spec.env.variables[0].name: Invalid value: \"PYTHONPATH\": has a source")
	assert.ErrorContains(t, errs, "spec.env.variables[1].name: Invalid value: \"LOCUST_MODE_WORKER\": sets the role of Locust")
}

// TestWarnings_Command: commands that Locust does not interpret as the user intended.
func TestWarnings_Command(t *testing.T) {
	master := func(command string) edit { return func(s *v2.LocustTestSpec) { s.Master.Command = command } }
	worker := func(command string) edit { return func(s *v2.LocustTestSpec) { s.Worker.Command = command } }
	for name, row := range map[string]struct {
		edit edit
		want string
	}{
		"the word":         {master("locust -f t.py"), `spec.master.command: begins with "locust", but the image's entrypoint is locust already; remove the word`},
		"with a path":      {worker("/usr/local/bin/locust -f t.py"), `spec.worker.command: begins with "/usr/local/bin/locust"`},
		"python":           {worker("python3.12 -m locust -f t.py"), `spec.worker.command: begins with "python3.12"`},
		"shell":            {master("sh -c 'locust -f t.py'"), `spec.master.command: begins with "sh"`},
		"a user class":     {master("Visitor -f t.py"), ""},
		"rest of a time":   {master("-f t.py --run-time 6s30"), `spec.master.command: --run-time "6s30" is not a valid time`},
		"text in a time":   {master("-f t.py -t '6s and more'"), `--run-time "6s and more"`},
		"time by variable": {builder.Variables(corev1.EnvVar{Name: "LOCUST_RUN_TIME", Value: "1d"}), `--run-time "1d"`},
		"no limit":         {master("-f t.py -t 0"), ""},
		"unknown variable": {master("-f t.py -t $(TIME)"), ""},
	} {
		t.Run(name, func(t *testing.T) { requireWarning(t, row.want, builder.NoReporter, row.edit) })
	}
}

func requireWarning(t *testing.T, want string, edits ...edit) {
	t.Helper()
	warnings := Warnings(builder.MakeShop(edits...))
	if want == "" {
		assert.Empty(t, warnings)
		return
	}
	require.Len(t, warnings, 1, "%q", warnings)
	assert.Contains(t, warnings[0], want)
	assert.Contains(t, warnings[0], "; ", "a warning has a remedy")
}

// TestWarnings_Folder: a folder with the files of a ConfigMap, from any kind of volume.
func TestWarnings_Folder(t *testing.T) {
	volume := func(source corev1.VolumeSource, subPath string) edit {
		return func(s *v2.LocustTestSpec) {
			s.Master.Command = "-f /tests"
			s.Volumes = []corev1.Volume{{Name: "v", VolumeSource: source}}
			s.VolumeMounts = []v2.TargetedVolumeMount{{VolumeMount: corev1.VolumeMount{Name: "v", MountPath: "/tests", SubPath: subPath}}}
		}
	}
	configMap := corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{}}
	const twice = `spec.master.command: --locustfile "/tests" is a folder in which Locust finds each file of /tests twice, because of the kubelet's symbolic links; name the files instead`
	for name, row := range map[string]struct {
		edit edit
		want string
	}{
		"test files": {func(s *v2.LocustTestSpec) {
			s.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "c"}
			s.Master.Command = "-f /lotest/src/"
		}, `--locustfile "/lotest/src/" is a folder in which Locust finds each file of /lotest/src twice`},
		"above": {func(s *v2.LocustTestSpec) {
			s.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "c"}
			s.Master.Command = "-f /lotest"
		}, "each file of /lotest/src twice"},
		"worker": {func(s *v2.LocustTestSpec) {
			s.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "c"}
			s.Worker.Command = "-f t.py,/lotest/src"
		}, "spec.worker.command: --locustfile"},
		"a file": {func(s *v2.LocustTestSpec) {
			s.TestFiles = &v2.TestFilesConfig{ConfigMapRef: "c"}
			s.Master.Command = "-f /lotest/src/t.py"
		}, ""},
		"ConfigMap":    {volume(configMap, ""), twice},
		"one file":     {volume(configMap, "t.py"), ""},
		"Secret":       {volume(corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{}}, ""), twice},
		"projected":    {volume(corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{}}, ""), twice},
		"own files":    {volume(corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}, ""), ""},
		"elsewhere":    {func(s *v2.LocustTestSpec) { volume(configMap, "")(s); s.Master.Command = "-f /other" }, ""},
		"in the image": {func(s *v2.LocustTestSpec) { s.Master.Command = "-f /home/locust" }, ""},
	} {
		t.Run(name, func(t *testing.T) { requireWarning(t, row.want, builder.NoReporter, row.edit) })
	}
}
