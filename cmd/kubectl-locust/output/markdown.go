package output

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1alpha1"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// writeMarkdown writes a page for GitHub's and GitLab's dialects of Markdown.
func writeMarkdown(out *bytes.Buffer, report *v1alpha1.LocustReport) error {
	fmt.Fprintf(out, "## Load test %s: %s\n\n", literal(report.Test.Name), literal(report.Outcome.Phase))
	first, details := cause(report)
	quoted := false
	for line := range strings.SplitSeq(first+"\n"+details, "\n") {
		if strings.TrimSpace(line) == "" {
			continue
		}
		if quoted {
			out.WriteString("\\\n") // a line break inside of the paragraph
		}
		out.WriteString("> " + literal(line))
		quoted = true
	}
	if quoted {
		out.WriteString("\n\n")
	}
	out.WriteString("| | |\n| --- | --- |\n")
	for _, row := range overview(report) {
		if row[0] == "Outcome" { // the title and the quotation have it
			continue
		}
		fmt.Fprintf(out, "| %s | %s |\n", row[0], literal(row[1]))
	}
	for _, s := range sections(report) {
		writeSection(out, s)
	}
	return nil
}

// section is a list of the report as a table.
type section struct {
	title, columns string
	rows           [][]string
}

func sections(report *v1alpha1.LocustReport) []section {
	return []section{
		{"Endpoints", "Endpoint | Requests | Failed | Per second | Average | Min | p50 | p90 | p95 | p99 | p99.9 | Max", endpointRows(report)[1:]},
		{"Failed requests", "Failures | Endpoint | Error", errorRows(report)[1:]},
		{"Exceptions in the locustfile", "Times | Exception", exceptionRows(report)[1:]},
		{"Workers", "Worker | Peak processor | Peak memory", workerRows(report)[1:]},
		{"Incomplete", "List | Kept | Reason", truncatedRows(report)[1:]},
	}
}

// writeSection writes a table, unless it has no rows.
func writeSection(out *bytes.Buffer, s section) {
	if len(s.rows) == 0 {
		return
	}
	fmt.Fprintf(out, "\n### %s\n\n| %s |\n|%s\n", s.title, s.columns, strings.Repeat(" --- |", strings.Count(s.columns, "|")+1))
	for _, row := range s.rows {
		out.WriteByte('|')
		for _, cell := range row {
			fmt.Fprintf(out, " %s |", literal(cell))
		}
		out.WriteByte('\n')
	}
}

// literal returns a text that Markdown shows as it is: in code spans, where nothing but a backtick has a meaning, neither markup nor
// links, addresses, mentions, references to issues and emojis. Backticks, the bars that separate the cells of a table, and what begins
// an HTML tag stand between the spans, as character references: inside of a span there is no escape.
func literal(text string) string {
	text = strings.TrimRight(terminal.SafeLines(strings.ReplaceAll(text, "\n", " ")), " ")
	if isPlain(text) {
		return text
	}
	var out strings.Builder
	for text != "" {
		end := strings.IndexAny(text, "`|<")
		if end < 0 {
			end = len(text)
		}
		if end > 0 {
			out.WriteString("`" + text[:end] + "`")
		}
		if end == len(text) {
			break
		}
		fmt.Fprintf(&out, "&#%d;", text[end])
		text = text[end+1:]
	}
	return out.String()
}

// isPlain reports whether a text is only a word, a number with a unit or nothing, none of which has a meaning in Markdown.
func isPlain(text string) bool {
	letters, digits := true, text != "" && text[0] >= '0' && text[0] <= '9' && !strings.HasSuffix(text, ".")
	for _, r := range text {
		letter, digit := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == 'µ', r >= '0' && r <= '9'
		letters = letters && letter
		digits = digits && (letter || digit || r == '.' || r == '%')
	}
	return letters || digits
}
