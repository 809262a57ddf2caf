package snapshot

import (
	"regexp"
	"strings"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/host"
)

var (
	counters = regexp.MustCompile(`\s*\[\d+:\d+\]\s*`)
	expiry   = regexp.MustCompile(`\s+expires \S+`)
)

// Routes removes volatile parts from the output of "ip route".
func Routes(text string) []string {
	var lines []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(expiry.ReplaceAllString(line, "")); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// IPTables converts the output of iptables-save to one line per chain and rule,
// without dates and counters. It leaves out tables without effect, because on some
// machines listing a table creates it.
func IPTables(text string) []string {
	var lines, table []string
	name, idle := "", true
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "*"):
			name, table, idle = line[1:], nil, true
		case line == "COMMIT":
			if !idle {
				lines = append(lines, table...)
			}
		default:
			line = strings.TrimSpace(counters.ReplaceAllString(line, " "))
			idle = idle && strings.HasPrefix(line, ":") && strings.HasSuffix(line, " ACCEPT")
			table = append(table, name+" "+line)
		}
	}
	return lines
}

// NFTables converts the output of "nft list ruleset" to one line per chain, set
// and rule, without tables that have no effect.
func NFTables(text string) []string {
	var lines []string
	for _, table := range splitTables(text) {
		if host.EmptyTable(table) {
			continue
		}
		lines = append(lines, flatten(table)...)
	}
	return lines
}

func splitTables(text string) []string {
	var tables []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "table ") {
			tables = append(tables, "")
		}
		if len(tables) > 0 && !strings.HasPrefix(line, "#") {
			tables[len(tables)-1] += line
		}
	}
	return tables
}

// flatten prefixes every line with its enclosing blocks.
func flatten(table string) []string {
	var lines, blocks []string
	for line := range strings.Lines(table) {
		line = strings.TrimSpace(line)
		switch {
		case line == "":
		case line == "}" && len(blocks) > 0:
			blocks = blocks[:len(blocks)-1]
		case strings.HasSuffix(line, " {"):
			blocks = append(blocks, strings.TrimSuffix(line, " {"))
			lines = append(lines, strings.Join(blocks, " / "))
		default:
			lines = append(lines, strings.Join(append(blocks[:len(blocks):len(blocks)], line), " / "))
		}
	}
	return lines
}
