package report

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

// TestBuild_Sources: which lists a report has, and how it names the others.
func TestBuild_Sources(t *testing.T) {
	all := lists{12, 3, 2, 30, 2}
	many := lists{700, 60, 60, 300, 600}
	complete := message(t, requests, all, all)
	summary, rest, _ := strings.Cut(complete, "\n")
	onlyStatus := []string{"endpoints 5/?", "errors 1/?", "exceptions 1/?", "history 0/?", "workers 0/?"}
	const cut, damaged = "the kubelet keeps only a part", "cannot be read"
	for name, row := range map[string]struct {
		obs       *status.Observation
		want      lists
		truncated []string
		// messages are parts of those of a truncation, by field.
		messages map[string]string
	}{
		"none": {
			finished(), lists{5, 1, 1, 0, 0}, onlyStatus,
			map[string]string{"endpoints": "only those in the status of the test are known", "history": "only the reporter knows them"},
		},
		"the log instead of a report": {finished(withMessage("Traceback")), lists{5, 1, 1, 0, 0}, onlyStatus, nil},
		"the reporter":                {finished(withMessage(complete)), all, []string{}, nil},
		"the reporter, not all": {
			finished(withMessage(message(t, requests, all, many))), lists{12, 3, 2, 19, 2}, // the points are spread evenly
			[]string{"endpoints 12/700", "errors 3/60", "exceptions 2/60", "history 19/300", "workers 2/600"},
			map[string]string{"endpoints": report.ProblemNoRoom, "workers": report.ProblemNoRoom},
		},
		"the reporter, cut in the rest": {
			finished(withMessage(summary + "\n" + rest[:60])), lists{0, 0, 0, 0, 0},
			[]string{"endpoints 0/12", "errors 0/3", "exceptions 0/2", "history 0/30", "workers 0/2"},
			map[string]string{"endpoints": cut, "workers": cut},
		},
		"the reporter, damaged": {
			finished(withMessage(summary + "\n" + rest[:20] + "~" + rest[21:])), lists{0, 0, 0, 0, 0},
			[]string{"endpoints 0/12", "errors 0/3", "exceptions 0/2", "history 0/30", "workers 0/2"},
			map[string]string{"endpoints": damaged, "history": damaged},
		},
		"the reporter, damaged, without counts": {
			finished(withMessage(strings.Replace(summary, `"n":[12,3,2,30,2]`, `"n":[]`, 1) + "\n~" + rest[1:])), lists{0, 0, 0, 0, 0},
			[]string{"endpoints 0/?", "errors 0/?", "exceptions 0/?", "history 0/?", "workers 0/?"}, map[string]string{"history": damaged, "endpoints": damaged},
		},
		"the reporter, cut in the summary": {
			finished(withMessage(summary[:300])), lists{5, 1, 1, 0, 0}, onlyStatus,
			map[string]string{"endpoints": "the final report of the reporter cannot be read: the document is truncated", "history": "cannot be read"},
		},
		"the reporter of an earlier release": {
			finished(withMessage(strings.Replace(summaryOf(requests), `report":2`, `report":1`, 1) + oldLists + "}")), lists{5, 1, 1, 0, 0},
			[]string{"endpoints 5/?", "exceptions 1/?", "history 0/?", "workers 0/?"},
			map[string]string{"endpoints": "an earlier release lists at most 5"},
		},
		"the web API": {
			finished(withWebAPI(webReport(all))), lists{12, 3, 0, 0, 0}, []string{"exceptions 0/?", "history 0/?", "workers 0/?"},
			map[string]string{"history": "only the reporter knows them"},
		},
		"the web API, not all": {
			finished(withWebAPI(webReport(many))), lists{500, 50, 0, 0, 0},
			[]string{"endpoints 500/700", "errors 50/60", "exceptions 0/?", "history 0/?", "workers 0/?"},
			map[string]string{"endpoints": "at most 500", "errors": "at most 50"},
		},
		"the web API of a master that was killed, at Locust's limit": {
			finished(withWebAPI(live(webReport(lists{endpoints: 500})))), lists{500, 0, 0, 0, 0}, []string{"endpoints 500/?", "exceptions 0/?", "history 0/?", "workers 0/?"},
			map[string]string{"endpoints": "at most 500 while the load runs"},
		},
		"the web API with a reporter": {finished(withWebAPI(withDetails(webReport(all), all))), all, []string{}, nil},
		"both": {
			finished(withMessage(message(t, requests, lists{7, 3, 2, 30, 2}, all)), withWebAPI(webReport(all))), all, []string{}, nil,
		},
		"both, the message is cut": {
			finished(withMessage(summary+"\n"+rest[:60]), withWebAPI(webReport(all))), lists{12, 3, 0, 0, 0},
			[]string{"exceptions 0/2", "history 0/30", "workers 0/2"}, map[string]string{"history": cut},
		},
		"both, the message cannot be read": {
			finished(withMessage(summary[:300]), withWebAPI(withDetails(webReport(all), all))), all, []string{}, nil,
		},
		"the reporter's snapshot is older than the result": {
			finished(withMessage(message(t, requests-1, all, all))), lists{5, 1, 1, 30, 2},
			[]string{"endpoints 5/?", "errors 1/?", "exceptions 1/?"}, nil,
		},
		"a snapshot and the web API": {
			finished(withMessage(message(t, requests-1, all, all)), withWebAPI(webReport(all))), lists{12, 3, 0, 30, 2},
			[]string{"exceptions 0/?"}, map[string]string{"exceptions": "only the final report"},
		},
		"the web API is older than the result": {
			finished(withTest(func(test *v2.LocustTest) { test.Status.TestResult.FailedRequests++ }), withWebAPI(webReport(all))),
			lists{5, 1, 1, 0, 0}, onlyStatus, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := Build(row.obs)
			requireValid(t, r)
			assert.Equal(t, row.want, listsOf(r))
			assert.Equal(t, row.truncated, truncatedFields(r))
			for field, part := range row.messages {
				if entry := truncation(r, field); assert.NotNil(t, entry, field) {
					assert.Contains(t, entry.Message, part, field)
				}
			}
			assert.EqualValues(t, requests, r.Summary.TotalRequests)
		})
	}
}

