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
	for _, message := range []string{golden(f), messageOf(f, textOf(f, allKinds)), large(f)} {
		summary := strings.IndexByte(message, '\n')
		middle := (summary + len(message)) / 2
		f.Add(message)
		f.Add(message[:summary])
		f.Add(message[:middle])
		f.Add(message[:middle] + "!" + message[middle+1:])
		f.Add(message[:summary+1] + "Traceback (most recent call last):\n")
	}
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
		checkFinal(t, final)
	})
}

// The text of the rows; in a message, the checksum would stop most of the search.
func FuzzDecodeRest(f *testing.F) {
	f.Add(textOf(f, allKinds))
	f.Add("e,GET,/x,1e999,-1,NaN,inf,-inf,1,2,3,4,5,6\nf,\x1b,\"a\n\"\"b\",2,\xff\nh,1,2,3\n\nw,a\nq,1\n")
	f.Add("h,0,1,2.5,0,10,20\nh,4,1,2,0,,\nh,2,1,0,0,1,2\n")
	f.Fuzz(func(t *testing.T, text string) {
		packed := pack(t, text)
		message := joined(packed, `"n":[1,1,1,1,1]`)
		final, err := decodeFinal(message, "\n")
		require.NoError(t, err)
		checkFinal(t, final)
		header, err := decodeFinal(strings.Replace(message, "\n", "\t", 1), "\t")
		require.NoError(t, err)
		require.Equal(t, final, header)

		cut, err := decodeFinal(message[:len(message)-len(packed)/2], "\n")
		require.NoError(t, err)
		require.NotEmpty(t, cut.Details.Problem)
		checkFinal(t, cut)
	})
}

func checkFinal(t *testing.T, final *Final) {
	checkReport(t, &final.Report)
	for _, at := range []time.Time{final.LoadStart, final.LoadEnd} {
		assert.True(t, at.IsZero() || at.Year() >= 1970 && at.Year() <= 10000, at)
	}
	assert.LessOrEqual(t, len(final.Log), MaxLog)
	for _, line := range final.Log {
		checkText(t, line, MaxLogLine)
	}
	checkDetails(t, final)
}

func checkDetails(t *testing.T, final *Final) {
	d := final.Details
	if d == nil {
		return
	}
	checkText(t, d.LocustVersion, MaxName)
	checkText(t, d.Host, MaxError)
	c := d.Counts
	for _, n := range []int32{c.Endpoints, c.Errors, c.Exceptions, c.History, c.Workers} {
		assert.GreaterOrEqual(t, n, int32(0))
	}
	assert.Contains(t, []string{"", problemCut, problemDamaged}, d.Problem)
	if d.Problem == problemDamaged {
		assert.Empty(t, d.History)
		assert.Empty(t, d.Workers)
	}
	assert.LessOrEqual(t, len(d.History), MaxHistory)
	for i, p := range d.History {
		assert.False(t, p.Time.Before(final.LoadStart), p.Time)
		assert.LessOrEqual(t, p.Time.Unix(), int64(maxEpoch))
		assert.True(t, i == 0 || !p.Time.Before(d.History[i-1].Time))
		assert.GreaterOrEqual(t, p.Users, int32(0))
		checkRate(t, p.RequestsPerSecond)
		checkRate(t, p.FailuresPerSecond)
		checkTimes(t, p.P50, p.P95)
	}
	assert.LessOrEqual(t, len(d.Workers), MaxWorkers)
	for _, w := range d.Workers {
		assert.NotEmpty(t, w.Name)
		checkText(t, w.Name, MaxName)
		assert.True(t, w.Processor >= 0 && w.Processor <= maxPercent && w.Processor == math.Trunc(w.Processor), w.Processor)
		checkCounts(t, w.Memory)
	}
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
	checkDelivery(t, r.Delivery)
	checkStats(t, &r.Stats)
}

func checkStats(t *testing.T, s *Stats) {
	checkCounts(t, s.Requests, s.Failures)
	checkRate(t, s.RequestsPerSecond)
	checkTimes(t, &s.Average)
	checkMeasured(t, s.Percentiles, s.Extremes)
	assert.LessOrEqual(t, len(s.Endpoints), MaxEndpoints)
	for i, e := range s.Endpoints {
		checkText(t, e.Method, MaxMethod)
		checkText(t, e.Name, MaxName)
		checkCounts(t, e.Requests, e.Failures)
		checkRate(t, e.RequestsPerSecond)
		checkTimes(t, &e.Average)
		checkMeasured(t, e.Percentiles, e.Extremes)
		assert.True(t, i == 0 || s.Endpoints[i-1].Failures >= e.Failures)
	}
	checkErrors(t, s.Errors)
	checkErrors(t, s.Exceptions)
	for _, e := range s.Exceptions {
		assert.Empty(t, e.Method+e.Name)
	}
	assert.GreaterOrEqual(t, s.EndpointCount, int32(0))
	assert.GreaterOrEqual(t, s.ErrorCount, int32(0))
}

func checkErrors(t *testing.T, list []Error) {
	assert.LessOrEqual(t, len(list), MaxErrors)
	for i, e := range list {
		checkText(t, e.Method, MaxMethod)
		checkText(t, e.Name, MaxName)
		checkText(t, e.Text, MaxError)
		checkCounts(t, e.Occurrences)
		assert.True(t, i == 0 || list[i-1].Occurrences >= e.Occurrences)
	}
}

func checkRate(t *testing.T, rate float64) {
	assert.False(t, math.IsNaN(rate) || rate < 0 || rate > maxRate || math.Signbit(rate), rate)
}

func checkMeasured(t *testing.T, p Percentiles, e Extremes) {
	checkTimes(t, p.P50, p.P90, p.P95, p.P99, p.P999, e.Min, e.Max)
	if e.ContentBytes != nil {
		checkCounts(t, *e.ContentBytes)
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
