package report

import (
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"encoding/csv"
	"fmt"
	"hash/crc32"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"
)

// summary is the first line of a message of version 2, without its end.
const summary = `{"locust.io/report":2,"complete":true,"state":"running","users":10,"workers":3,"start":1732330000.12,"end":1732330240.5,` +
	`"requests":1000,"failures":354,"avg":44.7481,"rps":50,"min":0.5,"max":900.25,"p50":2,"p90":230.0,"p95":290,"p99":340,"p999":880.5,` +
	`"custom_exit":false,"version":"2.47.0","host":"https://shop.example","target_users":12,"run_time":null,"shape":false,` +
	`"ended_by":"shape","lost":1,"missing":null,"cpu":[80.4,"w-1"],"log":["one"]`

var (
	loadStart = time.Date(2024, 11, 23, 2, 46, 40, 120_000_000, time.UTC)
	// allKinds has a row of each kind.
	allKinds = [][]string{
		{"x", "7", "ValueError: basket"},
		{"f", "POST", "/y", "20", "HTTPError('500')"},
		{"e", "GET", "/x", "200", "", "12.5", "0.123", "70", "10", "20", "30", "40", "50.5", "18"},
		{"h", "2", "7", "12.35", "0.5", "500", "950"},
		{"w", "shop-worker-1", "60", "7340032"},
	}
)

// pack compresses the text of rows as the reporter does.
func pack(t testing.TB, text string) string {
	t.Helper()
	var packed bytes.Buffer
	encoder := ascii85.NewEncoder(&packed)
	compressor, err := zlib.NewWriterLevel(encoder, zlib.BestCompression)
	require.NoError(t, err)
	_, err = compressor.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, compressor.Close())
	require.NoError(t, encoder.Close())
	return packed.String()
}

// textOf returns rows as the reporter writes them.
func textOf(t testing.TB, rows [][]string) string {
	t.Helper()
	var text strings.Builder
	require.NoError(t, csv.NewWriter(&text).WriteAll(rows))
	return text.String()
}

// messageOf returns a message of version 2 with a text of rows; the counts are those of the rows.
func messageOf(t testing.TB, text string) string {
	t.Helper()
	counts := map[string]int{}
	for line := range strings.Lines(text) {
		kind, _, _ := strings.Cut(line, ",")
		counts[kind]++
	}
	return joined(pack(t, text), fmt.Sprintf(`"n":[%d,%d,%d,%d,%d]`,
		counts[rowEndpoint], counts[rowError], counts[rowException], counts[rowPoint], counts[rowWorker]))
}

// joined returns a message with a rest, and with more members.
func joined(packed, members string) string {
	return summary + "," + members + "," + announced(packed) + "}\n" + packed
}

// announced returns the members of the summary that are about a rest.
func announced(packed string) string {
	return fmt.Sprintf(`"rest":%d,"crc":%d`, len(packed), crc32.ChecksumIEEE([]byte(packed)))
}

func decodedFinal(t testing.TB, message string) *Final {
	t.Helper()
	f, err := DecodeFinal(message)
	require.NoError(t, err)
	require.NotNil(t, f.Details)
	return f
}

func TestDecodeFinal_Rest(t *testing.T) {
	f := decodedFinal(t, messageOf(t, textOf(t, allKinds)))
	exceptions := []Error{{"", "", "ValueError: basket", 7}}
	assert.Equal(t, &Final{
		Report: Report{
			State: StateRunning, Users: 10, Workers: 3, Target: &Target{Users: ptr.To[int32](12)},
			Delivery: &Delivery{EndedBy: EndedByShape, WorkersLost: 1, Busiest: &ProcessorUse{"w-1", 80}, Exceptions: exceptions},
			Stats: Stats{
				Requests: 1000, Failures: 354, RequestsPerSecond: 50, Average: *took(44.748),
				Percentiles: Percentiles{took(2), took(230), took(290), took(340), took(880.5)},
				Extremes:    Extremes{Min: took(0.5), Max: took(900.25)},
				Endpoints: []Endpoint{{
					Method: "GET", Name: "/x", Requests: 200, RequestsPerSecond: 10, Average: *took(12.5),
					Percentiles: Percentiles{took(10), took(20), took(30), took(40), took(50.5)},
					Extremes:    Extremes{took(0.123), took(70), ptr.To[int64](18)},
				}},
				Errors:     []Error{{"POST", "/y", "HTTPError('500')", 20}},
				Exceptions: exceptions, EndpointCount: 1, ErrorCount: 1,
			},
			Details: &Details{
				LocustVersion: "2.47.0", Host: "https://shop.example",
				History: []Point{{loadStart.Add(2 * time.Second), 7, 12.35, 0.5, took(500), took(950)}},
				Workers: []Worker{{"shop-worker-1", 60, 7340032}},
				Counts:  Counts{1, 1, 1, 1, 1},
			},
		},
		Complete: true, LoadStart: loadStart, LoadEnd: time.Date(2024, 11, 23, 2, 50, 40, 500_000_000, time.UTC), Log: []string{"one"},
	}, f)
}

