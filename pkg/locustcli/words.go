package locustcli

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/syntax"
)

// Split splits a command into words like a POSIX shell: white space separates, quotes and backslashes group and
// escape, and a # at the beginning of a word makes the rest of the line a comment. Nothing is expanded and no shell is
// involved. (The kubelet still expands $(NAME) of the container's environment, as in every container's args.)
// The error includes the problem and the remedy.
func Split(command string) ([]string, error) {
	// A manifest from Windows has carriage returns, which would become part of the last word of each line.
	command = strings.ReplaceAll(command, "\r\n", "\n")
	if !strings.ContainsAny(command, `'"\#`) {
		return splitPlain(command), nil
	}
	return splitQuoted(command)
}

// splitPlain splits a command without quotes, backslashes and comments at white space. It avoids the parser, which takes
// milliseconds for 16 KiB: each admission splits a command several times.
func splitPlain(command string) []string {
	return strings.FieldsFunc(command, func(r rune) bool { return r == ' ' || r == '\t' || r == '\n' })
}

// splitQuoted splits any command.
func splitQuoted(command string) ([]string, error) {
	masked, err := maskShell(command)
	if err != nil {
		return nil, err
	}
	parsed, text, err := parseWords(masked)
	if err != nil {
		return nil, explainWords(err, text)
	}
	// Without variables, commands and files there is nothing to expand: only quotes are removed.
	// (A nil configuration would be a shared one that all callers write to.)
	fields, err := expand.Fields(&expand.Config{}, parsed...)
	if err != nil {
		return nil, explainWords(err, text)
	}
	words := make([]string, len(fields))
	for i, word := range fields {
		if strings.ContainsRune(word, masked.trailing) {
			return nil, errors.New(`ends in a backslash; remove it, or write \\ for a literal one`)
		}
		words[i] = masked.literal.Replace(word)
	}
	return words, nil
}

// continuation removes the line continuations that the parser, as of 3.14.1, leaves after an escaped backslash.
var continuation = strings.NewReplacer(`\\`, `\\`, "\\\n", "")

// parseWords also returns the text that was finally parsed, to which the positions refer.
func parseWords(masked maskedShell) (words []*syntax.Word, text string, err error) {
	parser := syntax.NewParser(syntax.Variant(syntax.LangPOSIX))
	text = masked.text
	for {
		words = nil
		for word, wordErr := range parser.WordsSeq(strings.NewReader(text)) {
			if err = wordErr; err != nil {
				break
			}
			words = append(words, word)
		}
		continued := continuedComments(words, text)
		if len(continued) == 0 {
			break
		}
		for _, at := range slices.Backward(continued) {
			text = text[:at] + string(masked.trailing) + text[at+1:]
		}
	}
	for _, word := range words {
		syntax.Walk(word, func(node syntax.Node) bool {
			if literal, ok := node.(*syntax.Lit); ok {
				literal.Value = continuation.Replace(literal.Value)
			}
			return true
		})
	}
	return words, text, err
}

// continuedComments returns the positions of backslashes at the ends of comments. Comments cannot be continued, but the
// parser, as of 3.14.1, joins the words before and after such a comment. Only comments have a # between parts of a word.
func continuedComments(words []*syntax.Word, text string) []int {
	var found []int
	for _, word := range words {
		for i := 1; i < len(word.Parts); i++ {
			from, to := int(word.Parts[i-1].End().Offset()), int(word.Parts[i].Pos().Offset())
			if from >= to || to > len(text) {
				continue
			}
			_, comment, isComment := strings.Cut(text[from:to], "#")
			if end := strings.Index(comment, "\\\n"); isComment && end >= 0 {
				found = append(found, to-len(comment)+end)
			}
		}
	}
	return found
}

// explainWords adds the remedy to an error of the parser.
func explainWords(err error, masked string) error {
	if parse, ok := errors.AsType[syntax.ParseError](err); ok && parse.Incomplete {
		// The position is that of the unclosed quote.
		switch rest := masked[min(int(parse.Pos.Offset()), len(masked)):]; {
		case strings.HasPrefix(rest, `'`):
			return errors.New(`a single quote is not closed; close it, or write \' for a literal one`)
		case strings.HasPrefix(rest, `"`):
			return errors.New(`a double quote is not closed; close it, or write \" for a literal one`)
		}
	}
	return fmt.Errorf("cannot be split into words: %w; check quotes and backslashes", err)
}

const (
	// shellSyntax are the special characters that a command does not need, and those that the parser drops.
	shellSyntax = "~;&|<>(){\r\x00"
	// expansions are the special characters that a backslash escapes also between double quotes.
	expansions = "$`"
	// Private characters of Unicode, which replace those above while a text is parsed.
	firstPrivate, lastPrivate = '\U000F0000', '\U000FFFFD'
)

// maskedShell is a text in which private characters replace shellSyntax and expansions.
type maskedShell struct {
	text     string
	literal  *strings.Replacer // restores the original characters
	trailing rune              // replaces a trailing backslash, which has nothing to escape
}

// maskShell replaces all characters that have another meaning to a shell than to separate words, and all that its parser
// drops: they are literal here.
func maskShell(text string) (maskedShell, error) {
	used := map[rune]bool{}
	for _, r := range text {
		if r >= firstPrivate && r <= lastPrivate {
			used[r] = true
		}
	}
	const special = shellSyntax + expansions + `\`
	masks := map[rune]rune{}
	var back []string
	next := firstPrivate
	for _, r := range special {
		for used[next] {
			next++
		}
		if next > lastPrivate {
			return maskedShell{}, errors.New("contains all private characters of Unicode from U+F0000 to U+FFFFD; remove one")
		}
		masks[r] = next
		back = append(back, string(next), string(r))
		next++
	}

	var out strings.Builder
	escaped := false // by an odd number of backslashes
	for _, r := range text {
		mask, isSpecial := masks[r]
		keepsEscape := escaped && strings.ContainsRune(expansions, r)
		if isSpecial && r != '\\' && !keepsEscape {
			r = mask
		}
		out.WriteRune(r)
		escaped = r == '\\' && !escaped
	}
	masked := out.String()
	last := masks['\\']
	if escaped {
		masked = strings.TrimSuffix(masked, `\`) + string(last)
	}
	return maskedShell{text: masked, literal: strings.NewReplacer(back...), trailing: last}, nil
}
