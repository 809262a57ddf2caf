//go:build olm

package olm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/operator-framework/api/pkg/operators/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework/builder"
)

// namespace creates a namespace with a locustfile.
func namespace(t *testing.T) string {
	t.Helper()
	name := "olm-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())) + fmt.Sprintf("-%d", time.Now().Unix()%100000)
	ns := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	create(t, ns)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := run(t, "", "kubectl", "-n", name, "get", "locusttests,jobs,pods", "-o", "wide")
			t.Log(out)
		}
		require.NoError(t, k8s.Delete(context.Background(), ns))
	})
	create(t, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: name, Name: "files"},
		Data: map[string]string{"locustfile.py": framework.GoodLocustfile}})
	return name
}

// load creates a LocustTest. It waits until the API server serves the kind, because the CRD may be new.
func load(t *testing.T, ns, name, runTime string, change ...func(*v2.LocustTestSpec)) {
	t.Helper()
	test := builder.MakeLocustTest(name).Namespace(ns).Image(setting(t, "LOCUST_IMAGE")).
		Args("--users 4 --spawn-rate 4 --run-time " + runTime).Autoquit(1).Files("files").Spec(change...).Obj()
	var err error
	eventually(t, name+" can be created", func() bool {
		err = k8s.Create(context.Background(), test)
		return !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err)
	})
	require.NoError(t, err)
}

func untilPhase(t *testing.T, ns, name, phase string) (test *v2.LocustTest) {
	t.Helper()
	eventually(t, name+" is "+phase, func() bool {
		test = read[v2.LocustTest](t, ns, name)
		return test.Status.Phase == phase
	})
	return test
}

// untouched returns the state of a namespace that an upgrade must not change: Jobs, pods, Services, and restart counts of
// containers.
func untouched(t *testing.T, ns string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, kind := range []client.ObjectList{&batchv1.JobList{}, &corev1.PodList{}, &corev1.ServiceList{}} {
		list(t, kind, client.InNamespace(ns))
		require.NoError(t, meta.EachListItem(kind, func(object runtime.Object) error {
			state := string(object.(client.Object).GetUID())
			if pod, isPod := object.(*corev1.Pod); isPod {
				for _, c := range pod.Status.ContainerStatuses {
					state += fmt.Sprintf(" restarts %d", c.RestartCount)
				}
			}
			all[fmt.Sprintf("%T/%s", object, object.(client.Object).GetName())] = state
			return nil
		}))
	}
	require.NotEmpty(t, all)
	return all
}

// condition returns status and reason of a condition.
func condition(test *v2.LocustTest, kind string) string {
	c := framework.Condition(&test.Status, kind)
	return string(c.Status) + "/" + c.Reason
}

// TestSubscription installs and upgrades with a Subscription while tests are Running, Pending and Succeeded, and checks that
// the upgrade does not affect them.
func TestSubscription(t *testing.T) {
	old, next := setting(t, "OLM_OLD"), setting(t, "OLM_NEW")
	for _, approval := range []v1alpha1.Approval{v1alpha1.ApprovalManual, v1alpha1.ApprovalAutomatic} {
		t.Run(string(approval), func(t *testing.T) {
			catalog(t, setting(t, "OLM_OLD_CATALOG"))
			subscribe(t, approval, old)
			t.Cleanup(func() { uninstall(t) })
			if approval == v1alpha1.ApprovalManual {
				approve(t, old)
			}
			installed(t, old, setting(t, "OLM_OLD_IMAGE"))

			ns := namespace(t)
			load(t, ns, "done", "2s")
			load(t, ns, "waits", "2s", func(spec *v2.LocustTestSpec) {
				spec.Scheduling = &v2.SchedulingConfig{NodeSelector: map[string]string{"olm": "no-such-node"}}
			})
			done := untilPhase(t, ns, "done", "Succeeded")
			waits := untilPhase(t, ns, "waits", "Pending")
			load(t, ns, "runs", "100s")
			untilPhase(t, ns, "runs", "Running")
			var runs *v2.LocustTest
			eventually(t, "all workers are connected", func() bool {
				runs = read[v2.LocustTest](t, ns, "runs")
				return condition(runs, "WorkersConnected") == "True/AllWorkersConnected"
			})
			eventually(t, "no pod is terminating", func() bool {
				var pods corev1.PodList
				list(t, &pods, client.InNamespace(ns))
				return !slices.ContainsFunc(pods.Items, func(pod corev1.Pod) bool { return pod.DeletionTimestamp != nil })
			})
			before := untouched(t, ns)

			catalog(t, setting(t, "OLM_NEW_CATALOG"))
			if approval == v1alpha1.ApprovalManual {
				approve(t, next)
			}
			installed(t, next, setting(t, "OLM_NEW_IMAGE"))

			assert.Equal(t, before, untouched(t, ns), "no Job is recreated, no pod is restarted")
			assert.Equal(t, done, read[v2.LocustTest](t, ns, "done"), "the finished test is unchanged, including resourceVersion")
			now := read[v2.LocustTest](t, ns, "waits")
			assert.Equal(t, "Pending", now.Status.Phase)
			assert.Equal(t, waits.Status.ObservedGeneration, now.Status.ObservedGeneration)
			now = read[v2.LocustTest](t, ns, "runs")
			assert.Equal(t, "Running", now.Status.Phase)
			assert.Equal(t, "True/AllWorkersConnected", condition(now, "WorkersConnected"))
			assert.Equal(t, runs.Status.StartTime, now.Status.StartTime)
			// OLM creates a new certificate for each version; the kubelet updates it in the pod with a delay.
			eventually(t, "v1 is converted by the new version", func() bool {
				return k8s.Get(t.Context(), client.ObjectKeyFromObject(done), &v1.LocustTest{}) == nil
			})
			assert.Equal(t, done.Status, read[v1.LocustTest](t, ns, "done").Status)

			final := untilPhase(t, ns, "runs", "Succeeded")
			require.NotNil(t, final.Status.TestResult)
			assert.True(t, final.Status.TestResult.Final)
			// 4 users with a request every 0.2 s, for 100 s: nearly 2000 on an idle machine.
			assert.Greater(t, final.Status.TestResult.TotalRequests, int64(1400), "requests of the whole run")
			assert.Zero(t, final.Status.TestResult.FailedRequests)
			assert.Equal(t, "2/2", final.Status.Workers)
			assert.Equal(t, runs.Status.StartTime, final.Status.StartTime)

			// Without the operator, tests and their namespace can be deleted.
			uninstall(t)
			kubectl(t, "-n", ns, "delete", "locusttest", "done", "waits", "--timeout=30s")
			assert.Empty(t, read[v2.LocustTest](t, ns, "done"))
			crd := read[apiextensionsv1.CustomResourceDefinition](t, "", "locusttests.locust.io")
			assert.NotEmpty(t, crd, "the CRD and the tests are kept until the CRD is deleted")
		})
	}
}
