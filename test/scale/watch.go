package main

import (
	"context"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// timeline holds the observations of one test, with the times when this program observed them.
type timeline struct {
	// created is the time of the create request, jobs of the second Job, ended of the end of the master Job, final of the
	// final status.
	created, jobs, ended, final time.Time
	master, worker              bool
	phases                      []string
	// connected is set once the status reported all workers as connected.
	connected bool
}

// timelines are those of all tests of a namespace.
type timelines struct {
	mu     sync.Mutex
	byName map[string]*timeline
	// withJobs, running and finals are the numbers of tests that have both Jobs, have run, and have finished.
	withJobs, running, finals int
}

func (s *timelines) get(name string) *timeline {
	entry := s.byName[name]
	if entry == nil {
		entry = &timeline{}
		s.byName[name] = entry
	}
	return entry
}

func (s *timelines) recordCreate(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.get(name).created = time.Now()
}

func (s *timelines) recordTest(t *v2.LocustTest) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.get(t.Name)
	if phase := t.Status.Phase; phase != "" && (len(entry.phases) == 0 || entry.phases[len(entry.phases)-1] != phase) {
		entry.phases = append(entry.phases, phase)
		if phase == v2.PhaseRunning {
			s.running++
		}
	}
	if meta.IsStatusConditionTrue(t.Status.Conditions, v2.ConditionTypeWorkersConnected) {
		entry.connected = true
	}
	if t.Status.IsTerminal() && entry.final.IsZero() {
		entry.final = now
		s.finals++
	}
}

func (s *timelines) recordJob(j *batchv1.Job) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.get(j.Labels[resources.LabelTestName])
	master := j.Labels[resources.LabelComponent] == string(resources.RoleMaster)
	entry.master, entry.worker = entry.master || master, entry.worker || !master
	if entry.master && entry.worker && entry.jobs.IsZero() {
		entry.jobs = now
		s.withJobs++
	}
	if master && framework.FinishedAs(j) != "" && entry.ended.IsZero() {
		entry.ended = now
	}
}

func (s *timelines) numbers() (withJobs, running, finals int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.withJobs, s.running, s.finals
}

// watch watches the tests and Jobs of a namespace until the context is done.
func (s *timelines) watch(ctx context.Context, c client.WithWatch, namespace string) error {
	see := func(event watch.Event) {
		if event.Type != watch.Added && event.Type != watch.Modified {
			return
		}
		switch object := event.Object.(type) {
		case *v2.LocustTest:
			s.recordTest(object)
		case *batchv1.Job:
			s.recordJob(object)
		}
	}
	if err := framework.Follow(ctx, c, &v2.LocustTestList{}, see, client.InNamespace(namespace)); err != nil {
		return err
	}
	return framework.Follow(ctx, c, &batchv1.JobList{}, see, client.InNamespace(namespace))
}
