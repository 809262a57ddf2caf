//go:build e2e

package e2e

import (
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// TestPlugin_Reports reads a real test and its report with each command that only reads, as an account that may only view, before and
// after the test is deleted. The names of the endpoints are hostile.
func TestPlugin_Reports(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.configMap("hostile", map[string]string{"hostile.py": hostileNames})
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	s.accountWith(kubeconfig, "locust-k8s-operator-locusttest-viewer-role")
	view := func(code int, args ...string) pluginResult {
		t.Helper()
		command := s.pluginCommand(args...)
		command.Env = append(command.Env, "KUBECONFIG="+kubeconfig)
		result := startPlugin(t, command).wait()
		require.Equal(t, code, result.code, "%v: %s", args, result.stderr)
		assert.NotContains(t, result.stdout+result.stderr, "\x1b")
		assert.NotContains(t, result.stdout+result.stderr, "\u202e")
		return result
	}
	test := s.create(s.test("read", 5, func(spec *v2.LocustTestSpec) {
		spec.TestFiles.ConfigMapRef = "hostile"
		spec.Master.Command = strings.Replace(spec.Master.Command, "locustfile.py", "hostile.py", 1)
		spec.Worker.Command = "--locustfile /lotest/src/hostile.py"
		spec.Report = &v2.ReportConfig{Retain: true}
	}))
	assert.Contains(t, view(2, "report", "read").stderr, "the test "+s.namespace+"/read has not ended")

	stop := view(2, "stop", "read")
	assert.Contains(t, stop.stderr, "locust-k8s-operator-locusttest-editor-role", "the role that permits it")

	waited := view(0, "report", "read", "--wait", "-o", "json")
	var printed v1alpha1.LocustReport
	require.NoError(t, json.Unmarshal([]byte(waited.stdout), &printed))
	stored := s.report(test, s.untilEnd(test))
	require.Equal(t, v2.PhaseFailed, stored.Outcome.Phase)
	requireSame := func(is v1alpha1.LocustReport) {
		t.Helper()
		assert.Equal(t, "LocustReport", is.Kind)
		is.TypeMeta, is.ManagedFields = stored.TypeMeta, stored.ManagedFields
		assert.Equal(t, *stored, is)
	}
	requireSame(printed)

	printed = v1alpha1.LocustReport{}
	require.NoError(t, yaml.UnmarshalStrict([]byte(view(0, "report", "read", "-o", "yaml").stdout), &printed))
	requireSame(printed)

	requests := strconv.FormatInt(stored.Summary.TotalRequests, 10)
	failures := strconv.FormatInt(stored.Summary.FailedRequests, 10)
	rows, err := csv.NewReader(strings.NewReader(view(0, "report", "read", "-o", "csv").stdout)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2+len(stored.Endpoints))
	assert.Equal(t, []string{"", "Aggregated", requests, failures}, rows[len(rows)-1][:4])
	for _, row := range rows[1:] {
		assert.NotContains(t, "=+-@", row[1][:1], row)
	}

	file := filepath.Join(t.TempDir(), "report.xml")
	view(0, "report", "read", "-o", "junit", "--output-file", file)
	document, err := os.ReadFile(file)
	require.NoError(t, err)
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suite    struct {
			Cases []struct {
				Name    string `xml:"name,attr"`
				Failure string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal(document, &suites))
	assert.Equal(t, []int{2 + len(stored.Endpoints), 1}, []int{suites.Tests, suites.Failures})
	assert.NotEmpty(t, suites.Suite.Cases[0].Failure)

	page := view(0, "report", "read", "-o", "markdown").stdout
	assert.Contains(t, page, "## Load test read: Failed\n")
	assert.NotContains(t, page, "<")
	assert.Contains(t, page, "| Requests | `"+requests+", "+failures+" failed (")

	table := view(1, "report", "read", "--exit-code").stdout
	assert.Contains(t, table, "Failed: ")
	assert.Contains(t, table, requests+", "+failures+" failed (")

	assert.Regexp(t, `(?m)^read +Failed +\d+s +\d+s +\d/\d +\d+ +`+requests+" +"+failures+` +\S+ +\S+ +`+stored.Name+"$", view(0, "list").stdout)
	assert.Equal(t, "locusttest.locust.io/read\n", view(0, "list", "-o", "name").stdout)
	assert.Contains(t, view(2, "list", "-A").stderr, "locust-k8s-operator-locusttest-viewer-role")
	assert.Contains(t, view(1, "watch", "read").stdout, "Failed")
	completion := s.pluginCommand("version", "--client")
	completion.Args = []string{completion.Path, "__complete", "report", "--namespace", s.namespace, ""}
	assert.Contains(t, startPlugin(t, completion).wait().stdout, "read\tFailed\n"+stored.Name+"\treport of read\n")

	require.NoError(t, k8s.Delete(t.Context(), test))
	eventually(t, "the test is gone", func() bool {
		return apierrors.IsNotFound(k8s.Get(t.Context(), client.ObjectKeyFromObject(test), &v2.LocustTest{}))
	})
	kept := view(0, "report", "read", "-o", "json")
	assert.Contains(t, kept.stderr, "has been deleted; this is the newest of its reports (1)")
	printed = v1alpha1.LocustReport{}
	require.NoError(t, json.Unmarshal([]byte(kept.stdout), &printed))
	requireSame(printed)
	assert.Contains(t, view(0, "report", stored.Name).stdout, requests)
	assert.Equal(t, "locustreport.locust.io/"+stored.Name+"\n", view(0, "list", "read", "-o", "name").stdout)
	assert.Contains(t, view(2, "watch", "read").stderr, "the test "+s.namespace+"/read does not exist")
}

// hostileNames is a locustfile whose endpoints and errors have sequences for terminals, markup and formulas.
const hostileNames = `
from locust import User, constant, task
NAMES = ["=HYPERLINK(\"http://x\")", "<img src=x>|` + "`" + `a` + "`" + `", "\x1b[31mred\u202e", "@all\r\n+1"]
class Hostile(User):
    wait_time = constant(0.1)
    @task
    def report(self):
        for name in NAMES:
            self.environment.events.request.fire(request_type="GET", name=name, response_time=2, response_length=1,
                exception=ValueError(name) if name.startswith("<") else None, context={})
`