// oldLists are the lists of a final report of version 1.
const oldLists = `,"endpoints":[{"method":"GET","name":"/1","requests":1,"failures":0,"avg":1,"p95":1},{"method":"GET","name":"/2","requests":1,"failures":0,"avg":1,"p95":1},` +
	`{"method":"GET","name":"/3","requests":1,"failures":0,"avg":1,"p95":1},{"method":"GET","name":"/4","requests":1,"failures":0,"avg":1,"p95":1},` +
	`{"method":"GET","name":"/5","requests":1,"failures":0,"avg":1,"p95":1}],"errors":[{"method":"GET","name":"/1","error":"500","count":1}],` +
	`"exceptions":[{"error":"KeyError","count":1}]`

func TestBuild_Content(t *testing.T) {
	all := lists{2, 1, 1, 2, 1}
	r := Build(finished(withMessage(message(t, requests, all, all))))
	requireValid(t, r)
	ms := func(n float64) *metav1.Duration {
		return &metav1.Duration{Duration: time.Duration(n * float64(time.Millisecond))}
	}
	at, end := metav1.NewTime(started), metav1.NewTime(ended)
	statistics := v1alpha1.Statistics{
		TotalRequests: 100, RequestsPerSecond: "5.00", AverageResponseTime: ms(1), Min: ms(1), Max: ms(9), P50: ms(1), P90: ms(2), P95: ms(3), P99: ms(4), P999: ms(5),
		AverageContentBytes: new(int64(18)),
	}
	want := &v1alpha1.LocustReport{
		ObjectMeta: r.ObjectMeta,
		Test:       v1alpha1.Test{Name: "shop", UID: "0a1b2c3d-0000-0000-0000-000000000000", Generation: 2},
		Outcome: v1alpha1.Outcome{
			Phase: "Succeeded", Reason: v2.ReasonTestSucceeded, Message: "Locust exited with code 0",
			LoadDelivered: &v1alpha1.LoadDelivered{Status: "True", Reason: v2.ReasonLoadAsPlanned, Message: "The load was delivered"},
		},
		Run: v1alpha1.Run{
			StartTime: &at, EndTime: end, LoadStartTime: &at, LoadEndTime: &end, LocustVersion: "2.47.0", Image: "locust", Host: "https://shop.example",
			ExpectedWorkers: 2, ConnectedWorkers: 2, Users: new(int32(4)), RunTime: &metav1.Duration{Duration: time.Minute},
			Arguments: r.Run.Arguments,
		},
		Summary: &v1alpha1.Summary{Final: true, Source: "Reporter", FailureRatio: "0.03", Statistics: v1alpha1.Statistics{
			TotalRequests: requests, FailedRequests: failures, RequestsPerSecond: "50", AverageResponseTime: ms(1),
			Min: ms(0.5), P50: ms(1), P90: ms(2), P95: ms(2), P99: ms(3), P999: ms(880.5), Max: ms(900.25),
		}},
		Endpoints:  []v1alpha1.Endpoint{{Method: "GET", Name: "/0", Statistics: statistics}, {Method: "GET", Name: "/1", Statistics: statistics}},
		Errors:     []v1alpha1.Error{{Method: "GET", Name: "/0", Error: "HTTPError 0", Occurrences: 3}},
		Exceptions: []v1alpha1.Exception{{Message: "KeyError 0", Occurrences: 2}},
		History: []v1alpha1.HistoryPoint{
			{Time: at, Users: 4, RequestsPerSecond: "50", FailuresPerSecond: "0.5", P50: ms(1), P95: ms(2)},
			{Time: metav1.NewTime(started.Add(time.Second)), Users: 4, RequestsPerSecond: "50", FailuresPerSecond: "0.5", P50: ms(1), P95: ms(2)},
		},
		Workers: []v1alpha1.Worker{{Name: "shop-worker-0", PeakProcessorPercent: 60, PeakMemoryBytes: 7340032}},
	}
	if want, got := toJSON(t, want), toJSON(t, r); want != got {
		t.Error(firstDifference(want, got))
	}
	assert.Subset(t, r.Run.Arguments, []string{"--users", "4", "--master"})
	assert.Contains(t, r.Run.Arguments, "http://***@shop", "no secrets")
	assert.NotContains(t, toJSON(t, r), "secret")
}

