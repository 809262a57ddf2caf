//go:build olm

package olm

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
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

// crdOfOperator2 returns the CRD of this operator without what the 2.x operator does not have: fields, columns, and the status of
// v1.
func crdOfOperator2(t *testing.T, conversion *apiextensionsv1.CustomResourceConversion) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "..", "..", "config", "crd", "bases", "locust.io_locusttests.yaml"))
	require.NoError(t, err)
	var crd apiextensionsv1.CustomResourceDefinition
	require.NoError(t, yaml.UnmarshalStrict(raw, &crd))
	crd.Spec.Conversion = conversion
	remove := func(schema *apiextensionsv1.JSONSchemaProps, names ...string) {
		t.Helper()
		for _, name := range names {
			require.Contains(t, schema.Properties, name)
			delete(schema.Properties, name)
		}
	}
	for i := range crd.Spec.Versions {
		version := &crd.Spec.Versions[i]
		version.AdditionalPrinterColumns = []apiextensionsv1.CustomResourceColumnDefinition{
			{Name: "Phase", Type: "string", JSONPath: ".status.phase"}, {Name: "Connected", Type: "integer", JSONPath: ".status.connectedWorkers"}}
		schema := version.Schema.OpenAPIV3Schema
		if version.Name == v1.GroupVersion.Version {
			remove(schema, "status")
			continue
		}
		status, spec := schema.Properties["status"], schema.Properties["spec"]
		remove(&status, "connectedWorkersSource", "masterPod", "progress", "testResult", "workers")
		master, files := spec.Properties["master"], spec.Properties["testFiles"]
		remove(&master, "reporter")
		remove(&files, "inline")
		files.XValidations = nil
		remove(&spec, "loadGuarantee", "successCriteria")
		spec.Properties["testFiles"] = files
	}
	text, err := yaml.Marshal(crd)
	require.NoError(t, err)
	return string(text)
}

// leaveByOperator2 creates a finished test and one that runs for a time, as the 2.x operator leaves them.
func leaveByOperator2(t *testing.T, runTime string) *takeover {
	t.Helper()
	o := &takeover{namespace: namespace(t)}
	leave := func(name, runTime, phase string) *v2.LocustTest {
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
	// jobs waits until a number of the Jobs' pods is in a state.
	jobs := func(what string, pods int32, in func(*batchv1.JobStatus) int32) {
		t.Helper()
		eventually(t, what, func() bool {
			var all batchv1.JobList
			list(t, &all, client.InNamespace(o.namespace))
			n := int32(0)
			for i := range all.Items {
				n += in(&all.Items[i].Status)
			}
			return n == pods
		})
	}
	o.done = leave("done", "2s", v2.PhaseSucceeded)
	for _, object := range operator2.Objects(o.done) {
		create(t, object)
	}
	jobs("the finished test has ended", 3, func(s *batchv1.JobStatus) int32 { return s.Succeeded })
	o.running = leave("running", runTime, v2.PhaseRunning)
	for _, object := range operator2.Objects(o.running) {
		create(t, object)
	}
	jobs("the pods of the running test are ready", 3, func(s *batchv1.JobStatus) int32 { return ptr.Deref(s.Ready, 0) })
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
