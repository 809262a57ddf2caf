package webhook

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	v1 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v1"
	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/validation"
)

// +kubebuilder:webhookconfiguration:mutating=false,name=webhook
// +kubebuilder:webhook:path=/validate-locust-io-v2-locusttest,mutating=false,failurePolicy=ignore,sideEffects=None,groups=locust.io,resources=locusttests,verbs=create;update,versions=v2,matchPolicy=Equivalent,name=locusttests.validation.locust.io,admissionReviewVersions=v1,timeoutSeconds=5,serviceName=webhook,serviceNamespace=system

// SetupWithManager registers the admission webhook and the conversion webhook with the manager's webhook server.
func SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewWebhookManagedBy(mgr, &v2.LocustTest{}).WithValidator(Validator{}).Complete()
}

// Validator rejects LocustTests that cannot run, with all errors at once, and warns about questionable ones. It gets objects
// written in v1 as v2.
type Validator struct{}

var _ admission.Validator[*v2.LocustTest] = Validator{}

// ValidateCreate validates a new test.
func (Validator) ValidateCreate(ctx context.Context, test *v2.LocustTest) (admission.Warnings, error) {
	v1.CheckAnnotation(test)
	return limitWarnings(ctx, validation.Warnings(test)), validate(ctx, test)
}

// ValidateUpdate validates a changed spec. Other updates are always allowed: a test may be older than a rule, and labeling and
// deleting it must be possible.
func (Validator) ValidateUpdate(ctx context.Context, before, test *v2.LocustTest) (admission.Warnings, error) {
	v1.CheckAnnotation(before)
	v1.CheckAnnotation(test)
	if test.DeletionTimestamp != nil || sameSpec(before, test) {
		return nil, nil
	}
	found := validation.Warnings(test)
	if hasStarted(&before.Status) {
		found = append([]string{validation.ChangeIgnored}, found...)
	}
	return limitWarnings(ctx, found), validate(ctx, test)
}

// ValidateDelete implements admission.Validator. It is not called: the webhook is not registered for deletions.
func (Validator) ValidateDelete(context.Context, *v2.LocustTest) (admission.Warnings, error) {
	return nil, nil
}

// hasStarted reports whether the objects of the run have been created. The spec is no longer used then.
func hasStarted(status *v2.LocustTestStatus) bool {
	return meta.IsStatusConditionTrue(status.Conditions, v2.ConditionTypeReady) ||
		status.Phase == v2.PhaseRunning || status.IsTerminal()
}

// sameSpec reports whether the spec is unchanged. Specs that cannot be decoded are compared by their errors.
func sameSpec(before, test *v2.LocustTest) bool {
	if was, is := before.DecodeError, test.DecodeError; was != nil || is != nil {
		return was != nil && is != nil && *was == *is
	}
	return resources.SameSpec(&before.Spec, &test.Spec)
}

func validate(ctx context.Context, test *v2.LocustTest) error {
	errs := validation.Validate(test)
	if len(errs) == 0 {
		return nil
	}
	if requestedAsV1(ctx) {
		for _, err := range errs {
			err.Field, err.Detail = v1.FieldPaths(err.Field), v1.FieldPaths(err.Detail)
		}
	}
	return apierrors.NewInvalid(schema.GroupKind{Group: v2.GroupVersion.Group, Kind: "LocustTest"}, test.Name, errs)
}

// The API server truncates a warning to 256 characters, and all warnings together to 4 KiB.
const (
	maxWarnings     = 12
	maxWarningBytes = 250
)

// limitWarnings truncates the warnings to the limits of the API server. If the request was in v1, they contain v1 field paths.
func limitWarnings(ctx context.Context, warnings []string) admission.Warnings {
	if more := len(warnings) - maxWarnings; more > 0 {
		warnings = append(warnings[:maxWarnings-1:maxWarnings-1], fmt.Sprintf("and %d more warnings", more+1))
	}
	for i, warning := range warnings {
		if requestedAsV1(ctx) {
			warning = v1.FieldPaths(warning)
		}
		if len(warning) > maxWarningBytes {
			warning = strings.ToValidUTF8(warning[:maxWarningBytes], "") + "..."
		}
		warnings[i] = warning
	}
	return warnings
}

func requestedAsV1(ctx context.Context) bool {
	request, err := admission.RequestFromContext(ctx)
	return err == nil && request.RequestKind != nil && request.RequestKind.Version == v1.GroupVersion.Version
}
