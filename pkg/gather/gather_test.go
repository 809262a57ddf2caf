package gather

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// stream is a connection with a buffer, as a socket has.
type stream struct {
	net.Conn
	mu    sync.Mutex
	came  *sync.Cond
	bytes bytes.Buffer
	ended error
	// reads are how often it was read.
	reads int
}

func newStream() *stream {
	s := &stream{}
	s.came = sync.NewCond(&s.mu)
	return s
}

func (s *stream) put(p []byte, ended error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes.Write(p)
	s.ended = ended
	s.came.Broadcast()
}

func (s *stream) Read(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.bytes.Len() == 0 && s.ended == nil {
		s.came.Wait()
	}
	s.reads++
	if s.bytes.Len() == 0 {
		return 0, s.ended
	}
	return s.bytes.Read(p)
}

func gathered(t *testing.T, s *stream) net.Conn {
	t.Helper()
	c, err := Every(100*time.Millisecond, func(context.Context, string, string) (net.Conn, error) { return s, nil })(t.Context(), "tcp", "")
	require.NoError(t, err)
	return c
}

func TestWhatComesAfterARestIsReadAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		c := gathered(t, s)
		go func() {
			for range 3 {
				time.Sleep(time.Second)
				s.put([]byte("event"), nil)
			}
		}()
		began := time.Now()
		for i := range 3 {
			p := make([]byte, 10)
			n, err := c.Read(p)
			require.NoError(t, err)
			assert.Equal(t, "event", string(p[:n]))
			assert.Equal(t, time.Duration(i+1)*time.Second, time.Since(began))
		}
	})
}

func TestWhatComesAllTheTimeIsReadInGatherings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		c := gathered(t, s)
		go func() {
			for i := range 1000 {
				s.put([]byte{byte(i)}, nil)
				time.Sleep(time.Millisecond)
			}
			s.put(nil, io.EOF)
		}()
		began, got, most := time.Now(), 0, time.Duration(0)
		p := make([]byte, 10)
		for {
			n, err := c.Read(p)
			if err != nil {
				require.ErrorIs(t, err, io.EOF)
				break
			}
			for _, b := range p[:n] {
				require.Equal(t, byte(got), b, "piece %d", got)
				most = max(most, time.Since(began)-time.Duration(got)*time.Millisecond)
				got++
			}
		}
		assert.Equal(t, 1000, got)
		assert.Equal(t, 100*time.Millisecond, most.Round(time.Millisecond), "the latest piece")
		assert.LessOrEqual(t, s.reads, 13, "1 s, read every 0.1 s")
	})
}

func TestBulkIsNotSlowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStream()
		all := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		s.put(all, io.EOF)
		began := time.Now()
		got, err := io.ReadAll(gathered(t, s))
		require.NoError(t, err)
		assert.True(t, bytes.Equal(all, got))
		assert.Less(t, time.Since(began), 101*time.Millisecond, "one rest, before the end is read")
	})
}

func TestConnectionThatFails(t *testing.T) {
	refused := errors.New("refused")
	_, err := Every(time.Second, func(context.Context, string, string) (net.Conn, error) { return nil, refused })(t.Context(), "tcp", "")
	require.ErrorIs(t, err, refused)
}