// golden returns a message of the real reporter: twenty endpoints, five errors, two exceptions, thirty points, three workers. The
// environment is that of pkg/resources/testdata/reporter_test.py (functions load and start), with a clock that counts from 1732330000.12.
func golden(t testing.TB) string {
	t.Helper()
	message := string(sample(t, "2-final.txt"))
	require.True(t, IsFinal(message))
	return message
}

func TestDecodeFinal_Golden(t *testing.T) {
	f := decodedFinal(t, golden(t))
	assert.True(t, f.Complete)
	assert.Empty(t, f.Details.Problem)
	assert.Equal(t, Counts{Endpoints: 20, Errors: 5, Exceptions: 2, History: 30, Workers: 3}, f.Details.Counts)
	assert.Equal(t, "https://shop.example/?a=1", f.Details.Host)
	assert.Equal(t, "2.47.0", f.Details.LocustVersion)
	assert.Equal(t, []int64{4210, 90}, []int64{f.Requests, f.Failures})
	assert.Equal(t, Percentiles{took(500), took(900), took(950), took(990), took(999)}, f.Percentiles)
	assert.Equal(t, Extremes{Min: took(0.123), Max: took(70)}, f.Extremes)

	require.Len(t, f.Endpoints, 20)
	assert.Equal(t, Endpoint{
		Method: "POST", Name: `/item/[id], "quoted"`, Requests: 381, Failures: 30, RequestsPerSecond: 381 * 70.1666666 / 4210, Average: *took(1.75),
		Percentiles: Percentiles{took(100), took(180), took(190), took(198), took(199.8)},
		Extremes:    Extremes{took(1.123), took(401), ptr.To[int64](1018)},
	}, f.Endpoints[0])
	assert.Equal(t, []string{"größe", "/<b>&amp;", "/shop/19", "/shop/18"}, endpointNames(f.Endpoints[1:5]))

	var errors []Error
	for i, method := range []string{"GET", "POST", "GET", "POST", "GET"} {
		errors = append(errors, Error{
			Method: method, Name: fmt.Sprintf("/shop/%d", i), Occurrences: int64(30 - 5*i),
			Text: fmt.Sprintf("HTTPError('50%d Server Error, for url: /shop') and more", i),
		})
	}
	assert.Equal(t, errors, f.Errors)
	assert.Equal(t, []Error{{"", "", "Traceback: KeyError", 9}, {"", "", `ValueError: "basket"`, 4}}, f.Exceptions)
	assert.Equal(t, f.Exceptions, f.Delivery.Exceptions)

	require.Len(t, f.Details.History, 30)
	for i, p := range f.Details.History {
		assert.Equal(t, loadStart.Add(time.Duration(2*i)*time.Second), p.Time)
		assert.EqualValues(t, min(60, 20*(i+1)), p.Users)
		assert.InDelta(t, 70+float64(i)*1.23456, p.RequestsPerSecond, 0.05)
		assert.InDelta(t, float64(i)/7, p.FailuresPerSecond, 0.001)
		assert.Equal(t, []*time.Duration{took(500), took(950)}, []*time.Duration{p.P50, p.P95})
	}
	assert.Equal(t, []Worker{{"shop-worker-2", 80, 52 << 20}, {"shop-worker-1", 50, 51 << 20}, {"shop-worker-0", 20, 50 << 20}}, f.Details.Workers)
}

// spread returns indexes in the reporter's order.
func spread(count int) (order []int) {
	step := 1
	for step < count {
		step *= 2
	}
	seen := map[int]bool{}
	for ; step >= 1; step /= 2 {
		for i := 0; i < count; i += step {
			if !seen[i] {
				seen[i] = true
				order = append(order, i)
			}
		}
	}
	return order
}

func TestCompleteSpread(t *testing.T) {
	for _, total := range []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 30, 31, 32, 33, 100, 127, 128, 129, MaxHistory - 1, MaxHistory} {
		order, last := spread(total), 0
		for n := range total + 1 {
			complete := completeSpread(n, total)
			require.LessOrEqual(t, complete, n)
			require.GreaterOrEqual(t, 2*complete, n, "at most half of them are left out")
			require.GreaterOrEqual(t, complete, last)
			last = complete
			var points []Point
			for _, i := range order[:n] {
				points = append(points, Point{Time: loadStart.Add(time.Duration(i) * time.Second)})
			}
			checkEven(t, evenlySpread(points, int32(total)))
		}
		require.Equal(t, total, last)
	}
}

// checkEven checks that the times have constant steps.
func checkEven(t *testing.T, points []Point) {
	t.Helper()
	for i := 2; i < len(points); i++ {
		require.Equal(t, points[1].Time.Sub(points[0].Time), points[i].Time.Sub(points[i-1].Time))
	}
}

