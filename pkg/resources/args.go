package resources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// masterArgs returns the arguments of the master. Locust takes the last of a repeated flag: the
// operator's flags win over the command, extraArgs win over the operator's.
func masterArgs(spec *v2.LocustTestSpec) ([]string, error) {
	master := &spec.Master
	words, err := splitWords(master.Command)
	if err != nil {
		return nil, fmt.Errorf("master command: %w", err)
	}
	args, extraArgs, userClasses := optionsFirst(words, escapeExpansions(master.ExtraArgs))
	own := parseOptions(spec, slices.Concat(args, extraArgs))

	all := withReporter(spec, append(args, operatorMasterArgs(spec, own)...), extraArgs)
	return append(all, userClasses...), nil
}

// endOfOptions is the argument after which argparse takes all others as positional ones: Locust's names of user classes.
const endOfOptions = "--"

// optionsFirst moves the names of user classes, preceded by "--", from a command and extraArgs to userClasses, so that the
// operator's options can come before them.
func optionsFirst(words, extraArgs []string) (options, extraOptions, userClasses []string) {
	options, names := splitUserClasses(words)
	extraOptions, more := splitUserClasses(extraArgs)
	if names = slices.Concat(names, more); len(names) > 0 {
		userClasses = slices.Concat([]string{endOfOptions}, names)
	}
	return options, extraOptions, userClasses
}

func splitUserClasses(args []string) (options, names []string) {
	if i := slices.Index(args, endOfOptions); i >= 0 {
		return slices.Clip(args[:i]), args[i+1:]
	}
	return args, nil
}

// operatorMasterArgs returns the operator's arguments for the master, given the user's own options.
func operatorMasterArgs(spec *v2.LocustTestSpec, own options) []string {
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
func startAndStopArgs(spec *v2.LocustTestSpec, own options) []string {
	autostart := *spec.Master.Autostart
	if own.isHeadless() {
		if autostart && own.isGiven(optAutoquit) && !own.isOn(optAutostart) {
			return []string{optAutostart} // otherwise Locust rejects the user's --autoquit
		}
		return nil
	}

	var args []string
	if autostart {
		args = append(args, optAutostart)
	}
	if *spec.Master.Autoquit.Enabled && (autostart || own.isOn(optAutostart)) {
		args = append(args, optAutoquit, strconv.Itoa(int(*spec.Master.Autoquit.Timeout)))
	}
	return args
}

// workerArgs returns the arguments of every worker.
func workerArgs(test string, spec *v2.LocustTestSpec) ([]string, error) {
	words, err := splitWords(spec.Worker.Command)
	if err != nil {
		return nil, fmt.Errorf("worker command: %w", err)
	}
	args, extraArgs, userClasses := optionsFirst(words, escapeExpansions(spec.Worker.ExtraArgs))
	return slices.Concat(args, operatorWorkerArgs(test, spec), extraArgs, userClasses), nil
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
