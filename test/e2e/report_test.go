//go:build e2e

package e2e

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// printsCSV is a locustfile part that prints Locust's own CSV at its end.
const printsCSV = `
import csv, sys
from locust import events
from locust.runners import MasterRunner
from locust.stats import PERCENTILES_TO_REPORT, StatsCSV

class Marked:
    def write(self, line):
        sys.stdout.write("CSV " + line.rstrip() + "\n")

@events.init.add_listener
def prints_csv(environment, **_):
    if isinstance(environment.runner, MasterRunner):
        events.quit.add_listener(lambda **_: StatsCSV(environment, PERCENTILES_TO_REPORT).requests_csv(csv.writer(Marked())))
`

// endpoints60 is a locustfile whose users report requests of 60 endpoints without sending them.
const endpoints60 = longHeartbeat + printsCSV + `
import random
from locust import User, constant, task
NAMES = [(method, "/api/v%d/%s%s" % (len(what) % 2 + 1, what, rest)) for method in ("GET", "POST", "DELETE")
         for what in ("users", "orders", "carts", "products", "payments") for rest in ("", "/{id}", "/{id}/items", "/search?q=[term]")]
class Reports(User):
    wait_time = constant(0.1)
    @task
    def report(self):
        for method, name in random.sample(NAMES, 12):
            self.environment.events.request.fire(
                request_type=method, name=name, response_time=random.lognormvariate(3.5, 0.8), response_length=random.randrange(3000),
                exception=ValueError("no basket") if name.endswith("carts") and random.random() < 0.2 else None, context={})
`

// reports returns the reports of a test.
func (s *fixture) reports(test *v2.LocustTest) []v1alpha1.LocustReport {
	s.t.Helper()
	var list v1alpha1.LocustReportList
	require.NoError(s.t, k8s.List(s.t.Context(), &list, client.InNamespace(test.Namespace), client.MatchingLabels{resources.LabelTestUID: string(test.UID)}))
	return list.Items
}

// report returns the report of a test that has ended: the only one, which agrees with the status.
func (s *fixture) report(test *v2.LocustTest, final *v2.LocustTestStatus) *v1alpha1.LocustReport {
	t := s.t
	t.Helper()
	eventually(t, "the report of "+test.Name+" exists", func() bool { return len(s.reports(test)) > 0 })
	all := s.reports(test)
	require.Len(t, all, 1, test.Name)
	r := &all[0]
	assert.Equal(t, final.Report, r.Name)
	assert.Equal(t, v1alpha1.Test{Name: test.Name, UID: string(test.UID), Generation: test.Generation}, r.Test)
	assert.Equal(t, final.Phase, r.Outcome.Phase)
	completed, delivered := condition(final, v2.ConditionTypeTestCompleted), condition(final, v2.ConditionTypeLoadDelivered)
	assert.Equal(t, [2]string{completed.Reason, completed.Message}, [2]string{r.Outcome.Reason, r.Outcome.Message})
	assert.Equal(t, delivered.Reason, r.Outcome.LoadDelivered.Reason)
	assert.Equal(t, final.CompletionTime.Unix(), r.Run.EndTime.Unix())
	if result := final.TestResult; result != nil {
		require.NotNil(t, r.Summary, test.Name)
		assert.Equal(t, []any{result.Final, result.Source, result.TotalRequests, result.FailedRequests, result.FailureRatio, result.RequestsPerSecond, result.P95},
			[]any{r.Summary.Final, r.Summary.Source, r.Summary.TotalRequests, r.Summary.FailedRequests, r.Summary.FailureRatio, r.Summary.RequestsPerSecond, r.Summary.P95})
	}
	return r
}

