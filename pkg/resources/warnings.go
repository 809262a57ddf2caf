package resources

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Bounds of what the API server passes on: it cuts a warning at 256 characters, and all of them at 4 KiB.
const (
	maxWarnings     = 12
	maxWarningBytes = 250
)

// ChangeIgnored warns of a change of the spec when the run has begun.
const ChangeIgnored = "spec: the change is ignored by the run, which began before it (condition SpecDrifted); delete and create the test to run it with the new spec"

// SameSpec tells whether two specs ask for the same.
func SameSpec(a, b *v2.LocustTestSpec) bool {
	return equality.Semantic.DeepEqual(withDefaults(a), withDefaults(b))
}

// Warnings tell what runs, but hardly as it was meant: each names the field, the value and the remedy. There are at most
// maxWarnings, short enough for the API server. The test has passed Validate.
func Warnings(test *v2.LocustTest) []string {
	spec := withDefaults(&test.Spec)
	root := field.NewPath("spec")
	warnings := slices.Concat(
		warnImage(spec, root),
		warnOptions(spec.Master.Command, spec.Master.ExtraArgs, managedOfMaster, root.Child("master")),
		warnOptions(spec.Worker.Command, spec.Worker.ExtraArgs, managedOfWorker, root.Child("worker")),
		warnReporter(spec, root),
		warnVolumes(spec, root),
	)
	if more := len(warnings) - maxWarnings; more > 0 {
		warnings = append(warnings[:maxWarnings-1], fmt.Sprintf("and %d more warnings", more+1))
	}
	for i, warning := range warnings {
		if len(warning) > maxWarningBytes {
			warnings[i] = strings.ToValidUTF8(warning[:maxWarningBytes], "") + "..."
		}
	}
	return warnings
}

func warnImage(spec *v2.LocustTestSpec, root *field.Path) []string {
	if strings.Contains(spec.Image, "@") {
		return nil // a digest says it all
	}
	name := spec.Image[strings.LastIndex(spec.Image, "/")+1:] // a colon before it is that of a port
	_, tag, _ := strings.Cut(name, ":")
	if tag != "" && tag != "latest" {
		return nil
	}
	return []string{fmt.Sprintf("%s: %q has the tag latest or none, so that the next run may use another Locust; name a version, for example locustio/locust:2.43.3",
		root.Child("image"), excerpt(spec.Image))}
}

// managed are Locust's options that the operator gives, and where they come from.
type managed map[string]string

var (
	managedOfBoth = managed{
		"--master":      "the operator itself",
		"--worker":      "the operator itself",
		"--slave":       "the operator itself",
		"--master-host": "the name of the test",
		"--master-port": "the operator itself",
		"--otel":        "spec.observability.openTelemetry",
	}
	managedOfMaster = managedOfBoth.and(managed{
		"--master-bind-port":   "the operator itself",
		"--expect-workers":     "spec.worker.replicas",
		"--autostart":          "spec.master.autostart",
		"--autoquit":           "spec.master.autoquit",
		"--enable-rebalancing": "the operator itself",
		"--only-summary":       "the operator itself",
	})
	managedOfWorker = managedOfBoth.and(managed{
		"--processes": "spec.worker.replicas",
	})
)

func (m managed) and(more managed) managed {
	all := managed{}
	for _, some := range []managed{m, more} {
		for name, from := range some {
			all[name] = from
		}
	}
	return all
}

// warnOptions tells which options the operator gives too. Of an option that is given twice Locust takes the last: that
// of extraArgs, then the operator's, then that of the command.
func warnOptions(command string, extraArgs []string, own managed, path *field.Path) []string {
	words, err := splitWords(command)
	if err != nil {
		return nil // an error already
	}
	var warnings []string
	seen := map[string]bool{}
	look := func(at *field.Path, word, effect string) {
		name, _, _ := strings.Cut(word, "=")
		from, is := own[name]
		if !is || seen[at.String()+name] {
			return
		}
		seen[at.String()+name] = true
		warnings = append(warnings, fmt.Sprintf("%s: %s is managed by the operator (%s); %s; remove it", at, name, from, effect))
	}
	for _, word := range words {
		look(path.Child("command"), word, "what is given here does not count")
	}
	for i, word := range extraArgs {
		look(path.Child("extraArgs").Index(i), word, "what is given here wins, and the run may not be what the status tells")
	}
	return warnings
}

func warnReporter(spec *v2.LocustTestSpec, root *field.Path) []string {
	if !*spec.Master.Reporter || hasReporter(spec) {
		return nil
	}
	const remedy = "name one or several .py files in spec.master.command, or set spec.master.reporter to false"
	if masterOptions(spec).headless() {
		return []string{fmt.Sprintf("%s: cannot be loaded beside the locustfile of this test, and there is no web API with --headless, so that there will be no result; %s",
			root.Child("master", "reporter"), remedy)}
	}
	return []string{fmt.Sprintf("%s: cannot be loaded beside the locustfile of this test, so that the result is what Locust's web API tells last; %s",
		root.Child("master", "reporter"), remedy)}
}

func warnVolumes(spec *v2.LocustTestSpec, root *field.Path) []string {
	var warnings []string
	for i, volume := range spec.Volumes {
		if !slices.ContainsFunc(spec.VolumeMounts, func(m v2.TargetedVolumeMount) bool { return m.Name == volume.Name }) {
			warnings = append(warnings, fmt.Sprintf("%s: %q is mounted nowhere; name it in spec.volumeMounts, or remove it",
				root.Child("volumes").Index(i).Child("name"), excerpt(volume.Name)))
		}
	}
	return warnings
}
