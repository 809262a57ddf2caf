package resources

import (
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Names of the operator's own volumes, reserved in the spec.
const (
	volumeSrc          = "locust-src"
	volumeLib          = "locust-lib"
	volumeReporter     = "locust-reporter"
	VolumeSecretPrefix = "locust-secret-"
)

// OwnVolumes are the names of the operator's own volumes, apart from those of secrets.
var OwnVolumes = []string{volumeSrc, volumeLib, volumeReporter}

// VolumesAndMounts returns the volumes of a role's pod and their mounts: test files, libraries, secrets, and
// the user's volumes that the role mounts. A volume that only the other role mounts is left out: a
// ReadWriteOnce claim of the master would block every worker on another node.
func VolumesAndMounts(spec *v2.LocustTestSpec, role Role) ([]corev1.Volume, []corev1.VolumeMount) {
	var volumes []corev1.Volume
	var mounts []corev1.VolumeMount
	add := func(name, path string, readOnly bool) {
		mounts = append(mounts, corev1.VolumeMount{Name: name, MountPath: path, ReadOnly: readOnly})
	}

	if files := spec.TestFiles; files != nil {
		if len(files.Inline) > 0 {
			volumes = append(volumes, annotationVolume(volumeSrc, inlineFiles(spec)))
			add(volumeSrc, files.SrcMountPath, true)
		} else if files.ConfigMapRef != "" {
			volumes = append(volumes, configMapVolume(volumeSrc, files.ConfigMapRef))
			add(volumeSrc, files.SrcMountPath, true)
		}
		if files.LibConfigMapRef != "" {
			volumes = append(volumes, configMapVolume(volumeLib, files.LibConfigMapRef))
			add(volumeLib, files.LibMountPath, true)
		}
	}

	if spec.Env != nil {
		var secrets []string
		for _, mount := range spec.Env.SecretMounts {
			i := slices.Index(secrets, mount.Name)
			if i < 0 {
				i = len(secrets)
				secrets = append(secrets, mount.Name)
				volumes = append(volumes, secretVolume(secretVolumeName(i), mount.Name))
			}
			add(secretVolumeName(i), mount.MountPath, *mount.ReadOnly)
		}
	}

	used := map[string]bool{}
	for _, mount := range spec.VolumeMounts {
		if mountedBy(mount.Target, role) {
			mounts = append(mounts, mount.VolumeMount)
			used[mount.Name] = true
		}
	}
	for _, volume := range spec.Volumes {
		if used[volume.Name] {
			volumes = append(volumes, volume)
		}
	}
	return volumes, mounts
}

func mountedBy(target v2.MountTarget, role Role) bool {
	return target == v2.MountTargetBoth || string(target) == string(role)
}

// secretVolumeName numbers the volumes: a Secret's name may be longer than a volume's name.
func secretVolumeName(i int) string {
	return VolumeSecretPrefix + strconv.Itoa(i)
}

func configMapVolume(name, configMap string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		ConfigMap: &corev1.ConfigMapVolumeSource{LocalObjectReference: corev1.LocalObjectReference{Name: configMap}},
	}}
}

// annotationVolume shows annotations of the pod as files.
func annotationVolume(name string, files []annotationFile) corev1.Volume {
	var items []corev1.DownwardAPIVolumeFile
	for _, f := range files {
		items = append(items, corev1.DownwardAPIVolumeFile{
			Path:     f.name,
			FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.annotations['" + f.annotation + "']"},
		})
	}
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{DownwardAPI: &corev1.DownwardAPIVolumeSource{Items: items}}}
}

func secretVolume(name, secret string) corev1.Volume {
	return corev1.Volume{Name: name, VolumeSource: corev1.VolumeSource{
		Secret: &corev1.SecretVolumeSource{SecretName: secret},
	}}
}
