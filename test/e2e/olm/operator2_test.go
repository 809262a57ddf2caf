//go:build olm

package olm

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/operator2"
)

// takeover is a namespace with tests of the 2.x operator.
type takeover struct {
	namespace     string
	done, running *v2.LocustTest
	// objects is the state of the running test's objects, see untouched.
	objects map[string]string
}

// leaveByOperator2 creates a finished test and one that runs for a time, as the 2.x operator leaves them.
func leaveByOperator2(t *testing.T, runTime string) *takeover {
	t.Helper()
	o := &takeover{namespace: namespace(t)}
	leave := func(name, phase string) *v2.LocustTest {
		test := builder.MakeLocustTest(name).Namespace(o.namespace).Image(setting(t, "LOCUST_IMAGE")).
			Args("--users 4 --spawn-rate 4 --run-time " + runTime).Autoquit(1).Files("files").Obj()
		test.Finalizers = []string{operator2.Finalizer}
		var err error
		eventually(t, name+" can be created", func() bool {
			err = k8s.Create(context.Background(), test)
			return !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err)
		})
		require.NoError(t, err)
		test.Status = operator2.Status(test, phase)
		require.NoError(t, k8s.Status().Update(context.Background(), test))
		return test
	}
	o.done, o.running = leave("done", v2.PhaseSucceeded), leave("running", v2.PhaseRunning)
	for _, object := range operator2.Objects(o.running) {
		create(t, object)
	}
	eventually(t, "the pods of the running test are ready", func() bool {
		var jobs batchv1.JobList
		list(t, &jobs, client.InNamespace(o.namespace))
		ready := int32(0)
		for i := range jobs.Items {
			if n := jobs.Items[i].Status.Ready; n != nil {
				ready += *n
			}
		}
		return ready == 3
	})
	o.objects = untouched(t, o.namespace)
	return o
}

// requireTakenOver checks that the running test continues to its end in the same pods, that the finished one is left alone,
// and that both can be deleted.
func (o *takeover) requireTakenOver(t *testing.T) {
	t.Helper()
	eventually(t, "the running test has live numbers", func() bool {
		status := read[v2.LocustTest](t, o.namespace, "running").Status
		return status.TestResult != nil && status.TestResult.TotalRequests > 0
	})
	running := untilPhase(t, o.namespace, "running", v2.PhaseSucceeded)
	assert.Equal(t, o.objects, untouched(t, o.namespace), "the same Jobs, pods and Services, none was restarted or added")
	assert.Equal(t, o.running.Status.StartTime.UTC(), running.Status.StartTime.UTC())
	assert.Equal(t, "2/2", running.Status.Workers)
	assert.Equal(t, o.done.Status, read[v2.LocustTest](t, o.namespace, "done").Status, "the finished test is left alone")
	for _, name := range []string{"done", "running"} {
		kubectl(t, "-n", o.namespace, "delete", "locusttest", name, "--timeout=2m")
	}
}
