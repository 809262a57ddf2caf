package resources

import (
	_ "embed"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
)

// AnnotationReporter holds, on the master's pod, the source of the reporter: a second locustfile, which writes the
// final statistics to the container's termination message. A volume mounts the annotation as a file.
const AnnotationReporter = "locust.io/reporter"

const (
	// ReporterDir is the folder in which the reporter is mounted.
	ReporterDir = "/locust.io"
	// reporterFile is not a Python identifier: a module "reporter" could conflict with one of the user's.
	reporterFile = "locust-reporter.py"
	reporterPath = ReporterDir + "/" + reporterFile
)

//go:embed reporter.py
var reporterSource string

// addReporterFile inserts the reporter before the effective locustfile of the user's own arguments, which it modifies, or returns
// an additional argument. It does neither if the reporter is disabled, or would keep the user's own files from loading.
//
// The reporter comes first because Locust 2.12 uses the load shape of the last file (main.py, shape_class).
func addReporterFile(spec *v2.LocustTestSpec, opts locustcli.Options, own []string) (additional []string, loaded bool) {
	if !*spec.Master.Reporter || TooOldForReporter(spec) || !loadsBesideOthers(opts.Value(locustcli.OptLocustfile)) {
		return nil, false
	}
	arg, ok := opts.LastArgument(locustcli.OptLocustfile)
	if !ok {
		// Refer to the variable, because its value may contain variables that are unknown here.
		return []string{locustcli.OptLocustfile + "=" + reporterPath + ",$(" + locustcli.VariableFor(locustcli.OptLocustfile) + ")"}, true
	}
	value, ok := strings.CutPrefix(own[arg.Word], arg.Prefix)
	if !ok {
		return nil, false // a variable holds the option's name
	}
	own[arg.Word] = arg.Prefix + reporterPath + "," + value
	return nil, true
}

// TooOldForReporter reports whether the image's Locust accepts only one locustfile. A test in v1 has no field to turn the
// reporter off.
func TooOldForReporter(spec *v2.LocustTestSpec) bool { return olderThan(spec.Image, 2, 11) }

// loadsBesideOthers reports whether Locust loads the same from a locustfile option with another file before it. It accepts
// several files since 2.11. Some versions accept folders, packages, modules and URLs only alone, and until 2.22 also a
// file whose name ends in locust.py (argument_parser.py, find_locustfiles).
func loadsBesideOthers(locustfile string) bool {
	files := strings.Split(locustfile, ",")
	for _, file := range files {
		if !strings.HasSuffix(strings.TrimSpace(file), ".py") || strings.Contains(file, "://") {
			return false
		}
	}
	return len(files) > 1 || !strings.HasSuffix(strings.TrimSpace(locustfile), "locust.py")
}

// addReporter adds the reporter to the master's pod, whose annotations have its source.
func addReporter(pod *corev1.PodTemplateSpec) {
	files := []annotationFile{{name: reporterFile, annotation: AnnotationReporter}}
	pod.Spec.Volumes = append(pod.Spec.Volumes, annotationVolume(volumeReporter, files))
	master := &pod.Spec.Containers[0]
	master.VolumeMounts = append(master.VolumeMounts, corev1.VolumeMount{
		Name: volumeReporter, MountPath: ReporterDir, ReadOnly: true,
	})
}
