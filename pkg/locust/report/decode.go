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

// Bounds of what is believed. Beyond them a number is a mistake or an attack, and it would break those that compute
// with it: a float64 holds whole numbers up to 2⁵³, and nobody waits a year for a response.
const (
	maxCount        = 1 << 53
	maxUserCount       = math.MaxInt32
	maxRate         = 1e9
	maxResponseTime = 365 * 24 * time.Hour
	// maxValue bounds what an error repeats of the input, in bytes.
	maxValue = 64
)

// ellipsis ends a text that was cut.
const ellipsis = " …"

// DecodeError says why an answer or a final report is not accepted.
type DecodeError struct {
	// Field names what is wrong, such as "stats.num_requests"; "it" for the whole.
	Field string
	// Problem is a fixed text that follows the field's name.
	Problem string
	// Value is the beginning of what was found, or more about it. It may be another one each time.
	Value string
}

// Error tells all, the value too.
func (e *DecodeError) Error() string {
	if e.Value == "" {
		return e.Reason()
	}
	return e.Reason() + ": " + e.Value
}

// Reason leaves out the value, so that the same mistake gives the same text each time.
func (e *DecodeError) Reason() string { return e.Field + " " + e.Problem }

// document is the field of an error about all of the input.
const document = "it"

func newDecodeError(field, problem, value string) error {
	return &DecodeError{Field: field, Problem: problem, Value: clean(value, maxValue)}
}

// readObject reads a JSON object member by member while it comes, so that no more is kept than member asks for, however
// large the object is. Names are told apart by case. Members that member does not know it has to skip. It returns errors
// of from as they are.
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
		return newDecodeError(document, "is no JSON object", "")
	}
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return jsonError(document, err)
		}
		name, _ := token.(string) // encoding/json accepts nothing else as the name of a member
		if err := member(name, d); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return jsonError(document, err)
	}
	return expectEOF(d)
}

// expectEOF refuses what comes after the value that was read last.
func expectEOF(d *json.Decoder) error {
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return newDecodeError(document, "goes on after its end", "")
	}
	return nil
}

// readArray reads a JSON array and hands on one element after the other. Null is an empty array.
func readArray[T any](d *json.Decoder, field string, each func(*T) error) error {
	token, err := d.Token()
	switch {
	case err != nil:
		return jsonError(field, err)
	case token == nil:
		return nil
	case token != json.Delim('['):
		return newDecodeError(field, "is no list", "")
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

// skipValue reads over a value that is not needed, of any size.
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

// decodeValue reads a value as it is.
func decodeValue(d *json.Decoder, v *value) error {
	if err := d.Decode(v); err != nil {
		return jsonError(document, err)
	}
	return nil
}

// jsonError is the error for what encoding/json says about a field.
func jsonError(field string, err error) error {
	var mismatch *json.UnmarshalTypeError
	var refused *DecodeError
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.As(err, &mismatch):
		return newDecodeError(field, "has an unexpected form", "a JSON "+mismatch.Value)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return newDecodeError(document, "is cut short", "")
	}
	return newDecodeError(document, "is no JSON", err.Error())
}

// value is a value as it is written: JSON, or a cell of the CSV. It is empty when it is missing.
type value string

// UnmarshalJSON keeps the JSON.
func (v *value) UnmarshalJSON(data []byte) error {
	*v = value(data)
	return nil
}

// reader makes what is needed of values. It stops at the first one that is wrong: err says so, and from then on it
// returns nothing but zeros.
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

// clamped reads what the user's code measured, and what may be odd without making a report worthless: it is brought
// between 0 and limit, and NaN is 0.
func (r *reader) clamped(v value, field string, limit float64) float64 {
	if isNaN(v) {
		return 0
	}
	return math.Abs(min(max(r.parse(v, field), 0), limit))
}

// parse reads any number; beyond float64 it is infinite.
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
		r.fail(field, "is no number", v)
	}
	if r.err != nil {
		return 0
	}
	return number
}

// isNaN reports whether a value is what Python writes for NaN.
func isNaN(v value) bool { return v == notNumber || strings.EqualFold(string(v), "nan") }

// isNumber tells whether a value is made of what JSON numbers are made of; strconv takes "inf" and "0x1p4" too.
func isNumber(v value) bool {
	return strings.Trim(string(v), "0123456789+-.eE") == "" && v[0] != '+' && v[0] != '.'
}

// count reads a whole number.
func (r *reader) count(v value, field string) int64 {
	number := r.number(v, field, maxCount)
	if number != math.Trunc(number) {
		r.fail(field, "is no whole number", v)
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

// clampedCount reads a number of users or workers of a report, brought into the bounds: the rest is worth as much without it.
func (r *reader) clampedCount(v value, field string) int32 {
	return int32(r.clamped(v, field, maxUserCount))
}

// milliseconds reads a response time, which Locust gives in milliseconds, to the microsecond.
func (r *reader) milliseconds(v value, field string) time.Duration {
	number := r.clamped(v, field, float64(maxResponseTime/time.Millisecond))
	return time.Duration(math.Round(number*1000)) * time.Microsecond
}

// percentile reads a response time that there is none of without requests (Locust says 0 then), and that may be
// missing, null, NaN, or "N/A" in the CSV.
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

// text reads a JSON string as it is; it has to be cleaned. Missing and null are empty, and numbers and booleans are
// taken as they are written, for Locust passes on what the user's code gave to it as a name.
func (r *reader) text(v value, field string) string {
	switch {
	case v == "" || v == "null":
		return ""
	case v[0] == '{' || v[0] == '[':
		r.fail(field, "is no text", "")
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
	case "missing": // web.py, as long as there is no runner
		r.fail(field, "says that Locust has no runner yet", "")
	case "":
		r.fail(field, "is missing", "")
	default:
		r.fail(field, "is unknown", value(s))
	}
	return ""
}

// clean makes a text fit to be shown: valid UTF-8, in one line, without characters that steer a terminal, and at most
// limit bytes long.
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

// insert adds a value to a sorted list that keeps its first limit values.
func insert[T any](list []T, value T, limit int, compare func(a, b T) int) []T {
	at, _ := slices.BinarySearchFunc(list, value, compare)
	if at == limit {
		return list
	}
	list = slices.Insert(list, at, value)
	return list[:min(len(list), limit)]
}

// compareEndpoints orders endpoints: more failures first, then the slower; the name decides between equals, so that the order is
// always the same.
func compareEndpoints(a, b Endpoint) int {
	return cmp.Or(
		cmp.Compare(b.Failures, a.Failures),
		cmp.Compare(slowness(b), slowness(a)),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Method, b.Method),
	)
}

// slowness is the 95th percentile, or the average where there is none (Locust 2.12).
func slowness(e Endpoint) time.Duration {
	if e.P95 != nil {
		return *e.P95
	}
	return e.Average
}

// compareErrors orders errors.
func compareErrors(a, b Error) int {
	return cmp.Or(
		cmp.Compare(b.Occurrences, a.Occurrences),
		cmp.Compare(a.Name, b.Name),
		cmp.Compare(a.Method, b.Method),
		cmp.Compare(a.Text, b.Text),
	)
}

// cleaned has its texts fit to be shown.
func (e Endpoint) cleaned() Endpoint {
	e.Method, e.Name = clean(e.Method, MaxMethod), clean(e.Name, MaxName)
	return e
}

// cleaned has its texts fit to be shown.
func (e Error) cleaned() Error {
	e.Method, e.Name, e.Text = clean(e.Method, MaxMethod), clean(e.Name, MaxName), clean(e.Text, MaxError)
	return e
}
