package webhook

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// +kubebuilder:webhookconfiguration:mutating=false,name=webhook
// +kubebuilder:webhook:path=/validate-locust-io-v2-locusttest,mutating=false,failurePolicy=ignore,sideEffects=None,groups=locust.io,resources=locusttests,verbs=create;update,versions=v2,matchPolicy=Equivalent,name=locusttests.validation.locust.io,admissionReviewVersions=v1,timeoutSeconds=5,serviceName=webhook,serviceNamespace=system

// SetupWithManager registers the admission webhook and the conversion webhook with the manager's webhook server.
func SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewWebhookManagedBy(mgr, &v2.LocustTest{}).WithValidator(Validator{}).Complete()
}

// Validator refuses LocustTests that cannot run, with all errors at once, and warns of what is odd. What was written in
// v1 reaches it as v2.
type Validator struct{}

var _ admission.Validator[*v2.LocustTest] = Validator{}

// ValidateCreate checks a new test.
func (Validator) ValidateCreate(ctx context.Context, test *v2.LocustTest) (admission.Warnings, error) {
	return tell(ctx, warnings(test)), check(ctx, test)
}

// ValidateUpdate checks a changed spec. An update that leaves the spec alone always passes: a test may be older than a
// rule, and it must be possible to label, to finish and to delete it.
func (Validator) ValidateUpdate(ctx context.Context, before, test *v2.LocustTest) (admission.Warnings, error) {
	if test.DeletionTimestamp != nil || sameSpec(before, test) {
		return nil, nil
	}
	found := warnings(test)
	if hasBegun(&before.Status) {
		found = append([]string{resources.ChangeIgnored}, found...)
	}
	return tell(ctx, found), check(ctx, test)
}

// warnings are none for a test that cannot be decoded: its spec is empty.
func warnings(test *v2.LocustTest) []string {
	if problem(test) != nil {
		return nil
	}
	return resources.Warnings(test)
}

// ValidateDelete is never called: the webhook is not registered for it.
func (Validator) ValidateDelete(context.Context, *v2.LocustTest) (admission.Warnings, error) {
	return nil, nil
}

// hasBegun tells whether the objects of the run have been made: from then on the spec does not count any more.
func hasBegun(status *v2.LocustTestStatus) bool {
	return meta.IsStatusConditionTrue(status.Conditions, v2.ConditionTypeReady) ||
		status.Phase == v2.PhaseRunning || status.IsTerminal()
}

// sameSpec reports whether the spec is unchanged. Specs that cannot be decoded are compared by their errors.
func sameSpec(before, test *v2.LocustTest) bool {
	was, is := problem(before), problem(test)
	if was == nil && is == nil {
		return resources.SameSpec(&before.Spec, &test.Spec)
	}
	return was != nil && is != nil && *was == *is
}

// problem is what cannot be decoded in a test; nil when all can.
func problem(test *v2.LocustTest) *v2.DecodeError {
	if test.DecodeError != nil {
		return test.DecodeError
	}
	return v1.CheckAnnotation(test)
}

func check(ctx context.Context, test *v2.LocustTest) error {
	errs := validate(test)
	if len(errs) == 0 {
		return nil
	}
	if wroteV1(ctx) {
		for _, err := range errs {
			err.Field, err.Detail = inV1(err.Field), inV1(err.Detail)
		}
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: v2.GroupVersion.Group, Kind: "LocustTest"}, test.Name, errs)
}

func validate(test *v2.LocustTest) field.ErrorList {
	if bad := problem(test); bad != nil {
		return field.ErrorList{bad.FieldError()}
	}
	return resources.Validate(test)
}

// Bounds of what the API server passes on: it cuts a warning at 256 characters, and all of them at 4 KiB.
const (
	maxWarnings     = 12
	maxWarningBytes = 250
)

// tell makes warnings fit for the API server, and for who wrote the test.
func tell(ctx context.Context, warnings []string) admission.Warnings {
	if more := len(warnings) - maxWarnings; more > 0 {
		warnings = append(warnings[:maxWarnings-1:maxWarnings-1], fmt.Sprintf("and %d more warnings", more+1))
	}
	for i, warning := range warnings {
		if wroteV1(ctx) {
			warning = inV1(warning)
		}
		if len(warning) > maxWarningBytes {
			warning = strings.ToValidUTF8(warning[:maxWarningBytes], "") + "..."
		}
		warnings[i] = warning
	}
	return warnings
}

func wroteV1(ctx context.Context) bool {
	request, err := admission.RequestFromContext(ctx)
	return err == nil && request.RequestKind != nil && request.RequestKind.Version == v1.GroupVersion.Version
}

// fieldsOfV1 are the names that v1 has for fields of v2.
var fieldsOfV1 = strings.NewReplacer(
	"spec.master.command", "spec.masterCommandSeed",
	"spec.worker.command", "spec.workerCommandSeed",
	"spec.worker.replicas", "spec.workerReplicas",
	"spec.testFiles.configMapRef", "spec.configMap",
	"spec.testFiles.libConfigMapRef", "spec.libConfigMap",
	"spec.master.labels", "spec.labels.master",
	"spec.worker.labels", "spec.labels.worker",
	"spec.master.annotations", "spec.annotations.master",
	"spec.worker.annotations", "spec.annotations.worker",
	"spec.scheduling.affinity", "spec.affinity",
	"spec.scheduling.tolerations", "spec.tolerations",
)

// pullSecret is a field of v2 whose items are plain names in v1.
var pullSecret = regexp.MustCompile(`(spec\.imagePullSecrets\[\d+])\.name`)

// inV1 names fields as someone who writes v1 knows them. Those that v1 does not have keep their names of v2: they come
// from the annotation, or are the reason to move to v2.
func inV1(text string) string {
	return pullSecret.ReplaceAllString(fieldsOfV1.Replace(text), "$1")
}
