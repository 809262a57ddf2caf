// Package step prints progress and durations of steps.
package step

import (
	"fmt"
	"io"
	"os"
	"time"
)

// Printer writes progress lines, usually to stderr, so that stdout stays
// free for results.
type Printer struct {
	Out   io.Writer
	start time.Time
}

// New returns a printer to stderr.
func New() *Printer { return &Printer{Out: os.Stderr, start: time.Now()} }

// Printf prints one line.
func (p *Printer) Printf(format string, args ...any) {
	fmt.Fprintf(p.Out, format+"\n", args...)
}

// Do runs one step and prints its duration.
func (p *Printer) Do(name string, fn func() error) error {
	begin := time.Now()
	if err := fn(); err != nil {
		p.Printf("%7.1fs  %s: FAILED", time.Since(begin).Seconds(), name)
		return fmt.Errorf("%s: %w", name, err)
	}
	p.Printf("%7.1fs  %s", time.Since(begin).Seconds(), name)
	return nil
}

// Total returns the time since the creation of the printer.
func (p *Printer) Total() time.Duration { return time.Since(p.start) }

// Heartbeat prints a line every interval until the returned function is called, to
// show the progress of long commands without output.
func (p *Printer) Heartbeat(what string, every time.Duration) func() {
	begin, done := time.Now(), make(chan struct{})
	go func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
				p.Printf("          still running: %s (%s so far)", what, time.Since(begin).Round(time.Second))
			}
		}
	}()
	return func() { close(done) }
}
