package main

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestPipe_Broken: a pipe that nothing reads interrupts the command; other errors do not. The runtime sends no SIGPIPE for
// files other than the standard streams.
func TestPipe_Broken(t *testing.T) {
	reader, writer, err := os.Pipe()
	require.NoError(t, err)
	interrupts := 0
	out := &pipe{file: writer, broken: func() { interrupts++ }}
	_, err = out.Write([]byte("x"))
	require.NoError(t, err)
	assert.Zero(t, interrupts)
	require.NoError(t, reader.Close())
	_, err = out.Write([]byte("x"))
	require.ErrorIs(t, err, syscall.EPIPE)
	assert.Equal(t, 1, interrupts)
	require.NoError(t, writer.Close())
	_, err = out.Write([]byte("x"))
	require.ErrorIs(t, err, os.ErrClosed)
	assert.Equal(t, 1, interrupts)
	assert.False(t, isTTY(out))
}
