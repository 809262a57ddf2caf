package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// podInterval is the time between two lists of a test's pods, to find new ones.
const podInterval = 2 * time.Second

// endPatience is how long pods may run after their test has ended: their grace period and some time for the operator.
const endPatience = time.Minute

// reopenInterval is the time until a log that was interrupted is opened again.
const reopenInterval = time.Second

// followAll prints logs as they are written, until the test has ended and its logs have been read to their end.
func (l *testLogs) followAll(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	key := l.key()
	var following sync.WaitGroup
	seen := map[types.UID]bool{}
	request := l.options.request()
	found := func(pods []corev1.Pod) {
		for i := range pods {
			pod, container := &pods[i], locustContainer(l.test, &pods[i])
			if seen[pod.UID] || !hasStarted(containerState(pod, container)) {
				continue
			}
			seen[pod.UID] = true
			options := request
			following.Go(func() {
				if err := l.followPod(ctx, pod, container, options); err != nil {
					cancel(err)
				}
			})
		}
		request = corev1.PodLogOptions{Follow: true} // a pod that starts later is new from its first line on
	}
	var waiting string
	_, err := pollTest(ctx, l.client, key, l.test.UID, l.poll, func(test *v2.LocustTest) bool {
		l.test = test
		pods, err := l.pods(ctx)
		if err != nil {
			if apierrors.IsForbidden(err) {
				cancel(err)
			}
			return false // they are listed again
		}
		found(pods)
		if message := describeStart(test); len(seen) == 0 && !test.Status.IsTerminal() && message != waiting {
			waiting = message
			l.notify("waiting for the log: " + message)
		}
		return test.Status.IsTerminal()
	})
	if err := l.drain(ctx, cancel, &following); err != nil {
		return err
	}
	switch {
	case errors.As(err, &deletedError{}) && len(seen) > 0:
		l.notify("the test has been deleted")
		return nil
	case err != nil:
		return err
	case len(seen) == 0:
		return l.goneError()
	}
	return nil
}

// drain waits for the ends of the logs. The operator stops the pods of a test that has ended, but a pod on a lost node keeps its state.
func (l *testLogs) drain(ctx context.Context, cancel context.CancelCauseFunc, following *sync.WaitGroup) error {
	ended := make(chan struct{})
	go func() {
		following.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
	case <-time.After(l.endPatience):
		cancel(errLogsOpen)
	}
	<-ended
	if cause := context.Cause(ctx); !errors.Is(cause, errLogsOpen) {
		return cause
	}
	l.notify("the test has ended, and some of its pods have not: their logs may be incomplete")
	return nil
}

// errLogsOpen ends logs whose pods do not end.
var errLogsOpen = errors.New("the pod has not ended")

// followPod prints the log of a pod until its container has ended. A broken connection is opened again after the last printed line.
func (l *testLogs) followPod(ctx context.Context, pod *corev1.Pod, container string, options corev1.PodLogOptions) error {
	var last logLine
	for {
		stream, openError := l.open(ctx, pod, container, options)
		switch {
		case openError == nil:
			var printError error
			last, printError = l.printAfter(pod.Name, stream, last)
			_ = stream.Close()
			if printError != nil {
				return printError
			}
			if !last.time.IsZero() {
				options = resumeAfter(last)
			}
		case apierrors.IsForbidden(openError), ctx.Err() != nil:
			return openError
		}
		ended, err := l.hasEnded(ctx, pod, container)
		if ended && openError != nil {
			l.notify("the log of the pod " + pod.Name + " is incomplete: " + openError.Error())
		}
		if ended || err != nil {
			return err
		}
		select {
		case <-time.After(l.reopen):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// printAfter prints the lines of a stream that are later than the last printed one, and returns the last of them. Its error is that of the output;
// the stream may end at any time.
func (l *testLogs) printAfter(pod string, stream io.Reader, last logLine) (logLine, error) {
	resumedAt := last.time
	for lines := newLineReader(stream); ; {
		line, err := lines.next()
		if err != nil {
			return last, nil //nolint:nilerr // a broken stream is opened again
		}
		if !line.time.After(resumedAt) && !resumedAt.IsZero() {
			continue
		}
		if err := l.printer.print(pod, line); err != nil {
			return last, err
		}
		last = line
	}
}

// hasEnded reports whether a container has ended, or its pod was deleted.
func (l *testLogs) hasEnded(ctx context.Context, pod *corev1.Pod, container string) (bool, error) {
	now := &corev1.Pod{}
	err := l.client.Get(ctx, client.ObjectKeyFromObject(pod), now)
	switch {
	case apierrors.IsNotFound(err), err == nil && now.UID != pod.UID:
		return true, nil
	case apierrors.IsForbidden(err):
		return false, explain("read the pod "+client.ObjectKeyFromObject(pod).String(), podReaderRole, err)
	case err != nil:
		return false, context.Cause(ctx) // it is read again later
	}
	return containerState(now, container).Terminated != nil, nil
}