// TestBuild_Rate: in a final result the rate of an endpoint is its share of the total; a live source has its own.
func TestBuild_Rate(t *testing.T) {
	live := func(obs *status.Observation) { obs.Test.Status.TestResult.Final = false }
	notExact := func(r *report.Report) *report.Report {
		r.Exact = false
		return r
	}
	one := lists{endpoints: 1}
	for name, row := range map[string]struct {
		obs  *status.Observation
		rate string
	}{
		"reporter":                          {finished(withMessage(message(t, requests, one, one))), "5.00"},
		"web API":                           {finished(withWebAPI(webReport(one))), "5.00"},
		"web API's list, reporter's total":  {finished(withMessage(message(t, requests, lists{}, one)), withWebAPI(notExact(webReport(one)))), "5.00"},
		"live":                              {finished(live, withWebAPI(notExact(webReport(one)))), "7.00"},
		"only a live source":                {finished(withWebAPI(notExact(webReport(one)))), "7.00"},
		"without requests, it has no share": {finished(noRequests, withWebAPI(noRequestsOf(webReport(one)))), "7.00"},
	} {
		t.Run(name, func(t *testing.T) {
			r := Build(row.obs)
			requireValid(t, r)
			require.Len(t, r.Endpoints, 1)
			assert.Equal(t, row.rate, r.Endpoints[0].RequestsPerSecond)
			assert.Equal(t, row.obs.Test.Status.TestResult.Final, r.Summary.Final)
		})
	}
}

