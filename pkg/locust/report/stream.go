package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// MaxResponseBytes is the size in bytes of the largest answer that is read. Locust lists 500 endpoints and 500 errors at
	// most (web.py), usually a quarter of this. An answer is decoded while it is read, and is never in memory as a whole.
	MaxResponseBytes = 1 << 20
	// maxPart bounds what a decoder keeps at once, in bytes: one element of a list, or one row of the CSV.
	maxPart = 16 << 10
	// maxString is how much of a text the decoder sees, in bytes. It is more than is kept of any text, escapes included.
	maxString = 4 << 10
	// maxDepth bounds lists and objects in each other; Locust's are three deep.
	maxDepth = 32
	// maxColumns bounds the columns of the CSV: Locust has ten, and one for each percentile.
	maxColumns = 256
)

// ErrTooLarge is an answer beyond MaxAnswer.
var ErrTooLarge error = &DecodeError{Field: document, Problem: fmt.Sprintf("is larger than %d MiB", MaxResponseBytes>>20)}

// errPartTooLarge is an element or a row that Locust would not send.
var errPartTooLarge = &DecodeError{Field: document, Problem: fmt.Sprintf("has a part larger than %d KiB", maxPart>>10)}

// source reads an answer up to MaxAnswer, and keeps the error that ended it.
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

// result is err, which a decoder of the source returned, or the error of the source that is behind it.
func (s *source) result(err error) error {
	if err != nil && s.err != nil {
		return s.err
	}
	return err
}

// filtered fills p from the source with what filter leaves: filter returns how many of the bytes it has kept, at their
// beginning.
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

// jsonReader hands JSON to a decoder so that the decoder needs little memory, whatever the JSON is: the rest of a long
// string is left out, white space is shortened, and an element that is too large or too deep ends it with an error.
//
// Python writes numbers that JSON does not have: NaN becomes notNumber, and Infinity a number beyond all bounds.
type jsonReader struct {
	source
	decoder *json.Decoder
	// passed is how many bytes the decoder got.
	passed int64
	err    error

	depth int
	// space is true after white space.
	space bool
	// word is the rest of a word that is replaced, with what replaces it.
	word []replacement

	// inString is true in a string, of which length bytes have come, and cut when the rest is left out.
	inString, cut bool
	length        int
	// escaped is true after a backslash, and digits are how many belong to an escape sequence still.
	escaped bool
	digits  int
}

// replacement is a letter and what it becomes; 0 when it is left out.
type replacement struct{ from, to byte }

var (
	wordNaN      = []replacement{{'a', '}'}, {'N', 0}}
	wordInfinity = []replacement{{'n', 'e'}, {'f', '9'}, {'i', '9'}, {'n', '9'}, {'i', 0}, {'t', 0}, {'y', 0}}
)

// notNumber is a value that stands for NaN.
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
	// The decoder asks for more when what it has is no complete element.
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

// next returns what becomes of a byte; 0 when it is left out.
func (r *jsonReader) next(b byte) byte {
	if b == 0 {
		b = 1 // as invalid
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

// csvReader hands CSV to a decoder so that the decoder needs little memory, whatever the CSV is: the rest of a long cell
// is left out, and a row that is too large ends it with an error.
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
