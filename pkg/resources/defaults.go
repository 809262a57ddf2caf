package resources

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// WithDefaults returns a deep copy of the spec with the schema's defaults. The API server sets them too,
// but not in objects that were converted, restored from a run, or built by hand.
// Everything is built from such a copy, so the objects share no memory with the test.
func WithDefaults(in *v2.LocustTestSpec) *v2.LocustTestSpec {
	spec := in.DeepCopy()
	setDefault(&spec.ImagePullPolicy, corev1.PullIfNotPresent)
	setDefault(&spec.LoadGuarantee, v2.DefaultLoadGuarantee)
	setPointer(&spec.Master.Autostart, v2.DefaultAutostart)
	setPointer(&spec.Master.Reporter, v2.DefaultReporter)

	if spec.Master.Autoquit == nil {
		spec.Master.Autoquit = &v2.AutoquitConfig{}
	}
	setPointer(&spec.Master.Autoquit.Enabled, true)
	setPointer(&spec.Master.Autoquit.Timeout, v2.DefaultAutoquitSeconds)

	if files := spec.TestFiles; files != nil {
		setDefault(&files.SrcMountPath, v2.DefaultSrcMountPath)
		setDefault(&files.LibMountPath, v2.DefaultLibMountPath)
	}
	if env := spec.Env; env != nil {
		for i := range env.SecretMounts {
			setPointer(&env.SecretMounts[i].ReadOnly, true)
		}
	}
	for i := range spec.VolumeMounts {
		setDefault(&spec.VolumeMounts[i].Target, v2.MountTargetBoth)
	}
	if criteria := spec.SuccessCriteria; criteria != nil {
		setPointer(&criteria.AbortGracePeriod, metav1.Duration{Duration: v2.DefaultAbortGracePeriod})
	}
	if spec.Observability != nil && spec.Observability.OpenTelemetry != nil {
		setDefault(&spec.Observability.OpenTelemetry.Protocol, v2.DefaultOpenTelemetryProtocol)
	}
	return spec
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func setPointer[T any](field **T, value T) {
	if *field == nil {
		*field = &value
	}
}

// OpenTelemetry returns the test's OpenTelemetry configuration; nil unless it is enabled.
func OpenTelemetry(spec *v2.LocustTestSpec) *v2.OpenTelemetryConfig {
	if spec.Observability == nil || spec.Observability.OpenTelemetry == nil || !spec.Observability.OpenTelemetry.Enabled {
		return nil
	}
	return spec.Observability.OpenTelemetry
}

// SameSpec reports whether two specs run the same once their defaults are set. Report and stop do not count: they may change during
// the run.
func SameSpec(a, b *v2.LocustTestSpec) bool {
	return equality.Semantic.DeepEqual(runSpec(WithDefaults(a)), runSpec(WithDefaults(b)))
}

// runSpec returns the spec without the fields that do not belong to the run.
func runSpec(spec *v2.LocustTestSpec) *v2.LocustTestSpec {
	of := *spec
	of.Report, of.Stop = nil, false
	return &of
}
