package cause

import (
	"regexp"
	"strings"
)

// startHints are parts of startWords: each match contains one of them.
var startHints = []string{"exec", "OCI", "container create", "sh: ", "env: ", "No module named"}

var (
	// startErrors matches errors of runc, crun, shells and the kernel for a program that could not be started.
	startErrors = regexp.MustCompile(`exec: "[^"]*": |executable file .?[^ ]+.? not found in \$PATH` +
		`|(?:^|: )exec [^ ]+: .+|exec format error|OCI runtime|container create failed` +
		`|^(?:/[\w/]*/)?(?:ba|da)?sh: .*(?:not found|[Pp]ermission denied|No such file or directory)$` +
		`|^(?:/[\w/]*/)?env: .*No such file or directory$|: No module named locust$`)
	// startLayers matches the prefixes that the layers above add to such an error.
	startLayers = regexp.MustCompile(`^.*?(?:OCI runtime (?:create|exec) failed|failed to create (?:shim|containerd) task|container create failed|unable to start container process|error during container init|runc create failed|crun): `)
)

// findStart returns a runtime's error, without the generic prefixes of the layers above.
func findStart(lines []string) (finding, bool) {
	line := lastMatching(lines, func(line string) bool {
		return containsAny(line, startHints) && parseRecord(line).level == "" && startErrors.MatchString(line)
	})
	if line == "" {
		return finding{}, false
	}
	message := strings.TrimSuffix(strings.TrimSpace(line), ": unknown")
	for {
		shorter := startLayers.ReplaceAllString(message, "")
		if shorter == message || shorter == "" {
			break
		}
		message = shorter
	}
	f := finding{message: message, kind: starting}
	if len(lines) > 1 {
		f.detail = logEnd(lines)
	}
	return f, true
}
