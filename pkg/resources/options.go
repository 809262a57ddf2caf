package resources

import (
	"slices"
	"strconv"
	"strings"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Locust's options that the operator sets or reads, https://docs.locust.io/en/stable/configuration.html.
const (
	optLocustfile  = "--locustfile"
	optUsers       = "--users"
	optRunTime     = "--run-time"
	optHeadless    = "--headless"
	optHeadful     = "--headful" // takes --headless back
	optAutostart   = "--autostart"
	optAutoquit    = "--autoquit"
	optWebHost     = "--web-host"
	optWebPort     = "--web-port"
	optWebBasePath = "--web-base-path"
	optWebAuth     = "--web-auth"
	optWebLogin    = "--web-login"
	optTLSCert     = "--tls-cert"
	optTLSKey      = "--tls-key"
	optExitCode    = "--exit-code-on-error"
	optProcesses   = "--processes"
)

// option is an option as defined in Locust's argument_parser.py, 2.12 to 2.47.
type option struct {
	name  string
	short string // the short form
	env   string // the variable that is used unless an argument is given
	flag  bool   // takes no value
}

var knownOptions = []option{
	{name: optLocustfile, short: "-f", env: "LOCUST_LOCUSTFILE"},
	{name: optUsers, short: "-u", env: "LOCUST_USERS"},
	{name: optRunTime, short: "-t", env: "LOCUST_RUN_TIME"},
	{name: optHeadless, env: "LOCUST_HEADLESS", flag: true},
	{name: optHeadful, env: "LOCUST_HEADFUL", flag: true},
	{name: optAutostart, env: "LOCUST_AUTOSTART", flag: true},
	{name: optAutoquit, env: "LOCUST_AUTOQUIT"},
	{name: optWebHost, env: "LOCUST_WEB_HOST"},
	{name: optWebPort, short: "-P", env: "LOCUST_WEB_PORT"},
	{name: optWebBasePath, env: "LOCUST_WEB_BASE_PATH"},
	{name: optWebAuth, env: "LOCUST_WEB_AUTH"},
	{name: optWebLogin, env: "LOCUST_WEB_LOGIN", flag: true},
	{name: optTLSCert, env: "LOCUST_TLS_CERT"},
	{name: optTLSKey, env: "LOCUST_TLS_KEY"},
	{name: optExitCode, env: "LOCUST_EXIT_CODE_ON_ERROR"},
	{name: optProcesses, env: envProcesses},
}

// otherOptions are options of Locust that share a prefix with a known one. Locust rejects an ambiguous abbreviation.
var otherOptions = []string{
	"--help", "--host", "--hatch-rate", "--html", "--list", "--loglevel", "--logfile", "--legacy-ui", "--reset-stats",
	"--exclude-tags", "--expect-workers", "--enable-rebalancing", "--equal-weights", "--profile", "--print-stats",
}

// options are the settings that Locust gets from its arguments, and from the variables whose values are in the spec.
// Settings from a configuration file, the image, a ConfigMap or a Secret are unknown here.
type options struct {
	words     []string // the arguments as Locust gets them
	arguments []argument
	variables map[string]string
}

// argument is an option among the arguments.
type argument struct {
	name  string // the option's full name
	value string
	// word is the index of the argument that contains the value, offset the position of the value in it, in bytes.
	word, offset int
}

// masterOptions returns all settings of the master, given a spec with its defaults; none if the command cannot be split.
func masterOptions(spec *v2.LocustTestSpec) options {
	args, err := masterArgs(spec)
	if err != nil {
		return options{}
	}
	return parseOptions(spec, args)
}

// parseOptions parses the master's arguments as the kubelet and then Python's argparse do.
func parseOptions(spec *v2.LocustTestSpec, args []string) options {
	return parseRoleOptions(spec, RoleMaster, args)
}

// parseRoleOptions parses the arguments of a role's container.
func parseRoleOptions(spec *v2.LocustTestSpec, role Role, args []string) options {
	x := expandVariables(spec, role)
	if !x.admit(args...) {
		return options{} // validateExpansion rejects the spec
	}
	o := options{variables: x.variables}
	for _, arg := range args {
		o.words = append(o.words, x.expand(arg))
	}
	for i := 0; i < len(o.words) && o.words[i] != endOfOptions; i++ {
		known, offset := findOption(o.words[i])
		switch {
		case known == nil:
		case known.flag:
			o.arguments = append(o.arguments, argument{name: known.name, word: i})
		case offset > 0:
			o.arguments = append(o.arguments, argument{known.name, o.words[i][offset:], i, offset})
		case i+1 < len(o.words) && !looksLikeOption(o.words[i+1]):
			i++
			o.arguments = append(o.arguments, argument{known.name, o.words[i], i, 0})
		}
	}
	return o
}

// findOption returns the option that an argument names, nil if it is unknown, and the offset of an attached value
// (--name=value, -nvalue or -n=value). Zero means that no value is attached.
func findOption(word string) (known *option, offset int) {
	name, _, attached := strings.Cut(word, "=")
	if attached {
		offset = len(name) + 1
	}
	if strings.HasPrefix(word, "--") {
		name = fullName(name)
	} else if len(name) > 2 {
		name, offset = name[:2], 2
	}
	for i := range knownOptions {
		if known := &knownOptions[i]; name != "" && (name == known.name || name == known.short) {
			return known, offset
		}
	}
	return nil, 0
}

// optionNames are the names of knownOptions and otherOptions.
var optionNames = func() []string {
	names := slices.Clone(otherOptions)
	for _, known := range knownOptions {
		names = append(names, known.name)
	}
	return names
}()

// fullName completes an abbreviation like argparse. It returns "" unless exactly one option matches.
func fullName(name string) string {
	if slices.Contains(optionNames, name) {
		return name
	}
	found := ""
	for _, full := range optionNames {
		switch {
		case !strings.HasPrefix(full, name):
		case found != "":
			return ""
		default:
			found = full
		}
	}
	return found
}

// looksLikeOption reports whether argparse takes a word as an option rather than as the value of the preceding option.
func looksLikeOption(word string) bool {
	_, notNumber := strconv.ParseFloat(word, 64)
	return len(word) > 1 && word[0] == '-' && notNumber != nil && !strings.Contains(word, " ")
}

// lastArgument returns the effective argument for an option: Locust takes the last of several.
func (o options) lastArgument(name string) (argument, bool) {
	for _, arg := range slices.Backward(o.arguments) {
		if arg.name == name {
			return arg, true
		}
	}
	return argument{}, false
}

// value returns the value of an option; empty if it is not given. Arguments win over variables.
func (o options) value(name string) string {
	if arg, ok := o.lastArgument(name); ok {
		return arg.value
	}
	return o.variables[variableFor(name)]
}

// isGiven reports whether an option is given by an argument or a variable.
func (o options) isGiven(name string) bool {
	_, isArgument := o.lastArgument(name)
	_, isVariable := o.variables[variableFor(name)]
	return isArgument || isVariable
}

// isOn reports whether an option without a value is set. The accepted values of its variable are configargparse's.
func (o options) isOn(name string) bool {
	_, isArgument := o.lastArgument(name)
	return isArgument || slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(o.variables[variableFor(name)]))
}

