package report

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"
)

// sample returns a response of a real Locust: two workers and ten users on a small server, with failures of all kinds.
func sample(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return data
}

// took returns a response time given in milliseconds.
func took(ms float64) *time.Duration {
	d := time.Duration(math.Round(ms*1000)) * time.Microsecond
	return &d
}

// end returns an endpoint without the fields that brief clears.
func end(method, name string, requests, failures int64, average time.Duration, p95 *time.Duration) Endpoint {
	return Endpoint{Method: method, Name: name, Requests: requests, Failures: failures, Average: average, Percentiles: Percentiles{P95: p95}}
}

// brief returns statistics with the most important fields of the endpoints only.
func brief(s Stats) Stats {
	s.Endpoints = briefEnds(s.Endpoints)
	s.P999, s.Extremes, s.EndpointCount, s.ErrorCount = nil, Extremes{}, 0, 0
	return s
}

func briefEnds(list []Endpoint) []Endpoint {
	var short []Endpoint
	for _, e := range list {
		short = append(short, end(e.Method, e.Name, e.Requests, e.Failures, e.Average, e.P95))
	}
	return short
}

func endpointNames(list []Endpoint) (names []string) {
	for _, e := range list {
		names = append(names, e.Name)
	}
	return names
}

// endpoint returns the endpoint of a name.
func endpoint(t *testing.T, s *Stats, name string) Endpoint {
	t.Helper()
	at := slices.IndexFunc(s.Endpoints, func(e Endpoint) bool { return e.Name == name })
	require.GreaterOrEqual(t, at, 0, name)
	return s.Endpoints[at]
}

// sampleErrors returns the errors of the samples, as both versions report them.
func sampleErrors(host string, broken, checked, gone int64) []Error {
	return []Error{
		{"POST", "/broken", "HTTPError('500 Server Error: Internal Server Error for url: " + host + "/broken')", broken},
		{"GET", "größe", `CatchResponseError('wrong <total> & "sum": \'größer\' \n second line')`, checked},
		{"GET", "gone", "ConnectionRefusedError(111, 'Connection refused')", gone},
	}
}

func TestDecodeStats_Samples(t *testing.T) {
	for name, want := range map[string]Report{
		"2.12-ready.json": {State: StateReady, Workers: 2, Busiest: &ProcessorUse{Worker: "l212"}},
		"2.47-ready.json": {State: StateReady, Workers: 2, Busiest: &ProcessorUse{Worker: "l247"}},
		"2.12-running.json": {State: StateRunning, Users: 10, Workers: 2, Busiest: &ProcessorUse{Worker: "l212", Percent: 3}, Stats: Stats{
			Requests: 1130, Failures: 354, RequestsPerSecond: 37.4, Average: *took(44.748),
			Percentiles: Percentiles{P50: took(2), P90: took(230), P99: took(340)},
			Endpoints: []Endpoint{
				end("POST", "/broken", 184, 184, *took(1.941), nil),
				end("GET", "größe", 88, 88, *took(1.843), nil),
				end("GET", "gone", 82, 82, *took(1.616), nil),
				end("GET", `/slow?a=1&b="<2>"`, 196, 0, *took(249.057), nil),
				end("GET", "/", 580, 0, *took(1.894), nil),
			},
			Errors: sampleErrors("http://127.0.0.1:8080", 184, 88, 82),
		}},
		"2.47-running.json": {State: StateRunning, Users: 10, Workers: 2, Busiest: &ProcessorUse{Worker: "l247", Percent: 3}, Stats: Stats{
			Requests: 1101, Failures: 385, RequestsPerSecond: 36.8, Average: *took(47.899),
			Percentiles: Percentiles{P50: took(2), P95: took(310), P99: took(340)},
			Endpoints: []Endpoint{
				end("POST", "/broken", 196, 196, *took(2.19), took(4)),
				end("GET", "größe", 104, 104, *took(1.98), took(3)),
				end("GET", "gone", 85, 85, *took(1.536), took(3)),
				end("GET", `/slow?a=1&b="<2>"`, 194, 0, *took(262.585), took(350)),
				end("GET", "/", 522, 0, *took(1.971), took(4)),
			},
			Errors: sampleErrors("", 196, 104, 85),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeStats(bytes.NewReader(sample(t, name)))
			require.NoError(t, err)
			assert.EqualValues(t, len(got.Endpoints), got.EndpointCount)
			assert.EqualValues(t, len(got.Errors), got.ErrorCount)
			got.Stats = brief(got.Stats)
			assert.Equal(t, want, *got)
		})
	}
}

