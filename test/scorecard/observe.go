package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// observedTest is a LocustTest with all its versions that the watch delivered, oldest first.
type observedTest struct {
	s       *ruleRun
	test    *v2.LocustTest
	watcher *framework.Watcher
}

// start creates a LocustTest with its locustfile, and watches it.
func (s *ruleRun) start(ctx context.Context, locustfile string, change ...func(*v2.LocustTestSpec)) *observedTest {
	files := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, GenerateName: "scorecard-"}, Data: map[string]string{"locustfile.py": locustfile}}
	s.must(s.Create(ctx, files), "create a ConfigMap")
	s.cleanup = append(s.cleanup, func() { _ = s.Delete(context.Background(), files) })
	return s.observe(ctx, builder.MakeLocustTest(files.Name).Namespace(s.namespace).Image(s.image).
		Args("--users 2 --spawn-rate 2 --run-time 5s").Autoquit(1).Files(files.Name).Spec(change...).Obj())
}

// observe creates a test and watches it from its first version on.
func (s *ruleRun) observe(ctx context.Context, test *v2.LocustTest) *observedTest {
	watching, stop := context.WithCancel(ctx)
	s.cleanup = append(s.cleanup, stop)
	name := client.MatchingFields{"metadata.name": test.Name}
	watcher, err := framework.Watch(watching, s, client.InNamespace(s.namespace), name)
	s.must(err, "watch LocustTests")
	s.must(s.Create(ctx, test), "create a LocustTest")
	s.cleanup = append(s.cleanup, func() { _ = s.Delete(context.Background(), test) })
	return &observedTest{s: s, test: test, watcher: watcher}
}

// versions returns the versions observed so far, oldest first.
func (observed *observedTest) versions() []*v2.LocustTest {
	var all []*v2.LocustTest
	for _, observation := range observed.watcher.History(observed.test.UID) {
		all = append(all, observation.Test)
	}
	return all
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
	waiting, cancel := context.WithTimeout(ctx, observed.s.limit)
	defer cancel()
	seen, err := observed.watcher.Until(waiting, observed.test.UID, func(test *v2.LocustTest) bool { return is(&test.Status) })
	if err != nil {
		observed.s.must(ctx.Err(), "wait for "+what)
		observed.s.require(false, fmt.Sprintf("%s within %s", what, observed.s.limit), describe(observed.last()),
			"check the operator's log; raise --time-limit on a slow cluster, and set --locust-image to an image that the cluster can pull")
	}
	return &seen.Status
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

var describe = framework.Describe
