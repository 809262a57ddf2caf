package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
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
	for _, c := range t.Status.Conditions {
		if c.Type == v2.ConditionTypeWorkersConnected && c.Status == metav1.ConditionTrue {
			entry.connected = true
		}
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
	for _, c := range j.Status.Conditions {
		if master && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue && entry.ended.IsZero() {
			entry.ended = now
		}
	}
}

func (s *timelines) numbers() (withJobs, running, finals int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.withJobs, s.running, s.finals
}

// watch watches the tests and Jobs of a namespace until the context is done.
func (s *timelines) watch(ctx context.Context, c client.WithWatch, namespace string) error {
	if err := follow(ctx, c, namespace, &v2.LocustTestList{}, func(o client.Object) { s.recordTest(o.(*v2.LocustTest)) }); err != nil {
		return err
	}
	return follow(ctx, c, namespace, &batchv1.JobList{}, func(o client.Object) { s.recordJob(o.(*batchv1.Job)) })
}

// follow starts a watch and calls see in the background with each state of the objects of a kind. It restarts the watch at
// the last resourceVersion if the API server closes it.
func follow(ctx context.Context, c client.WithWatch, namespace string, list client.ObjectList, see func(client.Object)) error {
	var version string
	now := func() error {
		if err := c.List(ctx, list, client.InNamespace(namespace), client.Limit(1)); err != nil {
			return fmt.Errorf("list before a watch: %w", err)
		}
		version = list.GetResourceVersion()
		return nil
	}
	if err := now(); err != nil {
		return err
	}
	open := func() (watch.Interface, error) {
		return c.Watch(ctx, list, &client.ListOptions{Namespace: namespace, Raw: &metav1.ListOptions{ResourceVersion: version, AllowWatchBookmarks: true}})
	}
	w, err := open()
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	go func() {
		for ctx.Err() == nil {
			for event := range w.ResultChan() {
				object, ok := event.Object.(client.Object)
				if !ok {
					// The resourceVersion is too old, or another error occurred. Missed changes show in the table.
					time.Sleep(time.Second)
					_ = now()
					continue
				}
				version = object.GetResourceVersion()
				if event.Type == watch.Added || event.Type == watch.Modified {
					see(object)
				}
			}
			for ctx.Err() == nil {
				if w, err = open(); err == nil {
					break
				}
				time.Sleep(time.Second)
			}
		}
	}()
	return nil
}