// What the samples have of one endpoint, and of the total. 2.12 rounds the shortest and longest time in the JSON.
func TestDecodeStats_SampleEndpoints(t *testing.T) {
	for name, want := range map[string]struct {
		broken Endpoint
		total  Extremes
	}{
		"2.12-running.json": {
			Endpoint{
				Method: "POST", Name: "/broken", Requests: 184, Failures: 184, RequestsPerSecond: 6.8, Average: *took(1.941),
				Percentiles: Percentiles{P50: took(2), P90: took(2), P99: took(7)},
				Extremes:    Extremes{Min: took(1), Max: took(9), ContentBytes: ptr.To[int64](5)},
			},
			Extremes{Min: took(1), Max: took(351), ContentBytes: ptr.To[int64](5)},
		},
		"2.12-stopped.json": {
			Endpoint{
				Method: "POST", Name: "/broken", Requests: 193, Failures: 193, RequestsPerSecond: 7, Average: *took(1.974),
				Percentiles: Percentiles{P50: took(2), P90: took(2), P99: took(8)},
				Extremes:    Extremes{Min: took(1), Max: took(9), ContentBytes: ptr.To[int64](5)},
			},
			Extremes{Min: took(1), Max: took(351), ContentBytes: ptr.To[int64](5)},
		},
		"2.47-running.json": {
			Endpoint{
				Method: "POST", Name: "/broken", Requests: 196, Failures: 196, RequestsPerSecond: 6.1, Average: *took(2.19),
				Percentiles: Percentiles{P50: took(2), P95: took(4), P99: took(7)},
				Extremes:    Extremes{Min: took(1), Max: took(8), ContentBytes: ptr.To[int64](5)},
			},
			Extremes{Min: took(1), Max: took(351), ContentBytes: ptr.To[int64](5)},
		},
		"2.47-stopped.json": {
			Endpoint{
				Method: "POST", Name: "/broken", Requests: 382, Failures: 382, RequestsPerSecond: 6.5, Average: *took(1.986),
				Percentiles: Percentiles{P50: took(2), P95: took(3), P99: took(6)},
				Extremes:    Extremes{Min: took(1), Max: took(8), ContentBytes: ptr.To[int64](5)},
			},
			Extremes{Min: took(1), Max: took(352), ContentBytes: ptr.To[int64](5)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeStats(bytes.NewReader(sample(t, name)))
			require.NoError(t, err)
			assert.Equal(t, want.broken, endpoint(t, &got.Stats, "/broken"))
			assert.Equal(t, want.total, got.Extremes)
			assert.Nil(t, got.P999, "the JSON does not have it")
		})
	}
}

func TestDecodeStats_States(t *testing.T) {
	for _, version := range []string{"2.12", "2.47"} {
		for state, users := range map[State]int32{StateReady: 0, StateSpawning: 6, StateRunning: 10, StateStopped: 0} {
			got, err := DecodeStats(bytes.NewReader(sample(t, fmt.Sprintf("%s-%s.json", version, state))))
			require.NoError(t, err)
			assert.Equal(t, state, got.State)
			assert.Equal(t, users, got.Users, "%s %s", version, state)
			assert.Equal(t, int32(2), got.Workers, "%s %s", version, state)
		}
	}
}

// Entries of a response.
const (
	total  = `{"name":"Aggregated","method":"","num_requests":2,"num_failures":1,"current_rps":1.5,"avg_response_time":10}`
	oldest = `{"name":"Aggregated","method":null,"num_requests":2,"num_failures":1,"current_rps":1,"avg_response_time":1,"ninetieth_response_time":5}`
)

