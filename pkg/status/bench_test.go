package status

import (
	"fmt"
	"testing"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// scaleWorkers sets the number of workers of a running fixture.
func (s *fixture) scaleWorkers(workers int) *fixture {
	n := int32(workers)
	s.obs.Test.Spec.Worker.Replicas, s.obs.Run.Spec.Worker.Replicas = n, n
	s.obs.WorkerJob.Spec.Completions, s.obs.WorkerJob.Spec.Parallelism = &n, &n
	s.obs.WorkerJob.Status.Active, s.obs.WorkerJob.Status.Ready = n, &n
	for i := 3; i < workers; i++ {
		s.pod(resources.RoleWorker, i)
		s.runPod(s.worker(i), t0.Add(10*time.Second))
	}
	return s
}

// BenchmarkDerive measures the computation of a reconcile: plan, derivation and comparison.
func BenchmarkDerive(b *testing.B) {
	for _, workers := range []int{5, 20, 100} {
		for name, s := range map[string]*fixture{"running": running(b).scaleWorkers(workers), "starting": created(b)} {
			if name == "starting" && workers != 5 {
				continue
			}
			b.Run(fmt.Sprintf("%s/workers=%d", name, workers), func(b *testing.B) {
				now := t0.Add(20 * time.Second)
				b.ReportAllocs()
				for b.Loop() {
					_ = PlanFor(&s.prev, &s.obs, settings, now)
					derived := Derive(s.prev, s.obs, settings, now)
					_ = Compare(&s.prev, &derived.Status)
				}
			})
		}
	}
}