// isHeadless reports whether Locust runs without its web UI and web API.
func (o options) isHeadless() bool {
	return o.isOn(optHeadless) && !o.isOn(optHeadful)
}

func variableFor(name string) string {
	for _, known := range knownOptions {
		if known.name == name {
			return known.env
		}
	}
	return ""
}

// expansion replaces $(NAME) by the variable of that name, and $$ by $, as the kubelet does (Kubernetes API reference,
// Container.args and EnvVar.value). Unknown names stay as they are.
//
// Variables that refer to others more than once grow exponentially. So the size of each text is computed, and bounded,
// before it is expanded.
type expansion struct {
	variables map[string]string
	// size is the total size of all texts so far, expanded, in bytes.
	size int
	// refused is the first text that exceeded a limit; nil if none did.
	refused *string
}

const (
	// maxWord bounds an argument or variable in bytes, as Linux does (MAX_ARG_STRLEN): a container with a longer one fails.
	maxWord = 128 << 10
	// maxExpansion bounds all arguments and variables together in bytes, as Linux does: a quarter of the stack, which is
	// 8 MiB by default (execve(2), "Limits on size of arguments and environment").
	maxExpansion = 2 << 20
)

// expandVariables expands the variables whose values are in the spec, in the same order as the kubelet. Variables that
// exceed a limit stay as they are.
func expandVariables(spec *v2.LocustTestSpec, role Role) *expansion {
	x := &expansion{variables: map[string]string{}}
	for _, v := range envVars(spec, role) {
		if v.ValueFrom != nil {
			continue
		}
		value := v.Value
		if x.admit(value) {
			value = x.expand(value)
		}
		x.variables[v.Name] = value
	}
	return x
}

// admit adds the expanded sizes of texts to the size of the expansion. It reports whether all texts so far are within
// the limits: each within maxWord, and all together within maxExpansion.
func (x *expansion) admit(texts ...string) bool {
	for _, text := range texts {
		if x.refused != nil {
			return false
		}
		size := 0
		x.eachPart(text, func(part string) { size += len(part) })
		x.size += size
		if size > maxWord || x.size > maxExpansion {
			x.refused = &text
		}
	}
	return x.refused == nil
}

func (x *expansion) expand(text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	var expanded strings.Builder
	x.eachPart(text, func(part string) { expanded.WriteString(part) })
	return expanded.String()
}

// eachPart calls add for each part of the expanded text, in order.
func (x *expansion) eachPart(text string, add func(part string)) {
	closable := true // whether another ")" may follow
	for {
		before, after, found := strings.Cut(text, "$")
		add(before)
		if !found {
			return
		}
		expression := "$"
		switch {
		case strings.HasPrefix(after, "$"):
			after = after[1:]
		case closable && strings.HasPrefix(after, "("):
			name, rest, closed := strings.Cut(after[1:], ")")
			closable = closed
			if closed {
				value, ok := x.variables[name]
				if !ok {
					value = "$(" + name + ")"
				}
				expression, after = value, rest
			}
		}
		add(expression)
		text = after
	}
}
