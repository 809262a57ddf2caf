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

// Locustfiles that need no target.
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

// subject is a LocustTest under observation, with every version of it that was seen, oldest first.
type subject struct {
	s       *session
	test    *v2.LocustTest
	mu      sync.Mutex
	history []*v2.LocustTest
	changed chan struct{}
}

// start creates a LocustTest with its locustfile, and watches it.
func (s *session) start(ctx context.Context, locustfile string, change ...func(*v2.LocustTestSpec)) *subject {
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

// observe creates a test, and watches it from its first version on.
func (s *session) observe(ctx context.Context, test *v2.LocustTest) *subject {
	var before v2.LocustTestList
	s.must(s.List(ctx, &before, client.InNamespace(s.namespace)), "list LocustTests")
	events, err := s.Watch(ctx, &v2.LocustTestList{}, client.InNamespace(s.namespace),
		&client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: before.ResourceVersion, FieldSelector: "metadata.name=" + test.Name}})
	s.must(err, "watch LocustTests")
	s.must(s.Create(ctx, test), "create a LocustTest")
	sub := &subject{s: s, test: test, changed: make(chan struct{})}
	s.cleanup = append(s.cleanup, func() {
		events.Stop()
		_ = s.Delete(context.Background(), test)
	})
	go func() {
		for event := range events.ResultChan() {
			if seen, ok := event.Object.(*v2.LocustTest); ok && event.Type != watch.Deleted {
				sub.see(seen)
			}
		}
	}()
	return sub
}

func (sub *subject) see(test *v2.LocustTest) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.history = append(sub.history, test)
	close(sub.changed)
	sub.changed = make(chan struct{})
}

// versions are all that were seen so far.
func (sub *subject) versions() []*v2.LocustTest {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	return append([]*v2.LocustTest(nil), sub.history...)
}

// last is the newest status that was seen.
func (sub *subject) last() *v2.LocustTestStatus {
	all := sub.versions()
	if len(all) == 0 {
		return &v2.LocustTestStatus{}
	}
	return &all[len(all)-1].Status
}

// until waits for a status, past ones included, and returns the first.
func (sub *subject) until(ctx context.Context, what string, is func(*v2.LocustTestStatus) bool) *v2.LocustTestStatus {
	timeout := time.After(sub.s.limit)
	next := 0
	for {
		sub.mu.Lock()
		history, changed := sub.history, sub.changed
		sub.mu.Unlock()
		for ; next < len(history); next++ {
			if is(&history[next].Status) {
				return &history[next].Status
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			sub.s.must(ctx.Err(), "wait for "+what)
		case <-timeout:
			sub.s.require(false, fmt.Sprintf("%s within %s", what, sub.s.limit), describe(sub.last()),
				"look at the operator's log; raise --time-limit when the cluster is slow, and give an image that it can pull by --locust-image")
		}
	}
}

func (sub *subject) untilPhase(ctx context.Context, phase string) *v2.LocustTestStatus {
	return sub.until(ctx, "phase "+phase, func(s *v2.LocustTestStatus) bool {
		sub.s.require(s.Phase == phase || !s.IsTerminal(), "phase "+phase, describe(s), "look at the message of TestCompleted")
		return s.Phase == phase
	})
}

func condition(s *v2.LocustTestStatus, kind string) metav1.Condition {
	if c := meta.FindStatusCondition(s.Conditions, kind); c != nil {
		return *c
	}
	return metav1.Condition{Type: kind, Status: "absent"}
}

// describe is a status in one line.
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