// requireCSV compares the summary and every endpoint of the report with the CSV in the master's log.
func (s *fixture) requireCSV(r *v1alpha1.LocustReport, log string) {
	t := s.t
	t.Helper()
	var lines []string
	for line := range strings.Lines(log) {
		if row, ok := strings.CutPrefix(line, "CSV "); ok {
			lines = append(lines, row)
		}
	}
	rows, err := csv.NewReader(strings.NewReader(strings.Join(lines, ""))).ReadAll()
	require.NoError(t, err)
	require.NotEmpty(t, rows, "no CSV in the log")
	byName := map[string]map[string]string{}
	for _, row := range rows[1:] {
		cells := map[string]string{}
		for i, name := range rows[0] {
			cells[name] = row[i]
		}
		byName[cells["Type"]+" "+cells["Name"]] = cells
	}
	compare := func(name string, is *v1alpha1.Statistics) {
		cells, ok := byName[name]
		require.True(t, ok, "%s is not in the CSV", name)
		number := func(column string) float64 {
			value, err := strconv.ParseFloat(cells[column], 64)
			require.NoError(t, err, "%s: %s", name, column)
			return value
		}
		assert.Equal(t, []string{cells["Request Count"], cells["Failure Count"]},
			[]string{strconv.FormatInt(is.TotalRequests, 10), strconv.FormatInt(is.FailedRequests, 10)}, name)
		if is.TotalRequests == 0 {
			return
		}
		perSecond, err := strconv.ParseFloat(is.RequestsPerSecond, 64)
		require.NoError(t, err)
		assert.InDelta(t, number("Requests/s"), perSecond, 0.00501, "%s: requests per second", name)
		for column, d := range map[string]*metav1.Duration{
			"Average Response Time": is.AverageResponseTime, "Min Response Time": is.Min, "Max Response Time": is.Max,
			"50%": is.P50, "90%": is.P90, "95%": is.P95, "99%": is.P99, "99.9%": is.P999,
		} {
			require.NotNil(t, d, "%s: %s", name, column)
			assert.InDelta(t, number(column), float64(d.Duration)/float64(time.Millisecond), 0.000501, "%s: %s", name, column)
		}
	}
	if r.Summary != nil {
		compare(" Aggregated", &r.Summary.Statistics)
	}
	for i := range r.Endpoints {
		compare(r.Endpoints[i].Method+" "+r.Endpoints[i].Name, &r.Endpoints[i].Statistics)
	}
	if truncation(r, v1alpha1.FieldEndpoints) == nil {
		assert.Len(t, r.Endpoints, len(byName)-1, "all endpoints")
	}
}

// truncation returns the entry of a field; nil if it is complete.
func truncation(r *v1alpha1.LocustReport, field string) *v1alpha1.Truncation {
	for i := range r.Truncated {
		if r.Truncated[i].Field == field {
			return &r.Truncated[i]
		}
	}
	return nil
}

// with60 runs endpoints60 in the folder of a ConfigMap.
func with60(seconds int, quit int32) func(*v2.LocustTestSpec) {
	return func(spec *v2.LocustTestSpec) {
		spec.TestFiles.ConfigMapRef = "sixty"
		spec.Master.Command = fmt.Sprintf("--locustfile /lotest/src/sixty.py --host http://me:secret@shop/?token=abc --users 6 --spawn-rate 6 --run-time %ds --api-token=abc", seconds)
		spec.Worker.Command = "--locustfile /lotest/src/sixty.py --api-token=abc"
		spec.Worker.Replicas = 1
		spec.Master.Autoquit.Timeout = &quit
	}
}

// withToken adds an own argument, which is a secret.
const withToken = endpoints60 + `
@events.init_command_line_parser.add_listener
def own(parser):
    parser.add_argument("--api-token")
`

