package output

import (
	"encoding/csv"
	"encoding/json"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// hostile returns a report that has a text wherever a report has text.
func hostile(text string) *v1alpha1.LocustReport {
	s := statistics(1, 1, text)
	return &v1alpha1.LocustReport{
		ObjectMeta: metav1.ObjectMeta{Namespace: text, Name: text, Labels: map[string]string{"label": text}},
		Test:       v1alpha1.Test{Name: text, UID: text},
		Outcome: v1alpha1.Outcome{
			Phase: v2.PhaseFailed, Reason: text, Message: text + "\n" + text,
			LoadDelivered: &v1alpha1.LoadDelivered{Status: metav1.ConditionFalse, Reason: text, Message: text},
		},
		Run:        v1alpha1.Run{LocustVersion: text, Image: text, Host: text, Arguments: []string{text}, StartTime: &started},
		Summary:    &v1alpha1.Summary{Source: text, FailureRatio: text, Statistics: s},
		Endpoints:  []v1alpha1.Endpoint{{Method: text, Name: text, Statistics: s}, {Name: text, Statistics: s}, {Method: text, Name: "/" + text, Statistics: s}},
		Errors:     []v1alpha1.Error{{Method: text, Name: text, Error: text}},
		Exceptions: []v1alpha1.Exception{{Message: text}},
		History:    []v1alpha1.HistoryPoint{{RequestsPerSecond: text, FailuresPerSecond: text}},
		Workers:    []v1alpha1.Worker{{Name: text}},
		Truncated:  []v1alpha1.Truncation{{Field: text, Message: text}},
	}
}

var (
	codeSpan = regexp.MustCompile("`[^`\n]*`")
	// entities are the character references of literal.
	entities = regexp.MustCompile(`&#(96|124|60);`)
	// plainWord matches what literal leaves as it is.
	plainWord = regexp.MustCompile(`^([A-Za-zµ]+|[0-9][A-Za-z0-9µ.%]*)?$`)
)

func FuzzWrite(f *testing.F) {
	for _, seed := range []string{
		"/orders", "", "\x1b]0;title\x07\x1b[2J\x1b[31m", "\u009b31m", "\u202egnp.exe\u202c", "\u2066a\u2069\ufeff\u200b", "<script>alert(1)</script>",
		`"><img src=x onerror=alert(1)>`, "]]><testcase/>", "&amp;&lt;", "=HYPERLINK(\"http://x\")", "+1", "-1", "@SUM(1)", "\t=1", "\r=1", "a;=1", "a\nb\r\nc",
		"\xff\xfe\x80", "a\x00b", "`code`", "``", "a|b", `a\|b`, "| --- |", "[x](javascript:x)", "@all #1 :tada: http://x www.x.de", "# h", "1.", "---", "~~~",
		"\ufffe\uffff", "\U000e0001", "\u2028\u2029\u0085", "ESCAPED-0-", "- x: {y", "'", "NaN", "1e400", "0x10", " a ", "|`|`", "\\", "`\\",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 2000 {
			return
		}
		report := hostile(text)
		written := map[string]string{}
		for _, format := range Formats() {
			out := write(t, format, report)
			written[format] = out
			require.True(t, utf8.ValidString(out), format)
			at := strings.IndexFunc(out, func(r rune) bool {
				return r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp))
			})
			require.Negative(t, at, "%s has a raw control character: %q", format, out[max(at, 0):])
		}
		requireObject(t, report, written[JSON], written[YAML])
		requireNoFormula(t, written[CSV])
		requireSchema(t, written[JUnit])
		requireNoMarkup(t, written[Markdown])
	})
}

// requireObject checks that JSON and YAML have all texts unchanged.
func requireObject(t *testing.T, report *v1alpha1.LocustReport, asJSON, asYAML string) {
	t.Helper()
	var want, fromJSON, fromYAML v1alpha1.LocustReport
	require.NoError(t, json.Unmarshal([]byte(toJSON(t, object(report))), &want)) // invalid UTF-8 is replaced
	require.NoError(t, json.Unmarshal([]byte(asJSON), &fromJSON))
	require.Equal(t, want, fromJSON)
	require.NoError(t, yaml.UnmarshalStrict([]byte(asYAML), &fromYAML))
	require.Equal(t, want, fromYAML)
}

// requireNoFormula checks that no cell is a formula, even if a spreadsheet divides the lines at semicolons or ignores quotes.
func requireNoFormula(t *testing.T, text string) {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 5)
	for _, row := range rows[1:] {
		for i, cell := range row {
			if i > 1 && cell != notAvailable {
				_, err := strconv.ParseFloat(cell, 64)
				require.NoError(t, err, "%q is no number", cell)
				continue
			}
			for part := range strings.SplitSeq(cell, ";") {
				part = strings.Trim(part, " \"")
				require.False(t, part != "" && strings.ContainsAny(part[:1], "=+-@\t\r"), "%q is a formula", cell)
			}
		}
	}
}

// requireNoMarkup checks that everything outside of code spans is of the format itself.
func requireNoMarkup(t *testing.T, text string) {
	t.Helper()
	require.NotContains(t, text, "<", "the beginning of a tag")
	for _, section := range sections(succeeded()) {
		text = strings.ReplaceAll(text, "| "+section.columns+" |\n", "")
	}
	rest := entities.ReplaceAllString(codeSpan.ReplaceAllString(text, ""), "")
	require.NotContains(t, rest, "`", "an open code span")
	for line := range strings.Lines(rest) {
		line = strings.TrimSuffix(line, "\n")
		cells, isRow := strings.CutPrefix(line, "| ")
		switch {
		case line == "", strings.HasPrefix(line, "### "), strings.HasPrefix(line, "| | |"), strings.HasPrefix(line, "| --- |"):
		case isRow:
			for cell := range strings.SplitSeq(strings.TrimSuffix(cells, "|"), "|") {
				cell = strings.TrimSpace(cell)
				require.Regexp(t, plainWord, cell, line)
			}
		case strings.HasPrefix(line, "> "):
			require.Regexp(t, plainWord, strings.TrimSuffix(line[2:], `\`))
		default:
			require.Regexp(t, "^## Load test [A-Za-z0-9µ.%]*: Failed$", line)
		}
	}
}
