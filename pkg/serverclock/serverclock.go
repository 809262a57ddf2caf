// Package serverclock is the API server's clock, as far as the dates of its answers show it.
//
// The times in objects, and the start of each operator that takes over from another, are measured by that clock, so that an
// operator on a machine whose clock is wrong decides the same as on any other.
package serverclock

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

const (
	// precision of the Date header.
	precision = time.Second
	// jump is a change of the clock that a second answer has to confirm.
	jump = 5 * time.Second
	// auditHeader is in each answer of an API server (k8s.io/apiserver, WithAuditInit), and not in those of a load balancer
	// in front of it.
	auditHeader = "Audit-Id"
)

// Clock is a clock of this machine, corrected by what Observe learns from answers. It is the machine's own time as long as
// the answers do not contradict it.
type Clock struct {
	machine clock.PassiveClock

	mu sync.RWMutex
	// ahead is how far the API server's clock is ahead of the machine's.
	ahead time.Duration
	// suspected is what the newest answer makes of ahead, if that is a jump; nil if it is not.
	suspected *time.Duration
}

var _ clock.PassiveClock = &Clock{}

// New returns a clock that corrects that of the machine.
func New(machine clock.PassiveClock) *Clock { return &Clock{machine: machine} }

// Now is the API server's time.
func (c *Clock) Now() time.Time { return c.machine.Now().Add(c.Ahead()) }

// Since is the time that has passed since a time of this clock.
func (c *Clock) Since(t time.Time) time.Duration { return c.Now().Sub(t) }

// Ahead is how far the API server's clock is ahead of the machine's; zero as long as they are not known to differ.
func (c *Clock) Ahead() time.Duration {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.ahead
}

// Observe returns a transport that learns from the dates of the answers. It is made for rest.Config.Wrap. Answers that the
// API server only passes on from a pod or a Service have their dates.
func (c *Clock) Observe(next http.RoundTripper) http.RoundTripper {
	return roundTripper(func(r *http.Request) (*http.Response, error) {
		sent := c.machine.Now()
		answer, err := next.RoundTrip(r)
		if err == nil && answer.Header.Get(auditHeader) != "" && !proxied(r.URL.Path) {
			if date, invalid := http.ParseTime(answer.Header.Get("Date")); invalid == nil {
				c.learn(date, sent, c.machine.Now())
			}
		}
		return answer, err
	})
}

// proxied reports whether a path is that of a pod's or a Service's own answer.
func proxied(path string) bool {
	_, rest, namespaced := strings.Cut(path, "/namespaces/")
	parts := strings.SplitN(rest, "/", 5) // namespace, resource, name, subresource
	return namespaced && len(parts) > 3 && parts[3] == "proxy"
}

// learn corrects the clock as little as possible: the answer was dated between the request and its arrival.
func (c *Clock) learn(date, sent, received time.Time) {
	least, most := date.Sub(received), date.Add(precision).Sub(sent)
	c.mu.Lock()
	defer c.mu.Unlock()
	ahead := max(least, min(c.ahead, most))
	if (ahead-c.ahead).Abs() > jump && (c.suspected == nil || (ahead-*c.suspected).Abs() > jump) {
		c.suspected = &ahead
		return
	}
	c.ahead, c.suspected = ahead, nil
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
