package report

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of plausible values. A number beyond them is a mistake or an attack, and would break computations: a float64
// represents whole numbers up to 2⁵³, and no response takes a year.
const (
	maxCount        = 1 << 53
	maxUserCount    = math.MaxInt32
	maxRate         = 1e9
	maxResponseTime = 365 * 24 * time.Hour
	// maxValue bounds the excerpt of the input in an error, in bytes.
	maxValue = 64
)

// ellipsis ends a truncated text.
const ellipsis = " …"

// DecodeError is the reason why a response or a final report is rejected.
type DecodeError struct {
	// Field is the name of the faulty field, such as "stats.num_requests"; document for the whole input.
	Field string
	// Problem is a constant text that follows the field's name.
	Problem string
	// Value is an excerpt of the value, or a detail. It may differ each time.
	Value string
}

// Error returns the reason and the value.
func (e *DecodeError) Error() string {
	if e.Value == "" {
		return e.Reason()
	}
	return e.Reason() + ": " + e.Value
}

// Reason returns the text without the value, so that the same mistake yields the same text each time.
func (e *DecodeError) Reason() string { return e.Field + " " + e.Problem }

// document is the field of an error about the whole input.
const document = "the document"

func newDecodeError(field, problem, value string) error {
	return &DecodeError{Field: field, Problem: problem, Value: clean(value, maxValue)}
}

// readObject reads a JSON object member by member while it is received, so that memory does not depend on the object's
// size. Names are case-sensitive. The function member must skip the values of unknown members. Errors of from are
// returned unchanged.
func readObject(from io.Reader, member func(name string, d *json.Decoder) error) error {
	d, r := newJSONDecoder(from)
	return r.result(readMembers(d, member))
}

func readMembers(d *json.Decoder, member func(name string, d *json.Decoder) error) error {
	token, err := d.Token()
	switch {
	case errors.Is(err, io.EOF):
		return newDecodeError(document, "is empty", "")
	case err != nil:
		return jsonError(document, err)
	case token != json.Delim('{'):
		return newDecodeError(document, "is not a JSON object", "")
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return jsonError(document, err)
		}
		name, _ := token.(string) // encoding/json accepts only strings as names
		if err := member(name, d); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return jsonError(document, err)
	}
	return expectEOF(d)
}

// expectEOF returns an error if there is data after the last value.
func expectEOF(d *json.Decoder) error {
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return newDecodeError(document, "has trailing data", "")
	}
	return nil
}

// readArray reads a JSON array and calls each for every element. Null is an empty array.
func readArray[T any](d *json.Decoder, field string, each func(*T) error) error {
	token, err := d.Token()
	switch {
	case err != nil:
		return jsonError(field, err)
	case token == nil:
		return nil
	case token != json.Delim('['):
		return newDecodeError(field, "is not a list", "")
	}
	for d.More() {
		var element T
		if err := d.Decode(&element); err != nil {
			return jsonError(field, err)
		}
		if err := each(&element); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return jsonError(field, err)
	}
	return nil
}

// skipValue skips a value of any size.
func skipValue(d *json.Decoder) error {
	for depth := 0; ; {
		token, err := d.Token()
		if err != nil {
			return jsonError(document, err)
		}
		switch token {
		case json.Delim('{'), json.Delim('['):
			depth++
		case json.Delim('}'), json.Delim(']'):
			depth--
		}
		if depth == 0 {
			return nil
		}
	}
}

// decodeValue decodes a value without interpreting it.
func decodeValue(d *json.Decoder, v *value) error {
	if err := d.Decode(v); err != nil {
		return jsonError(document, err)
	}
	return nil
}

// jsonError converts an error of encoding/json for a field.
func jsonError(field string, err error) error {
	var mismatch *json.UnmarshalTypeError
	var refused *DecodeError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &mismatch):
		return newDecodeError(field, "has an unexpected type", "a JSON "+mismatch.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return newDecodeError(document, "is truncated", "")
	}
	return newDecodeError(document, "is not JSON", err.Error())
}

// value is a raw value: JSON, or a cell of the CSV. It is empty if the value is missing.
type value string

