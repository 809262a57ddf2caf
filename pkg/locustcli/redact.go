package locustcli

import (
	"regexp"
	"slices"
	"strings"
)

// redacted replaces a secret.
const redacted = "***"

var (
	// secretName matches names of options, variables and parameters whose value is probably a secret.
	secretName = regexp.MustCompile(`(?i)(pass(word|wd|phrase)?|secret|token|api[-_]?key|private[-_]?key|access[-_]?key|auth(orization)?|credentials?|cookie|session|signature)$`)
	// userInfo matches user and password in a URL.
	userInfo = regexp.MustCompile(`//[^/?#\s]*@`)
	// parameter matches a parameter of a URL, or name=value in a list.
	parameter = regexp.MustCompile(`([A-Za-z0-9_.-]+)=([^&;,#\s]+)`)
	// header matches an HTTP header whose value is a secret, and bearer a token without its header.
	header = regexp.MustCompile(`(?i)((?:proxy-)?authorization|(?:set-)?cookie|[a-z-]*(?:token|api-?key|secret)):\s*.+`)
	bearer = regexp.MustCompile(`(?i)\b(bearer|basic)\s+\S+`)
	// reference matches a value that is only a reference to a variable.
	reference = regexp.MustCompile(`^\$\([A-Za-z0-9_.-]+\)$`)
)

// plainOptions are options of Locust that match secretName and have no secret.
var plainOptions = []string{"--web-login"}

// Redact returns a copy of arguments with "***" in place of what looks like a secret: the value of an option with such a name,
// credentials in URLs and headers. It cannot recognize a secret that nothing marks as one. A reference to a variable, as in $(TOKEN),
// is no secret.
func Redact(args []string) []string {
	clean := make([]string, 0, len(args))
	hideNext := false
	for _, arg := range args {
		name, value, inline := strings.Cut(arg, "=")
		isOption := strings.HasPrefix(arg, "-") // argparse takes no such word as a value
		switch {
		case hideNext && !isOption:
			arg = hidden(arg)
		case isOption && inline && isSecret(name):
			arg = name + "=" + hidden(value)
		case isOption && inline:
			arg = name + "=" + redactText(value)
		default:
			arg = redactText(arg)
		}
		hideNext = isOption && !inline && isSecret(name)
		clean = append(clean, arg)
	}
	return clean
}

// hidden replaces a secret; a reference to a variable is kept.
func hidden(value string) string {
	if reference.MatchString(value) {
		return value
	}
	return redacted
}

// isSecret reports whether an option's value is probably a secret.
func isSecret(name string) bool {
	return !slices.Contains(plainOptions, name) && secretName.MatchString(name)
}

// redactText hides credentials in a text.
func redactText(text string) string {
	text = userInfo.ReplaceAllString(text, "//"+redacted+"@")
	text = header.ReplaceAllString(text, "$1: "+redacted)
	text = bearer.ReplaceAllString(text, "$1 "+redacted)
	return parameter.ReplaceAllStringFunc(text, func(pair string) string {
		name, value, _ := strings.Cut(pair, "=")
		if secretName.MatchString(name) {
			return name + "=" + hidden(value)
		}
		return pair
	})
}

// RedactURL removes user and password from a URL, and hides parameters that look like secrets.
func RedactURL(url string) string {
	return redactText(userInfo.ReplaceAllString(url, "//"))
}
