package validation

import (
	"regexp"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

// decimal matches numbers that are strings in the API, which has no floating point numbers.
var decimal = regexp.MustCompile(`^[0-9]+([.][0-9]+)?$`)

// validateCriteria repeats the checks of the schema, because criteria from v1 were not validated by the schema of v2.
func validateCriteria(criteria *v2.SuccessCriteria, path *field.Path) field.ErrorList {
	if criteria == nil {
		return nil
	}
	var errs field.ErrorList
	if empty := (v2.SuccessCriteria{AbortOnViolation: criteria.AbortOnViolation, AbortGracePeriod: criteria.AbortGracePeriod}); *criteria == empty {
		errs = append(errs, field.Required(path, "needs at least one of maxFailureRatio, maxAverageResponseTime, maxResponseTime, minRequestsPerSecond, minTotalRequests; add one, or remove successCriteria"))
	}
	if ratio := criteria.MaxFailureRatio; ratio != "" && !isRatio(ratio) {
		errs = append(errs, field.Invalid(path.Child("maxFailureRatio"), resources.Excerpt(ratio), `must be a decimal number between 0 and 1, for example "0.01" for one percent`))
	}
	if rate := criteria.MinRequestsPerSecond; rate != "" && !decimal.MatchString(rate) {
		errs = append(errs, field.Invalid(path.Child("minRequestsPerSecond"), resources.Excerpt(rate), `must be a decimal number, for example "50" or "0.5"`))
	}
	if least := criteria.MinTotalRequests; least != nil && *least < 1 {
		errs = append(errs, field.Invalid(path.Child("minTotalRequests"), *least, "must be at least 1; raise it, or remove it"))
	}
	if criteria.AbortOnViolation && criteria.MaxFailureRatio == "" {
		errs = append(errs, field.Invalid(path.Child("abortOnViolation"), true, "watches maxFailureRatio; set maxFailureRatio, or remove abortOnViolation"))
	}
	if grace := criteria.AbortGracePeriod; grace != nil && grace.Duration < 0 {
		errs = append(errs, field.Invalid(path.Child("abortGracePeriod"), grace.Duration.String(), "must not be negative; give for example 30s"))
	}

	limit := func(at *field.Path, of *metav1.Duration) {
		if of != nil && of.Duration <= 0 {
			errs = append(errs, field.Invalid(at, of.Duration.String(), "must be greater than 0; give for example 250ms"))
		}
	}
	limit(path.Child("maxAverageResponseTime"), criteria.MaxAverageResponseTime)
	if limits, at := criteria.MaxResponseTime, path.Child("maxResponseTime"); limits != nil {
		if *limits == (v2.ResponseTimeLimits{}) {
			errs = append(errs, field.Required(at, "needs at least one of p50, p90, p95, p99; add one, or remove maxResponseTime"))
		}
		limit(at.Child("p50"), limits.P50)
		limit(at.Child("p90"), limits.P90)
		limit(at.Child("p95"), limits.P95)
		limit(at.Child("p99"), limits.P99)
	}
	return errs
}

// validateLoadGuarantee repeats the checks of the schema, like validateCriteria. The spec has its defaults.
func validateLoadGuarantee(guarantee v2.LoadGuarantee, path *field.Path) field.ErrorList {
	if all := []v2.LoadGuarantee{v2.LoadGuaranteeBasic, v2.LoadGuaranteeStrict, v2.LoadGuaranteeNone}; slices.Contains(all, guarantee) {
		return nil
	}
	return field.ErrorList{field.Invalid(path, resources.Excerpt(string(guarantee)), "is not supported; choose Basic, Strict or None")}
}

func isRatio(text string) bool {
	value, err := strconv.ParseFloat(text, 64)
	return decimal.MatchString(text) && err == nil && value <= 1
}
