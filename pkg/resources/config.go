package resources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
)

// LocustConfig is what the operator reads from the arguments and variables of a test. For values that Locust would reject it has
// the defaults, because Locust reports the error.
type LocustConfig struct {
	Load   Load
	WebAPI WebAPI
	// ExitCodeOnError is the master's exit code for failed requests: 1, or the value of --exit-code-on-error.
	ExitCodeOnError int32
	// Reporter is true if the master loads the reporter.
	Reporter bool
	// WorkerProcesses is the number of workers that each worker pod starts.
	WorkerProcesses int32
}

// Load is the configured load of a run. A load shape in the user's code may override it.
type Load struct {
	// Users is the peak number of users; nil if unknown.
	Users *int32
	// RunTime is the duration of the load; nil if unlimited or unknown.
	RunTime *time.Duration
}

// WebAPI is the address of Locust's web API on the master.
type WebAPI struct {
	// Port of the master's container.
	Port int32
	// BasePath is the prefix of every path: empty, or with a leading and without a trailing slash.
	BasePath string
	// TLS reports whether it is served over HTTPS.
	TLS bool
	// Unreachable is the reason why it cannot be used from outside the pod, as a clause of a sentence; empty if it can.
	Unreachable string
}

// ConfigFor parses the arguments and variables of a spec.
func ConfigFor(spec *v2.LocustTestSpec) LocustConfig {
	full := WithDefaults(spec)
	master := MasterCommandFor(full)
	config := LocustConfig{
		Load:            Load{RunTime: runTime(full, master.Options)},
		WebAPI:          webAPI(master.Options),
		ExitCodeOnError: 1,
		Reporter:        master.Reporter,
		WorkerProcesses: WorkerProcesses(full),
	}
	if users, ok := number(master.Options, locustcli.OptUsers); ok && users >= 0 {
		config.Load.Users = &users
	}
	if code, ok := number(master.Options, locustcli.OptExitCode); ok {
		config.ExitCodeOnError = code
	}
	return config
}

// MasterArguments returns the arguments of the master as the user knows them: without the reporter, and without secrets.
func MasterArguments(spec *v2.LocustTestSpec) []string {
	full := WithDefaults(spec)
	full.Master.Reporter = new(false)
	return locustcli.Redact(MasterCommandFor(full).Args)
}

// Host returns the target of the load by argument or variable, without credentials; empty if the locustfile sets it.
func Host(spec *v2.LocustTestSpec) string {
	return locustcli.RedactURL(MasterCommandFor(WithDefaults(spec)).Options.Value(locustcli.OptHost))
}

// number returns the value of an option that is a whole number.
func number(opts locustcli.Options, name string) (value int32, ok bool) {
	parsed, err := strconv.ParseInt(strings.TrimSpace(opts.Value(name)), 10, 32)
	return int32(parsed), err == nil
}

func runTime(spec *v2.LocustTestSpec, opts locustcli.Options) *time.Duration {
	limit := locustcli.ParseTimespan(opts.Value(locustcli.OptRunTime), olderThan(spec.Image, 2, 44))
	if limit <= 0 { // 0 is no limit (main.py)
		return nil
	}
	return &limit
}

func webAPI(opts locustcli.Options) WebAPI {
	api := WebAPI{
		Port:        PortWeb,
		TLS:         opts.Value(locustcli.OptTLSCert) != "" && opts.Value(locustcli.OptTLSKey) != "", // main.py: both, or plain HTTP
		Unreachable: webUnreachable(opts),
	}
	if port, ok := number(opts, locustcli.OptWebPort); ok && port >= 1 && port <= 65535 {
		api.Port = port
	}
	// Locust requires the slash; a variable is unknown here.
	if path := opts.Value(locustcli.OptWebBasePath); strings.HasPrefix(path, "/") && !strings.Contains(path, "$(") {
		api.BasePath = strings.TrimRight(path, "/")
	}
	return api
}

func webUnreachable(opts locustcli.Options) string {
	host := opts.Value(locustcli.OptWebHost)
	switch {
	case opts.IsHeadless():
		return "Locust runs with --headless, which has no web API"
	case host == "localhost" || host == "::1" || strings.HasPrefix(host, "127."):
		return fmt.Sprintf("--web-host %s makes the web API unreachable from outside the pod", Excerpt(host))
	case opts.IsOn(locustcli.OptWebLogin):
		return "with --web-login the web API requires a login"
	case opts.IsGiven(locustcli.OptWebAuth):
		return "with --web-auth the web API requires a login"
	}
	return ""
}

// MaxProcesses bounds --processes of one worker pod.
const MaxProcesses = 64

// ExpectedWorkers returns the number of workers that the master waits for: worker pods times processes per pod.
func ExpectedWorkers(spec *v2.LocustTestSpec) int32 {
	return spec.Worker.Replicas * WorkerProcesses(spec)
}

// WorkerProcesses returns the number of workers that each worker pod starts: 1, or the value of --processes (Locust 2.19).
func WorkerProcesses(spec *v2.LocustTestSpec) int32 {
	if !mayHaveProcesses(spec) {
		return 1
	}
	processes, ok := number(WorkerOptions(WithDefaults(spec)), locustcli.OptProcesses)
	if !ok || processes < 1 || processes > MaxProcesses {
		return 1
	}
	return processes
}

// mayHaveProcesses reports whether the arguments must be parsed for --processes, whose shortest abbreviation is --proc.
func mayHaveProcesses(spec *v2.LocustTestSpec) bool {
	mentions := func(text string) bool { return strings.Contains(text, "--proc") || strings.Contains(text, "$") }
	return mentions(spec.Worker.Command) || slices.ContainsFunc(spec.Worker.ExtraArgs, mentions) ||
		slices.ContainsFunc(allEnvVars(spec), isProcessesVariable)
}

// isProcessesVariable reports whether a variable is LOCUST_PROCESSES.
func isProcessesVariable(v corev1.EnvVar) bool { return v.Name == envProcesses }
