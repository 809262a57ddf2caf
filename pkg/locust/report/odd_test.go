package report

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOddNumbers: measurements of the user's code are clamped, in the response, the CSV and the final report.
func TestOddNumbers(t *testing.T) {
	for text, want := range map[string]*time.Duration{
		"-1": took(0), "-0.001": took(0), "-1e999": took(0), "-Infinity": took(0),
		"1e999": took(31536000000), "Infinity": took(31536000000), "4e10": took(31536000000),
		"NaN": nil,
	} {
		average := time.Duration(0)
		if want != nil {
			average = *want
		}
		t.Run(text, func(t *testing.T) {
			r := decoded(t, answerWith(`:10`, `:`+text+`,"median_response_time":`+text+`,"response_time_percentile_0.95": `+text))
			assert.Equal(t, average, r.Average)
			assert.Equal(t, Percentiles{P50: want, P95: want}, r.Percentiles)

			final, err := DecodeFinal(strings.NewReplacer("44.7481", text, "230.0", text).Replace(final))
			require.NoError(t, err)
			assert.Equal(t, average, final.Average)
			assert.Equal(t, want, final.P90)
			assert.Equal(t, int64(1130), final.Requests)

			python := strings.NewReplacer("Infinity", "inf", "NaN", "nan").Replace(text)
			s, err := DecodeCSV(strings.NewReader(csvHeader + strings.NewReplacer("4.5", python, "8,9", python+",9").Replace(csvTotal)))
			require.NoError(t, err)
			assert.Equal(t, average, s.Average)
			assert.Equal(t, want, s.P95)
			assert.Equal(t, int64(20), s.Requests)
		})
	}
	for text, want := range map[string]float64{"-1": 0, "NaN": 0, "-Infinity": 0, "Infinity": maxRate, "1e12": maxRate} {
		assert.InDelta(t, want, decoded(t, answerWith("1.5", text)).RequestsPerSecond, 0, text)
		f, err := DecodeFinal(strings.Replace(final, "37.4", text, 1))
		require.NoError(t, err)
		assert.InDelta(t, want, f.RequestsPerSecond, 0, text)
	}
	for text, want := range map[string]int32{"-1": 0, "3e9": math.MaxInt32, "0.5": 0, "NaN": 0} {
		r := decoded(t, answerWith(`"user_count":1`, `"user_count":`+text, `"workers":[]`, `"worker_count":`+text))
		assert.Equal(t, []int32{want, want}, []int32{r.Users, r.Workers}, text)
		f, err := DecodeFinal(strings.NewReplacer(`"users":10`, `"users":`+text, `"workers":3`, `"workers":`+text).Replace(final))
		require.NoError(t, err)
		assert.Equal(t, []int32{want, want}, []int32{f.Users, f.Workers}, text)
	}
	for _, text := range []string{"-1", "NaN", "253402300800"} {
		f, err := DecodeFinal(strings.Replace(final, "1732330000.12", text, 1))
		require.NoError(t, err)
		assert.True(t, f.LoadStart.IsZero(), text)
	}
}

// TestOddEndpoints: an invalid endpoint is left out, and the rest of the report stays.
func TestOddEndpoints(t *testing.T) {
	for name, odd := range map[string]string{
		"null": `null`, "no counts": `{"name":"/odd","method":"GET"}`,
		"negative":      strings.Replace(total, `:2`, `:-2`, 1),
		"a fraction":    strings.Replace(total, `:2`, `:2.5`, 1),
		"no number":     strings.Replace(total, `:10`, `:null`, 1),
		"name":          strings.Replace(total, `"Aggregated"`, `[]`, 1),
		"name is NaN":   strings.Replace(total, `"Aggregated"`, `NaN`, 1),
		"beyond bounds": strings.Replace(total, `:2`, `:1e300`, 1),
	} {
		odd = strings.Replace(odd, "Aggregated", "/odd", 1)
		r := decoded(t, answerWith(total, odd+","+strings.Replace(total, "Aggregated", "/fine", 1)+","+total))
		assert.Equal(t, int64(2), r.Requests, name)
		require.Len(t, r.Endpoints, 1, name)
		assert.Equal(t, "/fine", r.Endpoints[0].Name)
	}
	r := decoded(t, answerWith(`"errors":[]`, `"errors":[{"error":{},"occurrences":1},{"error":"e","occurrences":-1},{"error":"fine","occurrences":1}]`,
		`"workers":[]`, `"workers":[{"state":[]},{"state":"ready"}]`))
	assert.Equal(t, []Error{{Text: "fine", Occurrences: 1}}, r.Errors)
	assert.Equal(t, int32(1), r.Workers)

	s, err := DecodeCSV(strings.NewReader(csvHeader + "GET,/,x,0,0,0,0,0,0,0\nGET,/,-1,0,0,0,0,0,0,0\nGET,/fine,1,0,-1,nan,0,0,inf,N/A\n" + csvTotal))
	require.NoError(t, err)
	assert.Equal(t, int64(20), s.Requests)
	assert.Equal(t, []Endpoint{end("GET", "/fine", 1, 0, 0, took(31536000000))}, briefEnds(s.Endpoints))

	f, err := DecodeFinal(strings.NewReplacer(`"/x","requests":9`, `"/x","requests":-9`, `"count":3`, `"count":-3`, `"count":7`, `"count":null`, `"one"`, `{}`).Replace(final))
	require.NoError(t, err)
	assert.Equal(t, int64(1130), f.Requests)
	assert.Equal(t, []Endpoint{end("POST", "/y", 5, 5, *took(2), nil)}, f.Endpoints)
	assert.Equal(t, []Error{{"POST", "/y", "HTTPError('500')", 20}}, f.Errors)
	assert.Equal(t, []string{"", "two"}, f.Log)

	for from, want := range map[string]string{`"requests":1130`: "requests is negative: -1", `"failures":354`: "failures is negative: -1"} {
		field, _, _ := strings.Cut(from, ":")
		_, err := DecodeFinal(strings.Replace(final, from, field+":-1", 1))
		require.EqualError(t, err, want)
	}
}