// TestReport checks reports of real pods: how much of them the kubelet keeps, and what becomes of them when their tests are deleted.
func TestReport(t *testing.T) {
	t.Parallel()
	for _, containers := range []int{3, 6, 12} {
		t.Run(fmt.Sprintf("containers-%d", containers), func(t *testing.T) {
			t.Parallel()
			s := newFixture(t)
			s.configMap("sixty", map[string]string{"sixty.py": withToken})
			var others []injected
			for range containers - 1 {
				others = append(others, injected{"containers", "", "import time; time.sleep(1e9)"})
			}
			if len(others) > 0 {
				s.mutatePods(patchesFor("master", others), func(pod *corev1.Pod) bool { return len(pod.Spec.Containers) == containers })
			}
			test := s.create(s.test("sixty", 10, with60(10, 0), func(spec *v2.LocustTestSpec) {
				spec.Report = &v2.ReportConfig{Retain: true}
				spec.Master.Command += " --headless" // no web API, which may have all endpoints
			}))
			// The operator deletes the pod once it has the report, and its log goes with it.
			log := s.logsUntilEnd(test)
			r := s.report(test, s.UntilPhase(test, v2.PhaseFailed))
			s.requireCSV(r, log)
			t.Logf("%d containers: %d endpoints, %d points, %d errors, %d workers; truncated: %+v", containers, len(r.Endpoints), len(r.History), len(r.Errors), len(r.Workers), r.Truncated)
			assert.Empty(t, r.OwnerReferences)
			assert.Equal(t, "http://shop/?token=***", r.Run.Host)
			assert.NotContains(t, fmt.Sprint(r.Run.Arguments), "abc")
			assert.NotContains(t, fmt.Sprint(r.Run), "secret")
			assert.NotEmpty(t, r.Run.LocustVersion)
			cut := truncation(r, v1alpha1.FieldEndpoints)
			if containers == 3 {
				assert.Empty(t, r.Truncated)
				assert.Len(t, r.Workers, 1)
				assert.GreaterOrEqual(t, len(r.History), 3)
			}
			require.True(t, cut != nil || containers < 6, "the kubelet keeps %d bytes", 12<<10/containers)
			if cut != nil {
				assert.EqualValues(t, 60, *cut.Total)
				assert.EqualValues(t, len(r.Endpoints), cut.Kept)
				assert.Contains(t, cut.Message, "many containers")
			}
			s.requireOutlives(test, r)
		})
	}
}

// logsUntilEnd follows the log of the test's master until Locust ends.
func (s *fixture) logsUntilEnd(test *v2.LocustTest) string {
	s.t.Helper()
	s.UntilPhase(test, v2.PhaseRunning)
	stream, err := clientset.CoreV1().Pods(test.Namespace).GetLogs(s.masterPod(test).Name, &corev1.PodLogOptions{
		Container: resources.MasterName(test.Name), Follow: true,
	}).Stream(s.t.Context())
	require.NoError(s.t, err)
	defer func() { _ = stream.Close() }()
	raw, err := io.ReadAll(stream)
	require.NoError(s.t, err)
	return string(raw)
}

// requireOutlives deletes the test, and checks that its report stays.
func (s *fixture) requireOutlives(test *v2.LocustTest, r *v1alpha1.LocustReport) {
	t := s.t
	t.Helper()
	require.NoError(t, k8s.Delete(t.Context(), test))
	eventually(t, "the pods of "+test.Name+" are gone", func() bool {
		var pods corev1.PodList
		require.NoError(t, k8s.List(t.Context(), &pods, client.InNamespace(test.Namespace), client.MatchingLabels{resources.LabelTestUID: string(test.UID)}))
		return len(pods.Items) == 0 && apierrors.IsNotFound(k8s.Get(t.Context(), client.ObjectKeyFromObject(test), &v2.LocustTest{}))
	})
	all := s.reports(test)
	require.Len(t, all, 1)
	assert.Equal(t, r, &all[0])
}

// TestReport_History checks that a name keeps its newest reports, and that a report without retain goes with its test.
func TestReport_History(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	s.configMap("sixty", map[string]string{"sixty.py": withToken})
	var names []string
	for run := range 4 {
		test := s.create(s.test("again", 1, with60(1, 0), func(spec *v2.LocustTestSpec) {
			spec.Report = &v2.ReportConfig{Retain: run < 3, HistoryLimit: new(int32(2))}
		}))
		r := s.report(test, s.untilEnd(test))
		names = append(names, r.Name)
		require.NoError(t, k8s.Delete(t.Context(), test))
		eventually(t, "the test is gone", func() bool {
			return apierrors.IsNotFound(k8s.Get(t.Context(), client.ObjectKeyFromObject(test), &v2.LocustTest{}))
		})
	}
	eventually(t, "the two newest retained reports stay", func() bool {
		var list v1alpha1.LocustReportList
		require.NoError(t, k8s.List(t.Context(), &list, client.InNamespace(s.namespace)))
		var left []string
		for i := range list.Items {
			left = append(left, list.Items[i].Name)
		}
		return len(left) == 2 && strings.Contains(fmt.Sprint(left), names[1]) && strings.Contains(fmt.Sprint(left), names[2])
	})
}
