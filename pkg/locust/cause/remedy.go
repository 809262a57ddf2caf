package cause

import (
	"fmt"
	"regexp"
	"strings"
)

const (
	fileTwice   = "the kubelet's links show the folder's files twice; name the files instead of the folder"
	nameFiles   = "name the files instead of the folder"
	giveHost    = "give --host, or set host in the user class"
	noLocust    = "the image has no locust in its PATH"
	noComment   = "quote # or remove the comment"
	writable    = "mount a writable volume there (spec.volumes), or drop the option"
	checkPath   = "check spec.testFiles and the path in the command"
	otherModule = "use an image that has it, or spec.testFiles.libConfigMapRef"
)

// knownCause is a cause with a known remedy.
type knownCause struct {
	// pattern matches the message.
	pattern *regexp.Regexp
	// remedy returns the remedy, or "" if it does not apply. match holds the submatches of pattern.
	remedy func(f finding, match []string, facts Facts) string
}

// fixedRemedy returns a remedy that does not depend on the finding.
func fixedRemedy(text string) func(finding, []string, Facts) string {
	return func(finding, []string, Facts) string { return text }
}

// requestCauses are causes that may also appear as errors of requests.
var requestCauses = []knownCause{
	{regexp.MustCompile(`You must specify the base host|Invalid URL '(?:/[^']*)?'`), fixedRemedy(giveHost)},
	{regexp.MustCompile(`Invalid host \(|MissingSchema|No schem[ae] supplied`), fixedRemedy("begin the host with http:// or https://")},
}

// knownCauses are tried in order.
var knownCauses = append([]knownCause{
	{regexp.MustCompile(`exec(?:utable file)?:? ["'\x60](-[^"'\x60]*)["'\x60].*(?:not found|no such file)`),
		fixedRemedy("the image has no `locust` entrypoint; use an image whose entrypoint is locust")},
	{regexp.MustCompile(`exec(?:utable file)?:? ["'\x60](?:[^"'\x60]*/)?locust["'\x60].*(?:not found|no such file)|(?:^|: )locust: (?:command )?not found|No module named '?locust'?$`),
		fixedRemedy(noLocust)},
	{regexp.MustCompile(`exec format error`), fixedRemedy("the image is for another CPU architecture than the node")},
	{regexp.MustCompile(`Unknown User\(s\): (.*)`), unknownUser},
	{regexp.MustCompile(`unrecognized arguments: (?:.* )?#`), fixedRemedy(noComment)},
	{regexp.MustCompile(`conflicting option strings?: `), conflict},
	{regexp.MustCompile(`^Duplicate (?:user|shape) class|have the same class name: `), duplicate},
	{regexp.MustCompile(`Address already in use|EADDRINUSE`), fixedRemedy("another process in the pod has this port; check the port options and the other containers")},
	{regexp.MustCompile(`\[Errno 13\] .*: \(|Permission denied \(addr=`), fixedRemedy("use a port from 1024 on")},
	{regexp.MustCompile(`\[Errno 13\]|PermissionError: .*[Dd]enied`), permission},
	{regexp.MustCompile(`(?i)permission denied$`), permissionToStart},
	{regexp.MustCompile(`Read-only file system`), fixedRemedy(writable)},
	{regexp.MustCompile(`No module named '`), fixedRemedy(otherModule)},
	{regexp.MustCompile(`^Could not find (?:'|any locustfiles|directory )|No such file or directory: '[^']*\.py'$`), fixedRemedy(checkPath)},
	{regexp.MustCompile(`\bMemoryError\b|Cannot allocate memory`), fixedRemedy("raise the memory limit (resources), or run fewer users per worker")},
}, requestCauses...)

func remedyOf(f finding, facts Facts) string {
	causes := knownCauses
	if f.kind == request {
		causes = requestCauses
	}
	for _, k := range causes {
		match := k.pattern.FindStringSubmatch(f.message)
		if match == nil {
			continue
		}
		if remedy := k.remedy(f, match, facts); remedy != "" {
			return remedy
		}
	}
	return ""
}

// unknownUser checks the words that Locust took as names of user classes, which it lists in no particular order.
func unknownUser(_ finding, match []string, _ Facts) string {
	names := strings.Split(match[1], ", ")
	for _, name := range names {
		if strings.HasPrefix(name, "#") {
			return noComment
		}
	}
	for _, name := range names {
		if name == "locust" {
			return "remove the word locust from the command, the entrypoint is locust already"
		}
	}
	for _, name := range names {
		if strings.HasPrefix(name, "-") {
			return "put options before --"
		}
	}
	return ""
}

// linked matches paths below the folders that the kubelet creates for a ConfigMap, "..data" and "..2026_11_27_20_14_55.123";
// in which os.walk finds each file again.
var linked = regexp.MustCompile(`/\.\.(?:data|20)`)

func throughLinks(f finding) bool {
	for _, text := range append([]string{f.message, f.place}, f.context...) {
		if linked.MatchString(text) {
			return true
		}
	}
	return false
}

// conflict handles an option that was added twice: by the same file, or by Locust or another locustfile.
func conflict(f finding, _ []string, _ Facts) string {
	switch {
	case throughLinks(f):
		return fileTwice
	case f.place == "": // the frames with the file names were cut off
		return "when -f names a folder, " + nameFiles
	}
	return "Locust or another locustfile has this option already"
}

// duplicate handles duplicate classes. Locust 2.12 logs it without paths for a shape that it loads twice.
func duplicate(f finding, _ []string, _ Facts) string {
	switch {
	case throughLinks(f):
		return fileTwice
	case strings.HasPrefix(f.message, "Duplicate shape"), strings.Contains(f.message, "same class name"):
		return nameFiles + ", and each class once"
	}
	return "rename one of them, or name one file with -f"
}

func permission(_ finding, _ []string, facts Facts) string {
	if facts.OperatorChoseUser {
		return fmt.Sprintf("the operator chose user %d; choose another with spec.security.podSecurityContext.runAsUser", facts.User)
	}
	return "check spec.security and the file's mode"
}

// permissionToStart handles a program that may not be executed. It does not apply to a request that a server denied.
func permissionToStart(f finding, match []string, facts Facts) string {
	if f.kind != starting {
		return ""
	}
	return permission(f, match, facts)
}
