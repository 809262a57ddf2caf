package locustcli

import (
	"slices"
	"strconv"
	"strings"
)

// Locust's options that the operator sets or reads, https://docs.locust.io/en/stable/configuration.html.
const (
	OptLocustfile  = "--locustfile"
	OptUsers       = "--users"
	OptHost        = "--host"
	OptRunTime     = "--run-time"
	OptHeadless    = "--headless"
	OptHeadful     = "--headful" // takes --headless back
	OptAutostart   = "--autostart"
	OptAutoquit    = "--autoquit"
	OptWebHost     = "--web-host"
	OptWebPort     = "--web-port"
	OptWebBasePath = "--web-base-path"
	OptWebAuth     = "--web-auth"
	OptWebLogin    = "--web-login"
	OptTLSCert     = "--tls-cert"
	OptTLSKey      = "--tls-key"
	OptExitCode    = "--exit-code-on-error"
	OptProcesses   = "--processes"
)

// option is an option as defined in Locust's argument_parser.py, 2.12 to 2.47.
type option struct {
	name  string
	short string // the short form
	env   string // the variable that is used unless an argument is given
	flag  bool   // takes no value
}

var knownOptions = []option{
	{name: OptLocustfile, short: "-f", env: "LOCUST_LOCUSTFILE"},
	{name: OptUsers, short: "-u", env: "LOCUST_USERS"},
	{name: OptHost, short: "-H", env: "LOCUST_HOST"},
	{name: OptRunTime, short: "-t", env: "LOCUST_RUN_TIME"},
	{name: OptHeadless, env: "LOCUST_HEADLESS", flag: true},
	{name: OptHeadful, env: "LOCUST_HEADFUL", flag: true},
	{name: OptAutostart, env: "LOCUST_AUTOSTART", flag: true},
	{name: OptAutoquit, env: "LOCUST_AUTOQUIT"},
	{name: OptWebHost, env: "LOCUST_WEB_HOST"},
	{name: OptWebPort, short: "-P", env: "LOCUST_WEB_PORT"},
	{name: OptWebBasePath, env: "LOCUST_WEB_BASE_PATH"},
	{name: OptWebAuth, env: "LOCUST_WEB_AUTH"},
	{name: OptWebLogin, env: "LOCUST_WEB_LOGIN", flag: true},
	{name: OptTLSCert, env: "LOCUST_TLS_CERT"},
	{name: OptTLSKey, env: "LOCUST_TLS_KEY"},
	{name: OptExitCode, env: "LOCUST_EXIT_CODE_ON_ERROR"},
	{name: OptProcesses, env: "LOCUST_PROCESSES"},
}

// otherOptions are options of Locust that share a prefix with a known one. Locust rejects an ambiguous abbreviation.
var otherOptions = []string{
	"--help", "--hatch-rate", "--html", "--list", "--loglevel", "--logfile", "--legacy-ui", "--reset-stats",
	"--exclude-tags", "--expect-workers", "--enable-rebalancing", "--equal-weights", "--profile", "--print-stats",
}

// EndOfOptions is the argument after which argparse takes all others as positional ones: Locust's names of user classes.
const EndOfOptions = "--"

// Options are the settings that Locust gets from its arguments, and from the variables whose values are known. Settings from a
// configuration file, the image, a ConfigMap or a Secret are unknown here.
type Options struct {
	words     []string // the arguments as Locust gets them
	arguments []Argument
	variables map[string]string
}

// Argument is an option among the arguments.
type Argument struct {
	name string // the option's full name
	// Prefix is what precedes the value in its word, for example "--users=", and Value is the value.
	Prefix, Value string
	// Word is the index of the argument that contains the value.
	Word int
}

// Parse parses the arguments of a container as the kubelet and then Python's argparse do, with the variables of the container in
// their order. It returns no options if the arguments and variables exceed what Linux admits: no container starts with them.
func Parse(args []string, variables []Variable) Options {
	x := NewExpansion(variables)
	if !x.Admit(args...) {
		return Options{}
	}
	o := Options{variables: x.variables}
	for _, arg := range args {
		o.words = append(o.words, x.expand(arg))
	}
	for i := 0; i < len(o.words) && o.words[i] != EndOfOptions; i++ {
		known, offset := findOption(o.words[i])
		switch {
		case known == nil:
		case known.flag:
			o.arguments = append(o.arguments, Argument{name: known.name, Word: i})
		case offset > 0:
			o.arguments = append(o.arguments, Argument{known.name, o.words[i][:offset], o.words[i][offset:], i})
		case i+1 < len(o.words) && !looksLikeOption(o.words[i+1]):
			i++
			o.arguments = append(o.arguments, Argument{known.name, "", o.words[i], i})
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

// LastArgument returns the effective argument for an option: Locust takes the last of several.
func (o Options) LastArgument(name string) (Argument, bool) {
	for _, arg := range slices.Backward(o.arguments) {
		if arg.name == name {
			return arg, true
		}
	}
	return Argument{}, false
}

// Value returns the value of an option; empty if it is not given. Arguments win over variables.
func (o Options) Value(name string) string {
	if arg, ok := o.LastArgument(name); ok {
		return arg.Value
	}
	return o.variables[VariableFor(name)]
}

// IsGiven reports whether an option is given by an argument or a variable.
func (o Options) IsGiven(name string) bool {
	_, isArgument := o.LastArgument(name)
	_, isVariable := o.variables[VariableFor(name)]
	return isArgument || isVariable
}

// IsOn reports whether an option without a value is set. The accepted values of its variable are configargparse's.
func (o Options) IsOn(name string) bool {
	_, isArgument := o.LastArgument(name)
	return isArgument || slices.Contains([]string{"true", "yes", "on", "1"}, strings.ToLower(o.variables[VariableFor(name)]))
}

// IsHeadless reports whether Locust runs without its web UI and web API.
func (o Options) IsHeadless() bool {
	return o.IsOn(OptHeadless) && !o.IsOn(OptHeadful)
}

// VariableFor returns the variable that sets an option.
func VariableFor(name string) string {
	for _, known := range knownOptions {
		if known.name == name {
			return known.env
		}
	}
	return ""
}

// OptionsFirst moves the names of user classes, preceded by "--", from a command and extraArgs to userClasses, so that the
// operator's options can come before them.
func OptionsFirst(words, extraArgs []string) (options, extraOptions, userClasses []string) {
	options, names := splitUserClasses(words)
	extraOptions, more := splitUserClasses(extraArgs)
	if names = slices.Concat(names, more); len(names) > 0 {
		userClasses = slices.Concat([]string{EndOfOptions}, names)
	}
	return options, extraOptions, userClasses
}

func splitUserClasses(args []string) (options, names []string) {
	if i := slices.Index(args, EndOfOptions); i >= 0 {
		return slices.Clip(args[:i]), args[i+1:]
	}
	return args, nil
}
