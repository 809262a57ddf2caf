//go:build olm

package olm

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const locustfile = `
from locust import User, constant, task
class Quiet(User):
    wait_time = constant(0.2)
    @task
    def ask(self):
        self.environment.events.request.fire(request_type="GET", name="/", response_time=5, response_length=0, context={}, exception=None)
`

// namespace creates a namespace with a locustfile.
func namespace(t *testing.T) string {
	t.Helper()
	name := "olm-" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name())) + fmt.Sprintf("-%d", time.Now().Unix()%100000)
	kubectl(t, "create", "namespace", name)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := run(t, "", "kubectl", "-n", name, "get", "locusttests,jobs,pods", "-o", "wide")
			t.Log(out)
		}
		kubectl(t, "delete", "namespace", name, "--wait=false")
	})
	kubectl(t, "-n", name, "create", "configmap", "files", "--from-literal=locustfile.py="+locustfile)
	return name
}

// load creates a LocustTest. extra is additional YAML of its spec.
func load(t *testing.T, ns, name, runTime, extra string) {
	t.Helper()
	apply(t, fmt.Sprintf(`apiVersion: locust.io/v2
kind: LocustTest
metadata: {name: %s, namespace: %s}
spec:
  image: %s
  master:
    command: --locustfile /lotest/src/locustfile.py --users 4 --spawn-rate 4 --run-time %s
    autoquit: {timeout: 1}
  worker: {command: --locustfile /lotest/src/locustfile.py, replicas: 2}
  testFiles: {configMapRef: files}
%s`, name, ns, setting(t, "LOCUST_IMAGE"), runTime, extra))
}

func untilPhase(t *testing.T, ns, name, phase string) map[string]any {
	t.Helper()
	var test map[string]any
	eventually(t, name+" is "+phase, func() bool {
		test = get(t, "-n", ns, "locusttest", name)
		return text(test, "status", "phase") == phase
	})
	return test
}

// untouched returns the state of a namespace that an upgrade must not change: Jobs, pods, Services, and restart counts of
// containers.
func untouched(t *testing.T, ns string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, kind := range []string{"jobs", "pods", "services"} {
		for _, object := range items(get(t, "-n", ns, kind)) {
			fact := text(object, "metadata", "uid")
			statuses, _ := at(object, "status", "containerStatuses").([]any)
			for _, c := range statuses {
				fact += fmt.Sprintf(" restarts %v", at(c, "restartCount"))
			}
			all[kind+"/"+text(object, "metadata", "name")] = fact
		}
	}
	require.NotEmpty(t, all)
	return all
}

// condition returns status and reason of a condition.
func condition(test map[string]any, kind string) string {
	conditions, _ := at(test, "status", "conditions").([]any)
	for _, c := range conditions {
		if text(c, "type") == kind {
			return text(c, "status") + "/" + text(c, "reason")
		}
	}
	return ""
}

// TestSubscription installs and upgrades with a Subscription while tests are Running, Pending and Succeeded, and checks that
// the upgrade does not affect them.
func TestSubscription(t *testing.T) {
	old, next := setting(t, "OLM_OLD"), setting(t, "OLM_NEW")
	for _, approval := range []string{"Manual", "Automatic"} {
		t.Run(approval, func(t *testing.T) {
			catalog(t, setting(t, "OLM_OLD_CATALOG"))
			subscribe(t, approval, old)
			t.Cleanup(func() { uninstall(t) })
			if approval == "Manual" {
				approve(t, old)
			}
			installed(t, old, setting(t, "OLM_OLD_IMAGE"))

			ns := namespace(t)
			load(t, ns, "done", "2s", "")
			load(t, ns, "waits", "2s", "  scheduling: {nodeSelector: {olm: no-such-node}}\n")
			done := untilPhase(t, ns, "done", "Succeeded")
			waits := untilPhase(t, ns, "waits", "Pending")
			load(t, ns, "runs", "100s", "")
			untilPhase(t, ns, "runs", "Running")
			var runs map[string]any
			eventually(t, "all workers are connected", func() bool {
				runs = get(t, "-n", ns, "locusttest", "runs")
				return condition(runs, "WorkersConnected") == "True/AllWorkersConnected"
			})
			eventually(t, "no pod is terminating", func() bool {
				for _, pod := range items(get(t, "-n", ns, "pods")) {
					if at(pod, "metadata", "deletionTimestamp") != nil {
						return false
					}
				}
				return true
			})
			before := untouched(t, ns)

			catalog(t, setting(t, "OLM_NEW_CATALOG"))
			if approval == "Manual" {
				approve(t, next)
			}
			installed(t, next, setting(t, "OLM_NEW_IMAGE"))

			assert.Equal(t, before, untouched(t, ns), "no Job is recreated, no pod is restarted")
			assert.Equal(t, done, get(t, "-n", ns, "locusttest", "done"), "the finished test is unchanged, including resourceVersion")
			now := get(t, "-n", ns, "locusttest", "waits")
			assert.Equal(t, "Pending", text(now, "status", "phase"))
			assert.Equal(t, at(waits, "status", "observedGeneration"), at(now, "status", "observedGeneration"))
			now = get(t, "-n", ns, "locusttest", "runs")
			assert.Equal(t, "Running", text(now, "status", "phase"))
			assert.Equal(t, "True/AllWorkersConnected", condition(now, "WorkersConnected"))
			assert.Equal(t, at(runs, "status", "startTime"), at(now, "status", "startTime"))
			// OLM creates a new certificate for each version; the kubelet updates it in the pod with a delay.
			eventually(t, "v1 is converted by the new version", func() bool {
				_, err := run(t, "", "kubectl", "-n", ns, "get", "locusttests.v1.locust.io", "done")
				return err == nil
			})
			v1 := get(t, "-n", ns, "locusttests.v1.locust.io", "done")
			assert.Equal(t, at(done, "status"), at(v1, "status"))

			final := untilPhase(t, ns, "runs", "Succeeded")
			assert.Equal(t, true, at(final, "status", "testResult", "final"))
			// 4 users with a request every 0.2 s, for 100 s: nearly 2000 on an idle machine.
			assert.Greater(t, at(final, "status", "testResult", "totalRequests"), float64(1400), "requests of the whole run")
			assert.Zero(t, at(final, "status", "testResult", "failedRequests"))
			assert.Equal(t, "2/2", text(final, "status", "workers"))
			assert.Equal(t, at(runs, "status", "startTime"), at(final, "status", "startTime"))

			// Without the operator, tests and their namespace can be deleted.
			uninstall(t)
			kubectl(t, "-n", ns, "delete", "locusttest", "done", "waits", "--timeout=30s")
			assert.Empty(t, get(t, "-n", ns, "locusttest", "done"))
			assert.NotEmpty(t, get(t, "crd", "locusttests.locust.io"), "the CRD and the tests are kept until the CRD is deleted")
		})
	}
}
