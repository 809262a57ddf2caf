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

// TestBrokenOperators: each test of the scorecard notices the fault that it is meant for, and passes without it.
func TestBrokenOperators(t *testing.T) {
	require.Empty(t, items(get(t, "-n", operators, "pods", "-l", "control-plane=controller-manager")), "no other operator may run")
	program := filepath.Join(t.TempDir(), "broken")
	_, err := run(t, "", "go", "build", "-o", program, "../../scorecard/broken")
	require.NoError(t, err)
	// The CRD's conversion webhook has no operator behind it; nothing here is read in v1.
	for _, c := range []struct{ fault, test, words string }{
		{"no-status", "status-initial", "a first status within"},
		{"wrong-reason", "conditions-reasons", "PodsHealthy=True/EverythingIsFine is not in the table"},
		{"hot-loop", "status-idle", "no write within"},
		{"moving-times", "conditions-times", "although its status stayed"},
		{"dropped-conditions", "conditions-complete", "condition SpecDrifted is missing"},
		{"not-absorbing", "status-terminal", "phase Pending"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			ns := namespace(t)
			if result := underOperator(t, program, c.fault, ns, c.test, "20s"); assert.Equal(t, scorecard.FailState, result.State, "%+v", result) {
				assert.Contains(t, strings.Join(result.Errors, "\n"), c.words)
				assert.Contains(t, strings.Join(result.Errors, "\n"), "what to do: ")
			}
			result := underOperator(t, program, "none", ns, c.test, "3m")
			assert.Equal(t, scorecard.PassState, result.State, "without the fault: %+v", result)
		})
	}
}

// underOperator runs a test of the scorecard while an operator with a fault runs.
func underOperator(t *testing.T, program, fault, ns, test, limit string) scorecard.TestResult {
	t.Helper()
	operator := exec.Command(program, fault)
	require.NoError(t, operator.Start())
	defer func() {
		_ = operator.Process.Signal(syscall.SIGTERM)
		_ = operator.Wait()
	}()
	time.Sleep(2 * time.Second) // its caches
	out, err := run(t, "", setting(t, "OLM_SCORECARD"), test, "--namespace", ns, "--locust-image", setting(t, "LOCUST_IMAGE"), "--time-limit", limit)
	require.NoError(t, err)
	var status scorecard.TestStatus
	require.NoError(t, json.Unmarshal([]byte(out), &status), out)
	require.Len(t, status.Results, 1)
	return status.Results[0]
}
