package resources

import (
	"strconv"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// ExitCodeOnError is the code that the master exits with when requests failed: 1, or that of --exit-code-on-error.
func ExitCodeOnError(spec *v2.LocustTestSpec) int32 {
	code, err := strconv.ParseInt(masterOptions(withDefaults(spec)).value(optExitCode), 10, 32)
	if err != nil {
		return 1
	}
	return int32(code)
}