// UnmarshalJSON stores the raw JSON.
func (v *value) UnmarshalJSON(data []byte) error {
	*v = value(data)
	return nil
}

// reader converts values. After the first invalid value, err is set and all methods return zero values.
type reader struct{ err error }

func (r *reader) fail(field, problem string, v value) {
	if r.err == nil {
		r.err = newDecodeError(field, problem, string(v))
	}
}

// number reads a number that is finite, not negative and at most limit.
func (r *reader) number(v value, field string, limit float64) float64 {
	number := r.parse(v, field)
	switch {
	case r.err != nil:
	case number < 0:
		r.fail(field, "is negative", v)
	case number > limit:
		r.fail(field, "is too large", v)
	default:
		return math.Abs(number) // -0 is 0
	}
	return 0
}

// clamped reads a measurement of the user's code, whose bad values need not invalidate the report. It clamps the number
// between 0 and limit, and returns 0 for NaN.
func (r *reader) clamped(v value, field string, limit float64) float64 {
	if isNaN(v) {
		return 0
	}
	return math.Abs(min(max(r.parse(v, field), 0), limit))
}

// parse reads any number; beyond the range of float64 it is infinite.
func (r *reader) parse(v value, field string) float64 {
	switch strings.ToLower(string(v)) {
	case "":
		r.fail(field, "is missing", "")
		return 0
	case "inf", "-inf": // Python's, in the CSV
		v = v[:len(v)-len("inf")] + "1e999"
	}
	number, err := strconv.ParseFloat(string(v), 64)
	if !isNumber(v) || err != nil && !errors.Is(err, strconv.ErrRange) {
		r.fail(field, "is not a number", v)
	}
	if r.err != nil {
		return 0
	}
	return number
}

// isNaN reports whether a value is Python's NaN.
func isNaN(v value) bool { return v == notNumber || strings.EqualFold(string(v), "nan") }

// isNumber reports whether a value has only the characters of JSON numbers; strconv also accepts "inf" and "0x1p4".
func isNumber(v value) bool {
	return strings.Trim(string(v), "0123456789+-.eE") == "" && v[0] != '+' && v[0] != '.'
}

// count reads a whole number.
func (r *reader) count(v value, field string) int64 {
	number := r.number(v, field, maxCount)
	if number != math.Trunc(number) {
		r.fail(field, "is not a whole number", v)
		return 0
	}
	return int64(number)
}

// userCount reads a number of users or workers.
func (r *reader) userCount(v value, field string) int32 {
	number := r.count(v, field)
	if number > maxUserCount {
		r.fail(field, "is too large", v)
		return 0
	}
	return int32(number)
}

// clampedCount reads a number of users or workers and clamps it, because a bad value need not invalidate the report.
func (r *reader) clampedCount(v value, field string) int32 {
	return int32(r.clamped(v, field, maxUserCount))
}

// milliseconds reads a response time in milliseconds, rounded to the microsecond.
func (r *reader) milliseconds(v value, field string) time.Duration {
	number := r.clamped(v, field, float64(maxResponseTime/time.Millisecond))
	return time.Duration(math.Round(number*1000)) * time.Microsecond
}

// percentile reads a response time that may be missing, null, NaN, or "N/A" in the CSV. It returns nil without requests,
// for which Locust writes 0.
func (r *reader) percentile(v value, field string, requests int64) *time.Duration {
	if v == "" || v == "null" || v == "N/A" || isNaN(v) {
		return nil
	}
	percentile := r.milliseconds(v, field)
	if requests == 0 || r.err != nil {
		return nil
	}
	return &percentile
}

// extremes reads the shortest and the longest response time and the average size of a response. An invalid value is left out.
func (r *reader) extremes(shortest, longest, size value, requests int64) Extremes {
	var own reader
	e := Extremes{
		Min: own.percentile(shortest, "min", requests),
		Max: own.percentile(longest, "max", requests),
	}
	if size != "" && size != "null" && requests > 0 {
		bytes := int64(math.Round(own.clamped(size, "size", maxCount)))
		e.ContentBytes = &bytes
	}
	if r.err != nil || own.err != nil {
		return Extremes{}
	}
	return e
}

