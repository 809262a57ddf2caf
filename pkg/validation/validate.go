package validation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apivalidation "k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locustcli"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

const (
	// maxNameLength bounds the name of a test: "<name>-worker-<index>", with up to four digits of an index as the worker Job
	// grows, is the host name of a worker, a DNS label of at most 63 characters.
	maxNameLength = 63 - len("-worker-") - 4

	minReplicas, maxReplicas = 1, 500
)

// Validate returns the errors of a test that retries cannot fix and that the API server would not report
// clearly. Every error has the field, its value, and in its detail the remedy. An empty list means that
// the objects can be built.
func Validate(test *v2.LocustTest) field.ErrorList {
	if bad := test.DecodeError; bad != nil {
		return field.ErrorList{bad.FieldError()}
	}
	spec := resources.WithDefaults(&test.Spec)
	root := field.NewPath("spec")

	// The other rules parse the arguments, which must be within the limits.
	if errs := validateExpansion(spec, root); len(errs) > 0 {
		return errs
	}

	var errs field.ErrorList
	errs = append(errs, validateName(test.Name)...)
	errs = append(errs, validateImage(spec, root)...)
	errs = append(errs, validateMaster(spec, root.Child("master"))...)
	errs = append(errs, validateWorker(spec, root.Child("worker"))...)
	errs = append(errs, validateLabels(test, spec, root)...)
	errs = append(errs, validateReferences(spec, root)...)
	errs = append(errs, validateInline(spec.TestFiles, root.Child("testFiles"))...)
	errs = append(errs, validateScheduling(spec.Scheduling, root.Child("scheduling"))...)
	errs = append(errs, validateResources(spec.Master.Resources, root.Child("master", "resources"))...)
	errs = append(errs, validateResources(spec.Worker.Resources, root.Child("worker", "resources"))...)
	errs = append(errs, validateSources(spec.Env, root.Child("env"))...)
	errs = append(errs, validateVolumeNames(spec.Volumes, root.Child("volumes"))...)
	errs = append(errs, validateEnv(spec, root)...)
	errs = append(errs, validateVolumes(spec, root)...)
	errs = append(errs, validateMounts(spec, root)...)
	errs = append(errs, validateCriteria(spec.SuccessCriteria, root.Child("successCriteria"))...)
	errs = append(errs, validateLoadGuarantee(spec.LoadGuarantee, root.Child("loadGuarantee"))...)
	errs = append(errs, validateSize(&test.Spec, root)...)
	return errs
}

func validateName(name string) field.ErrorList {
	if len(name) <= maxNameLength {
		return nil
	}
	return field.ErrorList{field.Invalid(field.NewPath("metadata", "name"), resources.Excerpt(name), fmt.Sprintf(
		"must be no longer than %d characters, because the names of Jobs and pods are made from it; choose a shorter name",
		maxNameLength))}
}

func validateImage(spec *v2.LocustTestSpec, root *field.Path) field.ErrorList {
	path := root.Child("image")
	switch {
	case strings.TrimSpace(spec.Image) == "":
		return field.ErrorList{field.Required(path, "name a Locust image, for example locustio/locust:2.47.0")}
	case strings.ContainsAny(spec.Image, " \t\r\n"):
		return field.ErrorList{field.Invalid(path, resources.Excerpt(spec.Image), "must not contain white space; remove it")}
	}
	if policies := []corev1.PullPolicy{corev1.PullAlways, corev1.PullIfNotPresent, corev1.PullNever}; !slices.Contains(policies, spec.ImagePullPolicy) {
		return field.ErrorList{field.Invalid(root.Child("imagePullPolicy"), resources.Excerpt(string(spec.ImagePullPolicy)),
			"is not supported; choose Always, IfNotPresent or Never")}
	}
	return nil
}