// large returns a message of the kubelet's size, with rows in the reporter's order and numbers that compress badly.
func large(t testing.TB) string {
	t.Helper()
	random := uint32(1)
	number := func(limit uint32) string {
		random = random*1664525 + 1013904223
		return strconv.Itoa(int(random >> 8 % limit))
	}
	var ends, points, errors, workers [][]string
	for i := range 40 {
		row := []string{"e", "GET", "/shop/" + number(1e6), number(1000), number(10)}
		for range 8 {
			row = append(row, number(1e5)+"."+number(1000))
		}
		ends = append(ends, append(row, number(1e6)))
		errors = append(errors, []string{"f", "GET", "/shop/" + number(1e6), number(1e6), "HTTPError(" + number(1e6) + ")"})
		workers = append(workers, []string{"w", fmt.Sprintf("worker-%d", i), number(100), number(1e9)})
	}
	for _, i := range spread(100) {
		points = append(points, []string{"h", strconv.Itoa(2 * i), number(100), number(100) + "." + number(100), number(100), number(1e3), number(1e3)})
	}
	rows := [][]string{{"x", "7", "ValueError"}, {"x", "5", "KeyError, \"b\""}}
	for _, list := range [][][]string{errors[:5], ends[:12], points[:16], workers[:5], points[16:64], workers[5:9], ends[12:16], points[64:]} {
		rows = append(rows, list...)
	}
	message := messageOf(t, textOf(t, rows))
	require.LessOrEqual(t, len(message), maxFinal)
	require.Greater(t, len(message), maxFinal*3/4)
	return message
}

// The kubelet cuts a message at any byte. What is left has the numbers of the complete message, and at each byte at least as much as
// before.
func TestDecodeFinal_RestCut(t *testing.T) {
	for name, message := range map[string]string{"large": large(t), "golden": golden(t), "small": messageOf(t, textOf(t, allKinds))} {
		t.Run(name, func(t *testing.T) {
			full := decodedFinal(t, message)
			require.Empty(t, full.Details.Problem)
			size := strings.IndexByte(message, '\n')
			for end := len(finalPrefix); end < size; end++ {
				_, err := DecodeFinal(message[:end])
				require.EqualError(t, err, "the document is truncated")
			}
			least := sizes(decodedFinal(t, message[:size]))
			assert.Equal(t, [5]int{}, least)
			for end := size; end < len(message); end++ {
				f := decodedFinal(t, message[:end])
				require.Equal(t, problemCut, f.Details.Problem, end)
				requirePartOf(t, full, f)
				if kept := sizes(f); kept != least {
					for i := range kept {
						require.GreaterOrEqual(t, kept[i], least[i], end)
					}
					least = kept
				}
			}
			assert.Equal(t, sizes(full), least, "only the checksum is cut")
		})
	}
}

func TestWholeGroups(t *testing.T) {
	for text, want := range map[string]string{
		"": "", "a": "", "abcd": "", "abcde": "abcde", "abcdef": "abcde", "z": "z", "zz": "zz", "zab": "z", "abcdez": "abcdez", "zabcdezab": "zabcdez",
	} {
		assert.Equal(t, want, wholeGroups(text), text)
	}
}

// sizes returns the lengths of all lists.
func sizes(f *Final) [5]int {
	return [5]int{len(f.Endpoints), len(f.Errors), len(f.Exceptions), len(f.Details.History), len(f.Details.Workers)}
}

// requirePartOf checks that a report has the same numbers as a complete one, as far as it has any.
func requirePartOf(t *testing.T, full, part *Final) {
	t.Helper()
	subset(t, full.Endpoints, part.Endpoints)
	subset(t, full.Errors, part.Errors)
	subset(t, full.Exceptions, part.Exceptions)
	subset(t, full.Delivery.Exceptions, part.Delivery.Exceptions)
	subset(t, full.Details.History, part.Details.History)
	subset(t, full.Details.Workers, part.Details.Workers)
	checkEven(t, part.Details.History)

	left, right, rightDetails, rightDelivery := *full, *part, *part.Details, *part.Delivery
	right.Endpoints, right.Errors, right.Exceptions = left.Endpoints, left.Errors, left.Exceptions
	rightDetails.History, rightDetails.Workers, rightDetails.Problem = left.Details.History, left.Details.Workers, left.Details.Problem
	rightDelivery.Exceptions = left.Delivery.Exceptions
	right.Details, right.Delivery = &rightDetails, &rightDelivery
	require.Equal(t, left, right, "the summary")
}

// subset checks that a list has only elements of a complete one, in the same order.
func subset[T any](t *testing.T, full, part []T) {
	t.Helper()
	from := 0
	for _, element := range part {
		for from < len(full) && !assert.ObjectsAreEqual(full[from], element) {
			from++
		}
		require.Less(t, from, len(full), "%+v is not in the complete report, or not there", element)
		from++
	}
}

