// Command demo runs the load test of a manifest and shows it live. It is the program behind `make demo`.
//
// It deletes an earlier run of the same test, applies the manifest, the LocustTest last, and follows it until its phase
// is final: on a terminal as a panel that is redrawn, otherwise as one line for each change. It reads only the
// LocustTest's spec and status.
//
// The exit code is 0 only when the phase is Succeeded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/term"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// options are the command-line flags.
type options struct {
	file    string
	image   string
	first   string
	timeout time.Duration
}

func main() {
	var o options
	flag.StringVar(&o.file, "f", "", "manifest with one LocustTest and the objects it needs; - reads standard input")
	flag.StringVar(&o.image, "image", "", "replacement for the LocustTest's image in all objects of the manifest")
	flag.StringVar(&o.first, "first", "", "command to print before the suggested commands")
	flag.DurationVar(&o.timeout, "timeout", 5*time.Minute, "time limit of the demo")
	flag.Parse()
	if o.file == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "usage: demo -f FILE [--timeout 5m] [--image IMAGE]")
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, o, os.Stdout)
	interrupted := ctx.Err() != nil
	stop()
	switch {
	case err != nil && interrupted:
		fmt.Fprintln(os.Stderr, "demo: interrupted; the test continues in the cluster")
		os.Exit(130)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options, out *os.File) error {
	objects, err := readManifest(o.file)
	if err != nil {
		return err
	}
	name, err := findTest(objects)
	if err != nil {
		return err
	}
	if o.image != "" {
		replaceImage(objects, o.image)
	}
	// controller-runtime prints a warning if no logger is set; the demo does not need its logs.
	log.SetLogger(logr.Discard())
	c, _, err := framework.Connect(framework.NewScheme(), func(*rest.Config) {})
	if err != nil {
		return err
	}

	deadline, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("timed out after %s", o.timeout))
	defer cancel()
	progress := func(line string) { fmt.Fprintln(out, line) }
	if err := deleteTest(deadline, c, name, progress); err != nil {
		return explain(deadline, err)
	}
	if err := applyAll(deadline, c, objects, progress); err != nil {
		return explain(deadline, err)
	}

	test, err := show(deadline, c, name, out)
	if test == nil || !test.Status.IsTerminal() {
		return explain(deadline, unfinished(name, test, err))
	}
	for _, line := range summary(test, o.first) {
		fmt.Fprintln(out, line)
	}
	if test.Status.Phase != v2.PhaseSucceeded {
		return fmt.Errorf("the test %s failed: %s", name, cause(test))
	}
	return nil
}

// show follows the test and draws a panel on a terminal, or a change log otherwise.
func show(ctx context.Context, c client.WithWatch, name client.ObjectKey, out *os.File) (*v2.LocustTest, error) {
	started := time.Now()
	if width, _, err := term.GetSize(int(out.Fd())); err == nil {
		return follow(ctx, c, name, &screen{out: out, width: width, started: started})
	}
	return follow(ctx, c, name, &changeLog{out: out, started: started})
}

// explain wraps an error that the timeout caused with the cause of the timeout.
func explain(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w: %w", context.Cause(ctx), err)
	}
	return err
}
