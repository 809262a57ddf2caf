// Command kubectl-locust is a plugin of kubectl that runs, watches, stops and evaluates load tests:
//
//	kubectl locust run --host https://shop.example.com -u 20 -w 3 -t 30s locustfile.py
//
// docs/plugin.md describes it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// version is set by the linker.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	context.AfterFunc(ctx, func() {
		// The second signal ends the process, unless a command handles it: the first one may hang in a request.
		stop()
		// A terminal that is closed, or a pipe that nothing reads, must not end the command before it has stopped its test.
		signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	})
	code := execute(ctx, genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}, os.Args[1:])
	stop()
	os.Exit(code)
}
