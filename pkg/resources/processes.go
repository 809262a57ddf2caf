package resources

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// maxProcesses bounds --processes of one worker pod.
const maxProcesses = 64

// ExpectedWorkers returns the number of workers that the master waits for: worker pods times processes per pod.
func ExpectedWorkers(spec *v2.LocustTestSpec) int32 {
	return spec.Worker.Replicas * WorkerProcesses(spec)
}

// WorkerProcesses returns the number of workers that each worker pod starts: 1, or the value of --processes (Locust 2.19)
// in the workers' arguments or variables.
func WorkerProcesses(spec *v2.LocustTestSpec) int32 {
	if !mayHaveProcesses(spec) {
		return 1
	}
	number, err := strconv.ParseInt(strings.TrimSpace(workerOptions(withDefaults(spec)).value(optProcesses)), 10, 32)
	if err != nil || number < 1 || number > maxProcesses {
		return 1
	}
	return int32(number)
}

// mayHaveProcesses reports whether the arguments must be parsed for --processes, whose shortest abbreviation is --proc.
func mayHaveProcesses(spec *v2.LocustTestSpec) bool {
	mentions := func(text string) bool { return strings.Contains(text, "--proc") || strings.Contains(text, "$") }
	return mentions(spec.Worker.Command) || slices.ContainsFunc(spec.Worker.ExtraArgs, mentions) ||
		slices.ContainsFunc(allEnvVars(spec), isProcessesVariable)
}

// workerOptions returns all settings of the workers, given a spec with its defaults; none if the command cannot be split.
func workerOptions(spec *v2.LocustTestSpec) options {
	words, err := splitWords(spec.Worker.Command)
	if err != nil {
		return options{}
	}
	args, extraArgs, _ := optionsFirst(words, escapeExpansions(spec.Worker.ExtraArgs))
	return parseRoleOptions(spec, RoleWorker, slices.Concat(args, extraArgs))
}

// validateProcesses rejects a number of processes that is not known in advance, because the master waits for all workers.
func validateProcesses(spec *v2.LocustTestSpec, path *field.Path) field.ErrorList {
	value := strings.TrimSpace(workerOptions(spec).value(optProcesses))
	if value == "" || strings.Contains(value, "$(") {
		return nil
	}
	number, err := strconv.ParseInt(value, 10, 32)
	if err == nil && number >= 0 && number <= maxProcesses {
		return nil
	}
	return field.ErrorList{field.Invalid(path, excerpt(optProcesses+" "+value), fmt.Sprintf(
		"must be a number from 1 to %d: the master waits for this number of workers in each pod, and -1 (all cores of the node) is not known in advance; give a number", maxProcesses))}
}