// answerWith returns a complete response; changes are pairs of old and new text.
func answerWith(changes ...string) string {
	const answer = `{"errors":[],"stats":[` + total + `],"state":"running","user_count":1,"workers":[]}`
	return strings.NewReplacer(changes...).Replace(answer)
}

func decoded(t *testing.T, answer string) *Report {
	t.Helper()
	r, err := DecodeStats(strings.NewReader(answer))
	require.NoError(t, err, answer)
	return r
}

func TestDecodeStats_Forms(t *testing.T) {
	t.Run("versions in between: escape nothing, total_rps is another rate", func(t *testing.T) {
		r := decoded(t, `{"state":"running","user_count":3,"total_rps":7,"workers":[{"state":"running"}],
			"current_response_time_percentile_1":null,
			"errors":[{"method":"GET","name":"/?a=1&amp;b","error":"'quoted'","occurrences":2}],
			"stats":[{"name":"Aggregated","safe_name":"Aggregated","method":"","num_requests":4,"num_failures":2,
				"current_rps":5,"total_rps":6,"avg_response_time":1.5,"median_response_time":1,
				"response_time_percentile_0.9":2,"response_time_percentile_0.95":3,"response_time_percentile_0.99":4.5}]}`)
		assert.Equal(t, Percentiles{P50: took(1), P90: took(2), P95: took(3), P99: took(4.5)}, r.Percentiles)
		assert.InDelta(t, 5, r.RequestsPerSecond, 0)
		assert.Equal(t, []Error{{"GET", "/?a=1&amp;b", "'quoted'", 2}}, r.Errors)
	})
	t.Run("old versions escape for HTML and quote", func(t *testing.T) {
		r := decoded(t, answerWith(total, oldest, `"errors":[]`,
			`"errors":[{"method":"GET","name":"&lt;a&gt;&amp;amp;","error":"&quot;it&#x27;s \\\\ &quot;","occurrences":2},
				{"method":"GET","name":"","error":"HTTPError(&#x27;405&#x27;)","occurrences":1},
				{"method":"GET","name":"","error":"&#x27;","occurrences":0}]`))
		assert.Equal(t, []Error{
			{"GET", "<a>&amp;", `it's \ `, 2}, {"GET", "", "HTTPError('405')", 1}, {"GET", "", "'", 0},
		}, r.Errors)
		assert.Equal(t, took(5), r.P90)
	})
	t.Run("workers are counted without worker_count", func(t *testing.T) {
		r := decoded(t, answerWith(`"workers":[]`, `"workers":[{"state":"ready"},{"state":"spawning","x":[{}]},
			{"state":"running"},{"state":"missing"},{"state":"stopped"},{"state":null},{}]`))
		assert.Equal(t, int32(3), r.Workers)
		r = decoded(t, answerWith(`"workers":[]`, `"worker_count":7,"workers":[{"state":"ready"}]`))
		assert.Equal(t, int32(7), r.Workers)
		r = decoded(t, answerWith(`,"workers":[]`, ``))
		assert.Zero(t, r.Workers, "a Locust without workers")
	})
	t.Run("the last Aggregated is the total", func(t *testing.T) {
		r := decoded(t, answerWith(total, strings.ReplaceAll(total, ":2", ":7")+","+strings.ReplaceAll(total, `""`, `"GET"`)+","+total))
		assert.Equal(t, int64(2), r.Requests)
		assert.Equal(t, []Endpoint{
			end("", "Aggregated", 7, 1, *took(10), nil), end("GET", "Aggregated", 2, 1, *took(10), nil),
		}, briefEnds(r.Endpoints))
	})
	t.Run("no requests have no percentiles", func(t *testing.T) {
		r := decoded(t, answerWith(`"num_requests":2`, `"num_requests":0,"median_response_time":0,"response_time_percentile_0.95":0`))
		assert.Equal(t, Percentiles{}, r.Percentiles)
	})
	t.Run("names that are no strings", func(t *testing.T) {
		r := decoded(t, answerWith(total, strings.NewReplacer(`"Aggregated"`, `12.50`, `""`, `true`).Replace(total)+","+total))
		assert.Equal(t, "12.50", r.Endpoints[0].Name)
		assert.Equal(t, "true", r.Endpoints[0].Method)
	})
	t.Run("unknown members, null lists, white space, members twice", func(t *testing.T) {
		r := decoded(t, " \n"+answerWith(`"errors":[]`, `"x":{"y":[1,{"z":null}]},"errors":null`, `"workers":[]`, `"workers":null`,
			`"user_count":1`, `"user_count":"x","stats":[`+strings.ReplaceAll(total, ":2", ":3")+`],"user_count":4`)+"\n ")
		assert.Equal(t, int32(4), r.Users)
		assert.Equal(t, int64(3), r.Requests)
		assert.Empty(t, r.Endpoints)
	})
	t.Run("bounds are still believed", func(t *testing.T) {
		r := decoded(t, answerWith(`"num_requests":2`, `"num_requests":9007199254740992`, `"user_count":1`, `"user_count":2147483647`,
			`1.5`, `1e9`, `"avg_response_time":10`, `"avg_response_time":31536000000`, `"num_failures":1`, `"num_failures":-0`))
		assert.Equal(t, int64(1<<53), r.Requests)
		assert.Equal(t, int32(math.MaxInt32), r.Users)
		assert.InDelta(t, 1e9, r.RequestsPerSecond, 0)
		assert.Equal(t, 365*24*time.Hour, r.Average)
		assert.Zero(t, r.Failures)
	})
	t.Run("microseconds", func(t *testing.T) {
		assert.Equal(t, 1235*time.Microsecond, decoded(t, answerWith(`:10`, `:1.2345678e0`)).Average)
	})
}

