package main

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	corev1 "k8s.io/api/core/v1"
)

// maxOpening bounds the logs that are opened at the same time.
const maxOpening = 16

// logHead is the next line of a log.
type logHead struct {
	line   logLine
	pod    string
	order  int
	reader *lineReader
}

// logHeads is a heap: the oldest line first, and for equal times the first log first.
type logHeads []*logHead

func (h logHeads) Len() int      { return len(h) }
func (h logHeads) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h logHeads) Less(i, j int) bool {
	if c := h[i].line.time.Compare(h[j].line.time); c != 0 {
		return c < 0
	}
	return h[i].order < h[j].order
}

// Push adds a log.
func (h *logHeads) Push(x any) { *h = append(*h, x.(*logHead)) }

// Pop removes the last log.
func (h *logHeads) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}

// merge prints the logs of pods, ordered by time. It reads all of them at the same time, so that no log is kept in memory.
func (l *testLogs) merge(ctx context.Context, pods []*corev1.Pod) error {
	streams, err := l.openAll(ctx, pods)
	defer func() {
		for _, stream := range streams {
			if stream != nil {
				_ = stream.Close()
			}
		}
	}()
	if err != nil {
		return err
	}
	var heads logHeads
	for i, stream := range streams {
		if stream == nil {
			continue
		}
		head := &logHead{pod: pods[i].Name, order: i, reader: newLineReader(stream)}
		if head.line, err = head.reader.next(); err == nil {
			heads = append(heads, head)
		} else if !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the log of the pod %s: %w", head.pod, err)
		}
	}
	heap.Init(&heads)
	for len(heads) > 0 {
		head := heads[0]
		if err := l.printer.print(head.pod, head.line); err != nil {
			return err
		}
		switch head.line, err = head.reader.next(); {
		case err == nil:
			heap.Fix(&heads, 0)
		case errors.Is(err, io.EOF):
			heap.Pop(&heads)
		default:
			return fmt.Errorf("read the log of the pod %s: %w", head.pod, err)
		}
	}
	return nil
}

// openAll opens the logs of pods. A stream is nil if the pod was deleted meanwhile.
func (l *testLogs) openAll(ctx context.Context, pods []*corev1.Pod) ([]io.ReadCloser, error) {
	streams, failed := make([]io.ReadCloser, len(pods)), make([]error, len(pods))
	slots := make(chan struct{}, maxOpening)
	var opening sync.WaitGroup
	for i, pod := range pods {
		opening.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			streams[i], failed[i] = l.open(ctx, pod, locustContainer(l.test, pod), l.options.request())
			if errors.Is(failed[i], errNoLog) {
				l.notify("the log of the pod " + pod.Name + " is gone: " + failed[i].Error())
				failed[i] = nil
			}
		})
	}
	opening.Wait()
	for _, err := range failed {
		if err != nil {
			return streams, err // the others probably fail for the same reason
		}
	}
	return streams, nil
}
