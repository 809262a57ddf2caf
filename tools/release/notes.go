package main

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	version = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$`)
	heading = regexp.MustCompile(`(?m)^## .*$`)
	link    = regexp.MustCompile(`(?m)^\[[^\]]+\]: \S+$`)
)

// notes returns the section of a version of a changelog in the format of Keep a Changelog, without its heading.
func notes(changelog, wanted string) (string, error) {
	if !version.MatchString(wanted) {
		return "", fmt.Errorf("version %q is not like 1.2.3 or 1.2.3-rc.1", wanted)
	}
	own := regexp.MustCompile(`(?m)^## \[` + regexp.QuoteMeta(wanted) + `\] - \d{4}-\d{2}-\d{2}$`).FindStringIndex(changelog)
	if own == nil {
		return "", fmt.Errorf("there is no section %q: move the lines of [Unreleased] there", "## ["+wanted+"] - YYYY-MM-DD")
	}
	text := changelog[own[1]:]
	if next := heading.FindStringIndex(text); next != nil {
		text = text[:next[0]]
	}
	text = strings.TrimSpace(link.ReplaceAllString(text, ""))
	if text == "" {
		return "", fmt.Errorf("the section of %s is empty", wanted)
	}
	return text, nil
}
