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

// story is what was seen of one test, each moment as this program saw it.
type story struct {
	// asked is when its creation was sent, jobs when both Jobs had been seen, ended when its master Job was seen finished, told when
	// its status was seen to be final.
	asked, jobs, ended, told time.Time
	master, worker           bool
	phases                   []string
	// connected is true once all workers were counted.
	connected bool
}

// stories are those of all tests of a namespace.
type stories struct {
	mu     sync.Mutex
	byName map[string]*story
	// withJobs, running and finals are how many tests have both Jobs, have run, and are over.
	withJobs, running, finals int
}

func (s *stories) of(name string) *story {
	one := s.byName[name]
	if one == nil {
		one = &story{}
		s.byName[name] = one
	}
	return one
}

func (s *stories) asked(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of(name).asked = time.Now()
}

func (s *stories) test(t *v2.LocustTest) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of(t.Name)
	if phase := t.Status.Phase; phase != "" && (len(one.phases) == 0 || one.phases[len(one.phases)-1] != phase) {
		one.phases = append(one.phases, phase)
		if phase == v2.PhaseRunning {
			s.running++
		}
	}
	for _, c := range t.Status.Conditions {
		if c.Type == v2.ConditionTypeWorkersConnected && c.Status == metav1.ConditionTrue {
			one.connected = true
		}
	}
	if t.Status.IsTerminal() && one.told.IsZero() {
		one.told = now
		s.finals++
	}
}

func (s *stories) job(j *batchv1.Job) {
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	one := s.of(j.Labels[resources.LabelTestName])
	master := j.Labels[resources.LabelComponent] == string(resources.RoleMaster)
	one.master, one.worker = one.master || master, one.worker || !master
	if one.master && one.worker && one.jobs.IsZero() {
		one.jobs = now
		s.withJobs++
	}
	for _, c := range j.Status.Conditions {
		if master && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed) && c.Status == corev1.ConditionTrue && one.ended.IsZero() {
			one.ended = now
		}
	}
}

func (s *stories) numbers() (withJobs, running, finals int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.withJobs, s.running, s.finals
}

// watch follows the tests and Jobs of a namespace until the context ends.
func (s *stories) watch(ctx context.Context, c client.WithWatch, namespace string) error {
	if err := follow(ctx, c, namespace, &v2.LocustTestList{}, func(o client.Object) { s.test(o.(*v2.LocustTest)) }); err != nil {
		return err
	}
	return follow(ctx, c, namespace, &batchv1.JobList{}, func(o client.Object) { s.job(o.(*batchv1.Job)) })
}

// follow calls see with each state of the objects of a kind. When it returns, the watch stands. A watch that the API
// server ends is opened again where it was.
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
					// The version is too old, or worse. What happened in between is lost, and shows in the table.
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