// The checksum refuses a damaged rest as a whole, because it may have wrong numbers. Adler-32 is weak for short texts: a few of a million
// changes pass it, but none of these.
func TestDecodeFinal_RestDamaged(t *testing.T) {
	message := golden(t)
	full := decodedFinal(t, message)
	refuse := func(t *testing.T, message string, problem string) {
		t.Helper()
		f := decodedFinal(t, message)
		require.Equal(t, problem, f.Details.Problem)
		require.Equal(t, [5]int{}, sizes(f))
		require.Equal(t, full.Requests, f.Requests, "the summary is valid")
	}
	rest := strings.IndexByte(message, '\n') + 1
	t.Run("one character", func(t *testing.T) {
		for at := rest; at < len(message); at++ {
			for _, other := range []byte{'z', '\n', message[at] ^ 1, message[at] + 1} {
				if other == message[at] {
					continue
				}
				changed := message[:at] + string([]byte{other}) + message[at+1:]
				if f := decodedFinal(t, changed); f.Details.Problem == "" {
					require.Equal(t, full, f, "%d %q", at, other)
				} else {
					refuse(t, changed, problemDamaged)
				}
			}
		}
	})
	for name, row := range map[string]struct{ rest, problem string }{
		"a log":                    {"Traceback (most recent call last):\n  File \"x.py\", line 1, in <module>\n", problemDamaged},
		"a long log":               {strings.Repeat("ERROR: no answer\n", 100), problemDamaged},
		"letters of the encoding":  {strings.Repeat("abcde", 100), problemDamaged},
		"zeros":                    {strings.Repeat("z", 100), problemDamaged},
		"HTML":                     {"<script>alert(1)</script>", problemDamaged},
		"invalid UTF-8":            {strings.Repeat("\xff", 100), problemDamaged},
		"too short for a header":   {"abc", problemCut},
		"a line end alone":         {"\n", problemCut},
		"longer than announced":    {message[rest:] + "!", problemDamaged},
		"a log after it":           {message[rest:] + "\nTraceback", problemDamaged},
		"twice":                    {message[rest:] + message[rest:], problemDamaged},
		"others of the same size":  {strings.Repeat("a", len(message)-rest), problemDamaged},
		"compressed, but not rows": {pack(t, "\"a\"b\nx,1,y\n"), problemDamaged},
		"an open quote":            {pack(t, "x,1,y\nx,2,\"z"), problemDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			refuse(t, message[:rest]+row.rest, row.problem)
		})
	}
	t.Run("rows that are not CSV", func(t *testing.T) {
		for _, text := range []string{"x,1,y\nx,2,\"z", "x,1,a\"b\n", "\"x\"1,2\n"} {
			f := decodedFinal(t, messageOf(t, text))
			assert.Equal(t, problemDamaged, f.Details.Problem)
			assert.Equal(t, [5]int{}, sizes(f))
		}
	})
}

// A rest that is small but decompresses to much is refused at maxRest.
func TestDecodeFinal_RestBomb(t *testing.T) {
	endpoint := strings.Join(allKinds[2], ",") + "\n"
	for name, text := range map[string]string{
		"a line":    strings.Repeat("x", 2<<20),
		"rows":      strings.Repeat(endpoint, (1<<20)/len(endpoint)),
		"a cell":    "x,1," + strings.Repeat("y", 2<<20) + "\n",
		"cells":     strings.Repeat(",", 2<<20),
		"no rows":   strings.Repeat("\n", 2<<20),
		"a quote":   `"` + strings.Repeat("\n", 2<<20),
		"one more":  strings.Repeat("\n", maxRest+1),
		"zeros":     strings.Repeat("\x00", 2<<20),
		"much more": strings.Repeat("h,1\n", 4<<20),
	} {
		t.Run(name, func(t *testing.T) {
			packed := pack(t, text)
			_, err := unpack(packed, loadStart)
			require.EqualError(t, err, "the document is larger than 262144 bytes")
			message := joined(packed, `"n":[1,1,1,1,1]`)
			if len(message) > maxFinal {
				return
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			f := decodedFinal(t, message)
			cut := decodedFinal(t, message[:len(message)-20])
			runtime.ReadMemStats(&after)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16*maxRest), "bytes allocated")
			assert.Equal(t, problemDamaged, f.Details.Problem)
			assert.NotEmpty(t, cut.Details.Problem)
			for _, f := range []*Final{f, cut} {
				assert.Equal(t, [5]int{}, sizes(f))
			}
		})
	}
	t.Run("as large as allowed", func(t *testing.T) {
		for _, row := range []string{"\n", ",\n", "x,1,y\n", "h,1\n", "w,a\n", "f,,,1\n", endpoint, strings.Repeat(",", 1023) + "\n"} {
			packed := pack(t, strings.Repeat(row, maxRest/len(row)))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := unpack(packed, loadStart)
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(200*maxRest), "bytes allocated for %.20q", row)
		}
	})
}

