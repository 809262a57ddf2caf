// Package gather delays reads of a busy connection so that many small watch events wake the process once.
//
// Each read of a small piece costs system calls, thread switches and a run of Go's scheduler, more than the piece itself.
// Network cards do the same (interrupt coalescing).
package gather

import (
	"context"
	"net"
	"time"
)

// bufferSize is the maximum size of one read, in bytes.
const bufferSize = 64 << 10

// Dial is a function that opens connections, as in net.Dialer.DialContext and rest.Config.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Every returns a Dial whose connections are read at most once in an interval while little data arrives: the first data after a
// pause is read immediately, further data at the end of the interval. Bulk data is not delayed.
func Every(interval time.Duration, dial Dial) Dial {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		plain, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &conn{Conn: plain, interval: interval, buffer: make([]byte, bufferSize)}, nil
	}
}

// conn is a connection with one reader, as in TLS.
type conn struct {
	net.Conn
	interval time.Duration
	// next is when to read again; zero means now.
	next time.Time
	// unread is the part of the buffer that Read has not returned yet.
	buffer, unread []byte
}

// Read returns buffered data, or waits for more.
func (c *conn) Read(p []byte) (int, error) {
	if len(c.unread) == 0 {
		time.Sleep(time.Until(c.next))
		n, err := c.Conn.Read(c.buffer)
		if n == 0 {
			return 0, err
		}
		// An error that came with the last bytes comes again.
		c.unread, c.next = c.buffer[:n], time.Now().Add(c.interval)
		if n == len(c.buffer) {
			// There is more.
			c.next = time.Time{}
		}
	}
	n := copy(p, c.unread)
	c.unread = c.unread[n:]
	return n, nil
}
