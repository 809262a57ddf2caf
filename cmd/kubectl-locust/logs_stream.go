package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/cmd/kubectl-locust/terminal"
)

// maxLogLine bounds the printed part of a line, in bytes.
const maxLogLine = 32 << 10

// openLog opens the log of a container, with a timestamp before each line. The error is errNoLog if there is none.
type openLog func(ctx context.Context, pod *corev1.Pod, container string, options corev1.PodLogOptions) (io.ReadCloser, error)

// logOpener returns the openLog that asks the API server.
func logOpener(raw rest.Interface) openLog {
	return func(ctx context.Context, pod *corev1.Pod, container string, options corev1.PodLogOptions) (io.ReadCloser, error) {
		request := raw.Get().AbsPath("/api/v1/namespaces", pod.Namespace, "pods", pod.Name, "log").
			Param("container", container).Param("timestamps", "true")
		if options.Follow {
			request = request.Param("follow", "true")
		}
		if options.TailLines != nil {
			request = request.Param("tailLines", strconv.FormatInt(*options.TailLines, 10))
		}
		if options.SinceSeconds != nil {
			request = request.Param("sinceSeconds", strconv.FormatInt(*options.SinceSeconds, 10))
		}
		if options.SinceTime != nil {
			request = request.Param("sinceTime", options.SinceTime.UTC().Format(time.RFC3339))
		}
		stream, err := request.Stream(ctx)
		switch {
		case err == nil:
			return stream, nil
		case apierrors.IsNotFound(err), apierrors.IsBadRequest(err):
			// The pod is deleted, or its container has not started.
			return nil, errors.Join(errNoLog, err)
		}
		return nil, explain(fmt.Sprintf("read the log of the pod %s/%s", pod.Namespace, pod.Name), podReaderRole, err)
	}
}

// request returns the options for the first part of a log.
func (o logOptions) request() corev1.PodLogOptions {
	request := corev1.PodLogOptions{Follow: o.follow}
	if o.tail >= 0 {
		request.TailLines = &o.tail
	}
	if o.since > 0 {
		request.SinceSeconds = new(int64(o.since.Round(time.Second).Seconds()))
	}
	return request
}

// logLine is a line of a log.
type logLine struct {
	time time.Time
	// stamp is the time as the kubelet writes it.
	stamp string
	text  string
}

// lineReader reads the lines of a log.
type lineReader struct {
	buffer *bufio.Reader
	last   logLine
}

func newLineReader(r io.Reader) *lineReader { return &lineReader{buffer: bufio.NewReader(r)} }

// next returns the next line, or io.EOF.
func (r *lineReader) next() (logLine, error) {
	raw, err := r.rawLine()
	if err != nil && (!errors.Is(err, io.EOF) || len(raw) == 0) {
		return logLine{}, err
	}
	stamp, text, found := bytes.Cut(raw, []byte(" "))
	at, err := time.Parse(time.RFC3339Nano, string(stamp))
	if err != nil {
		// The runtime writes one for each line; another text keeps its place after the line before.
		r.last.text = string(raw)
		return r.last, nil
	}
	if !found {
		text = nil
	}
	r.last = logLine{at, string(stamp), string(text)}
	return r.last, nil
}

// rawLine reads a line of any length, and returns its first part.
func (r *lineReader) rawLine() ([]byte, error) {
	var line []byte
	cut := false
	for {
		part, err := r.buffer.ReadSlice('\n')
		if room := maxLogLine - len(line); len(part) <= room {
			line = append(line, part...)
		} else {
			line = append(line, part[:room]...)
			cut = true
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
		if cut {
			line = append(bytes.ToValidUTF8(line, nil), "…"...)
		}
		return line, err
	}
}

// logPrinter prints lines of several logs.
type logPrinter struct {
	mu         sync.Mutex
	out        io.Writer
	prefix     bool
	timestamps bool
	// safe replaces what a terminal would interpret.
	safe bool
}

func (p *logPrinter) print(pod string, line logLine) error {
	text := line.text
	if p.safe {
		text = terminal.SafeLines(text)
	}
	if p.timestamps {
		text = line.stamp + " " + text
	}
	if p.prefix {
		text = "[" + pod + "] " + text
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err := io.WriteString(p.out, text+"\n")
	return err
}

// resumeAfter returns the options that continue a log after a line. The API server knows whole seconds only.
func resumeAfter(line logLine) corev1.PodLogOptions {
	return corev1.PodLogOptions{Follow: true, SinceTime: &metav1.Time{Time: line.time}}
}