func noRequests(obs *status.Observation) {
	obs.Test.Status.TestResult.TotalRequests, obs.Test.Status.TestResult.FailedRequests = 0, 0
}

func noRequestsOf(r *report.Report) *report.Report {
	r.Requests, r.Failures = 0, 0
	return r
}

// TestBuild_NoResult: a run without a result has a report too.
func TestBuild_NoResult(t *testing.T) {
	failed := func(reason, message string) func(*status.Observation) {
		return withTest(func(test *v2.LocustTest) {
			test.Status.Phase, test.Status.TestResult, test.Status.Progress = v2.PhaseFailed, nil, nil
			test.Status.Conditions[0] = metav1.Condition{Type: v2.ConditionTypeTestCompleted, Status: metav1.ConditionTrue, Reason: v2.ReasonTestFailed, Message: message}
			test.Status.Conditions[1] = metav1.Condition{Type: v2.ConditionTypeLoadDelivered, Status: metav1.ConditionUnknown, Reason: reason}
		})
	}
	for name, row := range map[string]struct {
		obs       *status.Observation
		truncated []string
	}{
		"it failed before its load": {
			finished(failed(v2.ReasonLoadNotStarted, "ImagePullBackOff"), withTest(func(test *v2.LocustTest) { test.Status.StartTime = nil })), []string{},
		},
		"it was not observed": {finished(failed(v2.ReasonNotObserved, "lost")), []string{"summary 0/?"}},
		"its report cannot be read": {
			finished(failed(v2.ReasonNotObserved, "lost"), withMessage(summaryOf(requests)[:300])), []string{"summary 0/?"},
		},
		"its objects were never created": {
			finished(failed(v2.ReasonLoadNotStarted, "quota"), func(obs *status.Observation) { obs.MasterJob, obs.Run = nil, nil }), []string{},
		},
		"its spec cannot be decoded": {
			finished(failed(v2.ReasonLoadNotStarted, "spec.image: Invalid value"), func(obs *status.Observation) {
				obs.MasterJob, obs.Run = nil, nil
				obs.Test.Spec, obs.Test.DecodeError = v2.LocustTestSpec{}, &v2.DecodeError{Field: "spec"}
			}), []string{},
		},
		"a long message": {finished(failed(v2.ReasonLoadNotStarted, strings.Repeat("ä\n", 9999))), []string{}},
	} {
		t.Run(name, func(t *testing.T) {
			r := Build(row.obs)
			requireValid(t, r)
			assert.Nil(t, r.Summary)
			assert.Equal(t, lists{}, listsOf(r))
			assert.Equal(t, row.truncated, truncatedFields(r))
			assert.Equal(t, v2.PhaseFailed, r.Outcome.Phase)
			assert.NotEmpty(t, r.Outcome.Message)
			assert.False(t, r.Run.EndTime.IsZero())
		})
	}
}

