package locustcli

import (
	"regexp"
	"strconv"
	"time"
)

// timespan is Locust's format (util/timespan.py): whole seconds, or hours, minutes and seconds with their letters.
var timespan = regexp.MustCompile(`^(?:(\d+)|(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?)$`)

// timespanBeginning is the format up to Locust 2.43, which ignores trailing text.
var timespanBeginning = regexp.MustCompile(`^(?:(\d+)$|(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?)`)

// maxTimespan bounds each part, so that the sum fits a time.Duration.
const maxTimespan = 50 * 365 * 24 * time.Hour

// IsTimespan reports whether all versions of Locust accept a text as a time.
func IsTimespan(text string) bool { return timespan.MatchString(text) }

// ParseTimespan parses a time, as Locust before 2.44 does if lenient: it ignores trailing text (2.43.4 accepts it, 2.44.4 does
// not). It returns 0 for a text that is not a time, or one above maxTimespan.
func ParseTimespan(text string, lenient bool) time.Duration {
	format := timespan
	if lenient {
		format = timespanBeginning
	}
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
