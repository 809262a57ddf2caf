package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// The locustfiles need no target.
const (
	goodLocustfile = `
from locust import User, constant, task
class Quiet(User):
    wait_time = constant(0.2)
    @task
    def ask(self):
        self.environment.events.request.fire(request_type="GET", name="/", response_time=5, response_length=0, context={}, exception=None)
`
	failingLocustfile = `
from locust import User, constant, task
class Poor(User):
    wait_time = constant(0.2)
    @task
    def ask(self):
        self.environment.events.request.fire(request_type="GET", name="/", response_time=5, response_length=0, context={}, exception=OSError("on purpose"))
`
)

// observedTest is a LocustTest with all its versions that the watch delivered, oldest first.
type observedTest struct {
	s       *ruleRun
	test    *v2.LocustTest
	mu      sync.Mutex
	history []*v2.LocustTest
	changed chan struct{}
}

// start creates a LocustTest with its locustfile, and watches it.
func (s *ruleRun) start(ctx context.Context, locustfile string, change ...func(*v2.LocustTestSpec)) *observedTest {
	files := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: "scorecard-"}, Data: map[string]string{"locustfile.py": locustfile}}
	s.must(s.Create(ctx, files), "create a ConfigMap")
	s.cleanup = append(s.cleanup, func() { _ = s.Delete(context.Background(), files) })
	test := &v2.LocustTest{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: files.Name},
		Spec: v2.LocustTestSpec{
			Image: s.image,
			Master: v2.MasterSpec{
				Command:  "--locustfile /lotest/src/locustfile.py --users 2 --spawn-rate 2 --run-time 5s",
				Autoquit: &v2.AutoquitConfig{Timeout: new(int32(1))},
			},
			Worker:    v2.WorkerSpec{Command: "--locustfile /lotest/src/locustfile.py", Replicas: 2},
			TestFiles: &v2.TestFilesConfig{ConfigMapRef: files.Name},
		},
	}
	for _, c := range change {
		c(&test.Spec)
	}
	return s.observe(ctx, test)
}

// observe creates a test and watches it from its first version on.
func (s *ruleRun) observe(ctx context.Context, test *v2.LocustTest) *observedTest {
	var before v2.LocustTestList
	s.must(s.List(ctx, &before, client.InNamespace(s.namespace)), "list LocustTests")
	events, err := s.Watch(ctx, &v2.LocustTestList{}, client.InNamespace(s.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: before.ResourceVersion, FieldSelector: "metadata.name=" + test.Name}})
	s.must(err, "watch LocustTests")
	s.must(s.Create(ctx, test), "create a LocustTest")
	observed := &observedTest{s: s, test: test, changed: make(chan struct{})}
	s.cleanup = append(s.cleanup, func() {
		events.Stop()
		_ = s.Delete(context.Background(), test)
	})
	go func() {
		for event := range events.ResultChan() {
			if seen, ok := event.Object.(*v2.LocustTest); ok && event.Type != watch.Deleted {
				observed.record(seen)
			}
		}
	}()
	return observed
}

func (observed *observedTest) record(test *v2.LocustTest) {
	observed.mu.Lock()
	defer observed.mu.Unlock()
	observed.history = append(observed.history, test)
	close(observed.changed)
	observed.changed = make(chan struct{})
}

// versions returns the versions observed so far, oldest first.
func (observed *observedTest) versions() []*v2.LocustTest {
	observed.mu.Lock()
	defer observed.mu.Unlock()
	return append([]*v2.LocustTest(nil), observed.history...)
}

// last returns the newest observed status.
func (observed *observedTest) last() *v2.LocustTestStatus {
	all := observed.versions()
	if len(all) == 0 {
		return &v2.LocustTestStatus{}
	}
	return &all[len(all)-1].Status
}

// until returns the first status, past ones included, that satisfies the predicate. It waits for it if necessary.
func (observed *observedTest) until(ctx context.Context, what string, is func(*v2.LocustTestStatus) bool) *v2.LocustTestStatus {
	timeout := time.After(observed.s.limit)
	next := 0
	for {
		observed.mu.Lock()
		history, changed := observed.history, observed.changed
		observed.mu.Unlock()
		for ; next < len(history); next++ {
			if is(&history[next].Status) {
				return &history[next].Status
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			observed.s.must(ctx.Err(), "wait for "+what)
		case <-timeout:
			observed.s.require(false, fmt.Sprintf("%s within %s", what, observed.s.limit), describe(observed.last()),
				"check the operator's log; raise --time-limit on a slow cluster, and set --locust-image to an image that the cluster can pull")
		}
	}
}

func (observed *observedTest) untilPhase(ctx context.Context, phase string) *v2.LocustTestStatus {
	return observed.until(ctx, "phase "+phase, func(s *v2.LocustTestStatus) bool {
		observed.s.require(s.Phase == phase || !s.IsTerminal(), "phase "+phase, describe(s), "check the message of TestCompleted")
		return s.Phase == phase
	})
}

func condition(s *v2.LocustTestStatus, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(s.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{Type: kind, Status: "absent"}
}

// describe formats a status in one line.
func describe(s *v2.LocustTestStatus) string {
	if s.Phase == "" && len(s.Conditions) == 0 {
		return "no status"
	}
	parts := []string{"phase " + s.Phase}
	for _, c := range s.Conditions {
		parts = append(parts, fmt.Sprintf("%s=%s/%s (%s)", c.Type, c.Status, c.Reason, c.Message))
	}
	return strings.Join(parts, ", ")
}