func validateMaster(spec *v2.LocustTestSpec, path *field.Path) field.ErrorList {
	master := &spec.Master
	errs := validateCommand(master.Command, master.ExtraArgs, refusedByMaster, path)
	if timeout := *master.Autoquit.Timeout; timeout < 0 {
		errs = append(errs, field.Invalid(path.Child("autoquit", "timeout"), timeout,
			"must not be negative; give seconds, or set autoquit.enabled to false"))
	}
	if len(errs) > 0 || *master.Autostart {
		return errs
	}

	own := resources.MasterCommandFor(spec).Options
	if own.IsGiven(locustcli.OptAutoquit) && !own.IsOn(locustcli.OptAutostart) {
		errs = append(errs, field.Invalid(path.Child("autostart"), false,
			"locust rejects --autoquit, which the arguments or variables contain, without --autostart; set autostart to true or remove --autoquit"))
	}
	return errs
}

func validateWorker(spec *v2.LocustTestSpec, path *field.Path) field.ErrorList {
	worker := &spec.Worker
	errs := validateCommand(worker.Command, worker.ExtraArgs, refusedByWorker, path)
	errs = append(errs, validateProcesses(spec, path.Child("command"))...)
	if worker.Replicas < minReplicas || worker.Replicas > maxReplicas {
		errs = append(errs, field.Invalid(path.Child("replicas"), worker.Replicas,
			fmt.Sprintf("must be between %d and %d; choose a number of workers in that range", minReplicas, maxReplicas)))
	}
	return errs
}

// validateProcesses rejects a number of processes that is not known in advance, because the master waits for all workers.
func validateProcesses(spec *v2.LocustTestSpec, path *field.Path) field.ErrorList {
	value := strings.TrimSpace(resources.WorkerOptions(spec).Value(locustcli.OptProcesses))
	if value == "" || strings.Contains(value, "$(") {
		return nil
	}
	number, err := strconv.ParseInt(value, 10, 32)
	if err == nil && number >= 0 && number <= resources.MaxProcesses {
		return nil
	}
	return field.ErrorList{field.Invalid(path, resources.Excerpt(locustcli.OptProcesses+" "+value), fmt.Sprintf(
		"must be a number from 1 to %d: the master waits for this number of workers in each pod, and -1 (all cores of the node) is not known in advance; give a number", resources.MaxProcesses))}
}

// Options that Locust rejects in combination with the role that the operator sets (Locust, main.py).
var (
	refusedByMaster = []string{"--worker", "--slave", "--processes"}
	refusedByWorker = []string{"--master"}
)

func validateCommand(command string, extraArgs, foreign []string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	const remedy = "give at least --locustfile PATH"
	at := path.Child("command")
	if strings.TrimSpace(command) == "" {
		errs = append(errs, field.Required(at, "must not be blank; "+remedy))
	} else if words, err := locustcli.Split(command); err != nil {
		errs = append(errs, field.Invalid(at, resources.Excerpt(command), err.Error()))
	} else if len(words) == 0 {
		errs = append(errs, field.Invalid(at, resources.Excerpt(command), "contains no arguments; "+remedy))
	}

	// An error for a command that cannot be split has been added above.
	words, _ := locustcli.Split(command)
	options, extraOptions, _ := locustcli.OptionsFirst(words, extraArgs)
	refuse := func(at *field.Path, word string) {
		if name, _, _ := strings.Cut(word, "="); slices.Contains(foreign, name) {
			errs = append(errs, field.Invalid(at, name, "locust rejects this option in the role that the operator sets; remove it"))
		}
	}
	for _, word := range options {
		refuse(at, word)
	}
	for i, word := range extraOptions {
		refuse(path.Child("extraArgs").Index(i), word)
	}

	// Arguments of a program cannot contain NUL: the container could not be started.
	const noNUL = "must not contain a NUL character; remove it"
	if strings.ContainsRune(command, 0) {
		errs = append(errs, field.Invalid(at, resources.Excerpt(command), noNUL))
	}
	for i, arg := range extraArgs {
		if strings.ContainsRune(arg, 0) {
			errs = append(errs, field.Invalid(path.Child("extraArgs").Index(i), resources.Excerpt(arg), noNUL))
		}
	}
	return errs
}

