package report

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// endless returns a reader that repeats a text endlessly, after a beginning.
func endless(beginning, text string) io.Reader {
	return io.MultiReader(strings.NewReader(beginning), &repeated{text: text})
}

type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[(r.at+i)%len(r.text)]
	}
	r.at += len(p)
	return len(p), nil
}

// TestHostileResponses: hostile input is rejected and takes little memory. All allocations are counted, although most are
// garbage at once.
func TestHostileResponses(t *testing.T) {
	decodeStats := func(r io.Reader) error { _, err := DecodeStats(r); return err }
	decodeCSV := func(r io.Reader) error { _, err := DecodeCSV(r); return err }
	const large, part, deep = "the document is larger than 1 MiB", "the document has a part larger than 16 KiB", "the document is nested too deeply"
	quoted := strings.Replace(csvTotal, "Aggregated", `"Aggregated`, 1)
	for name, row := range map[string]struct {
		decode func(io.Reader) error
		answer io.Reader
		want   string
	}{
		"white space":           {decodeStats, endless("", " "), large},
		"white space in it":     {decodeStats, endless(`{"stats":[`, "\n"), large},
		"a string":              {decodeStats, endless(`{"state":"`, "x"), large},
		"a string of escapes":   {decodeStats, endless(`{"state":"`, `\u00e4`), large},
		"a name of a member":    {decodeStats, endless(`{"`, "x"), large},
		"a name of an endpoint": {decodeStats, endless(`{"stats":[{"name":"`, `\"`), large},
		"a number":              {decodeStats, endless(`{"user_count":`, "1"), part},
		"a number, skipped":     {decodeStats, endless(`{"x":`, "1"), part},
		"an element":            {decodeStats, endless(`{"stats":[{`, `"a":1,`), part},
		"a value":               {decodeStats, endless(`{"user_count":[`, `1,`), part},
		"depth":                 {decodeStats, endless(`{"x":`, "["), deep},
		"depth in an element":   {decodeStats, endless(`{"stats":[{"x":`, `{"a":`), deep},
		"zeros":                 {decodeStats, endless("", "\x00"), "the document is not JSON"},
		"a row":                 {decodeCSV, endless(csvHeader, `a"b`), "the document is not CSV"},
		"a cell":                {decodeCSV, endless(csvHeader, "x"), large},
		"a quoted cell":         {decodeCSV, endless(csvHeader+quoted[:len(quoted)-8], "x,\n"), large},
		"quotes":                {decodeCSV, endless(csvHeader+`"`, `""`), part},
		"columns":               {decodeCSV, endless("", ","), part},
		"columns with names":    {decodeCSV, endless("", "abc,"), part},
		"empty lines":           {decodeCSV, endless(csvHeader, "\n"), large},
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			err := row.decode(row.answer)
			runtime.ReadMemStats(&after)
			require.ErrorContains(t, err, row.want)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(200<<10), "bytes allocated")
			var decoding *DecodeError
			require.ErrorAs(t, err, &decoding)
		})
	}
}

// TestLongTexts: a long name or error does not invalidate the report.
func TestLongTexts(t *testing.T) {
	for _, letter := range []string{"x", `\"`, `\\`, `\u00e4`, "ä", `,`, `{`} {
		long := strings.Repeat(letter, 100_000/len(letter))
		r := decoded(t, answerWith(`"errors":[]`, `"errors":[{"method":"GET","name":"`+long+`","error":"`+long+`","occurrences":3}]`,
			total, strings.Replace(total, "Aggregated", long, 1)+","+total))
		assert.Equal(t, int64(2), r.Requests, letter)
		require.Len(t, r.Endpoints, 1)
		assert.Len(t, r.Errors, 1)
		assert.InDelta(t, MaxName, len(r.Endpoints[0].Name), 2)
		assert.InDelta(t, MaxError, len(r.Errors[0].Text), 2)

		if letter[0] == '\\' {
			continue
		}
		for _, quote := range []string{"", `"`} {
			if letter == "," && quote == "" {
				continue
			}
			s, err := DecodeCSV(strings.NewReader(csvHeader + "GET," + quote + long + quote + ",1,0,1,1,1,1,1,1\n" + csvTotal))
			require.NoError(t, err)
			assert.Equal(t, int64(20), s.Requests)
			assert.InDelta(t, MaxName, len(s.Endpoints[0].Name), 2)
		}
	}
}

// TestReader: a response may arrive in pieces of any size, and errors of the reader are returned.
func TestReader(t *testing.T) {
	for _, name := range []string{"2.12-running.json", "2.47-stopped.json"} {
		complete, err := DecodeStats(strings.NewReader(string(sample(t, name))))
		require.NoError(t, err)
		pieces, err := DecodeStats(iotest.OneByteReader(strings.NewReader(string(sample(t, name)))))
		require.NoError(t, err)
		assert.Equal(t, complete, pieces)
	}
	table := string(sample(t, "2.47-stopped.csv"))
	complete, err := DecodeCSV(strings.NewReader(table))
	require.NoError(t, err)
	pieces, err := DecodeCSV(iotest.DataErrReader(iotest.OneByteReader(strings.NewReader(table))))
	require.NoError(t, err)
	assert.Equal(t, complete, pieces)

	broken := errors.New("broken")
	for _, n := range []int{0, 1, 50, len(answerWith())} {
		_, err := DecodeStats(io.MultiReader(strings.NewReader(answerWith()[:n]), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken)
	}
	for _, n := range []int{0, 20, len(csvHeader)} {
		_, err := DecodeCSV(io.MultiReader(strings.NewReader(csvHeader[:n]), iotest.ErrReader(broken)))
		require.ErrorIs(t, err, broken)
	}
}