func TestBuild_Meta(t *testing.T) {
	retain := withTest(func(test *v2.LocustTest) { test.Spec.Report = &v2.ReportConfig{Retain: true} })
	long := strings.Repeat("a", 253)
	named := func(name string) func(*status.Observation) {
		return withTest(func(test *v2.LocustTest) { test.Name = name })
	}
	for name, row := range map[string]struct {
		obs    *status.Observation
		report string
		owned  bool
		label  string
	}{
		"owned":    {finished(), "shop-0a1b2c3d", true, "shop"},
		"retained": {finished(retain), "shop-0a1b2c3d", false, "shop"},
		"not retained": {
			finished(withTest(func(test *v2.LocustTest) { test.Spec.Report = &v2.ReportConfig{HistoryLimit: new(int32(3))} })), "shop-0a1b2c3d", true, "shop",
		},
		"a long name": {finished(named(long)), strings.Repeat("a", 244) + "-0a1b2c3d", true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := Build(row.obs)
			requireValid(t, r)
			test := row.obs.Test
			assert.Equal(t, row.report, r.Name)
			assert.LessOrEqual(t, len(r.Name), 253)
			assert.Equal(t, "load", r.Namespace)
			assert.Equal(t, test.Name, r.Test.Name)
			assert.Equal(t, row.label, r.Labels[resources.LabelTestName])
			assert.Equal(t, string(test.UID), r.Labels[resources.LabelTestUID])
			assert.Equal(t, resources.ManagedBy, r.Labels[resources.LabelManagedBy])
			assert.Equal(t, row.owned, metav1.IsControlledBy(r, test))
			if !row.owned {
				assert.Empty(t, r.OwnerReferences)
			}
		})
	}
}

// TestBuild_Honest: for random sources, each list is complete or has an entry that names how much is missing.
func TestBuild_Honest(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	some := func(most int) int { return random.IntN(most+1) * random.IntN(2) }
	anyLists := func() lists { return lists{some(700), some(70), some(70), some(300), some(600)} }
	for i := range 400 {
		obs, all, known := finished(), anyLists(), map[string]bool{}
		learn := func(fields ...string) {
			for _, field := range fields {
				known[field] = true
			}
		}
		text := ""
		if random.IntN(4) > 0 {
			kept := lists{min(all.endpoints, some(40)), min(all.errors, some(20)), min(all.exceptions, some(20)), min(all.history, some(60)), min(all.workers, some(20))}
			total := requests - random.IntN(2)
			text = message(t, total, kept, all)
			summary, _, _ := strings.Cut(text, "\n")
			if random.IntN(3) == 0 {
				text = text[:random.IntN(len(text))]
			}
			withMessage(text)(obs)
			if len(text) >= len(summary) && len(text) <= 4096 {
				learn(v1alpha1.FieldHistory, v1alpha1.FieldWorkers)
				if total == requests {
					learn(v1alpha1.FieldEndpoints, v1alpha1.FieldErrors, v1alpha1.FieldExceptions)
				}
			}
		}
		if random.IntN(2) == 0 {
			web := webReport(all)
			learn(v1alpha1.FieldEndpoints, v1alpha1.FieldErrors)
			if random.IntN(2) == 0 {
				withDetails(web, all)
				learn(v1alpha1.FieldExceptions, v1alpha1.FieldHistory, v1alpha1.FieldWorkers)
			}
			withWebAPI(web)(obs)
		}
		r := Build(obs)
		what := fmt.Sprintf("sources %d: message of %d bytes, Locust had %+v, the report %+v and %v", i, len(text), all, listsOf(r), truncatedFields(r))
		requireValid(t, r)
		got := listsOf(r)
		for field, list := range map[string]struct{ kept, had int }{
			v1alpha1.FieldEndpoints:  {got.endpoints, all.endpoints},
			v1alpha1.FieldErrors:     {got.errors, all.errors},
			v1alpha1.FieldExceptions: {got.exceptions, all.exceptions},
			v1alpha1.FieldHistory:    {got.history, all.history},
			v1alpha1.FieldWorkers:    {got.workers, all.workers},
		} {
			entry := truncation(r, field)
			switch {
			case entry == nil:
				require.True(t, known[field] && list.kept == list.had, "%s is incomplete without an entry; %s", field, what)
			case entry.Total != nil:
				require.EqualValues(t, list.had, *entry.Total, "%s; %s", field, what)
			default:
				require.False(t, known[field], "%s has an entry without a total; %s", field, what)
			}
		}
	}
}

