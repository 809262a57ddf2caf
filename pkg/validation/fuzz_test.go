package validation

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// FuzzBuild: any input is either invalid or yields objects whose arguments contain the operator's flags.
func FuzzBuild(f *testing.F) {
	for _, seed := range []struct{ name, master, worker, extra, path string }{
		{"test", "--locustfile /lotest/src/test.py", "-f a.py", "--tags", "/data"},
		{"a.b", `--tags "a b" 'c'`, `-f a\ b`, "", "/lotest/src/"},
		{"", "", " ", "\x00", "../x"},
		{"ü", "\"", "'", "--headless", "/"},
		{"x", "\\", "a\\\nb", "--autoquit=1", "/a:b"},
		{"y", "\xff\xfe", "\"\\", "--", "/opt/locust/lib/.."},
		{"z", "-f a.py", "-f a.py", "-f$(A).py", "/locust.io"},
	} {
		f.Add(seed.name, seed.master, seed.worker, seed.extra, seed.path)
	}
	f.Fuzz(func(t *testing.T, name, master, worker, extra, path string) {
		test := builder.MakeShop(builder.TestFiles, userMount(path, ""), secretMount("s", path+"/s"), func(s *v2.LocustTestSpec) {
			s.Master.Command, s.Worker.Command = master, worker
			s.Master.ExtraArgs, s.Worker.ExtraArgs = []string{extra}, []string{extra}
			s.Master.Labels = map[string]string{extra: path}
		})
		test.Name = name
		before := test.DeepCopy()

		resources.BuildService(test)
		masterJob, masterErr := resources.BuildMasterJob(test, &resources.PodDefaults{})
		workerJob, workerErr := resources.BuildWorkerJob(test, &resources.PodDefaults{})
		errs := Validate(test)

		assert.Equal(t, before, test, "the input is never changed")
		if len(errs) > 0 {
			return
		}
		require.NoError(t, masterErr)
		require.NoError(t, workerErr)
		assert.Contains(t, masterJob.Spec.Template.Spec.Containers[0].Args, "--master")
		assert.Contains(t, workerJob.Spec.Template.Spec.Containers[0].Args, "--master-host="+resources.MasterName(name))
		last := masterJob.Spec.Template.Spec.Containers[0].Args[len(masterJob.Spec.Template.Spec.Containers[0].Args)-1]
		if resources.ConfigFor(&test.Spec).Reporter {
			last = strings.Replace(last, "/locust.io/locust-reporter.py,", "", 1)
		}
		assert.Equal(t, strings.ReplaceAll(extra, "$", "$$"), last, "extraArgs come last, unchanged")
	})
}
