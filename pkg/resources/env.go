package resources

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// EnvPythonPath is the variable with the folders in which Python looks for modules.
const EnvPythonPath = "PYTHONPATH"

// Variables of the OpenTelemetry SDK,
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
const (
	EnvOTelEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	EnvOTelProtocol = "OTEL_EXPORTER_OTLP_PROTOCOL"
	EnvOTelInsecure = "OTEL_EXPORTER_OTLP_INSECURE"
	envOTelTraces   = "OTEL_TRACES_EXPORTER"
	envOTelMetrics  = "OTEL_METRICS_EXPORTER"
)

const (
	envRunTime   = "LOCUST_RUN_TIME"
	envProcesses = "LOCUST_PROCESSES"
)

// conflictingVariable is a variable that Locust reads as an option and that one role must not have.
type conflictingVariable struct {
	name string
	// neutral is a value without effect; nil if no value suits all versions.
	neutral *string
}

// conflictingVariables lists for each role the variables with which Locust fails in that role (argument_parser.py and
// main.py, 2.12 to 2.47). It ignores other variables that do not apply to the role.
var conflictingVariables = map[Role][]conflictingVariable{
	RoleWorker: {
		{envRunTime, nil},                                 // until 2.26 exit code 1 unless it is empty, which later versions reject
		{"LOCUST_EXPECT_WORKERS", nil},                    // with 0 exit code 2 since 2.47; the master has the operator's argument
		{"LOCUST_AUTOQUIT", new("-1")},                    // without --autostart, the master's, exit code 1
		{"LOCUST_CSV_FULL_HISTORY", new("false")},         // without --csv, which may be an argument of the master, exit code 2
		{"LOCUST_MODE_MASTER", new("false")},              // beside --worker exit code 255
		{"LOCUST_HTML", new("")}, {"LOCUST_CSV", new("")}, // each worker would write the master's files, or fail
	},
	RoleMaster: {
		{envProcesses, new("0")},             // beside --master exit code 1, and with -1 workers in the master's pod
		{"LOCUST_MODE_WORKER", new("false")}, // beside --master exit code 255
	},
}

// envVars returns the variables of a role's container: those of the test without the conflicting ones. A ConfigMap or Secret
// may contain a conflicting variable; a variable with the neutral value overrides it.
func envVars(spec *v2.LocustTestSpec, role Role) []corev1.EnvVar {
	vars := allEnvVars(spec)
	for _, foreign := range conflictingVariables[role] {
		vars = slices.DeleteFunc(vars, func(v corev1.EnvVar) bool { return v.Name == foreign.name })
		if foreign.neutral != nil && mayProvide(spec, foreign.name) {
			vars = append(vars, corev1.EnvVar{Name: foreign.name, Value: *foreign.neutral})
		}
	}
	return vars
}

// mayProvide reports whether a ConfigMap or Secret, whose keys are unknown here, may set a variable.
func mayProvide(spec *v2.LocustTestSpec, name string) bool {
	return slices.ContainsFunc(envFrom(spec), func(source corev1.EnvFromSource) bool { return strings.HasPrefix(name, source.Prefix) })
}

// allEnvVars returns the variables of the test: OpenTelemetry's, PYTHONPATH, then the user's in the
// user's order, so that they may refer to the preceding ones with $(NAME).
func allEnvVars(spec *v2.LocustTestSpec) []corev1.EnvVar {
	var own []corev1.EnvVar
	if spec.Env != nil {
		own = spec.Env.Variables
	}

	vars := openTelemetryVars(spec, own)
	extra := len(vars)
	vars = append(vars, own...)
	if spec.TestFiles == nil || spec.TestFiles.LibConfigMapRef == "" {
		return vars
	}

	lib := spec.TestFiles.LibMountPath
	i := slices.IndexFunc(vars, func(v corev1.EnvVar) bool { return v.Name == EnvPythonPath })
	switch {
	case i < 0:
		vars = slices.Insert(vars, extra, corev1.EnvVar{Name: EnvPythonPath, Value: lib})
	case vars[i].ValueFrom == nil: // pkg/validation rejects other sources
		// The libraries come after the user's own PYTHONPATH.
		vars[i].Value = appendPath(vars[i].Value, lib)
	}
	return vars
}

func appendPath(list, dir string) string {
	if list == "" {
		return dir
	}
	if slices.Contains(strings.Split(list, ":"), dir) {
		return list
	}
	return list + ":" + dir
}

// openTelemetryVars returns the variables of the exporter. There is no field for the exported signals, so
// extraEnvVars and the user's variables override the operator's choice. The service name is left
// to the user as well: Locust's own default is "locust".
func openTelemetryVars(spec *v2.LocustTestSpec, own []corev1.EnvVar) []corev1.EnvVar {
	otel := OpenTelemetry(spec)
	if otel == nil {
		return nil
	}

	vars := []corev1.EnvVar{
		{Name: EnvOTelEndpoint, Value: otel.Endpoint},
		{Name: EnvOTelProtocol, Value: otel.Protocol},
		{Name: EnvOTelInsecure, Value: strconv.FormatBool(otel.Insecure)},
	}
	for _, name := range []string{envOTelTraces, envOTelMetrics} {
		_, isExtra := otel.ExtraEnvVars[name]
		isOwn := slices.ContainsFunc(own, func(v corev1.EnvVar) bool { return v.Name == name })
		if !isExtra && !isOwn {
			vars = append(vars, corev1.EnvVar{Name: name, Value: "otlp"})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(otel.ExtraEnvVars)) {
		vars = append(vars, corev1.EnvVar{Name: name, Value: otel.ExtraEnvVars[name]})
	}
	return vars
}

// envFrom returns the ConfigMaps, then the Secrets, whose keys become variables. For a key in two of them
// Kubernetes uses the last; variables win over both.
func envFrom(spec *v2.LocustTestSpec) []corev1.EnvFromSource {
	if spec.Env == nil {
		return nil
	}
	var sources []corev1.EnvFromSource
	for _, ref := range spec.Env.ConfigMapRefs {
		sources = append(sources, corev1.EnvFromSource{
			Prefix:       ref.Prefix,
			ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: ref.Name}},
		})
	}
	for _, ref := range spec.Env.SecretRefs {
		sources = append(sources, corev1.EnvFromSource{
			Prefix:    ref.Prefix,
			SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: ref.Name}},
		})
	}
	return sources
}
