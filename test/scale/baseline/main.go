// Command baseline does the minimum that any operator has to do: it creates the three objects of each test, watches the
// tests and their Jobs, and patches the status once for each visible transition of the phase. It has no cache, no retries
// and no error handling. Its measurements are the cost of machine and API server, for comparison with the operator.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	batchv1 "k8s.io/api/batch/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// concurrency is the number of tests that are processed concurrently, the operator's default.
const concurrency = 10

func main() {
	namespace := flag.String("namespace", "", "namespace of the tests")
	agent := flag.String("user-agent", "baseline", "name in the audit log")
	flag.Parse() // --kubeconfig is controller-runtime's
	if err := run(*namespace, *agent); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(namespace, agent string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	c, _, err := framework.Connect(framework.NewScheme(), func(c *rest.Config) { c.QPS, c.UserAgent = -1, agent })
	if err != nil {
		return err
	}
	tests, err := c.Watch(ctx, &v2.LocustTestList{}, client.InNamespace(namespace))
	if err != nil {
		return fmt.Errorf("watch tests: %w", err)
	}
	jobs, err := c.Watch(ctx, &batchv1.JobList{}, client.InNamespace(namespace), client.MatchingLabels{resources.LabelComponent: string(resources.RoleMaster)})
	if err != nil {
		return fmt.Errorf("watch Jobs: %w", err)
	}
	f := &baseline{client: c, slots: make(chan struct{}, concurrency), tests: map[types.NamespacedName]*testState{}}
	fmt.Println("ready")
	for {
		select {
		case <-ctx.Done():
			return nil
		case event, open := <-tests.ResultChan():
			if !open {
				return fmt.Errorf("the watch of the tests ended")
			}
			if test, ok := event.Object.(*v2.LocustTest); ok && event.Type == watch.Added {
				f.do(ctx, client.ObjectKeyFromObject(test), func() (string, error) { return v2.PhasePending, f.create(ctx, test) })
			}
		case event, open := <-jobs.ResultChan():
			if !open {
				return fmt.Errorf("the watch of the Jobs ended")
			}
			if job, ok := event.Object.(*batchv1.Job); ok && event.Type != watch.Deleted {
				if phase := phaseOf(job); phase != "" {
					key := client.ObjectKey{Namespace: job.Namespace, Name: job.Labels[resources.LabelTestName]}
					f.do(ctx, key, func() (string, error) { return phase, nil })
				}
			}
		}
	}
}

// phaseOf derives the phase from the master Job.
func phaseOf(job *batchv1.Job) string {
	switch framework.FinishedAs(job) {
	case batchv1.JobComplete:
		return v2.PhaseSucceeded
	case batchv1.JobFailed:
		return v2.PhaseFailed
	}
	if job.Status.Active > 0 && job.Status.Ready != nil && *job.Status.Ready > 0 {
		return v2.PhaseRunning
	}
	return ""
}

type baseline struct {
	client client.WithWatch
	slots  chan struct{}
	tests  map[types.NamespacedName]*testState
}

// testState is the state of a test; the mutex serializes its steps.
type testState struct {
	mu    sync.Mutex
	phase string
}

// do runs a step of a test in the background, and patches the phase if it is new.
func (f *baseline) do(ctx context.Context, key types.NamespacedName, step func() (string, error)) {
	test := f.tests[key]
	if test == nil {
		test = &testState{}
		f.tests[key] = test
	}
	go func() {
		test.mu.Lock()
		defer test.mu.Unlock()
		f.slots <- struct{}{}
		defer func() { <-f.slots }()
		phase, err := step()
		if err == nil && phase != test.phase && test.phase != v2.PhaseSucceeded {
			test.phase = phase
			object := &v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
			err = f.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"status":{"phase":%q}}`, phase)))
		}
		if err != nil && ctx.Err() == nil {
			fmt.Fprintln(os.Stderr, key, err)
		}
	}()
}

func (f *baseline) create(ctx context.Context, test *v2.LocustTest) error {
	master, err := resources.BuildMasterJob(test, &resources.PodDefaults{})
	if err != nil {
		return err
	}
	worker, err := resources.BuildWorkerJob(test, &resources.PodDefaults{})
	if err != nil {
		return err
	}
	for _, object := range []client.Object{resources.BuildService(test), master, worker} {
		if err := f.client.Create(ctx, object); err != nil {
			return err
		}
	}
	return nil
}
