package resources

import (
	"fmt"
	"slices"
	"strconv"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
)

// MasterCommand is the command line of the master.
type MasterCommand struct {
	Args []string
	// Options are the user's own, by arguments and variables.
	Options locustcli.Options
	// Reporter is true if the reporter is loaded.
	Reporter bool
}

// MasterCommandFor returns the command line of the master, given a spec with its defaults; empty if the command cannot be split,
// which pkg/validation reports.
//
// Locust takes the last of a repeated flag: the operator's flags win over the command, extraArgs win over the operator's.
func MasterCommandFor(spec *v2.LocustTestSpec) MasterCommand {
	words, err := locustcli.Split(spec.Master.Command)
	if err != nil {
		return MasterCommand{}
	}
	args, extraArgs, userClasses := locustcli.OptionsFirst(words, locustcli.Escape(spec.Master.ExtraArgs))
	own := slices.Concat(args, extraArgs)
	options := locustcli.Parse(own, KnownVariables(spec, RoleMaster))
	operators := OperatorMasterArgs(spec, options)
	file, reporter := addReporterFile(spec, options, own)
	return MasterCommand{slices.Concat(own[:len(args)], operators, file, own[len(args):], userClasses), options, reporter}
}

// KnownVariables returns the variables of a role's container whose values are in the spec.
func KnownVariables(spec *v2.LocustTestSpec, role Role) []locustcli.Variable {
	var known []locustcli.Variable
	for _, v := range envVars(spec, role) {
		if v.ValueFrom == nil {
			known = append(known, locustcli.Variable{Name: v.Name, Value: v.Value})
		}
	}
	return known
}

// OperatorMasterArgs returns the operator's arguments for the master, given the user's own options.
func OperatorMasterArgs(spec *v2.LocustTestSpec, own locustcli.Options) []string {
	args := []string{
		"--master",
		fmt.Sprintf("--master-port=%d", PortMaster),
		fmt.Sprintf("--expect-workers=%d", ExpectedWorkers(spec)),
	}
	args = append(args, startAndStopArgs(spec, own)...)
	args = append(args, "--enable-rebalancing", "--only-summary")
	if OpenTelemetry(spec) != nil {
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

// workerArgs returns the arguments of every worker; none if the command cannot be split, which pkg/validation reports.
func workerArgs(test string, spec *v2.LocustTestSpec) []string {
	args, extraArgs, userClasses := ownWorkerArgs(spec)
	return slices.Concat(args, OperatorWorkerArgs(test, spec), extraArgs, userClasses)
}

func ownWorkerArgs(spec *v2.LocustTestSpec) (args, extraArgs, userClasses []string) {
	words, err := locustcli.Split(spec.Worker.Command)
	if err != nil {
		return nil, nil, nil
	}
	return locustcli.OptionsFirst(words, locustcli.Escape(spec.Worker.ExtraArgs))
}

// WorkerOptions returns all settings of the workers, given a spec with its defaults.
func WorkerOptions(spec *v2.LocustTestSpec) locustcli.Options {
	args, extraArgs, _ := ownWorkerArgs(spec)
	return locustcli.Parse(slices.Concat(args, extraArgs), KnownVariables(spec, RoleWorker))
}

// OperatorWorkerArgs returns the operator's arguments for every worker.
func OperatorWorkerArgs(test string, spec *v2.LocustTestSpec) []string {
	args := []string{
		"--worker",
		"--master-host=" + MasterName(test),
		fmt.Sprintf("--master-port=%d", PortMaster),
	}
	if OpenTelemetry(spec) != nil {
		args = append(args, "--otel")
	}
	return args
}
