package main

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kballard/go-shellquote"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// timespan is Locust's syntax of a run time: 300, 300s, 20m, 3h, 1h30m10s. Each part is optional, not their order.
var timespan = regexp.MustCompile(`^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$`)

// runTime returns how long the load is meant to last, from --run-time or -t of the master's arguments. ok is false
// when there is none, or none that can be read: such a test ends when somebody stops it.
func runTime(spec *v2.LocustTestSpec) (duration time.Duration, ok bool) {
	words, err := shellquote.Split(spec.Master.Command)
	if err != nil {
		return 0, false
	}
	words = append(words, spec.Master.ExtraArgs...)
	for i, word := range words {
		var value string
		switch flag, given, hasValue := strings.Cut(word, "="); {
		case (word == "--run-time" || word == "-t") && i+1 < len(words):
			value = words[i+1]
		case flag == "--run-time" && hasValue:
			value = given
		case strings.HasPrefix(word, "-t") && word != "-t":
			value = strings.TrimPrefix(word, "-t")
		default:
			continue
		}
		// As with Locust, the last one given counts.
		duration, ok = parseTimespan(value)
	}
	return duration, ok
}

func parseTimespan(text string) (time.Duration, bool) {
	parts := timespan.FindStringSubmatch(text)
	if parts == nil || text == "" {
		return 0, false
	}
	var total time.Duration
	for i, unit := range []time.Duration{time.Hour, time.Minute, time.Second} {
		if parts[i+1] == "" {
			continue
		}
		number, err := strconv.ParseInt(parts[i+1], 10, 32)
		if err != nil {
			return 0, false
		}
		total += time.Duration(number) * unit
	}
	return total, true
}
