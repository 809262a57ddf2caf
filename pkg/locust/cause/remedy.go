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

// knownCause is a cause that a remedy is knownCause for.
type knownCause struct {
	// pattern are found in the cause.
	pattern *regexp.Regexp
	// remedy may depend on more; empty when it is none after all. Its argument has the parts of words in brackets.
	remedy func(f finding, match []string, facts Facts) string
}

// fixedRemedy is a remedy that depends on nothing else.
func fixedRemedy(text string) func(finding, []string, Facts) string {
	return func(finding, []string, Facts) string { return text }
}

// requestCauses are those that requests fail with, too.
var requestCauses = []knownCause{
	{regexp.MustCompile(`You must specify the base host|Invalid URL '(?:/[^']*)?'`), fixedRemedy(giveHost)},
	{regexp.MustCompile(`Invalid host \(|MissingSchema|No schem[ae] supplied`), fixedRemedy("begin the host with http:// or https://")},
}

// knownCauses are looked through from the first on.
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

// unknownUser looks at the words that Locust took for names of user classes. It lists them in no order.
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

// linked are paths below the folders that the kubelet makes for a ConfigMap, "..data" and "..2026_11_27_20_14_55.123";
// os.walk finds each file there, too.
var linked = regexp.MustCompile(`/\.\.(?:data|20)`)

func throughLinks(f finding) bool {
	for _, text := range append([]string{f.message, f.place}, f.context...) {
		if linked.MatchString(text) {
			return true
		}
	}
	return false
}

// conflict is about an option that was added twice: by the same file, or by Locust or another locustfile.
func conflict(f finding, _ []string, _ Facts) string {
	switch {
	case throughLinks(f):
		return fileTwice
	case f.place == "": // the frames that would say which file were cut off
		return "when -f names a folder, " + nameFiles
	}
	return "Locust or another locustfile has this option already"
}

// duplicate is about classes. Locust 2.12 says it of a shape that it loads twice, without the paths.
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

// permissionToStart is for a program that may not be run. A request that a server denied is another matter.
func permissionToStart(f finding, match []string, facts Facts) string {
	if f.kind != starting {
		return ""
	}
	return permission(f, match, facts)
}
