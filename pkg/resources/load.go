package resources

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// Load is how much load a run asks for, and for how long. A load shape in the user's code may decide otherwise.
type Load struct {
	// Users is the number of users at the peak; nil when it is not known.
	Users *int32
	// RunTime is how long the load runs; nil when it has no end, or it is not known.
	RunTime *time.Duration
}

// LoadFor reads the load from the arguments and variables of the master. What Locust would refuse counts as not given.
func LoadFor(spec *v2.LocustTestSpec) Load {
	opts := masterOptions(withDefaults(spec))
	var load Load
	if users, err := strconv.ParseInt(strings.TrimSpace(opts.value(optUsers)), 10, 32); err == nil && users >= 0 {
		load.Users = new(int32(users))
	}
	format := timespan
	if olderThan(spec.Image, 2, 44) { // 2.43.4 reads it so, 2.44.4 does not
		format = timespanBeginning
	}
	if runTime := parseTimespan(format, opts.value(optRunTime)); runTime > 0 { // 0 is no limit (main.py)
		load.RunTime = &runTime
	}
	return load
}

// timespan is Locust's format (util/timespan.py): whole seconds, or hours, minutes and seconds with their letters.
var timespan = regexp.MustCompile(`^(?:(\d+)|(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?)$`)

// timespanBeginning is the format up to Locust 2.43, which ignores what follows.
var timespanBeginning = regexp.MustCompile(`^(?:(\d+)$|(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?)`)

// maxTimespan of a part keeps the sum within a time.Duration.
const maxTimespan = 50 * 365 * 24 * time.Hour

// parseTimespan gives 0 for a text that is no timespan, or one of many years.
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
