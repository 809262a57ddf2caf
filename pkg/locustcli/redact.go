package locustcli

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// redacted replaces a value that may be a secret.
const redacted = "***"

// publicOptions are the options of Locust (argument_parser.py, 2.12 to 2.47) whose values are no secrets. The values of all others,
// which a locustfile defines, are hidden, because their names do not show whether they are secrets.
var publicOptions = []string{
	"--locustfile", "--config", "--host", "--users", "--spawn-rate", "--hatch-rate", "--run-time", "--list",
	"--web-host", "--web-port", "--web-base-path", "--web-login", "--headless", "--headful", "--autostart", "--autoquit", "--class-picker",
	"--tls-cert", "--tls-key", "--legacy-ui", "--modern-ui", "--master", "--worker", "--master-host", "--master-port",
	"--master-bind-host", "--master-bind-port", "--expect-workers", "--expect-workers-max-wait", "--enable-rebalancing", "--processes",
	"--tags", "--exclude-tags", "--csv", "--csv-full-history", "--print-stats", "--only-summary", "--html", "--json", "--json-file",
	"--skip-log", "--skip-log-setup", "--loglevel", "--logfile", "--show-task-ratio", "--show-task-ratio-json", "--exit-code-on-error",
	"--stop-timeout", "--equal-weights", "--reset-stats", "--profile", "--otel", "--help", "--version",
	"-f", "-H", "-u", "-r", "-t", "-l", "-P", "-T", "-E", "-L", "-s", "-h", "-V",
}

var (
	// secretName matches names of parameters and headers whose value is probably a secret.
	secretName = regexp.MustCompile(`(?i)(pass|pwd|secret|token|key|auth|cred|cookie|session|sig|jwt|bearer|dsn)`)
	// userInfo matches user and password in a URL.
	userInfo = regexp.MustCompile(`//[^/?#\s]*@`)
	// parameter matches a parameter of a URL, or name=value in a list.
	parameter = regexp.MustCompile(`([A-Za-z0-9_.-]+)=([^&;,#\s]+)`)
	// header matches an HTTP header whose value is probably a secret.
	header = regexp.MustCompile(`(?i)([a-z-]*(?:authorization|cookie|token|key|secret|session|password)[a-z-]*):\s*.+`)
	// reference matches a value that is only a reference to a variable.
	reference = regexp.MustCompile(`^\$\([A-Za-z0-9_.-]+\)$`)
)

// Redact returns a copy of arguments with "***" in place of what may be a secret: the values of all options that are not Locust's own,
// and credentials in the values of the others. A reference to a variable, as in $(TOKEN), is no secret.
func Redact(args []string) []string {
	clean := make([]string, 0, len(args))
	public := true // names of user classes
	for _, arg := range args {
		switch name, value, inline := splitOption(arg); {
		case arg == EndOfOptions:
			public = true
		case name == "":
			arg = shown(arg, public)
		default:
			public = slices.Contains(publicOptions, name)
			if inline {
				arg = arg[:len(arg)-len(value)] + shown(value, public)
			}
		}
		clean = append(clean, arg)
	}
	return clean
}

// splitOption splits an argument into the name of an option, which is empty if the argument is a value, and a value in the same
// argument: --name=value, or -nvalue.
func splitOption(arg string) (name, value string, inline bool) {
	_, notNumber := strconv.ParseFloat(arg, 64)
	switch {
	case len(arg) < 2 || arg[0] != '-' || notNumber == nil:
		return "", arg, false
	case strings.HasPrefix(arg, "--"):
		return strings.Cut(arg, "=")
	case len(arg) > 2:
		return arg[:2], arg[2:], true
	}
	return arg, "", false
}

// shown returns a value as it may be stored.
func shown(value string, public bool) string {
	switch {
	case public:
		return redactText(value)
	case value == "" || reference.MatchString(value):
		return value
	}
	return redacted
}

// redactText hides credentials in a text.
func redactText(text string) string {
	text = userInfo.ReplaceAllString(text, "//"+redacted+"@")
	text = header.ReplaceAllString(text, "$1: "+redacted)
	return parameter.ReplaceAllStringFunc(text, func(pair string) string {
		name, value, _ := strings.Cut(pair, "=")
		if secretName.MatchString(name) {
			return name + "=" + shown(value, false)
		}
		return pair
	})
}

// RedactURL removes user and password from a URL, and hides parameters that look like secrets.
func RedactURL(url string) string {
	return redactText(userInfo.ReplaceAllString(url, "//"))
}