// text reads a JSON string, which the caller must clean. Missing and null are empty. Numbers and booleans are returned as
// written, because Locust passes on any value that the user's code sets as a name.
func (r *reader) text(v value, field string) string {
	switch {
	case v == "" || v == "null":
		return ""
	case v[0] == '{' || v[0] == '[':
		r.fail(field, "is not a string", "")
		return ""
	case v[0] != '"':
		return string(v)
	}
	var text string
	if err := json.Unmarshal([]byte(v), &text); err != nil && r.err == nil {
		r.err = jsonError(field, err)
	}
	return text
}

// flag reads a boolean.
func (r *reader) flag(v value, field string) bool {
	switch v {
	case "true", "false":
	case "":
		r.fail(field, "is missing", "")
	default:
		r.fail(field, "is neither true nor false", v)
	}
	return v == "true"
}

// state reads a state of the master.
func (r *reader) state(v value) State {
	const field = "state"
	switch s := State(r.text(v, field)); s {
	case StateReady, StateSpawning, StateRunning, StateCleanup, StateStopping, StateStopped:
		return s
	case "missing": // web.py, before there is a runner
		r.fail(field, "reports that Locust has no runner yet", "")
	case "":
		r.fail(field, "is missing", "")
	default:
		r.fail(field, "is unknown", value(s))
	}
	return ""
}

// clean makes a text safe to display: valid UTF-8, on one line, without terminal control characters, and at most limit
// bytes long.
func clean(text string, limit int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cc, unicode.Zl, unicode.Zp, unicode.Bidi_Control) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
	if len(text) <= limit {
		return text
	}
	end := limit - len(ellipsis)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// top keeps the first values of a list in an order, and counts all. It sorts now and then, so that long lists are cheap.
type top[T any] struct {
	limit   int
	compare func(a, b T) int
	list    []T
	count   int32
}

func topEndpoints() top[Endpoint] {
	return top[Endpoint]{limit: MaxEndpoints, compare: compareEndpoints}
}

func topErrors() top[Error] { return top[Error]{limit: MaxErrors, compare: compareErrors} }

func (t *top[T]) add(value T) {
	t.list = append(t.list, value)
	t.count++
	if len(t.list) >= 2*t.limit {
		t.sort()
	}
}

func (t *top[T]) sort() {
	slices.SortStableFunc(t.list, t.compare)
	if len(t.list) > t.limit {
		clear(t.list[t.limit:]) // the garbage collector frees their texts
		t.list = t.list[:t.limit]
	}
}

// result returns the sorted list without spare capacity, because it is kept until the next poll.
func (t *top[T]) result() []T {
	t.sort()
	return slices.Clone(t.list)
}

// compareEndpoints orders endpoints: more failures first, then the slower ones, then by name, so that the order is
// deterministic.
func compareEndpoints(a, b Endpoint) int {
	return cmp.Or(
		cmp.Compare(b.Failures, a.Failures),
		cmp.Compare(slowness(b), slowness(a)),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Method, b.Method),
	)
}

// slowness returns the 95th percentile, or the average if there is none (Locust 2.12).
func slowness(e Endpoint) time.Duration {
	if e.P95 != nil {
		return *e.P95
	}
	return e.Average
}

// compareErrors orders errors: the most frequent first.
func compareErrors(a, b Error) int {
	return cmp.Or(
		cmp.Compare(b.Occurrences, a.Occurrences),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Method, b.Method),
		cmp.Compare(a.Text, b.Text),
	)
}

// cleaned returns a copy with cleaned texts.
func (e Endpoint) cleaned() Endpoint {
	e.Method, e.Name = clean(e.Method, MaxMethod), clean(e.Name, MaxName)
	return e
}

// cleaned returns a copy with cleaned texts.
func (e Error) cleaned() Error {
	e.Method, e.Name, e.Text = clean(e.Method, MaxMethod), clean(e.Name, MaxName), clean(e.Text, MaxError)
	return e
}
