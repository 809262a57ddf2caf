package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/cause"
)

// Clip shortens text to at most limit bytes. It keeps the start and marks the cut.
func Clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const mark = " …"
	return strings.ToValidUTF8(text[:limit-len(mark)], "") + mark
}

// joinSome lists at most limit items and the number of the others.
func joinSome(items []string, limit int) string {
	if len(items) <= limit {
		return strings.Join(items, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(items[:limit], ", "), len(items)-limit)
}

// headline returns the first line of a cause, shortened to maxHeadline.
func headline(text string) string {
	first, _, _ := strings.Cut(text, "\n")
	return cause.Shorten(first, maxHeadline)
}

// fullMessage returns a cause with its details. If the first line is shortened, the details start with all of it.
func fullMessage(text string) string {
	first, detail, _ := strings.Cut(text, "\n")
	line := headline(text)
	if line != first {
		detail = strings.TrimRight(first+"\n"+detail, "\n")
	}
	if detail == "" {
		return line
	}
	return line + "\n" + Clip(detail, cause.MaxDetail)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// ratio returns part/whole as a decimal number; "0" if whole is 0.
func ratio(part, whole int64) string {
	if whole == 0 {
		return "0"
	}
	return trimZeros(strconv.FormatFloat(float64(part)/float64(whole), 'f', ratioDigits, 64))
}

// trimZeros removes trailing zeros from a decimal number with a point.
func trimZeros(number string) string {
	return strings.TrimSuffix(strings.TrimRight(number, "0"), ".")
}

// Duration converts a time that may be missing to the type of the API.
func Duration(d *time.Duration) *metav1.Duration {
	if d == nil {
		return nil
	}
	return &metav1.Duration{Duration: *d}
}
