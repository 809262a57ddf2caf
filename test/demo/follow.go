package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// errDeleted reports that the test was deleted while it was followed.
var errDeleted = errors.New("the test was deleted")

// drawer shows a test. test is nil until the first state is known.
type drawer interface {
	// draw is called after each change and several times a second.
	draw(test *v2.LocustTest, now time.Time)
}

// follow watches a test until its phase is final. It returns the last known state, also together with an error.
func follow(ctx context.Context, c client.WithWatch, name client.ObjectKey, d drawer) (*v2.LocustTest, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	states := make(chan *v2.LocustTest)
	ended := make(chan error, 1)
	see := func(event watch.Event) {
		test, isTest := event.Object.(*v2.LocustTest)
		switch {
		case event.Type == watch.Deleted, event.Type == watch.Bookmark && meta.LenList(event.Object) == 0:
			select {
			case ended <- errDeleted:
			default:
			}
		case event.Type == watch.Error:
			if err := apierrors.FromObject(event.Object); !apierrors.IsResourceExpired(err) {
				select {
				case ended <- fmt.Errorf("watch the test: %w", err):
				default:
				}
			}
		case isTest:
			select {
			case states <- test:
			case <-ctx.Done():
			}
		}
	}
	go func() {
		if err := framework.Follow(ctx, c, &v2.LocustTestList{}, see, client.InNamespace(name.Namespace),
			client.MatchingFields{"metadata.name": name.Name}); err != nil {
			ended <- fmt.Errorf("read the test: %w", err)
		}
	}()

	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	var test *v2.LocustTest
	for {
		select {
		case test = <-states:
			d.draw(test, time.Now())
			if test.Status.IsTerminal() {
				return test, nil
			}
		case <-tick.C:
			d.draw(test, time.Now())
		case err := <-ended:
			return test, err
		case <-ctx.Done():
			return test, ctx.Err()
		}
	}
}

// changeLog prints one line for each change. It is used if the output is not a terminal.
type changeLog struct {
	out     io.Writer
	started time.Time
	last    *v2.LocustTest
}

func (l *changeLog) draw(test *v2.LocustTest, now time.Time) {
	if test == nil || test == l.last {
		return
	}
	for _, line := range changes(l.last, test) {
		fmt.Fprintf(l.out, "%6s  %s\n", clock(now.Sub(l.started)), line)
	}
	l.last = test
}

// screen draws a panel over the previous one.
type screen struct {
	out     io.Writer
	width   int
	started time.Time
	lines   int
}

func (s *screen) draw(test *v2.LocustTest, now time.Time) {
	var lines []string
	// The summary replaces the last panel.
	if test == nil || !test.Status.IsTerminal() {
		lines = panel(test, now.Sub(s.started), now)
	}
	var text strings.Builder
	if s.lines > 0 {
		fmt.Fprintf(&text, "\x1b[%dA", s.lines)
	}
	for _, line := range lines {
		// A line that wraps would count twice.
		fmt.Fprintf(&text, "\r%s\x1b[K\n", cut(line, s.width-1))
	}
	text.WriteString("\x1b[J")
	s.lines = len(lines)
	io.WriteString(s.out, text.String()) //nolint:errcheck // a closed terminal needs no panel
}
