package resources

import (
	"testing"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// BenchmarkBuild measures building the objects of a new test, and decoding the run of an existing Job.
func BenchmarkBuild(b *testing.B) {
	test := builder.MakeShop()
	b.Run("service", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = BuildService(test)
		}
	})
	b.Run("master-job", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := BuildMasterJob(test, &PodDefaults{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("worker-job", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := BuildWorkerJob(test, &PodDefaults{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	job, err := BuildMasterJob(test, &PodDefaults{})
	if err != nil {
		b.Fatal(err)
	}
	b.Run("run-from-job", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := RunFromJob(job); err != nil {
				b.Fatal(err)
			}
		}
	})
}
