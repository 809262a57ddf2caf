package cause

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

const levels = `DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL`

var levelNames = strings.Split(levels, "|")

var (
	// locustRecord is the format of locust/log.py, in all versions: "[2026-11-27 12:27:19,123] host/ERROR/locust.main: text".
	locustRecord = regexp.MustCompile(`^(?:\[[^\]]*\] )?[^/\s]*/(` + levels + `)/([^:\s]+): ?(.*)$`)
	// pythonRecord is Python's own format, before Locust has set up its logging: "ERROR:root:text".
	pythonRecord = regexp.MustCompile(`^(` + levels + `):([\w.]+):(.*)$`)
	// anyRecord begins with a time and a level, or a level only: the reporter's format, and those of users.
	anyRecord = regexp.MustCompile(`^(?:\[?\d{4}-\d\d-\d\d[T ][\d:.,]+(?:Z|[+-][\d:]+)?\]?[\s|-]*)?(?:[\w.]+ - )?\[?(` + levels + `)\]?(?:\s*[:|-]\s*|\s+)(.*)$`)

	// usageError is argparse's: "locust: error: unrecognized arguments: --foo".
	usageError = regexp.MustCompile(`^[\w./-]+(?: -m [\w.]+)?: error: .+`)

	// requestsRow is a row of Locust's statistics: requests, failures with their percentage, and more columns.
	requestsRow = regexp.MustCompile(`\s\d+\s+\d+\(\d+\.\d+%\)\s+\|`)
	// errorRow is a row of the error report: a number in a column of 18 characters, and the error.
	errorRow = regexp.MustCompile(`^(\d+)( +)(\S.*)$`)

	// greenletEnd is gevent's line after a traceback, which adds no information.
	greenletEnd = regexp.MustCompile(`^\d{4}-\d\d-\d\dT[\d:]+Z <Greenlet at .*> failed with \w+$`)
)

// logRecord is a line of a log; level is empty if the line is not a log record.
type logRecord struct{ level, logger, text string }

// parseRecord parses a line. Most lines have no level, and need no regular expression.
func parseRecord(line string) logRecord {
	line = strings.TrimLeft(line, " ")
	if !containsAny(line, levelNames) {
		return logRecord{text: strings.TrimSpace(line)}
	}
	if m := locustRecord.FindStringSubmatch(line); m != nil {
		return logRecord{m[1], m[2], strings.TrimSpace(m[3])}
	}
	if m := pythonRecord.FindStringSubmatch(line); m != nil {
		return logRecord{m[1], m[2], strings.TrimSpace(m[3])}
	}
	if m := anyRecord.FindStringSubmatch(line); m != nil {
		return logRecord{m[1], "", strings.TrimSpace(m[2])}
	}
	return logRecord{text: strings.TrimSpace(line)}
}

func (r logRecord) isError() bool {
	return r.level == "ERROR" || r.level == "CRITICAL" || r.level == "FATAL"
}

// isInformational reports whether the level is INFO or DEBUG.
func (r logRecord) isInformational() bool { return r.level == "INFO" || r.level == "DEBUG" }

func records(lines []string) []logRecord {
	all := make([]logRecord, 0, len(lines))
	for _, line := range lines {
		all = append(all, parseRecord(line))
	}
	return all
}

// errorText is the column of the error message in the error report.
const errorText = 19

// findUsage returns argparse's error, which follows the usage.
func findUsage(lines []string) (finding, bool) {
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.Contains(lines[i], ": error: ") && usageError.MatchString(lines[i]) {
			return finding{message: lines[i], detail: logEnd(lines)}, true
		}
	}
	return finding{}, false
}

// findRecord returns the last ERROR or CRITICAL. Those of a user's task count only if there is no other.
func findRecord(lines []string) (finding, bool) {
	found := logRecord{}
	for _, r := range records(lines) {
		if !r.isError() || r.text == "" {
			continue
		}
		if found.text == "" || isFromTask(found) || !isFromTask(r) {
			found = r
		}
	}
	return finding{message: found.text, detail: logEnd(lines)}, found.text != ""
}

