package serverclock

import (
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	clocktesting "k8s.io/utils/clock/testing"
)

// TestClock: responses that take up to 3 s, from an API server whose clock is ahead of the machine's or behind it.
func TestClock(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour, 10 * time.Second, -10 * time.Second} {
		t.Run(ahead.String(), func(t *testing.T) {
			machine := clocktesting.NewFakePassiveClock(start)
			c := New(machine)
			advance := func(d time.Duration) { machine.SetTime(machine.Now().Add(d)) }
			before, after := time.Duration(0), time.Duration(0)
			server := roundTripper(func(*http.Request) (*http.Response, error) {
				advance(before)
				date := machine.Now().Add(ahead).UTC().Format(http.TimeFormat)
				advance(after)
				return &http.Response{Body: http.NoBody, Header: http.Header{"Date": {date}, auditHeader: {"id"}}}, nil
			})
			for _, delay := range [][2]time.Duration{{0, 0}, {3 * time.Second, 0}, {0, 3 * time.Second}, {time.Second, 100 * time.Millisecond}} {
				before, after = delay[0], delay[1]
				roundTrip(t, c, server, "/api/v1/pods")
				if ahead.Abs() > jump && c.Ahead() == 0 {
					roundTrip(t, c, server, "/api/v1/pods") // the second response confirms a jump
				}
				assert.InDelta(t, ahead.Seconds(), c.Ahead().Seconds(), 1, "after a response with the delays %v", delay)
				advance(700 * time.Millisecond)
			}
			if ahead == 0 {
				assert.Zero(t, c.Ahead(), "a correct clock is not changed")
			}
			was := c.Now()
			advance(time.Minute)
			assert.Equal(t, time.Minute, c.Since(was))
		})
	}
}

func request(t *testing.T, path string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://kubernetes"+path, nil)
	require.NoError(t, err)
	return r
}

func roundTrip(t *testing.T, c *Clock, server http.RoundTripper, path string) {
	response, err := c.Observe(server).RoundTrip(request(t, path))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
}

// TestClock_Proxy: a pod's response through the API server has the pod's date.
func TestClock_Proxy(t *testing.T) {
	c := New(clocktesting.NewFakePassiveClock(time.Now()))
	response := &http.Response{Body: http.NoBody, Header: http.Header{"Date": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}, auditHeader: {"id"}}}
	server := roundTripper(func(*http.Request) (*http.Response, error) { return response, nil })
	for range 2 {
		roundTrip(t, c, server, "/api/v1/namespaces/load/pods/http:shop-master-0:8089/proxy/stats/requests")
		roundTrip(t, c, server, "/api/v1/namespaces/load/services/shop-master/proxy")
	}
	assert.Zero(t, c.Ahead())
	for range 2 {
		roundTrip(t, c, server, "/api/v1/namespaces/proxy/pods/proxy/status")
	}
	assert.InDelta(t, time.Hour, c.Ahead(), float64(2*time.Second), "a namespace may have this name")
}

// TestClock_WrongDates: one response with a wrong date, and responses that are not the API server's, do not change the clock.
func TestClock_WrongDates(t *testing.T) {
	machine := clocktesting.NewFakePassiveClock(time.Now())
	c := New(machine)
	dated := func(ahead time.Duration, header http.Header) http.RoundTripper {
		header.Set("Date", machine.Now().Add(ahead).UTC().Format(http.TimeFormat))
		return roundTripper(func(*http.Request) (*http.Response, error) {
			return &http.Response{Body: http.NoBody, Header: header}, nil
		})
	}
	own := func() http.Header { return http.Header{auditHeader: {"id"}} }
	for range 3 {
		roundTrip(t, c, dated(time.Hour, http.Header{}), "/api/v1/pods")
	}
	for _, ahead := range []time.Duration{time.Hour, 0, time.Hour, 0, -time.Hour, time.Hour} {
		roundTrip(t, c, dated(ahead, own()), "/api/v1/pods")
		assert.Zero(t, c.Ahead())
	}
	roundTrip(t, c, dated(time.Hour, own()), "/api/v1/pods")
	assert.InDelta(t, time.Hour.Seconds(), c.Ahead().Seconds(), 1)
}

// TestClock_NoDate: responses without a date, and failed requests, do not change the clock.
func TestClock_NoDate(t *testing.T) {
	c := New(clocktesting.NewFakePassiveClock(time.Now()))
	for _, date := range []string{"", "yesterday"} {
		response := &http.Response{Body: http.NoBody, Header: http.Header{"Date": {date}, auditHeader: {"id"}}}
		roundTrip(t, c, roundTripper(func(*http.Request) (*http.Response, error) { return response, nil }), "/api/v1/pods")
	}
	refuses := roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") })
	_, err := c.Observe(refuses).RoundTrip(request(t, "/api/v1/pods")) //nolint:bodyclose // there is none
	require.Error(t, err)
	assert.Zero(t, c.Ahead())
}
