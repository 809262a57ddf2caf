package locustcli

import (
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestSplitWords(t *testing.T) {
	for name, row := range map[string]struct {
		command string
		want    []string
	}{
		"plain":                       {"--users 10 --host=https://x", []string{"--users", "10", "--host=https://x"}},
		"spaces, tabs, newlines":      {"  -u\t1 \n\n -r 2\n", []string{"-u", "1", "-r", "2"}},
		"single quotes":               {`--tags 'a "b" $c \d'`, []string{"--tags", `a "b" $c \d`}},
		"double quotes":               {`--tags "a 'b' \"c\" \\ \d"`, []string{"--tags", `a 'b' "c" \ \d`}},
		"quotes inside a word":        {`--host=ht'tp:'"//x y"`, []string{"--host=http://x y"}},
		"escaped space":               {`a\ b`, []string{"a b"}},
		"continued line":              {"-u 1 \\\n-r 2", []string{"-u", "1", "-r", "2"}},
		"line written on Windows":     {"-u 1\r\n-r 2\r\n", []string{"-u", "1", "-r", "2"}},
		"empty word":                  {`--web-host ''`, []string{"--web-host", ""}},
		"nothing is expanded":         {"$HOME *.py ~ `id` $(TARGET)", []string{"$HOME", "*.py", "~", "`id`", "$(TARGET)"}},
		"not ASCII":                   {"--tags grün 'größer als'", []string{"--tags", "grün", "größer als"}},
		"no words":                    {"\\\n", []string{}},
		"comment":                     {"-u 1 # not 'too many\n-r 2 # $(x) \\", []string{"-u", "1", "-r", "2"}},
		"comment only":                {" # -u 1", []string{}},
		"comment at a line's end":     {"-u 1 # continued? \\\n-r 2", []string{"-u", "1", "-r", "2"}},
		"continued comments":          {"1 # c \\\n# it's \\\n'-r' # d\\\n# e \\\n # \\\n-u \\\n'x'\\\ny # f \\\nz", []string{"1", "-r", "-u", "xy", "z"}},
		"comment after continued":     {"-u \\\n# 1", []string{"-u"}},
		"no comments":                 {`a#b \#c '#d' "#e" --tag=#f`, []string{"a#b", "#c", "#d", "#e", "--tag=#f"}},
		"not a comment, continued":    {"a\\\n#b", []string{"a#b"}},
		"syntax is literal":           {"a;b c&d | <e >f (g) {h,i} [j] ! x=$((1)) ~root", []string{"a;b", "c&d", "|", "<e", ">f", "(g)", "{h,i}", "[j]", "!", "x=$((1))", "~root"}},
		"syntax, escaped":             {"\\$a \\`b \\&c \\~d \\(e \\{f", []string{"$a", "`b", "&c", "~d", "(e", "{f"}},
		"syntax, double quotes":       {`"$a \$b \\$c \&d \(e" "` + "\\`f`" + `"`, []string{`$a $b \$c \&d \(e`, "`f`"}},
		"syntax, single quotes":       {`'\$a \\$b \&c'`, []string{`\$a \\$b \&c`}},
		"backslashes":                 {`\\ \\\a "\\" '\\'`, []string{`\`, `\a`, `\`, `\\`}},
		"continued after a backslash": {"a\\\\\\\nb \"c\\\\\\\nd\"", []string{`a\b`, `c\d`}},
		"private characters":          {"\U000F0000\U000F0001;\U000FFFFD \uE000", []string{"\U000F0000\U000F0001;\U000FFFFD", "\uE000"}},
		"carriage return":             {"a\rb", []string{"a\rb"}},
		"replacement character":       {"a\uFFFDb", []string{"a\uFFFDb"}},
	} {
		t.Run(name, func(t *testing.T) {
			words, err := Split(row.command)
			require.NoError(t, err)
			assert.Equal(t, row.want, words)
		})
	}
}

func TestSplitWords_Refused(t *testing.T) {
	var all strings.Builder
	for r := firstPrivate; r <= lastPrivate; r++ {
		all.WriteRune(r)
	}
	allPrivate := all.String()
	for command, want := range map[string]string{
		`--tags 'a`:       "single quote is not closed",
		`--tags "a`:       "double quote is not closed",
		`--tags a\`:       "ends in a backslash",
		`\`:               "ends in a backslash",
		`'a\`:             "single quote is not closed",
		`"a\"`:            "double quote is not closed",
		`"it's`:           "double quote is not closed",
		allPrivate + "''": "remove one",
	} {
		_, err := Split(command)
		assert.ErrorContains(t, err, want, "%.20q", command)
	}
}

// TestSplitWords_Concurrent: the webhooks and the reconciler split commands at the same time; run with the race detector.
func TestSplitWords_Concurrent(t *testing.T) {
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			words, err := Split(`-f "a b.py" # comment`)
			assert.NoError(t, err)
			assert.Equal(t, []string{"-f", "a b.py"}, words)
		})
	}
	group.Wait()
}

// TestSplitWords_Plain: splitPlain and the parser split plain commands in the same way.
func TestSplitWords_Plain(t *testing.T) {
	for _, command := range []string{"", " ", "a", " a  b\tc\n\nd ", "-f /a.py --host http://x/?a=1&b=2;c", "$(A) ${B} $$ ~ * ? [a] {b} (c) <d >e |f !g = \r\vh\u00a0i"} {
		quoted, err := splitQuoted(command)
		require.NoError(t, err)
		plain := splitPlain(command)
		if len(quoted) == 0 {
			assert.Empty(t, plain)
			continue
		}
		assert.Equal(t, quoted, plain, "%q", command)
	}
}