func isFromTask(r logRecord) bool { return strings.HasPrefix(r.logger, "locust.user") }

// findErrorReport returns the most frequent error of the failed requests, if only INFO follows it.
func findErrorReport(lines []string) (finding, bool) {
	found, most := "", ""
	for _, line := range lines {
		count, text, ok := parseError(line)
		switch {
		case ok && (len(count) > len(most) || len(count) == len(most) && count > most):
			found, most = count+" × "+text, count
		case !ok && isMessage(line) && !parseRecord(line).isInformational():
			found, most = "", ""
		}
	}
	return finding{message: found, kind: request, detail: logEnd(lines)}, found != ""
}

// parseError parses a row of the error report.
func parseError(line string) (count, text string, ok bool) {
	if line == "" || line[0] < '0' || line[0] > '9' {
		return "", "", false
	}
	m := errorRow.FindStringSubmatch(line)
	if len(m) < 4 || len(m[1])+len(m[2]) != errorText || isTable(line) {
		return "", "", false
	}
	return m[1], m[3], true
}

// findLast returns the last message above INFO, or else the last message, or else the last line.
func findLast(lines []string) finding {
	found := lastMatching(lines, func(line string) bool { return isMessage(line) && !parseRecord(line).isInformational() })
	if found == "" {
		found = lastMatching(lines, isMessage)
	}
	if found == "" { // a row of a table, or any other line
		found = lastMatching(lines, func(line string) bool { return !isDecoration(line) })
		return finding{message: cmp.Or(found, lines[len(lines)-1]), detail: strings.Join(lines, "\n")}
	}
	if r := parseRecord(found); r.text != "" {
		found = r.text
	}
	return finding{message: found, detail: logEnd(lines)}
}

func lastMatching(lines []string, wanted func(string) bool) string {
	for i := len(lines) - 1; i >= 0; i-- {
		if wanted(lines[i]) {
			return lines[i]
		}
	}
	return ""
}

// isTable reports whether a line is part of Locust's statistics (stats.py): headers, separators, rows of requests, and rows
// of percentiles. The kubelet may have truncated the beginning of the first one.
func isTable(line string) bool {
	switch {
	case line == "":
		return false
	case line == "Error report", line == "Response time percentiles (approximated)",
		strings.HasPrefix(line, "# occurrences "),
		strings.HasSuffix(line, " # reqs"), strings.HasSuffix(line, " failures/s"):
		return true
	case strings.Trim(line, " 0123456789.%()|-") == "":
		return true
	case strings.Contains(line, "%)") && requestsRow.MatchString(line):
		return true
	}
	return isPercentiles(line)
}

// percentiles is the minimum number of percentiles in a row, in 2.12 and later; the number of requests follows.
const percentiles = 8

func isPercentiles(line string) bool {
	if c := line[len(line)-1]; c < '0' || c > '9' {
		return false
	}
	fields := strings.Fields(line)
	if len(fields) < percentiles {
		return false
	}
	for _, field := range fields[len(fields)-percentiles:] {
		if field != "N/A" && strings.Trim(field, "0123456789") != "" {
			return false
		}
	}
	return true
}

// isDecoration reports whether a line has only punctuation and symbols.
func isDecoration(line string) bool {
	return !strings.ContainsFunc(line, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsNumber(r) })
}

// isMessage reports whether a line may be a cause.
func isMessage(line string) bool {
	isGreenlet := strings.Contains(line, "<Greenlet") && greenletEnd.MatchString(line)
	return !isTable(line) && !isDecoration(line) && !isGreenlet
}

// containsAny reports whether a text contains one of some words.
func containsAny(text string, words []string) bool {
	return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
}

// logEnd returns a log without the tables of statistics, which are large and do not show a cause. The rows of the error
// report stay.
func logEnd(lines []string) string {
	var kept []string
	for _, line := range lines {
		if count, text, ok := parseError(line); ok {
			kept = append(kept, count+" × "+text)
		} else if line != "" && !isTable(line) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "\n")
}