func TestDecodeStats_Refusals(t *testing.T) {
	for name, row := range map[string]struct{ answer, want string }{
		"nothing":             {"", "the document is empty"},
		"white space":         {" \n", "the document is empty"},
		"a page":              {"<html>", "the document is not JSON: invalid character '<' looking for beginning of value"},
		"a text":              {`"x"`, "the document is not a JSON object"},
		"a list":              {`[]`, "the document is not a JSON object"},
		"null":                {`null`, "the document is not a JSON object"},
		"other JSON":          {`{"kind":"Status"}`, "state is missing"},
		"cut":                 {answerWith()[:80], "the document is truncated"},
		"cut at the end":      {strings.TrimSuffix(answerWith(), "}"), "the document is truncated"},
		"more after it":       {answerWith() + "{}", "the document has trailing data"},
		"rubbish after it":    {answerWith() + "x", "the document has trailing data"},
		"a comma too many":    {answerWith(`"workers":[]`, `"workers":[],`), "the document is not JSON: invalid character '}'"},
		"a missing colon":     {`{"x" 1}`, "the document is not JSON: invalid character '1' after object key"},
		"too deep":            {`{"x":` + strings.Repeat("[", 20000), "the document is nested too deeply"},
		"no state":            {answerWith(`"state":"running",`, ``), "state is missing"},
		"null state":          {answerWith(`"running"`, `null`), "state is missing"},
		"empty state":         {answerWith(`"running"`, `""`), "state is missing"},
		"unknown state":       {answerWith(`"running"`, `"hatching"`), "state is unknown: hatching"},
		"state is an object":  {answerWith(`"running"`, `{}`), "state is not a string"},
		"no runner":           {answerWith(`"running"`, `"missing"`), "state reports that Locust has no runner yet"},
		"no stats":            {answerWith(`"stats":[`+total+`],`, ``), "stats is missing"},
		"null stats":          {answerWith(`[`+total+`]`, `null`), "stats has no entry Aggregated"},
		"empty stats":         {answerWith(total, ``), "stats has no entry Aggregated"},
		"no total":            {answerWith(`"Aggregated"`, `"/"`), "stats has no entry Aggregated"},
		"total with a method": {answerWith(`""`, `"GET"`), "stats has no entry Aggregated"},
		"stats is not a list": {answerWith(`[`+total+`]`, `{"a":1}`), "stats is not a list"},
		"stats is a text":     {answerWith(`[`+total+`]`, `"x"`), "stats is not a list"},
		"entry is a number":   {answerWith(total, `1`), "stats has an unexpected type: a JSON number"},
		"entry is null":       {answerWith(total, `null`), "stats has no entry Aggregated"},
		"entry is cut":        {answerWith()[:40], "the document is truncated"},

		"no requests":       {answerWith(`"num_requests":2,`, ``), "stats.num_requests is missing"},
		"no failures":       {answerWith(`"num_failures":1,`, ``), "stats.num_failures is missing"},
		"no rate":           {answerWith(`"current_rps":1.5,`, ``), "stats.current_rps is missing"},
		"no average":        {answerWith(`,"avg_response_time":10`, ``), "stats.avg_response_time is missing"},
		"no users":          {answerWith(`"user_count":1,`, ``), "user_count is missing"},
		"text for a number": {answerWith(`:2`, `:"2"`), `stats.num_requests is not a number: "2"`},
		"boolean":           {answerWith(`:2`, `:true`), "stats.num_requests is not a number: true"},
		"null number":       {answerWith(`:2`, `:null`), "stats.num_requests is not a number: null"},
		"list":              {answerWith(`:2`, `:[2]`), "stats.num_requests is not a number: [2]"},
		"fraction":          {answerWith(`:2`, `:2.5`), "stats.num_requests is not a whole number: 2.5"},
		"negative":          {answerWith(`:2`, `:-2`), "stats.num_requests is negative: -2"},
		"beyond 2⁵³":        {answerWith(`:2`, `:9007199254740994`), "stats.num_requests is too large: 9007199254740994"},
		"beyond float64":    {answerWith(`:2`, `:1e999`), "stats.num_requests is too large: 1e999"},
		"below float64":     {answerWith(`:2`, `:-1e999`), "stats.num_requests is negative: -1e999"},
		"too many failures": {answerWith(`"num_failures":1`, `"num_failures":1e16`), "stats.num_failures is too large: 1e16"},
		"median":            {answerWith(`:10`, `:10,"median_response_time":"1"`), `stats.median_response_time is not a number: "1"`},
		"P99":               {answerWith(`:10`, `:10,"response_time_percentile_0.99":[]`), "99th percentile in stats is not a number: []"},
		"null workers":      {answerWith(`"workers":[]`, `"worker_count":null`), "worker_count is not a number: null"},
		"workers no list":   {answerWith(`"workers":[]`, `"workers":{}`), "workers is not a list"},
		"worker no object":  {answerWith(`"workers":[]`, `"workers":["a"]`), "workers has an unexpected type: a JSON string"},
		"errors no list":    {answerWith(`"errors":[]`, `"errors":7`), "errors is not a list"},
		"error is a list":   {answerWith(`"errors":[]`, `"errors":[[]]`), "errors has an unexpected type: a JSON array"},
		"NaN requests":      {answerWith(`:2`, `:NaN`), "stats.num_requests is not a number: {}"},
		"P99 of total":      {answerWith(`:10`, `:10,"response_time_percentile_0.99":"1"`), `99th percentile in stats is not a number: "1"`},
		"large element":     {answerWith(total, `{`+strings.Repeat(`"a":1,`, 3000)+`"b":1}`), "the document has a part larger than 16 KiB"},
		"long value is cut": {answerWith(`:2`, `:"`+strings.Repeat("ö", 500)+`"`), `stats.num_requests is not a number: "` + strings.Repeat("ö", 29) + " …"},
		"too large":         {answerWith() + strings.Repeat(" ", MaxResponseBytes), "the document is larger than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := DecodeStats(strings.NewReader(row.answer))
			assert.Nil(t, r)
			requireDecodeError(t, err, row.want)
		})
	}
}

