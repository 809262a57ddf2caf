package resources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// masterArgs are the arguments of the master. Of a flag given twice Locust takes the last: the
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

// endOfOptions is the argument after which argparse takes all others for positional ones: Locust's names of user classes.
const endOfOptions = "--"

// optionsFirst takes the names of user classes out of a command and of extraArgs, so that the operator's options can stand
// before them. The names follow in userClasses, after their "--".
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

// operatorMasterArgs are the operator's, given the user's own options.
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

// startAndStopArgs decides on --autostart and --autoquit, given the user's own options. What Locust's
// main.py (2.12 to 2.47) makes of them:
//   - --autoquit without --autostart is refused: exit code 1.
//   - --headless starts and quits by itself. With --autostart but no --autoquit, 2.12 starts the test
//     twice and then never ends; with --autoquit as well it ends, and newer ones ignore --autostart.
func startAndStopArgs(spec *v2.LocustTestSpec, own options) []string {
	autostart := *spec.Master.Autostart
	if own.isHeadless() {
		if autostart && own.isGiven(optAutoquit) && !own.isOn(optAutostart) {
			return []string{optAutostart} // else Locust refuses the user's --autoquit
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

// workerArgs are the arguments of every worker.
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

// escapeExpansions keeps the kubelet from changing arguments: it replaces $(NAME) by variables, and $$ by $, in every
// container's arguments (Kubernetes API reference, Container.args).
func escapeExpansions(args []string) []string {
	kept := make([]string, len(args))
	for i, arg := range args {
		kept[i] = strings.ReplaceAll(arg, "$", "$$")
	}
	return kept
}
