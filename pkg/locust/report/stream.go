package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxResponseBytes is the maximum size of a response in bytes. Locust lists at most 500 endpoints and 500 errors
	// (web.py), usually a quarter of this size. A response is decoded while it is read, and is never in memory as a whole.
	MaxResponseBytes = 1 << 20
	// maxPart bounds the buffer of a decoder in bytes: one element of a list, or one row of the CSV.
	maxPart = 16 << 10
	// maxString bounds the strings that the decoder reads, in bytes; longer ones are truncated. It exceeds the bounds of all
	// texts, escapes included.
	maxString = 4 << 10
	// maxDepth bounds the nesting of lists and objects; Locust's depth is three.
	maxDepth = 32
	// maxColumns bounds the columns of the CSV: Locust has ten, and one for each percentile.
	maxColumns = 256
)

// ErrTooLarge reports a response larger than MaxResponseBytes.
var ErrTooLarge error = &DecodeError{Field: document, Problem: fmt.Sprintf("is larger than %d MiB", MaxResponseBytes>>20)}

// errPartTooLarge reports an element or a row that is larger than any of Locust's.
var errPartTooLarge = &DecodeError{Field: document, Problem: fmt.Sprintf("has a part larger than %d KiB", maxPart>>10)}

// source reads a response up to MaxResponseBytes, and stores the first error.
type source struct {
	from io.Reader
	read int
	err  error
}

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.from.Read(p)
	if s.read += n; s.read > MaxResponseBytes {
		n, err = 0, ErrTooLarge
	}
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// result returns the error of the source that caused the decoder's error err, or else err.
func (s *source) result(err error) error {
	if err != nil && s.err != nil {
		return s.err
	}
	return err
}

// filtered fills p with filtered bytes of the source: filter modifies a slice in place and returns the number of bytes kept.
func (s *source) filtered(p []byte, filter func([]byte) (int, error)) (int, error) {
	for {
		n, err := s.Read(p)
		kept, refused := filter(p[:n])
		if refused != nil {
			err = refused
		}
		if kept > 0 || err != nil {
			return kept, err
		}
	}
}

// jsonReader filters JSON so that the decoder needs little memory for any input: it truncates long strings, collapses white
// space, and returns an error for an element that is too large or too deeply nested.
//
// Python writes numbers that are not valid JSON: NaN becomes notNumber, and Infinity a number beyond all bounds.
type jsonReader struct {
	source
	decoder *json.Decoder
	// passed is the number of bytes passed to the decoder.
	passed int64
	err    error

	depth int
	// space is true after white space.
	space bool
	// word is the rest of a literal that is being replaced, with its replacement.
	word []replacement

	// inString is true in a string, length is its length so far, and cut is true if its rest is left out.
	inString, cut bool
	length        int
	// escaped is true after a backslash, and digits is the number of remaining digits of an escape sequence.
	escaped bool
	digits  int
}

// replacement replaces a letter; zero means that it is left out.
type replacement struct{ from, to byte }

var (
	wordNaN      = []replacement{{'a', '}'}, {'N', 0}}
	wordInfinity = []replacement{{'n', 'e'}, {'f', '9'}, {'i', '9'}, {'n', '9'}, {'i', 0}, {'t', 0}, {'y', 0}}
)

// notNumber is the value that replaces NaN.
const notNumber value = "{}"

func newJSONDecoder(from io.Reader) (*json.Decoder, *jsonReader) {
	r := &jsonReader{source: source{from: from}}
	r.decoder = json.NewDecoder(r)
	r.decoder.UseNumber() // in members that are skipped, numbers may be beyond float64
	return r.decoder, r
}

// Read implements io.Reader.
func (r *jsonReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	// The decoder reads more if its buffer does not hold a complete element.
	room := maxPart - int(r.passed-r.decoder.InputOffset())
	if room <= 0 {
		return 0, errPartTooLarge
	}
	n, err := r.filtered(p[:min(len(p), room)], r.filter)
	r.passed += int64(n)
	return n, err
}

func (r *jsonReader) filter(p []byte) (int, error) {
	kept := 0
	for _, b := range p {
		to := r.next(b)
		if to != 0 {
			p[kept] = to
			kept++
		}
		if r.depth > maxDepth {
			r.err = newDecodeError(document, "is nested too deeply", "")
			return kept, r.err
		}
	}
	return kept, nil
}

// next returns the replacement of a byte; zero means that it is left out.
func (r *jsonReader) next(b byte) byte {
	if b == 0 {
		b = 1 // invalid as well
	}
	if r.inString {
		return r.nextOfString(b)
	}
	if len(r.word) > 0 {
		part := r.word[0]
		if r.word = r.word[1:]; part.from == b {
			return part.to
		}
		r.word = nil
	}
	space := b == ' ' || b == '\t' || b == '\n' || b == '\r'
	if space && r.space {
		return 0
	}
	r.space = space
	switch b {
	case '"':
		r.inString, r.cut, r.length = true, false, 0
	case '{', '[':
		r.depth++
	case '}', ']':
		r.depth--
	case 'N':
		r.word = wordNaN
		return '{'
	case 'I':
		r.word = wordInfinity
		return '1'
	}
	return b
}

func (r *jsonReader) nextOfString(b byte) byte {
	r.length++
	switch {
	case r.escaped:
		r.escaped = false
		if b == 'u' && !r.cut {
			r.digits = 4
		}
	case r.digits > 0:
		r.digits--
	case b == '"':
		r.inString = false
		return b
	default:
		r.cut = r.cut || r.length > maxString
		r.escaped = b == '\\'
	}
	if r.cut {
		return 0
	}
	return b
}

// csvReader filters CSV so that the decoder needs little memory for any input: it truncates long cells, and returns an error
// for a row that is too large.
type csvReader struct {
	source
	err                error
	quoted             bool
	row, cell, columns int
}

// Read implements io.Reader.
func (r *csvReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	return r.filtered(p, r.filter)
}

func (r *csvReader) filter(p []byte) (int, error) {
	kept := 0
	for _, b := range p {
		switch {
		case b == '"':
			r.quoted = !r.quoted
		case b == ',' && !r.quoted:
			r.columns++
			r.cell = 0
		case b == '\n' && !r.quoted:
			r.row, r.cell, r.columns = 0, 0, 0
		case r.cell > maxString:
			continue
		}
		r.row++
		r.cell++
		p[kept] = b
		kept++
		if r.row > maxPart || r.columns >= maxColumns {
			r.err = errPartTooLarge
			return kept, r.err
		}
	}
	return kept, nil
}
