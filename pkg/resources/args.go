package resources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
)

// masterCommand is the command line of the master.
type masterCommand struct {
	args []string
	// options are the user's own, by arguments and variables.
	options locustcli.Options
	// reporter is true if the reporter is loaded.
	reporter bool
}

// masterCommandFor returns the command line of the master, given a spec with its defaults; empty if the command cannot be split,
// which Validate reports.
//
// Locust takes the last of a repeated flag: the operator's flags win over the command, extraArgs win over the operator's.
func masterCommandFor(spec *v2.LocustTestSpec) masterCommand {
	words, err := locustcli.Split(spec.Master.Command)
	if err != nil {
		return masterCommand{}
	}
	args, extraArgs, userClasses := optionsFirst(words, escapeExpansions(spec.Master.ExtraArgs))
	own := slices.Concat(args, extraArgs)
	options := locustcli.Parse(own, knownVariables(spec, RoleMaster))
	operators := operatorMasterArgs(spec, options)
	file, reporter := addReporterFile(spec, options, own)
	return masterCommand{slices.Concat(own[:len(args)], operators, file, own[len(args):], userClasses), options, reporter}
}

// knownVariables returns the variables of a role's container whose values are in the spec.
func knownVariables(spec *v2.LocustTestSpec, role Role) []locustcli.Variable {
	var known []locustcli.Variable
	for _, v := range envVars(spec, role) {
		if v.ValueFrom == nil {
			known = append(known, locustcli.Variable{Name: v.Name, Value: v.Value})
		}
	}
	return known
}

// optionsFirst moves the names of user classes, preceded by "--", from a command and extraArgs to userClasses, so that the
// operator's options can come before them.
func optionsFirst(words, extraArgs []string) (options, extraOptions, userClasses []string) {
	options, names := splitUserClasses(words)
	extraOptions, more := splitUserClasses(extraArgs)
	if names = slices.Concat(names, more); len(names) > 0 {
		userClasses = slices.Concat([]string{locustcli.EndOfOptions}, names)
	}
	return options, extraOptions, userClasses
}

func splitUserClasses(args []string) (options, names []string) {
	if i := slices.Index(args, locustcli.EndOfOptions); i >= 0 {
		return slices.Clip(args[:i]), args[i+1:]
	}
	return args, nil
}

// operatorMasterArgs returns the operator's arguments for the master, given the user's own options.
func operatorMasterArgs(spec *v2.LocustTestSpec, own locustcli.Options) []string {
	args := []string{
		"--master",
		fmt.Sprintf("--master-port=%d", PortMaster),
		fmt.Sprintf("--expect-workers=%d", ExpectedWorkers(spec)),
	}
	args = append(args, startAndStopArgs(spec, own)...)
	args = append(args, "--enable-rebalancing", "--only-summary")
	if openTelemetry(spec) != nil {
		args = append(args, "--otel")
	}
	return args
}

// startAndStopArgs returns --autostart and --autoquit as needed, given the user's own options. Locust's
// main.py (2.12 to 2.47) handles them as follows:
//   - --autoquit without --autostart is rejected: exit code 1.
//   - --headless implies start and quit. With --autostart but no --autoquit, 2.12 starts the test
//     twice and never ends; with --autoquit as well it ends, and newer versions ignore --autostart.
func startAndStopArgs(spec *v2.LocustTestSpec, own locustcli.Options) []string {
	autostart := *spec.Master.Autostart
	if own.IsHeadless() {
		if autostart && own.IsGiven(locustcli.OptAutoquit) && !own.IsOn(locustcli.OptAutostart) {
			return []string{locustcli.OptAutostart} // otherwise Locust rejects the user's --autoquit
		}
		return nil
	}

	var args []string
	if autostart {
		args = append(args, locustcli.OptAutostart)
	}
	if *spec.Master.Autoquit.Enabled && (autostart || own.IsOn(locustcli.OptAutostart)) {
		args = append(args, locustcli.OptAutoquit, strconv.Itoa(int(*spec.Master.Autoquit.Timeout)))
	}
	return args
}

// workerArgs returns the arguments of every worker; none if the command cannot be split, which Validate reports.
func workerArgs(test string, spec *v2.LocustTestSpec) []string {
	args, extraArgs, userClasses := ownWorkerArgs(spec)
	return slices.Concat(args, operatorWorkerArgs(test, spec), extraArgs, userClasses)
}

func ownWorkerArgs(spec *v2.LocustTestSpec) (args, extraArgs, userClasses []string) {
	words, err := locustcli.Split(spec.Worker.Command)
	if err != nil {
		return nil, nil, nil
	}
	return optionsFirst(words, escapeExpansions(spec.Worker.ExtraArgs))
}

// workerOptions returns all settings of the workers, given a spec with its defaults.
func workerOptions(spec *v2.LocustTestSpec) locustcli.Options {
	args, extraArgs, _ := ownWorkerArgs(spec)
	return locustcli.Parse(slices.Concat(args, extraArgs), knownVariables(spec, RoleWorker))
}

func operatorWorkerArgs(test string, spec *v2.LocustTestSpec) []string {
	args := []string{
		"--worker",
		"--master-host=" + MasterName(test),
		fmt.Sprintf("--master-port=%d", PortMaster),
	}
	if openTelemetry(spec) != nil {
		args = append(args, "--otel")
	}
	return args
}

// escapeExpansions keeps the kubelet from changing arguments: the kubelet replaces $(NAME) by variables, and $$ by
// $, in the arguments of every container (Kubernetes API reference, Container.args).
func escapeExpansions(args []string) []string {
	escaped := make([]string, len(args))
	for i, arg := range args {
		escaped[i] = strings.ReplaceAll(arg, "$", "$$")
	}
	return escaped
}
