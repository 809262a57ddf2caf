package validation

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// ChangeIgnored is the warning for a change of the spec after the start of the run.
const ChangeIgnored = "spec: the change is ignored by the run, which began before it (condition SpecDrifted); delete and create the test to run it with the new spec"

// Warnings returns warnings about settings that are valid but probably not intended. Each has the field, value and remedy.
func Warnings(test *v2.LocustTest) []string {
	if test.DecodeError != nil {
		return nil // its spec is empty
	}
	spec := resources.WithDefaults(&test.Spec)
	root := field.NewPath("spec")
	return slices.Concat(
		warnName(test.Name),
		warnImage(spec, root),
		warnMasterOptions(spec, root.Child("master")),
		warnWorkerOptions(test.Name, spec, root.Child("worker")),
		warnProgram(spec.Master.Command, root.Child("master", "command")),
		warnProgram(spec.Worker.Command, root.Child("worker", "command")),
		warnRunTime(spec, root.Child("master", "command")),
		warnFolder(spec, resources.RoleMaster, root),
		warnFolder(spec, resources.RoleWorker, root),
		warnReporter(spec, root),
		warnVolumes(spec, root),
	)
}

// warnName warns of a leading digit: before Kubernetes 1.36 the name of a Service must begin with a letter (KEP 5311).
func warnName(name string) []string {
	if name == "" || name[0] < '0' || name[0] > '9' {
		return nil
	}
	return []string{fmt.Sprintf("metadata.name: %q begins with a digit, which Kubernetes before 1.36 refuses in the name of a Service; begin with a letter", resources.Excerpt(name))}
}

// managed maps the Locust options that the operator may set to the field that controls them; empty if there is none.
type managed map[string]string

var (
	managedOfBoth = managed{
		"--master":      "",
		"--worker":      "",
		"--slave":       "",
		"--master-host": "",
		"--master-port": "",
		"--otel":        "spec.observability.openTelemetry",
	}
	managedOfMaster = managedOfBoth.with(managed{
		"--master-bind-port":   "",
		"--expect-workers":     "spec.worker.replicas",
		"--autostart":          "spec.master.autostart",
		"--autoquit":           "spec.master.autoquit",
		"--enable-rebalancing": "",
		"--only-summary":       "",
	})
	managedOfWorker = managedOfBoth
)

func (m managed) with(more managed) managed {
	all := maps.Clone(m)
	maps.Copy(all, more)
	return all
}

func warnMasterOptions(spec *v2.LocustTestSpec, path *field.Path) []string {
	words, err := locustcli.Split(spec.Master.Command)
	if err != nil {
		return nil // Validate reports the error
	}
	words, extraArgs, _ := locustcli.OptionsFirst(words, spec.Master.ExtraArgs)
	return warnOptions(words, extraArgs, resources.OperatorMasterArgs(spec, resources.MasterCommandFor(spec).Options), managedOfMaster, path)
}

func warnWorkerOptions(test string, spec *v2.LocustTestSpec, path *field.Path) []string {
	words, err := locustcli.Split(spec.Worker.Command)
	if err != nil {
		return nil // Validate reports the error
	}
	words, extraArgs, _ := locustcli.OptionsFirst(words, spec.Worker.ExtraArgs)
	return warnOptions(words, extraArgs, resources.OperatorWorkerArgs(test, spec), managedOfWorker, path)
}

// warnOptions warns of options that the operator manages. Locust takes the last of a repeated option, so extraArgs win over
// the operator's, and these over the command.
func warnOptions(words, extraArgs, operators []string, own managed, path *field.Path) []string {
	given := map[string]bool{}
	for _, arg := range operators {
		name, _, _ := strings.Cut(arg, "=")
		given[name] = true
	}
	var warnings []string
	seen := map[string]bool{}
	check := func(at *field.Path, word, ifGiven string) {
		name, _, _ := strings.Cut(word, "=")
		controlledBy, isManaged := own[name]
		if !isManaged || seen[at.String()+name] {
			return
		}
		seen[at.String()+name] = true
		by, remedy := "", "remove it"
		if controlledBy != "" {
			by, remedy = " ("+controlledBy+")", "set "+controlledBy+" instead"
		}
		if given[name] {
			remedy = ifGiven + "; remove it"
		}
		warnings = append(warnings, fmt.Sprintf("%s: %s is managed by the operator%s; %s", at, name, by, remedy))
	}
	for _, word := range words {
		check(path.Child("command"), word, "the value given here is ignored")
	}
	for i, word := range extraArgs {
		check(path.Child("extraArgs").Index(i), word, "the value given here wins, and the run may differ from its status")
	}
	return warnings
}

func warnReporter(spec *v2.LocustTestSpec, root *field.Path) []string {
	if !*spec.Master.Reporter || resources.MasterCommandFor(spec).Reporter {
		return nil
	}
	reason, remedy := "cannot be loaded together with the locustfile of this test", "name one or several .py files in spec.master.command"
	if resources.TooOldForReporter(spec) {
		reason, remedy = fmt.Sprintf("cannot be loaded by Locust before 2.11, the release in %q", resources.Excerpt(spec.Image)), "choose a newer image"
	}
	result := ", so the result is the last one that Locust's web API reports"
	if resources.MasterCommandFor(spec).Options.IsHeadless() {
		result = ", and with --headless there is no web API, so there will be no result"
	}
	return []string{fmt.Sprintf("%s: %s%s; %s, or set spec.master.reporter to false",
		root.Child("master", "reporter"), reason, result, remedy)}
}

func warnVolumes(spec *v2.LocustTestSpec, root *field.Path) []string {
	var warnings []string
	for i, volume := range spec.Volumes {
		if !slices.ContainsFunc(spec.VolumeMounts, func(m v2.TargetedVolumeMount) bool { return m.Name == volume.Name }) {
			warnings = append(warnings, fmt.Sprintf("%s: %q is not mounted; add it to spec.volumeMounts, or remove it",
				root.Child("volumes").Index(i).Child("name"), resources.Excerpt(volume.Name)))
		}
	}
	return warnings
}

func warnImage(spec *v2.LocustTestSpec, root *field.Path) []string {
	_, tag, digest := resources.SplitImage(spec.Image)
	if digest != "" || tag != "" && tag != "latest" {
		return nil
	}
	return []string{fmt.Sprintf("%s: %q has the tag latest or none, so the next run may use another version of Locust; specify a version, for example locustio/locust:2.47.0",
		root.Child("image"), resources.Excerpt(spec.Image))}
}