// Rows of the user's own code, which may write anything.
func TestDecodeFinal_HostileRows(t *testing.T) {
	const fine = ",200,3,12.5,0.125,70,10,20,30,40,50,18"
	row := func(cells ...string) string { return textOf(t, [][]string{cells}) }
	// with returns an endpoint of which one cell differs.
	with := func(cell int, to string) string {
		cells := strings.Split("e,GET,/x"+fine, ",")
		cells[cell] = to
		return row(cells...)
	}
	end := func(change func(*Endpoint)) *Final {
		e := Endpoint{
			Method: "GET", Name: "/x", Requests: 200, Failures: 3, RequestsPerSecond: 10, Average: *took(12.5),
			Percentiles: Percentiles{took(10), took(20), took(30), took(40), took(50)},
			Extremes:    Extremes{took(0.125), took(70), ptr.To[int64](18)},
		}
		change(&e)
		return listed(func(f *Final) { f.Endpoints = []Endpoint{e} })
	}
	fail := func(e Error) *Final { return listed(func(f *Final) { f.Errors = []Error{e} }) }
	exception := func(e Error) *Final { return listed(func(f *Final) { f.Exceptions = []Error{e} }) }
	point := func(p Point) *Final { return listed(func(f *Final) { f.Details.History = []Point{p} }) }
	worker := func(w Worker) *Final { return listed(func(f *Final) { f.Details.Workers = []Worker{w} }) }
	none, longest := listed(func(*Final) {}), took(float64(maxResponseTime/time.Millisecond))

	for name, test := range map[string]struct {
		text string
		want *Final
	}{
		"nothing":                 {"", none},
		"empty rows":              {"\n\n\r\n\n", none},
		"rows of empty cells":     {",,\n,\n\"\"\n", none},
		"unknown kinds":           {"q,1,2\nE,GET,/x" + fine + "\n ,1\nee,1\n\xff,1\n", none},
		"kinds alone":             {"e\nf\nx\nh\nw\n", none},
		"too few cells":           {"e,GET,/x,200,3,12.5,0.125,70,10,20,30,40\nf,GET,/x,1\nx,1\nh,1,2,3\nw,a,1\n", none},
		"more cells":              {"e,GET,/x" + fine + ",new,\"\"\n", end(func(*Endpoint) {})},
		"line ends of Windows":    {"x,1,e\r\n", exception(Error{Occurrences: 1, Text: "e"})},
		"no line end":             {"x,1,e", exception(Error{Occurrences: 1, Text: "e"})},
		"an empty endpoint":       {"e,,,,,,,,,,,,,\n", listed(func(f *Final) { f.Endpoints = []Endpoint{{}} })},
		"a total of the user":     {with(2, "Aggregated"), end(func(e *Endpoint) { e.Name = "Aggregated" })},
		"requests NaN":            {with(3, "NaN"), none},
		"requests inf":            {with(3, "inf"), none},
		"requests negative":       {with(3, "-1"), none},
		"requests 1e999":          {with(3, "1e999"), none},
		"requests huge":           {with(3, "9007199254740994"), none},
		"requests a fraction":     {with(3, "1.5"), none},
		"requests hexadecimal":    {with(3, "0x10"), none},
		"requests a text":         {with(3, "many"), none},
		"requests with spaces":    {with(3, " 1"), none},
		"failures -1":             {with(4, "-1"), none},
		"average -inf":            {with(5, "-inf"), end(func(e *Endpoint) { e.Average = 0 })},
		"average NaN":             {with(5, "NaN"), end(func(e *Endpoint) { e.Average = 0 })},
		"average inf":             {with(5, "inf"), end(func(e *Endpoint) { e.Average = *longest })},
		"average 1e999":           {with(5, "1e999"), end(func(e *Endpoint) { e.Average = *longest })},
		"average -0":              {with(5, "-0.0"), end(func(e *Endpoint) { e.Average = 0 })},
		"average a text":          {with(5, "slow"), none},
		"min a text":              {with(6, "\x1b[0m"), end(func(e *Endpoint) { e.Extremes = Extremes{} })},
		"min NaN":                 {with(6, "nan"), end(func(e *Endpoint) { e.Min = nil })},
		"max -1":                  {with(7, "-1"), end(func(e *Endpoint) { e.Max = took(0) })},
		"max 1e999":               {with(7, "1e999"), end(func(e *Endpoint) { e.Max = longest })},
		"p50 NaN":                 {with(8, "NaN"), end(func(e *Endpoint) { e.P50 = nil })},
		"p90 empty":               {with(9, ""), end(func(e *Endpoint) { e.P90 = nil })},
		"p95 1e999":               {with(10, "1e999"), end(func(e *Endpoint) { e.P95 = longest })},
		"p99 a text":              {with(11, "<b>"), none},
		"p999 -5":                 {with(12, "-5"), end(func(e *Endpoint) { e.P999 = took(0) })},
		"size 1e300":              {with(13, "1e300"), end(func(e *Endpoint) { e.ContentBytes = ptr.To[int64](maxCount) })},
		"size -1":                 {with(13, "-1"), end(func(e *Endpoint) { e.ContentBytes = ptr.To[int64](0) })},
		"size empty":              {with(13, ""), end(func(e *Endpoint) { e.ContentBytes = nil })},
		"most requests":           {with(3, "9007199254740992"), end(func(e *Endpoint) { e.Requests, e.RequestsPerSecond = maxCount, maxRate })},
		"control characters":      {with(2, "a\x00b\tc\rd\x7fe\u0085f\u2028g"), end(func(e *Endpoint) { e.Name = "a b c d e f g" })},
		"lines":                   {with(2, "a\nb\r\nc"), end(func(e *Endpoint) { e.Name = "a b c" })},
		"terminal escapes":        {with(2, "\x1b[31mred\x1b]0;title\x07\u009b2J"), end(func(e *Endpoint) { e.Name = " [31mred ]0;title  2J" })},
		"HTML":                    {with(2, `<script>"&amp;'`), end(func(e *Endpoint) { e.Name = `<script>"&amp;'` })},
		"a formula":               {with(2, `=cmd|' /C calc'!A0`), end(func(e *Endpoint) { e.Name = `=cmd|' /C calc'!A0` })},
		"bidi characters":         {with(2, "a\u202eb\u2066c\u200fd\u061ce"), end(func(e *Endpoint) { e.Name = "a b c d e" })},
		"invalid UTF-8":           {with(1, "\xffG\xc3\xed\xa0\x80"), end(func(e *Endpoint) { e.Method = "\ufffdG\ufffd" })},
		"long texts":              {with(2, strings.Repeat("ö", 9999)), end(func(e *Endpoint) { e.Name = strings.Repeat("ö", 62) + ellipsis })},
		"error":                   {row("f", "G\x1b", "a\nb", "3", "\u202e<b>"), fail(Error{"G ", "a b", " <b>", 3})},
		"error without count":     {row("f", "", "", "", "e"), fail(Error{"", "", "e", 0})},
		"error -1":                {row("f", "", "", "-1", "e"), none},
		"error NaN":               {row("f", "", "", "NaN", "e"), none},
		"error 1e999":             {row("f", "", "", "1e999", "e"), none},
		"long error":              {row("f", strings.Repeat("G", 20), "", "1", strings.Repeat("x", 9999)), fail(Error{strings.Repeat("G", 12) + ellipsis, "", strings.Repeat("x", 252) + ellipsis, 1})},
		"exception":               {row("x", "2", "\x00\xff\u2069"), exception(Error{"", "", " \ufffd ", 2})},
		"exception 1.5":           {row("x", "1.5", "e"), none},
		"point":                   {row("h", "1e3", "5", "0", "0", "7", "8"), point(Point{Time: loadStart.Add(1000 * time.Second), Users: 5})},
		"point NaN":               {row("h", "NaN", "NaN", "NaN", "NaN", "NaN", "NaN"), point(Point{Time: loadStart})},
		"point -1":                {row("h", "-1", "-1", "-1", "-1", "-1", "-1"), point(Point{Time: loadStart})},
		"point inf":               {row("h", "1e999", "1e999", "inf", "1e999", "inf", ""), point(Point{loadStart.Add(maxRunTime), maxUserCount, maxRate, maxRate, longest, nil})},
		"point with a text":       {row("h", "1", "2", "3", "4", "much", ""), none},
		"point at a text":         {row("h", "now", "2", "3", "4", "", ""), none},
		"worker":                  {row("w", "a\x1bb\u202e", "1e999", "1e300"), worker(Worker{"a b ", maxPercent, maxCount})},
		"worker NaN":              {row("w", "a", "NaN", "-inf"), worker(Worker{Name: "a"})},
		"worker without use":      {row("w", "a", "", ""), worker(Worker{Name: "a"})},
		"worker without a name":   {row("w", "", "1", "1"), none},
		"worker with a text":      {row("w", "a", "1", "much"), none},
		"worker with a long name": {row("w", strings.Repeat("w", 999), "1", "1"), worker(Worker{strings.Repeat("w", 124) + ellipsis, 1, 1})},
	} {
		t.Run(name, func(t *testing.T) {
			f := decodedFinal(t, messageOf(t, test.text))
			checkFinal(t, f)
			assert.Empty(t, f.Details.Problem)
			assert.Equal(t, test.want, listed(func(only *Final) {
				only.Endpoints, only.Errors, only.Exceptions = f.Endpoints, f.Errors, f.Exceptions
				only.Details.History, only.Details.Workers = f.Details.History, f.Details.Workers
			}))
		})
	}
}