// The reason is shown in a condition: it is the same for other values in the same field.
func TestDecodeError_Reason(t *testing.T) {
	reasons := map[string]bool{}
	for _, value := range []string{"-1", "-2.5", "-3e10"} {
		_, err := DecodeStats(strings.NewReader(answerWith(`:2`, ":"+value)))
		var decoding *DecodeError
		require.ErrorAs(t, err, &decoding)
		reasons[decoding.Reason()] = true
	}
	assert.Equal(t, map[string]bool{"stats.num_requests is negative": true}, reasons)
}

func TestDecodeStats_Endpoints(t *testing.T) {
	entry := func(name string, failures, average int, more string) string {
		return fmt.Sprintf(`{"name":%q,"method":"GET","num_requests":9,"num_failures":%d,"current_rps":0,"avg_response_time":%d%s}`,
			name, failures, average, more)
	}
	list := func(entries ...string) *Report {
		return decoded(t, answerWith(total, strings.Join(append(slices.Clone(entries), total), ",")))
	}
	names := func(entries ...string) []string { return endpointNames(list(entries...).Endpoints) }
	p95 := func(ms int) string { return fmt.Sprintf(`,"response_time_percentile_0.95":%d`, ms) }

	assert.Equal(t, []string{"d", "f", "b", "a", "c", "e"},
		names(entry("a", 0, 5, ""), entry("b", 0, 6, ""), entry("c", 0, 4, ""), entry("d", 2, 1, ""), entry("e", 0, 3, ""), entry("f", 1, 1, "")))
	assert.Equal(t, []string{"b", "a"}, names(entry("a", 0, 9, p95(1)), entry("b", 0, 1, p95(9))), "the percentile is preferred to the average")
	for range 3 {
		assert.Equal(t, []string{"a", "b", "c", "d", "e", "f"},
			names(entry("f", 0, 1, ""), entry("b", 0, 1, ""), entry("e", 0, 1, ""), entry("a", 0, 1, ""), entry("d", 0, 1, ""), entry("c", 0, 1, "")))
	}

	// More than are kept, in several orders: always the same first ones.
	for _, n := range []int{MaxEndpoints, MaxEndpoints + 1, 2 * MaxEndpoints, 2*MaxEndpoints + 1, 5*MaxEndpoints + 7} {
		var want, entries []string
		for i := range n {
			name := fmt.Sprintf("n%04d", i)
			entries = append(entries, entry(name, (n-i)/3, (n-i)/2, "")) // some are equal but for their names
			want = append(want, name)
		}
		slices.SortFunc(want, func(a, b string) int {
			rank := func(name string) int { i, _ := strconv.Atoi(name[1:]); return n - i }
			return cmp.Or(rank(b)/3-rank(a)/3, rank(b)/2-rank(a)/2, strings.Compare(a, b))
		})
		for _, order := range orders {
			order(entries)
			r := list(entries...)
			require.Equal(t, want[:MaxEndpoints], endpointNames(r.Endpoints))
			require.EqualValues(t, n, r.EndpointCount)
		}
	}
}

