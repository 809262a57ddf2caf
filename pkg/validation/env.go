package validation

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// The protocols of OpenTelemetry that Locust supports.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
)

// openTelemetryFields maps variables to the fields that set them. A variable in both places would be
// ambiguous to the reader of a manifest.
var openTelemetryFields = map[string]string{
	resources.EnvOTelEndpoint: "endpoint",
	resources.EnvOTelProtocol: "protocol",
	resources.EnvOTelInsecure: "insecure",
}

// validateEnv checks the environment: every variable has a valid name, and is set in one place only.
func validateEnv(spec *v2.LocustTestSpec, root *field.Path) field.ErrorList {
	errs := validateOpenTelemetry(spec, root.Child("observability", "openTelemetry"))
	if spec.Env == nil {
		return errs
	}
	at := root.Child("env")
	for i, ref := range spec.Env.ConfigMapRefs {
		errs = append(errs, validatePrefix(at.Child("configMapRefs").Index(i).Child("prefix"), ref.Prefix)...)
	}
	for i, ref := range spec.Env.SecretRefs {
		errs = append(errs, validatePrefix(at.Child("secretRefs").Index(i).Child("prefix"), ref.Prefix)...)
	}

	otel := resources.OpenTelemetry(spec)
	seen := map[string]bool{}
	for i, variable := range spec.Env.Variables {
		name, path := variable.Name, at.Child("variables").Index(i).Child("name")
		errs = append(errs, validateVariableName(path, name)...)
		if seen[name] {
			errs = append(errs, duplicate(path, name, "remove one of the two variables"))
		}
		seen[name] = true
		errs = append(errs, validateRole(path, name)...)
		if name == resources.EnvPythonPath && variable.ValueFrom != nil && spec.TestFiles != nil && spec.TestFiles.LibConfigMapRef != "" {
			errs = append(errs, field.Invalid(path, name, "has a source, so the library folder of spec.testFiles.libConfigMapRef cannot be added to it; give it a value, or mount the libraries with spec.volumes"))
		}
		if otel == nil {
			continue
		}
		errs = append(errs, validateNotAField(path, name)...)
		if _, set := otel.ExtraEnvVars[name]; set {
			errs = append(errs, duplicate(path, name,
				"spec.observability.openTelemetry.extraEnvVars sets it too; remove one of the two"))
		}
	}
	return errs
}

// roleVariables are the variables that set Locust's role. All pods get the user's variables, so the role would contradict
// the operator's arguments in some of them.
var roleVariables = map[string]bool{"LOCUST_MODE_MASTER": true, "LOCUST_MODE_WORKER": true}

func validateRole(path *field.Path, name string) field.ErrorList {
	if !roleVariables[name] {
		return nil
	}
	return field.ErrorList{field.Invalid(path, name, "sets the role of Locust, which the operator sets for each pod; remove it")}
}

func validateOpenTelemetry(spec *v2.LocustTestSpec, path *field.Path) field.ErrorList {
	otel := resources.OpenTelemetry(spec)
	if otel == nil {
		return nil
	}

	var errs field.ErrorList
	if strings.TrimSpace(otel.Endpoint) == "" {
		errs = append(errs, field.Required(path.Child("endpoint"),
			"is needed while openTelemetry is enabled; name the collector, for example http://otel-collector:4317"))
	}
	if otel.Protocol != protocolGRPC && otel.Protocol != protocolHTTP {
		errs = append(errs, field.Invalid(path.Child("protocol"), resources.Excerpt(otel.Protocol),
			fmt.Sprintf("is not supported; choose %s or %s", protocolGRPC, protocolHTTP)))
	}
	for _, name := range sortedKeys(otel.ExtraEnvVars) {
		at := path.Child("extraEnvVars").Key(name)
		errs = append(errs, validateVariableName(at, name)...)
		errs = append(errs, validateNotAField(at, name)...)
	}
	return errs
}

func validateNotAField(path *field.Path, name string) field.ErrorList {
	own, ok := openTelemetryFields[name]
	if !ok {
		return nil
	}
	return field.ErrorList{field.Invalid(path, name, fmt.Sprintf(
		"is set by the operator from spec.observability.openTelemetry.%s; use that field and remove the variable", own))}
}

func validateVariableName(path *field.Path, name string) field.ErrorList {
	if problems := validation.IsRelaxedEnvVarName(name); len(problems) > 0 {
		return field.ErrorList{field.Invalid(path, resources.Excerpt(name), strings.Join(problems, "; ")+"; rename the variable")}
	}
	return nil
}

func validatePrefix(path *field.Path, prefix string) field.ErrorList {
	if prefix == "" {
		return nil
	}
	return validateVariableName(path, prefix)
}

func duplicate(path *field.Path, value, remedy string) *field.Error {
	err := field.Duplicate(path, resources.Excerpt(value))
	err.Detail = remedy
	return err
}
