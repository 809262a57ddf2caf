package resources

import "testing"

// BenchmarkBuild is what a new test needs, and what the first look at a running one reads off its Jobs.
func BenchmarkBuild(b *testing.B) {
	test := makeTest()
	b.Run("service", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = BuildService(test)
		}
	})
	b.Run("master-job", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := BuildMasterJob(test); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("worker-job", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := BuildWorkerJob(test); err != nil {
				b.Fatal(err)
			}
		}
	})
	job, err := BuildMasterJob(test)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("run-of", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := RunFromJob(job); err != nil {
				b.Fatal(err)
			}
		}
	})
}