// listed returns a report with lists only.
func listed(set func(*Final)) *Final {
	f := &Final{Report: Report{Details: &Details{}}}
	set(f)
	return f
}

// Of thousands of rows the worst endpoints and the most frequent errors are kept, and the first points and workers.
func TestDecodeFinal_ManyRows(t *testing.T) {
	for kind, format := range map[string]string{
		rowEndpoint: "e,G,n%[1]d,1,%[1]d,1,,,,,,,,\n", rowError: "f,G,n%[1]d,%[1]d,e\n", rowException: "x,%[1]d,n%[1]d\n",
		rowPoint: "h,%[1]d,1,1,1,,\n", rowWorker: "w,n%[1]d,1,1\n",
	} {
		t.Run(kind, func(t *testing.T) {
			const rows = 5000
			var text strings.Builder
			for i := range rows {
				fmt.Fprintf(&text, format, i)
			}
			f := decodedLong(t, text.String())
			checkFinal(t, f)
			assert.Empty(t, f.Details.Problem)
			var got, want []string
			for _, e := range f.Endpoints {
				got = append(got, e.Name)
			}
			for _, e := range f.Errors {
				got = append(got, e.Name)
			}
			for _, e := range f.Exceptions {
				got = append(got, e.Text)
			}
			for _, p := range f.Details.History {
				got = append(got, fmt.Sprintf("n%d", p.Time.Sub(loadStart)/time.Second))
			}
			for _, w := range f.Details.Workers {
				got = append(got, w.Name)
			}
			limit := map[string]int{
				rowEndpoint: MaxEndpoints, rowError: MaxErrors, rowException: MaxErrors, rowPoint: MaxHistory, rowWorker: MaxWorkers,
			}[kind]
			for i := range limit {
				if kind != rowPoint && kind != rowWorker {
					i = rows - 1 - i
				}
				want = append(want, fmt.Sprintf("n%d", i))
			}
			assert.Equal(t, want, got)
		})
	}
}

