package resources

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
)

// programs matches the names of programs that a shell command would begin with.
var programs = regexp.MustCompile(`^(?:locust|python[0-9.]*|sh|bash)$`)

// warnProgram warns if a command begins with a program: Locust would take it as the name of a user class. An image with
// another entrypoint may need it.
func warnProgram(command string, at *field.Path) []string {
	words, err := locustcli.Split(command)
	if err != nil || len(words) == 0 || !programs.MatchString(path.Base(words[0])) {
		return nil
	}
	return []string{fmt.Sprintf("%s: begins with %q, but the image's entrypoint is locust already; remove the word, unless the image has another entrypoint",
		at, excerpt(words[0]))}
}

// warnRunTime warns of an invalid timespan: newer versions of Locust reject it, older ones ignore its end.
func warnRunTime(spec *v2.LocustTestSpec, at *field.Path) []string {
	value := masterCommandFor(spec).options.Value(locustcli.OptRunTime)
	if value == "" || strings.Contains(value, "$(") || locustcli.IsTimespan(value) {
		return nil
	}
	return []string{fmt.Sprintf("%s: --run-time %q is not a valid time, such as 20, 20s, 3m, 2h or 1h20m: Locust before 2.44 reads only its beginning, later versions reject it; correct it",
		at, excerpt(value))}
}

// warnFolder warns of a locustfile folder from a ConfigMap. Locust walks the folder and finds each file twice, once through
// the kubelet's symbolic links (..data).
func warnFolder(spec *v2.LocustTestSpec, role Role, root *field.Path) []string {
	opts := workerOptions(spec)
	if role == RoleMaster {
		opts = masterCommandFor(spec).options
	}
	var warnings []string
	for _, file := range strings.Split(opts.Value(locustcli.OptLocustfile), ",") {
		file = strings.TrimSpace(file)
		if file == "" || strings.HasSuffix(file, ".py") || strings.Contains(file, "://") || strings.Contains(file, "$(") {
			continue
		}
		folder := path.Clean(file)
		mounts := linkedMounts(spec, role)
		if i := slices.IndexFunc(mounts, func(mount string) bool { return mount == folder || within(mount, folder) }); i >= 0 {
			warnings = append(warnings, fmt.Sprintf("%s: --locustfile %q is a folder in which Locust finds each file of %s twice, because of the kubelet's symbolic links; name the files instead",
				root.Child(string(role), "command"), excerpt(file), excerpt(mounts[i])))
		}
	}
	return warnings
}

// linkedMounts are the paths of a role's container where the kubelet shows files through links: ConfigMaps, Secrets,
// projected volumes and the downward API, unless a single file of them is mounted.
func linkedMounts(spec *v2.LocustTestSpec, role Role) []string {
	volumes, mounts := volumesAndMounts(spec, role)
	var paths []string
	for _, mount := range mounts {
		i := slices.IndexFunc(volumes, func(v corev1.Volume) bool { return v.Name == mount.Name })
		if i < 0 || mount.SubPath != "" || mount.SubPathExpr != "" {
			continue
		}
		source := &volumes[i].VolumeSource
		if source.ConfigMap != nil || source.Secret != nil || source.Projected != nil || source.DownwardAPI != nil {
			paths = append(paths, path.Clean(mount.MountPath))
		}
	}
	return paths
}

// isProcessesVariable reports whether a variable is LOCUST_PROCESSES.
func isProcessesVariable(v corev1.EnvVar) bool { return v.Name == envProcesses }