// hostileText returns a text of so many bytes that is as long as possible as JSON, or of runes with several bytes.
func hostileText(i, bytes int) string {
	unit := []string{"<", `"`, "ä", "\u2028", "🦗", `\`}[i%6]
	return strings.Repeat(unit, bytes/len(unit))
}

// TestBuild_Hostile: a report stays within its size, whatever the names and messages are, and says what it lacks.
func TestBuild_Hostile(t *testing.T) {
	all := lists{500, 50, 50, 240, 500}
	web := withDetails(webReport(all), all)
	longest := 365 * 24 * time.Hour
	p := report.Percentiles{P50: &longest, P90: &longest, P95: &longest, P99: &longest, P999: &longest}
	for i := range web.Endpoints {
		web.Endpoints[i] = report.Endpoint{
			Method: hostileText(i, 16), Name: hostileText(i, 128), Requests: 1 << 53, Failures: 1 << 53, RequestsPerSecond: 1e9, Average: longest,
			Percentiles: p, Extremes: report.Extremes{Min: &longest, Max: &longest, ContentBytes: new(int64(1 << 53))},
		}
	}
	for i := range web.Errors {
		web.Errors[i] = report.Error{Method: hostileText(i, 16), Name: hostileText(i, 128), Text: hostileText(0, 256), Occurrences: 1 << 53}
		web.Exceptions[i].Text = hostileText(0, 256)
	}
	for i := range web.Details.Workers {
		web.Details.Workers[i] = report.Worker{Name: hostileText(0, 128), Processor: 1e6, Memory: 1 << 53}
	}
	for i := range web.Details.History {
		point := &web.Details.History[i]
		point.Users, point.RequestsPerSecond, point.FailuresPerSecond, point.P50, point.P95 = 1<<31-1, 1e9, 1e-300, &longest, &longest
	}
	web.Details.History[239].Time = time.Date(10_001, 1, 1, 0, 0, 0, 0, time.UTC)
	web.Details.Host = "http://" + hostileText(0, 200)
	obs := finished(withWebAPI(web), withTest(func(test *v2.LocustTest) {
		test.Status.Conditions[0].Message = strings.Repeat("<", 9999)
		test.Status.Conditions[1].Message = strings.Repeat("<", 9999)
	}), func(obs *status.Observation) {
		obs.Run.Spec.Master.Command = "-f a.py" + strings.Repeat(" --tags='"+strings.Repeat("<", 2000)+"'", 100)
	})
	r := Build(obs)
	requireValid(t, r)
	assert.Greater(t, jsonSize(r), v1alpha1.MaxReportBytes/2, "most of the room is used")
	assert.Greater(t, len(r.Errors), 25)
	assert.Greater(t, len(r.Exceptions), 25)
	assert.Greater(t, len(r.Endpoints), 50)
	assert.Greater(t, len(r.Workers), 50)
	require.Subset(t, truncatedFields(r), []string{fmt.Sprintf("endpoints %d/500", len(r.Endpoints)), fmt.Sprintf("workers %d/500", len(r.Workers)), "history 239/240"})
	assert.Equal(t, "a report has at most 512 KiB", truncation(r, v1alpha1.FieldEndpoints).Message)
	assert.Regexp(t, `^a report has at most (64|512 KiB)$`, truncation(r, v1alpha1.FieldArguments).Message)
	requireCleanTexts(t, toObject(t, r))
	again := &v1alpha1.LocustReport{}
	require.NoError(t, json.Unmarshal([]byte(toJSON(t, r)), again))
	assert.Equal(t, hostileText(4, 128), again.Endpoints[4].Name)
}

// TestBuild_NamelessErrors: errors of requests without a method and a name are no exceptions, which have a list and a limit of their own.
func TestBuild_NamelessErrors(t *testing.T) {
	all := lists{errors: 50, exceptions: 50}
	web := withDetails(webReport(all), all)
	for i := range web.Errors {
		web.Errors[i].Method, web.Errors[i].Name = "", ""
	}
	r := Build(finished(withWebAPI(web)))
	requireValid(t, r)
	assert.Equal(t, all, listsOf(r))
	assert.Empty(t, r.Truncated)
}

// requireCleanTexts checks that all texts are valid UTF-8 without control characters other than the line breaks of messages.
func requireCleanTexts(t testing.TB, value any) {
	t.Helper()
	switch value := value.(type) {
	case string:
		require.True(t, utf8.ValidString(value), "%.80q", value)
		i := strings.IndexFunc(value, func(r rune) bool { return unicode.IsControl(r) && r != '\n' })
		require.Negative(t, i, "%.80q", value)
	case map[string]any:
		for _, member := range value {
			requireCleanTexts(t, member)
		}
	case []any:
		for _, element := range value {
			requireCleanTexts(t, element)
		}
	}
}

// TestBuild_Pure: the same observation gives the same report, and is not modified.
func TestBuild_Pure(t *testing.T) {
	all := lists{12, 3, 2, 30, 2}
	obs := finished(withMessage(message(t, requests, all, all)), withWebAPI(webReport(all)))
	before := toJSON(t, obs)
	r := toJSON(t, Build(obs))
	for range 20 {
		require.Equal(t, r, toJSON(t, Build(obs)))
	}
	assert.Equal(t, before, toJSON(t, obs))
	changed := Build(obs)
	changed.Labels["a"], changed.Endpoints[0].Name = "b", "b"
	assert.Equal(t, before, toJSON(t, obs))
	assert.Equal(t, r, toJSON(t, Build(obs)), "two reports share nothing")
}

// TestSchema_Immutable: the schema refuses each change of a report but that of its metadata.
func TestSchema_Immutable(t *testing.T) {
	all := lists{2, 2, 2, 2, 2}
	version, err := crd()
	require.NoError(t, err)
	full := toObject(t, Build(finished(withMessage(message(t, requests, all, lists{3, 2, 2, 2, 2})))))
	bare := toObject(t, Build(finished(withTest(func(test *v2.LocustTest) { test.Status.TestResult = nil }))))
	copied := func(object map[string]any) *unstructured.Unstructured {
		return (&unstructured.Unstructured{Object: object}).DeepCopy()
	}
	labelled := copied(full)
	labelled.SetLabels(map[string]string{"keep": "true"})
	require.NoError(t, version.AdmitUpdate(t.Context(), labelled.Object, full))

	fields := []string{"test", "outcome", "run", "summary", "endpoints", "errors", "exceptions", "history", "workers", "truncated"}
	for _, field := range fields {
		t.Run(field, func(t *testing.T) {
			require.Contains(t, full, field)
			changed := copied(full).Object
			change(changed[field])
			require.ErrorContains(t, version.AdmitUpdate(t.Context(), changed, full), "a report is immutable")
			removed := copied(full).Object
			delete(removed, field)
			require.Error(t, version.AdmitUpdate(t.Context(), removed, full))
			if _, has := bare[field]; !has {
				added := copied(bare).Object
				added[field] = full[field]
				require.ErrorContains(t, version.AdmitUpdate(t.Context(), added, bare), "a report is immutable")
			}
		})
	}
	for field := range full {
		assert.Contains(t, append(fields, "apiVersion", "kind", "metadata"), field, "is it immutable?")
	}
}

// change changes the first text in a value.
func change(value any) bool {
	switch value := value.(type) {
	case map[string]any:
		for _, name := range []string{"name", "message", "image", "source", "error"} {
			if text, ok := value[name].(string); ok {
				value[name] = text + "x"
				if name == "source" {
					value[name] = "WebAPI"
				}
				return true
			}
		}
		value["requestsPerSecond"] = "77"
		return true
	case []any:
		return change(value[0])
	}
	return false
}
