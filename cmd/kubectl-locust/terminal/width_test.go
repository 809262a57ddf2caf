package terminal

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestWidth(t *testing.T) {
	for text, want := range map[string]int{
		"": 0, "abc": 3, "█░▁✓✗·…": 7, "漢字": 4, "e\u0301": 1, "😀": 2, "ＡＢ": 4, "ä": 1, "\uFFFD": 1, "❤\uFE0F": 2,
	} {
		assert.Equal(t, want, Width(text), text)
	}
}

func TestCut(t *testing.T) {
	for _, test := range []struct {
		line    string
		columns int
		want    string
	}{
		{"short", 80, "short"},
		{"█████", 3, "██…"},
		{"exact", 5, "exact"},
		{"漢字漢字", 5, "漢字…"},
		{"漢字漢字", 4, "漢…"},
		{"e\u0301e\u0301e\u0301", 2, "e\u0301…"},
		{"abc", 1, "…"},
		{"abc", 0, ""},
		{"abc", -1, ""},
	} {
		got := Cut(test.line, test.columns)
		assert.Equal(t, test.want, got)
		assert.LessOrEqual(t, Width(got), max(test.columns, 0))
	}
}

func TestPad(t *testing.T) {
	assert.Equal(t, "漢  ", pad("漢", 4))
	assert.Equal(t, "long", pad("long", 2))
}

func FuzzCut(f *testing.F) {
	f.Add("漢字 e\u0301 😀", 5)
	f.Fuzz(func(t *testing.T, line string, columns int) {
		columns %= 200
		got := Cut(line, columns)
		if Width(got) > max(columns, 0) {
			t.Fatalf("%q takes %d columns, not %d", got, Width(got), columns)
		}
	})
}
