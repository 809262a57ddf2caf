package resources

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kballard/go-shellquote"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// splitWords splits a command into words as a POSIX shell does: white space separates, quotes and
// backslashes group and escape. Nothing is expanded and no shell takes part. (The kubelet still expands
// $(NAME) of the container's environment, as in every container's args.)
// The error says what is wrong and how to mend it.
func splitWords(command string) ([]string, error) {
	// Manifests written on Windows: a shell would keep the carriage return as part of the last word.
	words, err := shellquote.Split(strings.ReplaceAll(command, "\r\n", "\n"))
	switch {
	case errors.Is(err, shellquote.UnterminatedSingleQuoteError):
		return nil, errors.New(`a single quote is not closed; close it, or write \' for a literal one`)
	case errors.Is(err, shellquote.UnterminatedDoubleQuoteError):
		return nil, errors.New(`a double quote is not closed; close it, or write \" for a literal one`)
	case errors.Is(err, shellquote.UnterminatedEscapeError):
		return nil, errors.New(`ends in a backslash; remove it, or write \\ for a literal one`)
	case err != nil:
		return nil, fmt.Errorf("cannot be split into words: %w; check quotes and backslashes", err)
	}
	return words, nil
}

// masterArgs are the arguments of the master. Of a flag given twice Locust takes the last: the
// operator's flags win over the command, extraArgs win over the operator's.
func masterArgs(spec *v2.LocustTestSpec) ([]string, error) {
	master := &spec.Master
	args, err := splitWords(master.Command)
	if err != nil {
		return nil, fmt.Errorf("master command: %w", err)
	}
	extraArgs := exact(master.ExtraArgs)
	own := parseOptions(spec, slices.Concat(args, extraArgs))

	return withReporter(spec, append(args, operatorsMasterArgs(spec, own)...), extraArgs), nil
}

// operatorsMasterArgs are the operator's, given the user's own options.
func operatorsMasterArgs(spec *v2.LocustTestSpec, own options) []string {
	args := []string{
		"--master",
		fmt.Sprintf("--master-port=%d", PortMaster),
		fmt.Sprintf("--expect-workers=%d", spec.Worker.Replicas),
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
	if own.headless() {
		if autostart && own.given(optAutoquit) && !own.on(optAutostart) {
			return []string{optAutostart} // else Locust refuses the user's --autoquit
		}
		return nil
	}

	var args []string
	if autostart {
		args = append(args, optAutostart)
	}
	if *spec.Master.Autoquit.Enabled && (autostart || own.on(optAutostart)) {
		args = append(args, optAutoquit, strconv.Itoa(int(*spec.Master.Autoquit.Timeout)))
	}
	return args
}

// workerArgs are the arguments of every worker.
func workerArgs(test string, spec *v2.LocustTestSpec) ([]string, error) {
	args, err := splitWords(spec.Worker.Command)
	if err != nil {
		return nil, fmt.Errorf("worker command: %w", err)
	}
	return slices.Concat(args, operatorsWorkerArgs(test, spec), exact(spec.Worker.ExtraArgs)), nil
}

func operatorsWorkerArgs(test string, spec *v2.LocustTestSpec) []string {
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

// exact keeps the kubelet from changing arguments: it replaces $(NAME) by variables, and $$ by $, in every
// container's arguments (Kubernetes API reference, Container.args).
func exact(args []string) []string {
	kept := make([]string, len(args))
	for i, arg := range args {
		kept[i] = strings.ReplaceAll(arg, "$", "$$")
	}
	return kept
}
