package cause

import (
	"regexp"
	"strings"
)

// startHints are parts of startWords, one of which is in each.
var startHints = []string{"exec", "OCI", "container create", "sh: ", "env: ", "No module named"}

var (
	// startErrors are those of runc, crun, shells and the kernel for a program that could not be started.
	startErrors = regexp.MustCompile(`exec: "[^"]*": |executable file .?[^ ]+.? not found in \$PATH` +
		`|(?:^|: )exec [^ ]+: .+|exec format error|OCI runtime|container create failed` +
		`|^(?:/[\w/]*/)?(?:ba|da)?sh: .*(?:not found|[Pp]ermission denied|No such file or directory)$` +
		`|^(?:/[\w/]*/)?env: .*No such file or directory$|: No module named locust$`)
	// startLayers are the programs that pass such words on, one to the next.
	startLayers = regexp.MustCompile(`^.*?(?:OCI runtime (?:create|exec) failed|failed to create (?:shim|containerd) task|container create failed|unable to start container process|error during container init|runc create failed|crun): `)
)

// findStart takes a runtime's words, without those of the layers above that say the same for every container.
func findStart(lines []string) (finding, bool) {
	line := lastMatching(lines, func(line string) bool {
		return containsAny(line, startHints) && parseRecord(line).level == "" && startErrors.MatchString(line)
	})
	if line == "" {
		return finding{}, false
	}
	words := strings.TrimSuffix(strings.TrimSpace(line), ": unknown")
	for {
		shorter := startLayers.ReplaceAllString(words, "")
		if shorter == words || shorter == "" {
			break
		}
		words = shorter
	}
	f := finding{message: words, kind: starting}
	if len(lines) > 1 {
		f.detail = logEnd(lines)
	}
	return f, true
}
