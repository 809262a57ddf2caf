package terminal

import (
	"math"
	"strconv"
	"strings"
	"time"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// maxSamples bounds a History. A panel has no more columns.
const maxSamples = 240

// Sample is what a status reports about the load.
type Sample struct {
	At                   time.Time
	Users, Rate, Latency float64
}

// History keeps the load over time, as far as the statuses have reported it.
type History struct {
	samples []Sample
	// spacing is the time between two samples, apart from the newest one.
	spacing time.Duration
}

// Add records a status. Statuses without a load are not recorded.
func (h *History) Add(status *v2.LocustTestStatus, at time.Time) {
	result, progress := status.TestResult, status.Progress
	if result == nil || progress == nil || result.Final {
		return // the rate of a final result is an average
	}
	sample := Sample{At: at, Users: float64(progress.CurrentUsers)}
	if rate, err := strconv.ParseFloat(result.RequestsPerSecond, 64); err == nil && !math.IsNaN(rate) && !math.IsInf(rate, 0) {
		sample.Rate = rate
	}
	if latency := latencyOf(result); latency != nil {
		sample.Latency = latency.Seconds()
	}
	if n := len(h.samples); n > 1 && h.samples[n-1].At.Sub(h.samples[n-2].At) < h.spacing {
		h.samples[n-1] = sample
		return
	}
	h.samples = append(h.samples, sample)
	if len(h.samples) > maxSamples {
		h.thin()
	}
}

// thin halves the number of samples, and keeps them at equal distances in time.
func (h *History) thin() {
	last := h.samples[len(h.samples)-1]
	h.spacing = last.At.Sub(h.samples[0].At) / (maxSamples / 2)
	kept := h.samples[:1]
	for _, sample := range h.samples[1:] {
		if sample.At.Sub(kept[len(kept)-1].At) >= h.spacing {
			kept = append(kept, sample)
		}
	}
	if kept[len(kept)-1] != last {
		kept = append(kept, last)
	}
	h.samples = kept
}

// latencyOf returns p95, or the average if Locust's web API reports no p95 while the test runs.
func latencyOf(result *v2.TestResult) *time.Duration {
	switch {
	case result.P95 != nil:
		return &result.P95.Duration
	case result.AverageResponseTime != nil:
		return &result.AverageResponseTime.Duration
	}
	return nil
}

// series returns one value of the load for each of some columns: the last one that was known at the time of the column.
func (h *History) series(columns int, value func(Sample) float64) []float64 {
	if len(h.samples) == 0 || columns <= 0 {
		return nil
	}
	if len(h.samples) <= columns {
		values := make([]float64, len(h.samples))
		for i, sample := range h.samples {
			values[i] = value(sample)
		}
		return values
	}
	first, last := h.samples[0].At, h.samples[len(h.samples)-1].At
	values := make([]float64, columns)
	next := 0
	for i := range values {
		until := last
		if i < columns-1 {
			until = first.Add(last.Sub(first) * time.Duration(i) / time.Duration(columns-1))
		}
		for next < len(h.samples)-1 && !h.samples[next+1].At.After(until) {
			next++
		}
		values[i] = value(h.samples[next])
	}
	return values
}

// sparkline draws values between zero and the largest one.
func sparkline(values []float64) string {
	const levels = "▁▂▃▄▅▆▇█"
	blocks := []rune(levels)
	largest := 0.0
	for _, value := range values {
		largest = max(largest, value)
	}
	var line strings.Builder
	for _, value := range values {
		level := 0
		if largest > 0 {
			level = int(max(value, 0) / largest * float64(len(blocks)-1))
		}
		line.WriteRune(blocks[min(level, len(blocks)-1)])
	}
	return line.String()
}
