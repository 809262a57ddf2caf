package terminal

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

func TestSparkline(t *testing.T) {
	assert.Equal(t, "▁▂▄▅█", sparkline([]float64{0, 2, 6, 8, 12}))
	assert.Equal(t, "▁▁", sparkline([]float64{0, 0}))
	assert.Equal(t, "▁█", sparkline([]float64{-1, 1}))
	assert.Empty(t, sparkline(nil))
}

func TestHistory(t *testing.T) {
	h := &History{}
	h.Add(&pending().Status, start)
	assert.Empty(t, h.samples, "no load, no sample")
	h.Add(&pending(finished).Status, start)
	assert.Empty(t, h.samples, "the rate of a final result is an average over the run")

	status := pending(running).Status
	status.TestResult.P95 = &metav1.Duration{Duration: 40 * time.Millisecond}
	h.Add(&status, start)
	assert.Equal(t, []Sample{{At: start, Users: 10, Rate: 12.5, Latency: 0.04}}, h.samples)
}

func TestHistoryOfRatesThatAreNoNumbers(t *testing.T) {
	for _, rate := range []string{"NaN", "+Inf", "1e999", "", "-1", "many"} {
		h := &History{}
		for _, value := range []string{"1", rate} {
			status := pending(running, func(s *v2.LocustTestStatus) { s.TestResult.RequestsPerSecond = value }).Status
			h.Add(&status, start)
		}
		assert.Equal(t, "█▁", sparkline(h.series(10, func(s Sample) float64 { return s.Rate })), rate)
	}
}

func TestHistoryIsBounded(t *testing.T) {
	h := &History{}
	for i := range int32(10_000) {
		status := pending(running, func(s *v2.LocustTestStatus) { s.Progress.CurrentUsers = i }).Status
		h.Add(&status, start.Add(time.Duration(i)*time.Second))
		require.LessOrEqual(t, len(h.samples), maxSamples)
		require.Equal(t, i, int32(h.samples[len(h.samples)-1].Users), "the newest one is always there")
	}
	values := h.series(30, func(s Sample) float64 { return s.Users })
	require.Len(t, values, 30)
	assert.EqualValues(t, 9999, int32(values[29]))
	assert.IsIncreasing(t, values)
}

func TestSeriesFollowsTime(t *testing.T) {
	h := &History{}
	for _, second := range []int{0, 1, 2, 3, 100} {
		h.samples = append(h.samples, Sample{At: start.Add(time.Duration(second) * time.Second), Users: float64(second)})
	}
	users := func(s Sample) float64 { return s.Users }
	assert.Equal(t, []float64{0, 3, 3, 100}, h.series(4, users), "one value per column of equal time")
	assert.Equal(t, []float64{0, 1, 2, 3, 100}, h.series(10, users), "few samples take one column each")
	assert.Nil(t, h.series(0, users))
	assert.Equal(t, []float64{100}, h.series(1, users), "one column has the newest value")
}