// decodedLong decodes a message that may be longer than a termination message. Its number of points is unknown.
func decodedLong(t *testing.T, text string) *Final {
	t.Helper()
	f, err := decodeFinal(joined(pack(t, text), `"n":[]`), "\n")
	require.NoError(t, err)
	return f
}

// Members of the summary that are about the rest.
func TestDecodeFinal_HostileSummary(t *testing.T) {
	packed := pack(t, textOf(t, allKinds))
	decode := func(t *testing.T, members string) *Final {
		t.Helper()
		f := decodedFinal(t, summary+","+members+"}\n"+packed)
		checkFinal(t, f)
		return f
	}
	all := [5]int{1, 1, 1, 1, 1}
	size := announced(packed)
	for members, want := range map[string]Counts{
		size:                                     {},
		`"n":null,` + size:                       {},
		`"n":[],` + size:                         {},
		`"n":[1,2],` + size:                      {Endpoints: 1, Errors: 2},
		`"n":[1,2,3,4,5,6],` + size:              {1, 2, 3, 4, 5},
		`"n":[-1,1e999,NaN,1.9,-0],` + size:      {0, maxUserCount, 0, 1, 0},
		`"n":["1",{},[],null,true],` + size:      {},
		`"n":[9e9,9e9,9e9,9e9,9e9],` + size:      {maxUserCount, maxUserCount, maxUserCount, maxUserCount, maxUserCount},
		`"n":[0,0,0,0,0],"n":[1],` + size:        {Endpoints: 1},
		`"n":[{"a":[1]},2,"` + "\xff\"]," + size: {Errors: 2},
	} {
		f := decode(t, members)
		assert.Equal(t, want, f.Details.Counts, members)
		assert.Equal(t, all, sizes(f), members)
		assert.Empty(t, f.Details.Problem, members)
		assert.Equal(t, []int32{want.Endpoints, want.Errors}, []int32{f.EndpointCount, f.ErrorCount}, members)
	}
	for rest, want := range map[string]string{
		`1e999`: problemCut, `2147483648`: problemCut, `0`: problemDamaged, `-1`: problemDamaged, `NaN`: problemDamaged, `null`: problemDamaged,
		`"x"`: problemDamaged, `{}`: problemDamaged, `[1]`: problemDamaged,
	} {
		f := decode(t, `"rest":`+rest)
		assert.Equal(t, want, f.Details.Problem, rest)
		if want == problemDamaged {
			assert.Equal(t, [5]int{}, sizes(f), rest)
		}
	}
	assert.Equal(t, problemDamaged, decode(t, `"x":1`).Details.Problem, "a rest that is not announced")

	for text, want := range map[string]string{
		`null`: "", `"2.47"`: "2.47", `"\u001b[0m\u202e"`: " [0m ", `{}`: "", `[]`: "", `7`: "7", "\"\xff\"": "\ufffd", `"\ud800"`: "\ufffd",
		`"` + strings.Repeat("v", 900) + `"`: strings.Repeat("v", MaxName-4) + ellipsis,
	} {
		assert.Equal(t, want, decode(t, `"version":`+text+","+size).Details.LocustVersion, text)
		host := decode(t, `"host":`+text+","+size).Details.Host
		assert.Equal(t, want, clean(host, MaxName), text)
		assert.LessOrEqual(t, len(host), MaxError)
	}
}

