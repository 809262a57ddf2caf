// Package serverclock provides the API server's time, measured by the Date headers of its responses.
//
// The times in objects, and the time at which one operator takes over from another, are compared by that clock, so an operator
// on a machine with a wrong clock decides the same as any other.
package serverclock

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// precision is the precision of the Date header.
	precision = time.Second
	// jump is the largest change of the clock that needs no confirmation by a second response.
	jump = 5 * time.Second
	// auditHeader is set on each response of an API server (k8s.io/apiserver, WithAuditInit), but not on those of a load
	// balancer in front of it.
	auditHeader = "Audit-Id"
)

// Clock is the machine's clock, corrected by the responses that Observe sees. Without a response that contradicts the machine's
// clock it returns the machine's time. It is safe for concurrent use.
type Clock struct {
	machine clock.PassiveClock

	mu sync.RWMutex
	// ahead is how far the API server's clock is ahead of the machine's.
	ahead time.Duration
	// suspected is the value of ahead by the latest response if that needs confirmation; otherwise nil.
	suspected *time.Duration
}

var _ clock.PassiveClock = &Clock{}

// New returns a Clock that corrects the machine's clock.
func New(machine clock.PassiveClock) *Clock { return &Clock{machine: machine} }

// Now returns the API server's time.
func (c *Clock) Now() time.Time { return c.machine.Now().Add(c.Ahead()) }

// Since returns the time elapsed since t, a time of this clock.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Ahead returns how far the API server's clock is ahead of the machine's; zero if no difference is known.
func (c *Clock) Ahead() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.ahead
}

// Observe returns a transport that corrects the clock by the dates of the responses, for rest.Config.Wrap. It ignores responses
// that the API server proxies from a pod or a Service, because they have the dates of other clocks.
func (c *Clock) Observe(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		sent := c.machine.Now()
		response, err := next.RoundTrip(r)
		if err == nil && response.Header.Get(auditHeader) != "" && !proxied(r.URL.Path) {
			if date, invalid := http.ParseTime(response.Header.Get("Date")); invalid == nil {
				c.adjust(date, sent, c.machine.Now())
			}
		}
		return response, err
	})
}

// proxied reports whether a path is that of a response of a pod or a Service.
func proxied(path string) bool {
	_, rest, namespaced := strings.Cut(path, "/namespaces/")
	parts := strings.SplitN(rest, "/", 5) // namespace, resource, name, subresource
	return namespaced && len(parts) > 3 && parts[3] == "proxy"
}

// adjust corrects the clock as little as possible: the response was dated between sent and received.
func (c *Clock) adjust(date, sent, received time.Time) {
	lower, upper := date.Sub(received), date.Add(precision).Sub(sent)
	c.mu.Lock()
	defer c.mu.Unlock()
	ahead := max(lower, min(c.ahead, upper))
	if (ahead-c.ahead).Abs() > jump && (c.suspected == nil || (ahead-*c.suspected).Abs() > jump) {
		c.suspected = &ahead
		return
	}
	c.ahead, c.suspected = ahead, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