func validateLabels(test *v2.LocustTest, spec *v2.LocustTestSpec, root *field.Path) field.ErrorList {
	master, worker := root.Child("master"), root.Child("worker")
	errs := validateOwnLabels(spec.Master.Labels, resources.LabelsFor(test, resources.RoleMaster), master.Child("labels"))
	errs = append(errs, validateOwnLabels(spec.Worker.Labels, resources.LabelsFor(test, resources.RoleWorker), worker.Child("labels"))...)
	errs = append(errs, validateOwnAnnotations(resources.PodAnnotations(spec, resources.RoleMaster), master.Child("annotations"))...)
	return append(errs, validateOwnAnnotations(resources.PodAnnotations(spec, resources.RoleWorker), worker.Child("annotations"))...)
}

func validateOwnLabels(own, operators map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, key := range sortedKeys(own) {
		value, at := own[key], path.Key(key)
		errs = append(errs, invalid(at, key, "", validation.IsQualifiedName(key), "rename or remove the label")...)
		errs = append(errs, invalid(at, value, "", validation.IsValidLabelValue(value), "shorten or correct the label's value, or use an annotation")...)
		if slices.Contains(resources.IdentityLabels, key) && value != operators[key] {
			errs = append(errs, field.Invalid(at, resources.Excerpt(value),
				"is set by the operator, which selects its pods by it; remove it, or choose another key"))
		}
	}
	return errs
}

func validateOwnAnnotations(own map[string]string, path *field.Path) field.ErrorList {
	var errs field.ErrorList
	for _, key := range sortedKeys(own) {
		problems := validation.IsQualifiedName(strings.ToLower(key)) // as the API server does
		errs = append(errs, invalid(path.Key(key), key, "", problems, "rename or remove the annotation")...)
	}
	if err := apivalidation.ValidateAnnotationsSize(own); err != nil {
		errs = append(errs, field.Invalid(path, fmt.Sprintf("%d annotations", len(own)), err.Error()+"; move data into a ConfigMap"))
	}
	return errs
}

func validateSize(spec *v2.LocustTestSpec, root *field.Path) field.ErrorList {
	encoded, err := json.Marshal(spec)
	if err != nil {
		return field.ErrorList{field.Invalid(root, "", fmt.Sprintf("cannot be written as JSON: %v; correct the named value", err))}
	}
	if len(encoded) <= v2.MaxSpecBytes {
		return nil
	}
	return field.ErrorList{field.Invalid(root, fmt.Sprintf("%d bytes", len(encoded)), fmt.Sprintf(
		"must be no larger than %d bytes as JSON; move data into a ConfigMap and name it in testFiles, env or volumes", v2.MaxSpecBytes))}
}

// validateExpansion rejects variables and arguments that are too long for a container to start once the kubelet has
// expanded $(NAME) in them.
func validateExpansion(spec *v2.LocustTestSpec, root *field.Path) field.ErrorList {
	problem := func(path *field.Path, refused *string) field.ErrorList {
		return field.ErrorList{field.Invalid(path, resources.Excerpt(*refused), fmt.Sprintf(
			"expands to more than %d bytes, or all variables and arguments together to more than %d, so that Linux does not start the container; shorten it, or put data into a file",
			locustcli.MaxWord, locustcli.MaxExpansion))}
	}
	for _, role := range []struct {
		name    resources.Role
		command string
		args    []string
	}{
		{resources.RoleMaster, spec.Master.Command, spec.Master.ExtraArgs},
		{resources.RoleWorker, spec.Worker.Command, spec.Worker.ExtraArgs},
	} {
		all := locustcli.NewExpansion(resources.KnownVariables(spec, role.name))
		if all.Refused != nil {
			return problem(root.Child("env", "variables"), all.Refused)
		}
		words, err := locustcli.Split(role.command)
		if err != nil {
			continue // validateCommand reports it
		}
		for _, part := range []struct {
			field string
			words []string
		}{{"command", words}, {"extraArgs", locustcli.Escape(role.args)}} {
			if !all.Admit(part.words...) {
				return problem(root.Child(string(role.name), part.field), all.Refused)
			}
		}
	}
	return nil
}
