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

// TestClock: answers that take up to 3 s, from an API server whose clock is ahead of the machine's or behind it.
func TestClock(t *testing.T) {
	start := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	for _, ahead := range []time.Duration{0, time.Hour, -time.Hour, 10 * time.Second, -10 * time.Second} {
		t.Run(ahead.String(), func(t *testing.T) {
			machine := clocktesting.NewFakePassiveClock(start)
			c := New(machine)
			pass := func(d time.Duration) { machine.SetTime(machine.Now().Add(d)) }
			before, after := time.Duration(0), time.Duration(0)
			server := roundTripper(func(*http.Request) (*http.Response, error) {
				pass(before)
				date := machine.Now().Add(ahead).UTC().Format(http.TimeFormat)
				pass(after)
				return &http.Response{Body: http.NoBody, Header: http.Header{"Date": {date}, auditHeader: {"id"}}}, nil
			})
			for _, delay := range [][2]time.Duration{{0, 0}, {3 * time.Second, 0}, {0, 3 * time.Second}, {time.Second, 100 * time.Millisecond}} {
				before, after = delay[0], delay[1]
				ask(t, c, server, "/api/v1/pods")
				if ahead.Abs() > jump && c.Ahead() == 0 {
					ask(t, c, server, "/api/v1/pods") // the second answer confirms a jump
				}
				assert.InDelta(t, ahead.Seconds(), c.Ahead().Seconds(), 1, "after an answer with the delays %v", delay)
				pass(700 * time.Millisecond)
			}
			if ahead == 0 {
				assert.Zero(t, c.Ahead(), "a clock that is right is left as it is")
			}
			was := c.Now()
			pass(time.Minute)
			assert.Equal(t, time.Minute, c.Since(was))
		})
	}
}

func request(t *testing.T, path string) *http.Request {
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://kubernetes"+path, nil)
	require.NoError(t, err)
	return r
}

func ask(t *testing.T, c *Clock, server http.RoundTripper, path string) {
	answer, err := c.Observe(server).RoundTrip(request(t, path))
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
}

// TestClock_Proxy: a pod's answer that comes through the API server has the pod's date.
func TestClock_Proxy(t *testing.T) {
	c := New(clocktesting.NewFakePassiveClock(time.Now()))
	answer := &http.Response{Body: http.NoBody, Header: http.Header{"Date": {time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)}, auditHeader: {"id"}}}
	server := roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil })
	for range 2 {
		ask(t, c, server, "/api/v1/namespaces/load/pods/http:shop-master-0:8089/proxy/stats/requests")
		ask(t, c, server, "/api/v1/namespaces/load/services/shop-master/proxy")
	}
	assert.Zero(t, c.Ahead())
	for range 2 {
		ask(t, c, server, "/api/v1/namespaces/proxy/pods/proxy/status")
	}
	assert.InDelta(t, time.Hour, c.Ahead(), float64(2*time.Second), "a namespace may have this name")
}

// TestClock_WrongDates: one answer with a wrong date, and those that are not the API server's, do not move the clock.
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
		ask(t, c, dated(time.Hour, http.Header{}), "/api/v1/pods")
	}
	for _, ahead := range []time.Duration{time.Hour, 0, time.Hour, 0, -time.Hour, time.Hour} {
		ask(t, c, dated(ahead, own()), "/api/v1/pods")
		assert.Zero(t, c.Ahead())
	}
	ask(t, c, dated(time.Hour, own()), "/api/v1/pods")
	assert.InDelta(t, time.Hour.Seconds(), c.Ahead().Seconds(), 1)
}

// TestClock_NoDate: answers without a date, and requests without an answer, change nothing.
func TestClock_NoDate(t *testing.T) {
	c := New(clocktesting.NewFakePassiveClock(time.Now()))
	for _, date := range []string{"", "yesterday"} {
		answer := &http.Response{Body: http.NoBody, Header: http.Header{"Date": {date}, auditHeader: {"id"}}}
		ask(t, c, roundTripper(func(*http.Request) (*http.Response, error) { return answer, nil }), "/api/v1/pods")
	}
	refuses := roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("refused") })
	_, err := c.Observe(refuses).RoundTrip(request(t, "/api/v1/pods")) //nolint:bodyclose // there is none
	require.Error(t, err)
	assert.Zero(t, c.Ahead())
}
