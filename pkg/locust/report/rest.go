package report

import (
	"bytes"
	"compress/zlib"
	"encoding/ascii85"
	"encoding/csv"
	"errors"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxRest bounds the decompressed rest of a final report in bytes; the reporter's has 30 KB at most.
const maxRest = 256 << 10

// Kinds of rows in the rest; the cells that follow are those of the reporter (rows).
const (
	rowEndpoint  = "e"
	rowError     = "f"
	rowException = "x"
	rowPoint     = "h"
	rowWorker    = "w"
)

// leastCells is the number of cells that the reporter has always written.
var leastCells = map[string]int{rowEndpoint: 13, rowError: 4, rowException: 2, rowPoint: 6, rowWorker: 3}

// Problems of a rest.
const (
	problemCut     = "the kubelet keeps only a part of the termination message if the pod has many containers"
	problemDamaged = "the compressed part of the final report cannot be read"
	// ProblemNoRoom is that of a rest that is complete, and did not have room for everything.
	ProblemNoRoom = "the termination message has no room for more"
)

// rest is the content of the rest of a final report.
type rest struct {
	endpoints          top[Endpoint]
	errors, exceptions top[Error]
	points             []Point
	workers            []Worker
}

// readRest adds the rest of the message to a report. A part of it that the kubelet has cut off is missing; a damaged rest is left out as
// a whole, because it may have wrong numbers.
func (raw *rawFinal) readRest(f *Final, packed string) {
	details := &Details{
		LocustVersion: clean(new(reader).text(raw.Locust, "version"), MaxName),
		Host:          clean(new(reader).text(raw.Host, "host"), MaxError),
	}
	f.Details = details
	details.Counts = readCounts(raw.Counts)
	f.EndpointCount, f.ErrorCount = details.Counts.Endpoints, details.Counts.Errors

	size := new(reader).clampedCount(raw.Rest, "rest")
	cut, long := len(packed) < int(size), len(packed) > int(size)
	if cut {
		packed = wholeGroups(packed)
	}
	found, err := unpack(packed, f.LoadStart)
	switch {
	case err != nil && (!cut || !errors.Is(err, io.ErrUnexpectedEOF)):
		details.Problem = problemDamaged
		return
	case cut:
		details.Problem = problemCut // without a checksum of the part
	case long || raw.Sum != value(strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(packed))), 10)):
		details.Problem = problemDamaged
		return
	}
	f.Endpoints, f.Errors, f.Exceptions = found.endpoints.result(), found.errors.result(), found.exceptions.result()
	if f.Delivery != nil {
		f.Delivery.Exceptions = f.Exceptions
	}
	details.History, details.Workers = evenlySpread(found.points, details.Counts.History), found.workers
	for i := range f.Endpoints {
		// Locust divides by the same time for all (stats.py, total_rps).
		if e := &f.Endpoints[i]; f.Requests > 0 {
			e.RequestsPerSecond = min(float64(e.Requests)*f.RequestsPerSecond/float64(f.Requests), maxRate)
		}
	}
}

// readCounts reads the numbers of endpoints, errors, exceptions, points and workers.
func readCounts(raw []value) Counts {
	var c Counts
	for i, into := range []*int32{&c.Endpoints, &c.Errors, &c.Exceptions, &c.History, &c.Workers} {
		if i < len(raw) {
			*into = new(reader).clampedCount(raw[i], "n")
		}
	}
	return c
}

// wholeGroups returns a text in ascii85 without the group that is cut at its end: its bytes would depend on the missing characters.
func wholeGroups(packed string) string {
	group, end := 0, 0
	for i := range len(packed) {
		if packed[i] == 'z' && group == 0 {
			end = i + 1 // a group by itself: four zeros
			continue
		}
		if group++; group == 5 {
			group, end = 0, i+1
		}
	}
	return packed[:end]
}

// unpack reads the rows of a rest. It returns what it has read, and io.ErrUnexpectedEOF if the rest ends early.
func unpack(packed string, start time.Time) (*rest, error) {
	found := &rest{endpoints: topEndpoints(), errors: topErrors(), exceptions: topErrors()}
	if packed == "" {
		return found, nil
	}
	compressed, err := io.ReadAll(ascii85.NewDecoder(strings.NewReader(packed)))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	inflated, err := zlib.NewReader(bytes.NewReader(compressed))
	if err != nil {
		return found, err
	}
	text, err := io.ReadAll(io.LimitReader(inflated, maxRest+1))
	if len(text) > maxRest {
		return nil, newDecodeError(document, "is larger than "+strconv.Itoa(maxRest)+" bytes", "")
	}
	if err != nil {
		text = text[:bytes.LastIndexByte(text, '\n')+1] // the last row is cut
	}
	rows := csv.NewReader(bytes.NewReader(text))
	rows.FieldsPerRecord, rows.ReuseRecord = -1, true
	for {
		row, bad := rows.Read()
		switch {
		case errors.Is(bad, io.EOF):
			return found, err
		case bad != nil:
			return nil, bad
		}
		found.add(row, start)
	}
}

