package validation

import (
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

func validateVolumes(spec *v2.LocustTestSpec, root *field.Path) field.ErrorList {
	var errs field.ErrorList
	declared := map[string]bool{}
	for i, volume := range spec.Volumes {
		at := root.Child("volumes").Index(i).Child("name")
		if declared[volume.Name] {
			errs = append(errs, duplicate(at, volume.Name, "rename or remove one of the two volumes"))
		}
		declared[volume.Name] = true
		if slices.Contains(resources.OwnVolumes, volume.Name) || strings.HasPrefix(volume.Name, resources.VolumeSecretPrefix) {
			errs = append(errs, field.Invalid(at, resources.Excerpt(volume.Name),
				"is reserved for the operator's own volumes; rename the volume and its mounts"))
		}
	}

	for i, mount := range spec.VolumeMounts {
		at := root.Child("volumeMounts").Index(i)
		if !declared[mount.Name] {
			errs = append(errs, field.Invalid(at.Child("name"), resources.Excerpt(mount.Name),
				"no volume has this name; add it to spec.volumes or correct the name"))
		}
		targets := []v2.MountTarget{v2.MountTargetMaster, v2.MountTargetWorker, v2.MountTargetBoth}
		if !slices.Contains(targets, mount.Target) {
			errs = append(errs, field.Invalid(at.Child("target"), resources.Excerpt(string(mount.Target)),
				"is not supported; choose master, worker or both"))
		}
	}
	return errs
}

// mountPoint is a path of a container that a volume is mounted on.
type mountPoint struct {
	field  *field.Path
	given  string // as the user wrote it
	clean  string
	target v2.MountTarget
	holds  string // the operator's content; empty for the user's own mounts
	// sealed is true if the volume is empty and read-only, so the container runtime cannot create a nested mount point.
	sealed bool
	// projected is true if the kubelet fills the volume. It creates folders as nested mount points, but no files.
	projected bool
	// file is true for a single key of a projected volume.
	file bool
}

// Contents of the operator's mounts.
const (
	holdsTestFiles = "the test's files"
	holdsReporter  = "the operator's reporter"
)

// validateMounts checks that every path is a valid mount point, and that no mount hides another.
func validateMounts(spec *v2.LocustTestSpec, root *field.Path) field.ErrorList {
	var errs field.ErrorList
	var before []mountPoint
	for _, point := range mountPoints(spec, root) {
		if problem := pathProblem(point.given); problem != "" {
			errs = append(errs, field.Invalid(point.field, resources.Excerpt(point.given), problem))
			continue
		}
		for _, other := range before {
			if err := conflict(point, other); err != nil {
				errs = append(errs, err)
				break // report one conflict per mount
			}
		}
		before = append(before, point)
	}
	return errs
}

// mountPoints returns the operator's mounts first, then the test's files, so that a conflict is reported for the field that
// the user can change.
func mountPoints(spec *v2.LocustTestSpec, root *field.Path) []mountPoint {
	var points []mountPoint
	add := func(at *field.Path, given string, target v2.MountTarget, holds string) {
		points = append(points, mountPoint{field: at, given: given, clean: path.Clean(given), target: target, holds: holds})
	}
	if resources.MasterCommandFor(spec).Reporter {
		add(root.Child("master", "reporter"), resources.ReporterDir, v2.MountTargetMaster, holdsReporter)
	}
	if files := spec.TestFiles; files != nil {
		at := root.Child("testFiles")
		if files.ConfigMapRef != "" || len(files.Inline) > 0 {
			add(at.Child("srcMountPath"), files.SrcMountPath, v2.MountTargetBoth, holdsTestFiles)
		}
		if files.LibConfigMapRef != "" {
			add(at.Child("libMountPath"), files.LibMountPath, v2.MountTargetBoth, holdsTestFiles)
		}
	}
	if spec.Env != nil {
		for i, mount := range spec.Env.SecretMounts {
			add(root.Child("env", "secretMounts").Index(i).Child("mountPath"), mount.MountPath, v2.MountTargetBoth, "")
			points[len(points)-1].projected = true
		}
	}
	for i, mount := range spec.VolumeMounts {
		add(root.Child("volumeMounts").Index(i).Child("mountPath"), mount.MountPath, mount.Target, "")
		point := &points[len(points)-1]
		for _, volume := range spec.Volumes {
			if volume.Name == mount.Name {
				point.projected = isProjected(&volume)
				point.sealed = mount.ReadOnly && volume.EmptyDir != nil
				point.file = point.projected && mount.SubPath+mount.SubPathExpr != ""
			}
		}
	}
	return points
}

// isProjected reports whether the kubelet fills a volume, which is read-only then (Kubernetes API, Volume).
func isProjected(v *corev1.Volume) bool {
	return v.Secret != nil || v.ConfigMap != nil || v.Projected != nil || v.DownwardAPI != nil
}

func pathProblem(given string) string {
	switch {
	case !path.IsAbs(given):
		return "must be an absolute path; start it with /"
	case strings.Contains(given, ":"):
		return "must not contain a colon; choose another path" // container runtimes separate paths by it
	case slices.Contains(strings.Split(given, "/"), ".."):
		return `must not contain ".."; write the path without it`
	case path.Clean(given) == "/":
		return "must not be the root of the container; choose a folder below it"
	}
	return ""
}

// conflict returns an error if point cannot be mounted in the same pod as other.
func conflict(point, other mountPoint) *field.Error {
	if point.target != other.target && point.target != v2.MountTargetBoth && other.target != v2.MountTargetBoth {
		return nil
	}
	if point.clean == other.clean {
		return field.Invalid(point.field, resources.Excerpt(point.given), fmt.Sprintf(
			"%s is mounted there already; choose another path", other.field))
	}
	for _, pair := range [][2]mountPoint{{point, other}, {other, point}} {
		inner, outer := pair[0], pair[1]
		if within(inner.clean, outer.clean) && (outer.sealed || outer.projected && inner.file) {
			return field.Invalid(point.field, resources.Excerpt(point.given), fmt.Sprintf(
				"would be nested with %s (%s): %s is read-only, so that this cannot be mounted inside; choose another path", other.field, resources.Excerpt(other.given), outer.field))
		}
	}
	// Otherwise the user's mounts may be nested in each other, but not around or inside the operator's: a volume
	// around these must be writable, and inside them only whole folders can be mounted.
	if point.holds == other.holds {
		return nil
	}
	if within(point.clean, other.clean) || within(other.clean, point.clean) {
		return field.Invalid(point.field, resources.Excerpt(point.given), fmt.Sprintf(
			"overlaps %s (%s), which holds %s; choose a path outside of it", other.field, resources.Excerpt(other.given), other.holds))
	}
	return nil
}

func within(inner, outer string) bool {
	return strings.HasPrefix(inner, outer+"/")
}
