package resources

import (
	"strconv"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// ExitCodeOnError returns the master's exit code for failed requests: 1, or the value of --exit-code-on-error.
func ExitCodeOnError(spec *v2.LocustTestSpec) int32 {
	code, err := strconv.ParseInt(masterOptions(withDefaults(spec)).value(optExitCode), 10, 32)
	if err != nil {
		return 1
	}
	return int32(code)
}
