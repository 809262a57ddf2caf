package report

import (
	"bytes"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fuzz checks that a decoder gives the same for the same data: a result that check accepts, or a DecodeError.
func fuzz(f *testing.F, decode func([]byte) (any, error), check func(*testing.T, any)) {
	f.Fuzz(func(t *testing.T, data []byte) {
		result, err := decode(data)
		again, errAgain := decode(data)
		require.Equal(t, result, again)
		require.Equal(t, err, errAgain)
		if err != nil {
			checkError(t, err)
			return
		}
		check(t, result)
	})
}

func FuzzDecodeStats(f *testing.F) {
	// The samples are large, which makes the search slow; these have the same members.
	f.Add([]byte(answerWith()))
	f.Add([]byte(answerWith(total, strings.Replace(oldest, `"Aggregated"`, `"/&lt;"`, 1)+","+oldest,
		`"errors":[]`, `"errors":[{"method":"GET","name":"&lt;","error":"&#x27;E(\\&#x27;a\\&#x27;)&#x27;","occurrences":3}]`)))
	f.Add([]byte(answerWith(`}]`, `,"median_response_time":1,"response_time_percentile_0.9":2.5,"response_time_percentile_0.95":null,`+
		`"response_time_percentile_0.99":4e1}]`, `"workers":[]`, `"worker_count":1,"workers":[{"state":"running"}]`)))
	fuzz(f, func(data []byte) (any, error) { return DecodeStats(bytes.NewReader(data)) }, func(t *testing.T, result any) { checkReport(t, result.(*Report)) })
}

func FuzzDecodeCSV(f *testing.F) {
	names, err := filepath.Glob(filepath.Join("testdata", "*.csv"))
	require.NoError(f, err)
	require.NotEmpty(f, names)
	for _, name := range names {
		f.Add(sample(f, filepath.Base(name)))
	}
	f.Add([]byte(csvHeader + csvTotal))
	fuzz(f, func(data []byte) (any, error) { return DecodeCSV(bytes.NewReader(data)) }, func(t *testing.T, result any) { checkStats(t, result.(*Stats)) })
}

func FuzzDecodeFinal(f *testing.F) {
	f.Add(final)
	f.Add(finalLeast)
	f.Add(final[:300])
	f.Fuzz(func(t *testing.T, message string) {
		final, err := DecodeFinal(message)
		again, errAgain := DecodeFinal(message)
		require.Equal(t, final, again)
		require.Equal(t, err, errAgain)
		if err != nil {
			checkError(t, err)
			return
		}
		require.True(t, IsFinal(message))
		checkReport(t, &final.Report)
		for _, at := range []time.Time{final.LoadStart, final.LoadEnd} {
			assert.True(t, at.IsZero() || at.Year() >= 1970 && at.Year() <= 10000, at)
		}
		assert.LessOrEqual(t, len(final.Log), MaxLog)
		for _, line := range final.Log {
			checkText(t, line, MaxLogLine)
		}
	})
}

func checkError(t *testing.T, err error) {
	var decoding *DecodeError
	require.ErrorAs(t, err, &decoding)
	checkText(t, err.Error(), 200)
}

func checkReport(t *testing.T, r *Report) {
	assert.True(t, r.State.Loading() || r.State.Ended() || r.State == StateReady, r.State)
	assert.GreaterOrEqual(t, r.Users, int32(0))
	assert.GreaterOrEqual(t, r.Workers, int32(0))
	checkTarget(t, r.Target)
	checkStats(t, &r.Stats)
}

func checkStats(t *testing.T, s *Stats) {
	checkCounts(t, s.Requests, s.Failures)
	assert.False(t, math.IsNaN(s.RequestsPerSecond) || s.RequestsPerSecond < 0 || s.RequestsPerSecond > maxRate, s.RequestsPerSecond)
	assert.False(t, math.Signbit(s.RequestsPerSecond))
	checkTimes(t, &s.Average, s.P50, s.P90, s.P95, s.P99)
	assert.LessOrEqual(t, len(s.Endpoints), MaxEndpoints)
	for i, e := range s.Endpoints {
		checkText(t, e.Method, MaxMethod)
		checkText(t, e.Name, MaxName)
		checkCounts(t, e.Requests, e.Failures)
		checkTimes(t, &e.Average, e.P95)
		assert.True(t, i == 0 || s.Endpoints[i-1].Failures >= e.Failures)
	}
	assert.LessOrEqual(t, len(s.Errors), MaxErrors)
	for i, e := range s.Errors {
		checkText(t, e.Method, MaxMethod)
		checkText(t, e.Name, MaxName)
		checkText(t, e.Text, MaxError)
		checkCounts(t, e.Occurrences)
		assert.True(t, i == 0 || s.Errors[i-1].Occurrences >= e.Occurrences)
	}
}

func checkCounts(t *testing.T, counts ...int64) {
	for _, n := range counts {
		assert.True(t, n >= 0 && n <= maxCount, n)
	}
}

func checkTimes(t *testing.T, times ...*time.Duration) {
	for _, d := range times {
		assert.True(t, d == nil || *d >= 0 && *d <= maxResponseTime && *d%time.Microsecond == 0, d)
	}
}

func checkText(t *testing.T, text string, limit int) {
	assert.LessOrEqual(t, len(text), limit)
	assert.True(t, utf8.ValidString(text), text)
	assert.Equal(t, text, clean(text, limit))
}
