package report

import (
	"math"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// timeOf returns a time with whole seconds, as the API has; otherwise if it is zero.
func timeOf(t time.Time, otherwise *metav1.Time) *metav1.Time {
	if t.IsZero() {
		return otherwise
	}
	at := metav1.NewTime(t.Truncate(time.Second))
	return &at
}

// rate formats a rate of the history. The reporter sends four significant digits; other ones would have hundreds of decimal places.
func rate(perSecond float64) string {
	return strconv.FormatFloat(math.Round(perSecond*rateUnits)/rateUnits, 'f', -1, 64)
}

// rateUnits is the number of units of a rate in the history in one request per second.
const rateUnits = 10_000