func TestDecodeFinal_RestForms(t *testing.T) {
	packed := pack(t, textOf(t, allKinds))
	t.Run("no rest", func(t *testing.T) {
		for _, end := range []string{"", "\n"} {
			f := decodedFinal(t, summary+`,"n":[9,0,0,9,0],"rest":0,"crc":0}`+end)
			assert.Empty(t, f.Details.Problem)
			assert.Equal(t, [5]int{}, sizes(f))
			assert.Equal(t, Counts{Endpoints: 9, History: 9}, f.Details.Counts)
		}
	})
	t.Run("the load never started", func(t *testing.T) {
		text := strings.Replace(joined(packed, `"n":[1,1,1,1,1]`), "1732330000.12", "0", 1)
		f := decodedFinal(t, text)
		assert.Equal(t, [5]int{1, 1, 1, 0, 1}, sizes(f), "points have no time")
	})
	t.Run("no requests", func(t *testing.T) {
		f := decodedFinal(t, strings.Replace(joined(packed, `"n":[1,1,1,1,1]`), `"requests":1000`, `"requests":0`, 1))
		assert.Zero(t, f.Endpoints[0].RequestsPerSecond)
		assert.Equal(t, Percentiles{}, f.Percentiles)
		assert.Equal(t, Extremes{}, f.Extremes)
	})
	t.Run("invalid delivery", func(t *testing.T) {
		f := decodedFinal(t, strings.Replace(joined(packed, `"n":[1,1,1,1,1]`), `"lost":1`, `"lost":-1`, 1))
		assert.Nil(t, f.Delivery)
		assert.Len(t, f.Exceptions, 1)
	})
	t.Run("a time that RFC 3339 cannot represent", func(t *testing.T) {
		text := pack(t, "h,0,1,1,1,,\nh,3000,1,1,1,,\n")
		f := decodedFinal(t, strings.Replace(joined(text, `"n":[0,0,0,2,0]`), "1732330000.12", "253402300000", 1))
		require.Len(t, f.Details.History, 1)
		assert.Equal(t, 9999, f.Details.History[0].Time.Year())
	})
	t.Run("times twice and in another order", func(t *testing.T) {
		f := decodedFinal(t, messageOf(t, "h,9,1,1,1,,\nh,5,2,1,1,,\nh,9,3,1,1,,\nh,0,4,1,1,,\n"))
		var users []int32
		for _, p := range f.Details.History {
			users = append(users, p.Users)
		}
		assert.Equal(t, []int32{4, 2, 1, 3}, users)
	})
	t.Run("version 1 has no rest", func(t *testing.T) {
		f, err := DecodeFinal(strings.Replace(summary, `report":2`, `report":1`, 1) + "}\n")
		require.NoError(t, err)
		assert.Nil(t, f.Details)
	})
}

func TestDecodeReportHeader(t *testing.T) {
	for name, message := range map[string]string{"golden": golden(t), "large": large(t), "small": messageOf(t, textOf(t, allKinds))} {
		header := strings.Replace(message, "\n", "\t", 1)
		assert.Equal(t, decodedFinal(t, message), DecodeReportHeader(header), name)
		assert.Nil(t, DecodeReportHeader(message), "%s with a line end", name)
		_, err := DecodeFinal(header)
		require.Error(t, err, "%s with a tab", name)
	}

	header := strings.Replace(golden(t), "\n", "\t", 1)
	space := func(n int) string {
		return strings.Replace(header, `"complete"`, strings.Repeat(" ", n)+`"complete"`, 1)
	}
	largest := space(maxReportHeader - len(header))
	require.Len(t, largest, 8192)
	assert.Equal(t, DecodeReportHeader(header), DecodeReportHeader(largest), "twice as large as a termination message")
	assert.Nil(t, DecodeReportHeader(space(maxReportHeader-len(header)+1)))

	at := strings.IndexByte(header, '\t')
	f := DecodeReportHeader(header[:at+1])
	require.NotNil(t, f)
	assert.Equal(t, problemCut, f.Details.Problem)
	f = DecodeReportHeader(header + "!")
	require.NotNil(t, f)
	assert.Equal(t, problemDamaged, f.Details.Problem)

	for name, header := range map[string]string{
		"nothing":           "",
		"a text":            "shop",
		"the other header":  `{"target_users":6,"run_time":null,"shape":false}`,
		"space before it":   " " + header,
		"cut":               header[:at-1],
		"two values":        header[:at] + header[:at] + header[at:],
		"an unknown":        strings.Replace(header, `report":2`, `report":3`, 1),
		"an unknown state":  strings.Replace(header, `"running"`, `"flying"`, 1),
		"negative requests": strings.Replace(header, `"requests":4210`, `"requests":-1`, 1),
	} {
		assert.Nil(t, DecodeReportHeader(header), name)
	}
}

func TestReport_AddDetails(t *testing.T) {
	f := decodedFinal(t, golden(t))
	live := Report{Stats: Stats{Requests: 5, Percentiles: Percentiles{P50: took(1)}, Errors: []Error{{Text: "e", Occurrences: 6}}}}
	r := live
	r.AddDetails(nil)
	assert.Equal(t, live, r)
	r.AddDetails(f)
	assert.Equal(t, f.Details, r.Details)
	assert.Equal(t, f.P999, r.P999)
	assert.Equal(t, took(1), r.P50)
	assert.Equal(t, int64(5), r.Requests)
	assert.Equal(t, []Error{f.Exceptions[0], {Text: "e", Occurrences: 6}, f.Exceptions[1]}, r.TopErrors(5))
	assert.Equal(t, []Error{f.Exceptions[0]}, r.TopErrors(1))
	assert.Len(t, r.Errors, 1, "they stay apart")

	r.P999 = took(7)
	r.AddDetails(f)
	assert.Equal(t, took(7), r.P999, "the CSV has it, too")
}

func BenchmarkDecodeFinal_Rest(b *testing.B) {
	message := large(b)
	b.SetBytes(int64(len(message)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeFinal(message); err != nil {
			b.Fatal(err)
		}
	}
}