// add adds a row. An invalid row, and one of a later version, is left out.
func (f *rest) add(row []string, start time.Time) {
	kind, cells, r := row[0], row[1:], &reader{}
	if len(cells) < leastCells[kind] {
		return
	}
	text := func(i, limit int) string { return strings.Clone(clean(cells[i], limit)) } // not the whole row
	switch kind {
	case rowEndpoint:
		e := readEndpoint(r, cells)
		if r.err == nil {
			f.endpoints.add(e)
		}
	case rowError:
		e := Error{Method: text(0, MaxMethod), Name: text(1, MaxName), Occurrences: r.count(orZero(cells[2]), kind), Text: text(3, MaxError)}
		if r.err == nil {
			f.errors.add(e)
		}
	case rowException:
		e := Error{Occurrences: r.count(orZero(cells[0]), kind), Text: text(1, MaxError)}
		if r.err == nil {
			f.exceptions.add(e)
		}
	case rowPoint:
		age := r.clamped(orZero(cells[0]), kind, maxRunTime.Seconds())
		p := Point{
			Time: start.Add(time.Duration(age) * time.Second), Users: r.clampedCount(orZero(cells[1]), kind),
			RequestsPerSecond: r.clamped(orZero(cells[2]), kind, maxRate), FailuresPerSecond: r.clamped(orZero(cells[3]), kind, maxRate),
		}
		if p.RequestsPerSecond > 0 {
			p.P50, p.P95 = r.percentile(value(cells[4]), kind, 1), r.percentile(value(cells[5]), kind, 1)
		}
		if r.err == nil && !start.IsZero() && p.Time.Unix() <= maxEpoch && len(f.points) < MaxHistory {
			f.points = append(f.points, p)
		}
	case rowWorker:
		w := Worker{
			Name: text(0, MaxName), Processor: math.Round(r.clamped(orZero(cells[1]), kind, maxPercent)), Memory: int64(r.clamped(orZero(cells[2]), kind, maxCount)),
		}
		if r.err == nil && w.Name != "" && len(f.workers) < MaxWorkers {
			f.workers = append(f.workers, w)
		}
	}
}

// orZero returns the number in a cell, which is empty for zero.
func orZero(cell string) value {
	if cell == "" {
		return "0"
	}
	return value(cell)
}

// readEndpoint reads the cells of an endpoint.
func readEndpoint(r *reader, cells []string) Endpoint {
	e := Endpoint{Method: strings.Clone(cells[0]), Name: strings.Clone(cells[1])}
	e.Requests, e.Failures = r.count(orZero(cells[2]), "requests"), r.count(orZero(cells[3]), "failures")
	e.Average = r.milliseconds(orZero(cells[4]), "avg")
	e.Percentiles = Percentiles{
		P50: r.percentile(value(cells[7]), "p50", e.Requests), P90: r.percentile(value(cells[8]), "p90", e.Requests),
		P95: r.percentile(value(cells[9]), "p95", e.Requests), P99: r.percentile(value(cells[10]), "p99", e.Requests),

		P999: r.percentile(value(cells[11]), "p999", e.Requests),
	}
	e.Extremes = r.extremes(value(cells[5]), value(cells[6]), value(cells[12]), e.Requests)
	return e.cleaned()
}

// evenlySpread returns the points in the order of time. They are read in the reporter's order (spread), of which each power of two is
// spread evenly: if some of them are missing, the rest of the last power is left out.
func evenlySpread(points []Point, total int32) []Point {
	if missing := len(points) < int(total); missing {
		points = points[:completeSpread(len(points), int(total))]
	}
	slices.SortStableFunc(points, func(a, b Point) int { return a.Time.Compare(b.Time) })
	return points
}

// completeSpread returns how many of the first points of a spread of total ones are spread evenly.
func completeSpread(points, total int) int {
	step := 1
	for step < total {
		step *= 2
	}
	complete := 0
	for ; step >= 1; step /= 2 {
		multiples := (total + step - 1) / step
		if multiples > points {
			break
		}
		complete = multiples
	}
	return complete
}
