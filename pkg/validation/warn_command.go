package validation

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
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
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
		at, resources.Excerpt(words[0]))}
}

// warnRunTime warns of an invalid timespan: newer versions of Locust reject it, older ones ignore its end.
func warnRunTime(spec *v2.LocustTestSpec, at *field.Path) []string {
	value := resources.MasterCommandFor(spec).Options.Value(locustcli.OptRunTime)
	if value == "" || strings.Contains(value, "$(") || locustcli.IsTimespan(value) {
		return nil
	}
	return []string{fmt.Sprintf("%s: --run-time %q is not a valid time, such as 20, 20s, 3m, 2h or 1h20m: Locust before 2.44 reads only its beginning, later versions reject it; correct it",
		at, resources.Excerpt(value))}
}

// warnFolder warns of a locustfile folder from a ConfigMap. Locust walks the folder and finds each file twice, once through
// the kubelet's symbolic links (..data).
func warnFolder(spec *v2.LocustTestSpec, role resources.Role, root *field.Path) []string {
	opts := resources.WorkerOptions(spec)
	if role == resources.RoleMaster {
		opts = resources.MasterCommandFor(spec).Options
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
				root.Child(string(role), "command"), resources.Excerpt(file), resources.Excerpt(mounts[i])))
		}
	}
	return warnings
}

// linkedMounts are the paths of a role's container where the kubelet shows files through links: ConfigMaps, Secrets,
// projected volumes and the downward API, unless a single file of them is mounted.
func linkedMounts(spec *v2.LocustTestSpec, role resources.Role) []string {
	volumes, mounts := resources.VolumesAndMounts(spec, role)
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
