package report

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"k8s.io/utils/ptr"
)

func TestDecodeCSV_Samples(t *testing.T) {
	for name, want := range map[string]Stats{
		"2.12-stopped.csv": {
			Requests: 1187, Failures: 370, RequestsPerSecond: 36.01820229668833, Average: *took(44.272),
			Percentiles: Percentiles{P50: took(2), P90: took(230), P95: took(290), P99: took(340)},
			Endpoints: []Endpoint{
				end("POST", "/broken", 193, 193, *took(1.974), took(4)),
				end("GET", "größe", 93, 93, *took(1.819), took(3)),
				end("GET", "gone", 84, 84, *took(1.609), took(3)),
				end("GET", `/slow?a=1&b="<2>"`, 204, 0, *took(248.551), took(340)),
				end("GET", "/", 613, 0, *took(1.895), took(4)),
			},
		},
		"2.47-stopped.csv": {
			Requests: 2315, Failures: 775, RequestsPerSecond: 36.631596766920026, Average: *took(45.054),
			Percentiles: Percentiles{P50: took(2), P90: took(240), P95: took(300), P99: took(340)},
			Endpoints: []Endpoint{
				end("POST", "/broken", 382, 382, *took(1.986), took(3)),
				end("GET", "größe", 220, 220, *took(1.793), took(3)),
				end("GET", "gone", 173, 173, *took(1.425), took(2)),
				end("GET", `/slow?a=1&b="<2>"`, 394, 0, *took(255.848), took(340)),
				end("GET", "/", 1146, 0, *took(1.83), took(3)),
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeCSV(bytes.NewReader(sample(t, name)))
			require.NoError(t, err)
			assert.EqualValues(t, len(got.Endpoints), got.EndpointCount)
			assert.Equal(t, want, brief(*got))
		})
	}
}

func TestDecodeCSV_SampleEndpoints(t *testing.T) {
	for name, want := range map[string]struct {
		slow  Endpoint
		total Extremes
	}{
		"2.12-stopped.csv": {
			Endpoint{
				Method: "GET", Name: `/slow?a=1&b="<2>"`, Requests: 204, RequestsPerSecond: 6.190154396397994, Average: *took(248.551),
				Percentiles: Percentiles{took(250), took(330), took(340), took(350), took(350)},
				Extremes:    Extremes{Min: took(152.268), Max: took(351.145), ContentBytes: ptr.To[int64](5)},
			},
			Extremes{Min: took(0.734), Max: took(351.145), ContentBytes: ptr.To[int64](5)},
		},
		"2.47-stopped.csv": {
			Endpoint{
				Method: "GET", Name: `/slow?a=1&b="<2>"`, Requests: 394, RequestsPerSecond: 6.234492063138873, Average: *took(255.848),
				Percentiles: Percentiles{took(250), took(340), took(340), took(350), took(350)},
				Extremes:    Extremes{Min: took(153.105), Max: took(351.584), ContentBytes: ptr.To[int64](5)},
			},
			Extremes{Min: took(0.544), Max: took(351.584), ContentBytes: ptr.To[int64](5)},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DecodeCSV(bytes.NewReader(sample(t, name)))
			require.NoError(t, err)
			assert.Equal(t, want.slow, endpoint(t, got, want.slow.Name))
			assert.Equal(t, took(350), got.P999)
			assert.Equal(t, want.total, got.Extremes)
		})
	}
}

// The CSV and the JSON of one Locust agree.
func TestDecodeCSV_AgreesWithTheJSON(t *testing.T) {
	for _, version := range []string{"2.12", "2.47"} {
		fromCSV, err := DecodeCSV(bytes.NewReader(sample(t, version+"-stopped.csv")))
		require.NoError(t, err)
		fromJSON, err := DecodeStats(bytes.NewReader(sample(t, version+"-stopped.json")))
		require.NoError(t, err)
		assert.Equal(t, fromJSON.Requests, fromCSV.Requests)
		assert.Equal(t, fromJSON.Failures, fromCSV.Failures)
		assert.Equal(t, fromJSON.Average, fromCSV.Average)
		assert.Equal(t, fromJSON.P50, fromCSV.P50)
		assert.Equal(t, fromJSON.P99, fromCSV.P99)
		for i, e := range fromJSON.Endpoints {
			assert.Equal(t, e.Name, fromCSV.Endpoints[i].Name)
			assert.Equal(t, e.Average, fromCSV.Endpoints[i].Average)
		}
	}
}

const (
	csvHeader = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Requests/s,90%,95%,99%\r\n"
	csvTotal  = ",Aggregated,20,1,3,4.5,6.5,7,8,9\r\n"
)

