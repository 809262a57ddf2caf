package resources

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// FuzzBuild: any input yields either an error or objects whose arguments contain the operator's flags.
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
		test := makeTest(files, userMount(path, ""), secretMount("s", path+"/s"), func(s *v2.LocustTestSpec) {
			s.Master.Command, s.Worker.Command = master, worker
			s.Master.ExtraArgs, s.Worker.ExtraArgs = []string{extra}, []string{extra}
			s.Master.Labels = map[string]string{extra: path}
		})
		test.Name = name
		before := test.DeepCopy()

		BuildService(test)
		masterJob, masterErr := BuildMasterJob(test)
		workerJob, workerErr := BuildWorkerJob(test)

		assert.Equal(t, before, test, "the input is never changed")
		assert.Equal(t, masterErr, workerErr, "both Jobs have the same error")
		if masterErr != nil {
			assert.NotEmpty(t, Validate(test))
			return
		}
		assert.Contains(t, container(masterJob).Args, "--master")
		assert.Contains(t, container(workerJob).Args, "--master-host="+MasterName(name))
		last := container(masterJob).Args[len(container(masterJob).Args)-1]
		if ConfigFor(&test.Spec).Reporter {
			last = strings.Replace(last, reporterPath+",", "", 1)
		}
		assert.Equal(t, strings.ReplaceAll(extra, "$", "$$"), last, "extraArgs come last, unchanged")
	})
}
