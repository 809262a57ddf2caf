package resources

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// TestUserClasses: names of user classes come after all options, the operator's included.
func TestUserClasses(t *testing.T) {
	test := builder.MakeShop(builder.NoReporter, func(s *v2.LocustTestSpec) {
		s.Master.Command = "-f t.py --run-time 8s -- Visitor"
		s.Master.ExtraArgs = []string{"--loglevel", "DEBUG", "--", "Other"}
		s.Worker.Command = "-f t.py -- Visitor"
	})
	args := container(masterOf(t, test)).Args
	assert.Equal(t, []string{"-f", "t.py", "--run-time", "8s", "--master"}, args[:5])
	assert.Equal(t, []string{"--loglevel", "DEBUG", "--", "Visitor", "Other"}, args[len(args)-5:])
	assert.Equal(t, 1, countOf(args, "--"))
	args = container(workerOf(t, test)).Args
	assert.Equal(t, []string{"--", "Visitor"}, args[len(args)-2:])
	assert.Contains(t, args, "--worker")

	test = builder.MakeShop(builder.NoReporter, func(s *v2.LocustTestSpec) { s.Master.Command = "-f t.py --" })
	assert.NotContains(t, container(masterOf(t, test)).Args, "--", "without names it is left out")

	// The reporter precedes the locustfile, and the run time is read, as without names.
	test = builder.MakeShop(func(s *v2.LocustTestSpec) { s.Master.Command = "-f t.py --run-time 8s -- Visitor" })
	assert.Contains(t, container(masterOf(t, test)).Args, "/locust.io/locust-reporter.py,t.py")
	assert.NotNil(t, ConfigFor(&test.Spec).Load.RunTime)
}

func countOf(list []string, item string) int {
	n := 0
	for _, s := range list {
		if s == item {
			n++
		}
	}
	return n
}

// TestConflictingVariables: a role does not get the variables with which its Locust does not start.
func TestConflictingVariables(t *testing.T) {
	value := func(role Role, edits ...edit) map[string]string {
		test, found := builder.MakeShop(edits...), map[string]string{}
		job := masterOf(t, test)
		if role == RoleWorker {
			job = workerOf(t, test)
		}
		for _, v := range container(job).Env {
			found[v.Name] = v.Value
		}
		return found
	}
	given := builder.Variables(corev1.EnvVar{Name: "A", Value: "1"}, corev1.EnvVar{Name: "LOCUST_RUN_TIME", Value: "8s"},
		corev1.EnvVar{Name: "LOCUST_AUTOQUIT", Value: "5"}, corev1.EnvVar{Name: "LOCUST_PROCESSES", Value: "2"}, corev1.EnvVar{Name: "LOCUST_USERS", Value: "4"})
	assert.Equal(t, map[string]string{"A": "1", "LOCUST_RUN_TIME": "8s", "LOCUST_AUTOQUIT": "5", "LOCUST_USERS": "4"}, value(RoleMaster, given))
	assert.Equal(t, map[string]string{"A": "1", "LOCUST_PROCESSES": "2", "LOCUST_USERS": "4"}, value(RoleWorker, given))
	assert.Empty(t, value(RoleWorker), "nothing is added without a reason")

	// The content of a ConfigMap or a Secret is unknown: variables by name override it.
	from := func(s *v2.LocustTestSpec) {
		s.Env = &v2.EnvConfig{SecretRefs: []v2.SecretEnvSource{{Name: "s"}}, Variables: []corev1.EnvVar{{Name: "LOCUST_AUTOQUIT", Value: "5"}}}
	}
	assert.Equal(t, map[string]string{"LOCUST_AUTOQUIT": "-1", "LOCUST_CSV_FULL_HISTORY": "false", "LOCUST_MODE_MASTER": "false",
		"LOCUST_HTML": "", "LOCUST_CSV": ""}, value(RoleWorker, from))
	assert.Equal(t, map[string]string{"LOCUST_AUTOQUIT": "5", "LOCUST_PROCESSES": "0", "LOCUST_MODE_WORKER": "false"}, value(RoleMaster, from))
	prefixed := func(s *v2.LocustTestSpec) { from(s); s.Env.SecretRefs[0].Prefix = "APP_"; s.Env.Variables = nil }
	assert.Empty(t, value(RoleWorker, prefixed), "its variables have another prefix")

	test := builder.MakeShop(given)
	assert.Equal(t, 8*time.Second, *ConfigFor(&test.Spec).Load.RunTime, "the master's own")
	assert.Len(t, test.Spec.Env.Variables, 5, "the spec stays as it is")
}

// TestProcesses: a worker pod has as many workers as processes.
func TestProcesses(t *testing.T) {
	for name, row := range map[string]struct {
		edit edit
		want int32
	}{
		"none":        {func(*v2.LocustTestSpec) {}, 1},
		"command":     {func(s *v2.LocustTestSpec) { s.Worker.Command += " --processes 2" }, 2},
		"attached":    {func(s *v2.LocustTestSpec) { s.Worker.Command += " --processes=4" }, 4},
		"abbreviated": {func(s *v2.LocustTestSpec) { s.Worker.Command += " --proc 4" }, 4},
		"last wins": {func(s *v2.LocustTestSpec) {
			s.Worker.Command += " --processes 4"
			s.Worker.ExtraArgs = []string{"--processes", "3"}
		}, 3},
		"variable": {builder.Variables(corev1.EnvVar{Name: "LOCUST_PROCESSES", Value: "5"}), 5},
		"by reference": {func(s *v2.LocustTestSpec) {
			builder.Variables(corev1.EnvVar{Name: "N", Value: "6"})(s)
			s.Worker.Command += " --processes $(N)"
		}, 6},
		"unknown":       {func(s *v2.LocustTestSpec) { s.Worker.Command += " --processes $(N)" }, 1},
		"zero":          {func(s *v2.LocustTestSpec) { s.Worker.Command += " --processes 0" }, 1},
		"of the class":  {func(s *v2.LocustTestSpec) { s.Worker.Command += " -- --processes 7" }, 1},
		"master's only": {func(s *v2.LocustTestSpec) { s.Worker.Command += " --profile x" }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			test := builder.MakeShop(row.edit)
			assert.Equal(t, row.want, WorkerProcesses(&test.Spec))
			assert.Equal(t, 3*row.want, ExpectedWorkers(&test.Spec))
			assert.True(t, slices.Contains(container(masterOf(t, test)).Args, "--expect-workers="+map[int32]string{1: "3", 2: "6", 3: "9", 4: "12", 5: "15", 6: "18"}[row.want]))
		})
	}
	for _, bad := range []string{"-1", "65", "many"} {
		assert.EqualValues(t, 1, WorkerProcesses(&builder.MakeShop(func(s *v2.LocustTestSpec) { s.Worker.ExtraArgs = []string{"--processes=" + bad} }).Spec))
	}
}