func TestDecodeCSV_Forms(t *testing.T) {
	decode := func(t *testing.T, text string) *Stats {
		t.Helper()
		s, err := DecodeCSV(strings.NewReader(text))
		require.NoError(t, err)
		return s
	}
	t.Run("columns by name, in any order, some not there", func(t *testing.T) {
		s := decode(t, "95%,x,Requests/s,Average Response Time,Median Response Time,Failure Count,Request Count,Name,Type,95%\n"+
			"8,x,6.5,4.5,3,1,20,Aggregated,,999\n")
		assert.Equal(t, Stats{Requests: 20, Failures: 1, RequestsPerSecond: 6.5, Average: *took(4.5), Percentiles: Percentiles{P50: took(3), P95: took(8)}}, *s)
	})
	t.Run("the median of the percentiles is preferred", func(t *testing.T) {
		const header = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Requests/s,50%\n"
		assert.Equal(t, took(7), decode(t, header+",Aggregated,1,0,3,4,5,7\n").P50)
		assert.Equal(t, took(3), decode(t, header+",Aggregated,1,0,3,4,5,\n").P50)
	})
	t.Run("invalid extremes are left out", func(t *testing.T) {
		const header = "Type,Name,Request Count,Failure Count,Median Response Time,Average Response Time,Requests/s,Min Response Time,Max Response Time," +
			"Average Content Size\n"
		for cells, want := range map[string]Extremes{
			"1,2,3":             {took(1), took(2), ptr.To[int64](3)},
			",,":                {},
			"nan,N/A,nan":       {ContentBytes: ptr.To[int64](0)},
			"-1,1e999,-inf":     {took(0), took(float64(maxResponseTime / time.Millisecond)), ptr.To[int64](0)},
			"1,2,inf":           {took(1), took(2), ptr.To[int64](maxCount)},
			"1,2,2.5":           {took(1), took(2), ptr.To[int64](3)},
			"x,2,3":             {},
			"1,2,much":          {},
			"1,0x2,3":           {},
			"1,2,\u202e\x1b[0m": {},
		} {
			s := decode(t, header+",Aggregated,1,0,3,4,5,"+cells+"\n")
			assert.Equal(t, want, s.Extremes, cells)
			assert.Equal(t, int64(1), s.Requests, cells)
		}
		assert.Equal(t, Extremes{}, decode(t, header+",Aggregated,0,0,0,0,0,1,2,3\n").Extremes, "without requests")
	})
	t.Run("no requests", func(t *testing.T) {
		s := decode(t, csvHeader+",Aggregated,0,0,0,0.0,0.0,N/A,N/A,N/A\n")
		assert.Equal(t, Stats{}, *s)
	})
	t.Run("an endpoint of the same name, texts over lines", func(t *testing.T) {
		s := decode(t, csvHeader+"GET,Aggregated,1,1,1,1,1,N/A,N/A,N/A\r\nG\xff,\"a\r\n\"\"b\"\"\",2,0,1,1,1,1,1,1\r\n"+csvTotal)
		assert.Equal(t, int64(20), s.Requests)
		assert.Equal(t, []Endpoint{end("GET", "Aggregated", 1, 1, *took(1), nil), end("G\ufffd", `a "b"`, 2, 0, *took(1), took(1))}, briefEnds(s.Endpoints))
	})
}

func TestDecodeCSV_Refusals(t *testing.T) {
	with := func(from, to string) string { return strings.Replace(csvHeader+csvTotal, from, to, 1) }
	for name, row := range map[string]struct{ text, want string }{
		"nothing":       {"", "the document is empty"},
		"a page":        {"<html>\n<body>\n", "column Type is missing"},
		"no column":     {with("Failure Count", "Failures"), "column Failure Count is missing"},
		"no median":     {with("Median Response Time", "Median"), "column Median Response Time is missing"},
		"no rows":       {csvHeader, "the document has no row Aggregated"},
		"no total":      {with(",Agg", "GET,Agg"), "the document has no row Aggregated"},
		"a short row":   {with(",7,8,9", ""), "the document is not CSV: record on line 2: wrong number of fields"},
		"a long row":    {with("8,9", "8,9,10"), "the document is not CSV: record on line 2: wrong number of fields"},
		"a loose quote": {with("Aggregated", `a"b`), "the document is not CSV: parse error"},
		"an open quote": {csvHeader + `"`, "the document is not CSV"},
		"empty":         {with(",20,", ",,"), "Request Count is missing"},
		"no number":     {with(",20,", ",x,"), "Request Count is not a number: x"},
		"N/A":           {with(",20,", ",N/A,"), "Request Count is not a number: N/A"},
		"hexadecimal":   {with(",20,", ",0x14,"), "Request Count is not a number: 0x14"},
		"signed":        {with(",20,", ",+20,"), "Request Count is not a number: +20"},
		"a sign alone":  {with(",20,", ",-,"), "Request Count is not a number: -"},
		"negative":      {with(",20,", ",-20,"), "Request Count is negative: -20"},
		"fraction":      {with(",20,", ",2.5,"), "Request Count is not a whole number: 2.5"},
		"too many":      {with(",20,", ",9007199254740994,"), "Request Count is too large"},
		"failures":      {with(",1,3", ",1_0,3"), "Failure Count is not a number: 1_0"},
		"percentile":    {with("7,8,9", "7,x,9"), "95% is not a number: x"},
		"too large":     {csvHeader + csvTotal + strings.Repeat("\n", MaxResponseBytes), "the document is larger than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := DecodeCSV(strings.NewReader(row.text))
			assert.Nil(t, s)
			requireDecodeError(t, err, row.want)
		})
	}
}

// requireDecodeError checks a short error of the decoder.
func requireDecodeError(t *testing.T, err error, want string) {
	t.Helper()
	require.ErrorContains(t, err, want)
	var decoding *DecodeError
	require.ErrorAs(t, err, &decoding)
	assert.True(t, strings.HasPrefix(err.Error(), decoding.Reason()))
	assert.Less(t, len(err.Error()), 150)
}
