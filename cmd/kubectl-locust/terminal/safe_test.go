package terminal

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
)

func TestSafe(t *testing.T) {
	for name, test := range map[string]struct{ text, want string }{
		"plain":                {"GET /a?b=1 äß漢字", "GET /a?b=1 äß漢字"},
		"color":                {"\x1b[31mred\x1b[0m", "\uFFFD[31mred\uFFFD[0m"},
		"window title":         {"\x1b]0;title\a", "\uFFFD]0;title\uFFFD"},
		"C1 control":           {"a\u009b2Jb", "a\uFFFD2Jb"},
		"C1 byte, not UTF-8":   {"a\x9b2Jb", "a\uFFFD2Jb"},
		"backspace":            {"safe\b\b\b\bevil", "safe\uFFFD\uFFFD\uFFFD\uFFFDevil"},
		"white space":          {" a\n\tb\r\n  c\v\f\u0085d\u00a0 ", "a b c d"},
		"line separator":       {"a\u2028b\u2029c", "a\uFFFDb\uFFFDc"},
		"right-to-left":        {"a\u202Egpj.exe", "a\uFFFDgpj.exe"},
		"isolates":             {"\u2066a\u2069", "\uFFFDa\uFFFD"},
		"zero width":           {"ad\u200Bmin", "ad\uFFFDmin"},
		"tags":                 {"a\U000E0041", "a\uFFFD"},
		"private use":          {"\uE0B0", "\uFFFD"},
		"Hangul filler":        {"a\u3164b", "a\uFFFDb"},
		"combining and emoji":  {"e\u0301 😀", "e\u0301 😀"},
		"nothing":              {"", ""},
		"only unsafe":          {"\x00", "\uFFFD"},
		"delete":               {"a\x7fb", "a\uFFFDb"},
		"soft hyphen":          {"a\u00adb", "a\uFFFDb"},
		"byte order mark":      {"\uFEFFa", "\uFFFDa"},
		"replacement is valid": {"\uFFFD", "\uFFFD"},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.want, Safe(test.text))
		})
	}
}

func TestSafeLinesKeepsLinesAndIndentation(t *testing.T) {
	assert.Equal(t, "a\n  b\n    c d", SafeLines("a\r\n  b \n\tc\rd"))
	assert.Equal(t, "\uFFFD[2J\n\uFFFD", SafeLines("\x1b[2J\n\u202E"))
}

// requireSafe fails if a terminal would interpret a text, apart from line breaks.
func requireSafe(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) {
		t.Fatalf("not UTF-8: %q", text)
	}
	for _, r := range text {
		if r != '\n' && (unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Zl, unicode.Zp)) {
			t.Fatalf("%U in %q", r, text)
		}
	}
}

func FuzzSafe(f *testing.F) {
	f.Add("\x1b[31mred\x9b\u202E\n")
	f.Fuzz(func(t *testing.T, text string) {
		safe := Safe(text)
		requireSafe(t, safe)
		if strings.Contains(safe, "\n") || strings.Contains(safe, "  ") || strings.TrimSpace(safe) != safe {
			t.Fatalf("more than one line, or white space: %q", safe)
		}
		if Safe(safe) != safe {
			t.Fatalf("changed again: %q", safe)
		}
		requireSafe(t, SafeLines(text))
	})
}
