// Command kubectl-locust is a plugin of kubectl that runs, watches, stops and evaluates load tests:
//
//	kubectl locust run --host https://shop.example.com -u 20 -w 3 -t 30s locustfile.py
//
// docs/plugin.md describes it.
package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// version is set by the linker.
var version = "dev"

func main() { os.Exit(process()) }

// process executes the command line, and returns the exit code. A signal, a terminal that is closed and a pipe that nothing reads interrupt the
// command, which stops its test before it ends.
func process() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// The second signal ends the process, unless a command handles it: the first one may hang in a request.
	context.AfterFunc(ctx, stop)
	defer stop()
	// The shell and the system may both send SIGHUP: the second one does not end the process.
	ctx, stopHangups := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stopHangups()
	// Connections would cause the signal too.
	signal.Ignore(syscall.SIGPIPE)
	ctx, interrupt := context.WithCancel(ctx)
	defer interrupt()
	streams := genericiooptions.IOStreams{In: os.Stdin, Out: &pipe{file: os.Stdout, broken: interrupt}, ErrOut: os.Stderr}
	return execute(ctx, streams, os.Args[1:])
}

// pipe is a standard output that may be a pipe.
type pipe struct {
	file *os.File
	// broken is called if nothing reads the pipe any longer.
	broken func()
}

// Write writes to the file.
func (p *pipe) Write(data []byte) (int, error) {
	n, err := p.file.Write(data)
	if errors.Is(err, syscall.EPIPE) {
		p.broken()
	}
	return n, err
}

// Fd returns the descriptor of the file.
func (p *pipe) Fd() uintptr { return p.file.Fd() }
