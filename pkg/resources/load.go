package resources

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Load is the configured load of a run. A load shape in the user's code may override it.
type Load struct {
	// Users is the peak number of users; nil if unknown.
	Users *int32
	// RunTime is the duration of the load; nil if unlimited or unknown.
	RunTime *time.Duration
}

// LoadFor reads the load from the arguments and variables of the master. It ignores values that Locust would reject.
func LoadFor(spec *v2.LocustTestSpec) Load {
	opts := masterOptions(withDefaults(spec))
	var load Load
	if users, err := strconv.ParseInt(strings.TrimSpace(opts.value(optUsers)), 10, 32); err == nil && users >= 0 {
		load.Users = new(int32(users))
	}
	format := timespan
	if olderThan(spec.Image, 2, 44) { // 2.43.4 accepts it, 2.44.4 does not
		format = timespanBeginning
	}
	if runTime := parseTimespan(format, opts.value(optRunTime)); runTime > 0 { // 0 is no limit (main.py)
		load.RunTime = &runTime
	}
	return load
}

// timespan is Locust's format (util/timespan.py): whole seconds, or hours, minutes and seconds with their letters.
var timespan = regexp.MustCompile(`^(?:(\d+)|(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?)$`)

// timespanBeginning is the format up to Locust 2.43, which ignores trailing text.
var timespanBeginning = regexp.MustCompile(`^(?:(\d+)$|(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?)`)

// maxTimespan bounds each part, so that the sum fits a time.Duration.
const maxTimespan = 50 * 365 * 24 * time.Hour

// parseTimespan returns 0 for a text that is not a timespan, or one above maxTimespan.
func parseTimespan(format *regexp.Regexp, text string) time.Duration {
	parts := format.FindStringSubmatch(text)
	if parts == nil {
		return 0
	}
	var total time.Duration
	for i, unit := range []time.Duration{time.Second, time.Hour, time.Minute, time.Second} {
		if parts[i+1] == "" {
			continue
		}
		number, err := strconv.ParseInt(parts[i+1], 10, 32)
		if err != nil || number > int64(maxTimespan/unit) {
			return 0
		}
		total += time.Duration(number) * unit
	}
	return total
}
