package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"

	"sigs.k8s.io/yaml"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
)

func writeJSON(out *bytes.Buffer, report *v1alpha1.LocustReport) error {
	data, err := MarshalJSON(object(report))
	out.Write(data)
	return err
}

func writeYAML(out *bytes.Buffer, report *v1alpha1.LocustReport) error {
	data, err := MarshalYAML(object(report))
	out.Write(data)
	return err
}

// object returns the report with its kind, which decoding removes, and without managedFields, as kubectl prints it.
func object(report *v1alpha1.LocustReport) *v1alpha1.LocustReport {
	o := report.DeepCopy()
	o.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("LocustReport"))
	o.ManagedFields = nil
	return o
}

// MarshalJSON returns a value as indented JSON in which all characters are escaped that a terminal would interpret.
func MarshalJSON(value any) ([]byte, error) {
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "    ")
	if err := encoder.Encode(value); err != nil {
		return nil, err
	}
	// Outside of strings JSON has only ASCII characters, and no control character but the line breaks of the indentation.
	var out bytes.Buffer
	for _, r := range plain.String() {
		switch {
		case r == '\n' || !interpreted(r):
			out.WriteRune(r)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&out, `\u%04x`, r)
		}
	}
	return out.Bytes(), nil
}

// MarshalYAML returns a value as YAML in which all characters are escaped that a terminal would interpret. The encoder escapes only
// some of them. So texts with such characters are replaced by words, and these by the quoted texts.
func MarshalYAML(value any) ([]byte, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	word := "ESCAPED"
	for bytes.Contains(data, []byte(word)) {
		word += "X"
	}
	q := quotes{word: word}
	if data, err = json.Marshal(q.replace(tree)); err != nil {
		return nil, err
	}
	if data, err = yaml.JSONToYAML(data); err != nil || len(q.pairs) == 0 {
		return data, err
	}
	return []byte(strings.NewReplacer(q.pairs...).Replace(string(data))), nil
}

// quotes replaces texts by words.
type quotes struct {
	word string
	// pairs are the words and the quoted texts in turn.
	pairs []string
}

func (q *quotes) replace(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, element := range value {
			value[key] = q.replace(element)
		}
	case []any:
		for i, element := range value {
			value[i] = q.replace(element)
		}
	case string:
		if strings.ContainsFunc(value, func(r rune) bool { return r != '\n' && r != '\t' && interpreted(r) }) {
			word := fmt.Sprintf("%s-%d-", q.word, len(q.pairs))
			q.pairs = append(q.pairs, word, quote(value))
			return word
		}
	}
	return value
}

// quote returns a text as a double-quoted YAML scalar in one line.
func quote(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			out.WriteByte('\\')
			out.WriteRune(r)
		case interpreted(r):
			fmt.Fprintf(&out, `\U%08x`, r)
		default:
			out.WriteRune(r)
		}
	}
	out.WriteByte('"')
	return out.String()
}

// interpreted reports whether a terminal or an editor may interpret a character instead of showing it: control characters, line
// separators, those that change the direction of others, and the two that YAML forbids.
func interpreted(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp) || r == '\ufffe' || r == '\uffff'
}