// orders change the order of a list.
var orders = []func([]string){
	func([]string) {},
	slices.Reverse[[]string],
	slices.Sort[[]string],
	func(list []string) {
		rand.New(rand.NewPCG(1, 2)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	},
}

func TestDecodeStats_Errors(t *testing.T) {
	names := func(list ...string) (names []string) {
		r := decoded(t, answerWith(`"errors":[]`, `"errors":[`+strings.Join(list, ",")+`]`))
		assert.EqualValues(t, len(list), r.ErrorCount)
		for _, e := range r.Errors {
			names = append(names, e.Name)
		}
		return names
	}
	of := func(n int) (list []string) {
		for i := range n {
			list = append(list, fmt.Sprintf(`{"name":"n%d","method":"GET","error":"e","occurrences":%d}`, i, i/2))
		}
		return list
	}
	assert.Equal(t, []string{"n6", "n7", "n4", "n5", "n2", "n3", "n0", "n1"}, names(of(8)...))
	for _, n := range []int{MaxErrors, MaxErrors + 1, 2 * MaxErrors, 3*MaxErrors + 1} {
		var want []string
		for i := (n - 1) / 2 * 2; i >= 0; i -= 2 {
			want = append(want, fmt.Sprintf("n%d", i), fmt.Sprintf("n%d", i+1))
		}
		if n%2 == 1 {
			want = slices.Delete(want, 1, 2) // the most frequent has no equal
		}
		list := of(n)
		for _, order := range orders {
			order(list)
			require.Equal(t, want[:MaxErrors], names(list...))
		}
	}
}

func TestDecodeStats_Texts(t *testing.T) {
	long := strings.Repeat("ö", 300)
	r := decoded(t, answerWith(
		total, strings.NewReplacer(`"Aggregated"`, `"`+long+`"`, `""`, `"A\tB\u202eC`+long+`"`).Replace(total)+","+total,
		`"errors":[]`, `"errors":[{"method":"x","name":"\ud800\u0000","error":"one\r\ntwo\u2028`+"\xff"+long+`","occurrences":1}]`))
	assert.Equal(t, strings.Repeat("ö", 62)+" …", r.Endpoints[0].Name)
	assert.Equal(t, "A B Cööö …", r.Endpoints[0].Method)
	assert.Equal(t, "\ufffd ", r.Errors[0].Name)
	assert.True(t, strings.HasPrefix(r.Errors[0].Text, "one  two \ufffdöö"), r.Errors[0].Text)
	assert.LessOrEqual(t, len(r.Errors[0].Text), MaxError)
	assert.True(t, strings.HasSuffix(r.Errors[0].Text, "ö …"))
}

func TestClean(t *testing.T) {
	for limit := 10; limit < 20; limit++ {
		got := clean("abcdöäü€€€€𝄞𝄞", limit)
		assert.LessOrEqual(t, len(got), limit)
		assert.Equal(t, got, clean(got, limit))
		assert.Equal(t, got, strings.ToValidUTF8(got, "?"))
	}
	assert.Equal(t, "12345678", clean("12345678", 8))
	assert.Equal(t, "1234 …", clean("123456789", 8))
}

// Many small values are read once and not kept. The time limit is relative to reading the tokens alone, because machines differ.
func TestDecodeStats_Flood(t *testing.T) {
	flood := func(element string, n int) string { return strings.TrimSuffix(strings.Repeat(element+",", n), ",") }
	for name, answer := range map[string]string{
		"members": `{` + flood(`"a":1`, 100000) + `}`,
		"workers": answerWith(`"workers":[]`, `"workers":[`+flood(`{}`, 200000)+`]`),
		"errors":  answerWith(`"errors":[]`, `"errors":[`+flood(`{"occurrences":1}`, 50000)+`]`),
		"entries": answerWith(total, flood(total, 7000)),
		"digits":  answerWith(`:2`, `:`+strings.Repeat("9", 900000)),
	} {
		t.Run(name, func(t *testing.T) {
			var took, tokens time.Duration
			for range 5 { // the machine may be busy during one of both
				start := time.Now()
				_, _ = DecodeStats(strings.NewReader(answer))
				took = time.Since(start)
				start = time.Now()
				decoder := json.NewDecoder(strings.NewReader(answer))
				for err := error(nil); err == nil; {
					_, err = decoder.Token()
				}
				if tokens = time.Since(start); took < 100*tokens {
					break
				}
			}
			t.Logf("%s, reading the tokens alone takes %s", took, tokens)
			assert.Less(t, took, 100*tokens)
		})
	}
}

func BenchmarkDecodeStats(b *testing.B) {
	for _, version := range []string{"2.12", "2.47"} {
		b.Run(version, func(b *testing.B) {
			data := manyEndpoints(b, version+"-running.json", 500)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := DecodeStats(bytes.NewReader(data)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// manyEndpoints returns a sample with n endpoints.
func manyEndpoints(t testing.TB, name string, n int) []byte {
	t.Helper()
	before, after, found := strings.Cut(string(sample(t, name)), `"stats": [`)
	require.True(t, found)
	entry, rest, found := strings.Cut(after, "\n    },")
	require.True(t, found)
	var all strings.Builder
	for i := range n {
		all.WriteString(strings.Replace(entry, `"name": "/"`, fmt.Sprintf(`"name": "/shop/%d"`, i), 1) + "\n    },")
	}
	return []byte(before + `"stats": [` + all.String() + rest)
}
