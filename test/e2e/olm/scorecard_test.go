//go:build olm

package olm

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	scorecard "github.com/operator-framework/api/pkg/apis/scorecard/v1alpha3"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestFaultyOperators checks that each test of the scorecard detects its fault, and passes without it.
func TestFaultyOperators(t *testing.T) {
	require.Empty(t, operatorPods(t, operators), "no other operator may run")
	// Remove the conversion webhook, which has no endpoint here, from the CRD. Nothing is read in v1.
	apply(t, kubectl(t, "kustomize", filepath.Join("..", "..", "..", "config", "crd")))
	kubectl(t, "patch", "crd", "locusttests.locust.io", "--type", "merge", "-p", `{"spec":{"conversion":{"strategy":"None","webhook":null}}}`)
	program := filepath.Join(t.TempDir(), "faulty")
	_, err := run(t, "", "go", "build", "-o", program, "../../scorecard/faulty")
	require.NoError(t, err)
	for _, c := range []struct{ fault, test, limit, want string }{
		{"no-status", "status-initial", "15s", "a first status within"},
		{"wrong-reason", "conditions-reasons", "3m", "PodsHealthy=True/EverythingIsFine is not in the table"},
		{"hot-loop", "status-idle", "3m", "no write within"},
		{"moving-times", "conditions-times", "3m", "although its status stayed"},
		{"frozen-times", "conditions-times", "3m", "did not change although its status"},
		{"dropped-conditions", "conditions-complete", "3m", "condition PodsHealthy is missing"},
		{"load-not-started", "conditions-load-delivered", "3m", "LoadDelivered=Unknown/LoadNotStarted"},
		{"load-claimed", "conditions-no-requests", "3m", "LoadDelivered=True/LoadAsPlanned"},
		{"not-absorbing", "status-terminal", "3m", "phase Pending"},
		{"wrong-report", "status-report", "3m", "summary.totalRequests is"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			ns := namespace(t)
			if result := underOperator(t, program, c.fault, ns, c.test, c.limit); assert.Equal(t, scorecard.FailState, result.State, "%+v", result) {
				assert.Contains(t, strings.Join(result.Errors, "\n"), c.want)
				assert.Contains(t, strings.Join(result.Errors, "\n"), "what to do: ")
			}
			result := underOperator(t, program, "none", ns, c.test, "3m")
			assert.Equal(t, scorecard.PassState, result.State, "without the fault: %+v", result)
		})
	}
}

// underOperator runs a test of the scorecard against an operator with a fault.
func underOperator(t *testing.T, program, fault, ns, test, limit string) scorecard.TestResult {
	t.Helper()
	operator := exec.Command(program, fault)
	require.NoError(t, operator.Start())
	defer func() {
		_ = operator.Process.Signal(syscall.SIGTERM)
		_ = operator.Wait()
	}()
	time.Sleep(2 * time.Second) // wait for the caches
	out, err := run(t, "", setting(t, "OLM_SCORECARD"), test, "--namespace", ns, "--locust-image", setting(t, "LOCUST_IMAGE"), "--time-limit", limit)
	require.NoError(t, err)
	var status scorecard.TestStatus
	require.NoError(t, json.Unmarshal([]byte(out), &status), out)
	require.Len(t, status.Results, 1)
	return status.Results[0]
}
