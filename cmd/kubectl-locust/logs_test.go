package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
)

var (
	running    = corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}
	terminated = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	waiting    = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}}
)

// podOf returns a pod of a test whose Locust container has the state. A sidecar runs beside it.
func podOf(test *v2.LocustTest, role resources.Role, name string, state corev1.ContainerState) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: test.Namespace, Name: name, UID: types.UID("uid-" + name), Labels: resources.LabelsFor(test, role)},
		Status: corev1.PodStatus{ContainerStatuses: []corev1.ContainerStatus{
			{Name: "proxy", State: running}, {Name: "shop-" + string(role), State: state},
		}},
	}
}

// fakeLogs are logs by pod: for each request one text, and the last one for further requests.
type fakeLogs struct {
	mu       sync.Mutex
	texts    map[string][]string
	requests []string
	err      error
}

func (f *fakeLogs) open(_ context.Context, pod *corev1.Pod, container string, o corev1.PodLogOptions) (io.ReadCloser, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	request := pod.Name + "/" + container
	if o.SinceTime != nil {
		request += " since " + o.SinceTime.Format(time.TimeOnly)
	}
	if o.TailLines != nil {
		request += fmt.Sprintf(" tail %d", *o.TailLines)
	}
	f.requests = append(f.requests, request)
	if f.err != nil {
		return nil, f.err
	}
	texts, found := f.texts[pod.Name]
	if !found {
		return nil, errNoLog
	}
	if len(texts) > 1 {
		f.texts[pod.Name] = texts[1:]
	}
	return io.NopCloser(strings.NewReader(texts[0])), nil
}

// at returns a line of a log as the kubelet sends it.
func at(seconds int, text string) string {
	return time.Date(2026, 1, 2, 3, 4, seconds, 5, time.UTC).Format(time.RFC3339Nano) + " " + text + "\n"
}

func newTestLogs(o *outputs, c client.Client, logs *fakeLogs, test *v2.LocustTest, options logOptions) *testLogs {
	return &testLogs{
		app: o.app(), client: c, open: logs.open, test: test, options: options, poll: time.Millisecond, reopen: time.Millisecond, endPatience: time.Minute,
		printer: &logPrinter{out: &o.out, prefix: options.workers || options.all, timestamps: options.timestamps},
	}
}

func TestLogs_PrintAll(t *testing.T) {
	test := storedTest("shop", inPhase(v2.PhaseRunning))
	other := storedTest("shop", func(test *v2.LocustTest) { test.UID = "earlier" })
	pods := []client.Object{
		podOf(test, resources.RoleMaster, "master-1", running), podOf(test, resources.RoleWorker, "worker-1", running),
		podOf(test, resources.RoleWorker, "worker-2", terminated), podOf(other, resources.RoleWorker, "worker-0", running),
	}
	texts := map[string][]string{
		"master-1": {at(1, "one") + at(5, "five")},
		"worker-1": {at(2, "two") + at(4, "four") + at(4, "four again")},
		"worker-2": {at(3, "three") + at(4, "four of two")},
		"worker-0": {at(1, "of an earlier test")},
	}
	for name, row := range map[string]struct {
		options  logOptions
		want     string
		requests []string
	}{
		"master":  {logOptions{tail: -1}, "one\nfive\n", []string{"master-1/shop-master"}},
		"workers": {logOptions{tail: -1, workers: true}, "[worker-1] two\n[worker-2] three\n[worker-1] four\n[worker-1] four again\n[worker-2] four of two\n", []string{"worker-1/shop-worker", "worker-2/shop-worker"}},
		"all": {logOptions{tail: 3, all: true},
			"[master-1] one\n[worker-1] two\n[worker-2] three\n[worker-1] four\n[worker-1] four again\n[worker-2] four of two\n[master-1] five\n",
			[]string{"master-1/shop-master tail 3", "worker-1/shop-worker tail 3", "worker-2/shop-worker tail 3"}},
		"timestamps": {logOptions{tail: -1, timestamps: true}, "2026-01-02T03:04:01.000000005Z one\n2026-01-02T03:04:05.000000005Z five\n", []string{"master-1/shop-master"}},
	} {
		t.Run(name, func(t *testing.T) {
			var o outputs
			logs := &fakeLogs{texts: texts}
			require.NoError(t, newTestLogs(&o, fakeCluster(interceptor.Funcs{}, pods...), logs, test, row.options).printAll(t.Context()))
			assert.Equal(t, row.want, o.out.String())
			assert.Empty(t, o.errOut.String())
			assert.ElementsMatch(t, row.requests, logs.requests)
		})
	}
}

func TestLogs_PrintAll_Problems(t *testing.T) {
	withMessage := func(conditionType, reason, message string) func(*v2.LocustTest) {
		return func(test *v2.LocustTest) {
			test.Status.Phase = v2.PhasePending
			test.Status.Conditions = []metav1.Condition{{Type: conditionType, Reason: reason, Message: message}}
		}
	}
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no rule"))
	for name, row := range map[string]struct {
		change func(*v2.LocustTest)
		state  *corev1.ContainerState
		logs   *fakeLogs
		list   error
		want   []string
		errOut string
	}{
		"no operator":          {nil, nil, &fakeLogs{}, nil, []string{"has no log yet", "the operator has not observed the test", "docs/troubleshooting.md"}, ""},
		"pending":              {inPhase(v2.PhasePending), nil, &fakeLogs{}, nil, []string{"load/shop has no log yet: it is Pending", "kubectl locust logs -n load shop --follow"}, ""},
		"a missing image":      {withMessage(v2.ConditionTypePodsHealthy, v2.ReasonImagePullError, "no such image"), &waiting, &fakeLogs{}, nil, []string{"it is Pending (ImagePullError): no such image"}, ""},
		"a refused object":     {withMessage(v2.ConditionTypeReady, v2.ReasonResourcesFailed, "exceeded quota"), nil, &fakeLogs{}, nil, []string{"it is Pending (ResourcesFailed): exceeded quota"}, ""},
		"pods that are gone":   {inPhase(v2.PhaseFailed), nil, &fakeLogs{}, nil, []string{"load/shop is Failed", "are gone", "kubectl locust report -n load shop", "docs/troubleshooting.md"}, ""},
		"no rights for pods":   {inPhase(v2.PhaseRunning), &running, &fakeLogs{}, forbidden, []string{"list the pods of the test load/shop", "ClusterRole view"}, ""},
		"a stopped test":       {func(test *v2.LocustTest) { test.Status.Phase, test.Spec.Stop = v2.PhaseSucceeded, true }, nil, &fakeLogs{}, nil, []string{"stopping a test deletes the pod of its master", "--workers"}, ""},
		"a pod that goes away": {inPhase(v2.PhaseRunning), &running, &fakeLogs{}, nil, nil, "the log of the pod master-1 is gone"},
		"another error":        {inPhase(v2.PhaseRunning), &running, &fakeLogs{err: errors.New("kubelet does not answer")}, nil, []string{"kubelet does not answer"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var o outputs
			test := storedTest("shop", row.change)
			var objects []client.Object
			if row.state != nil {
				objects = append(objects, podOf(test, resources.RoleMaster, "master-1", *row.state))
			}
			c := fakeCluster(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
				return errors.Join(row.list, c.List(ctx, list, opts...))
			}}, objects...)
			err := newTestLogs(&o, c, row.logs, test, logOptions{tail: -1}).printAll(t.Context())
			if len(row.want) == 0 {
				assert.NoError(t, err)
			}
			for _, text := range row.want {
				assert.ErrorContains(t, err, text)
			}
			assert.Contains(t, o.errOut.String(), row.errOut)
		})
	}
}

// TestLogs_OtherCluster checks that the suggested commands select the same cluster.
func TestLogs_OtherCluster(t *testing.T) {
	for phase, want := range map[string]string{
		v2.PhasePending: "kubectl locust logs -n load --context prod shop --follow", v2.PhaseFailed: "kubectl locust report -n load --context prod shop;",
	} {
		l := newTestLogs(&outputs{}, fakeCluster(interceptor.Funcs{}), &fakeLogs{}, storedTest("shop", inPhase(phase)), logOptions{})
		l.app = prodApp()
		assert.ErrorContains(t, l.printAll(t.Context()), want)
	}
}

// TestLogs_Follow follows a test whose second worker starts later, while a connection breaks.
func TestLogs_Follow(t *testing.T) {
	test := storedTest("shop", inPhase(v2.PhaseRunning))
	master, first := podOf(test, resources.RoleMaster, "master-1", running), podOf(test, resources.RoleWorker, "worker-1", running)
	second := podOf(test, resources.RoleWorker, "worker-2", terminated)
	logs := &fakeLogs{texts: map[string][]string{
		// The connection breaks after the first line. The next one begins with the whole second of it.
		"master-1": {at(1, "one"), at(1, "one") + at(2, "two")},
		"worker-1": {at(1, "first")},
		"worker-2": {at(2, "second")},
	}}
	lists := 0
	c := fakeCluster(interceptor.Funcs{
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			switch lists++; lists {
			case 2:
				return errors.New("connection refused")
			case 3:
				require.NoError(t, c.Create(ctx, second.DeepCopy()))
			case 5:
				for _, pod := range []*corev1.Pod{master, first} {
					ended := pod.DeepCopy()
					ended.ResourceVersion = ""
					ended.Status.ContainerStatuses[1].State = terminated
					require.NoError(t, c.Status().Update(ctx, ended))
				}
				ended := test.DeepCopy()
				ended.Status.Phase = v2.PhaseSucceeded
				require.NoError(t, c.Status().Update(ctx, ended))
			}
			return c.List(ctx, list, opts...)
		},
	}, test, master, first)
	var o outputs
	require.NoError(t, newTestLogs(&o, c, logs, test, logOptions{tail: 7, all: true, follow: true}).followAll(t.Context()))
	lines := strings.Split(strings.TrimSpace(o.out.String()), "\n")
	assert.ElementsMatch(t, []string{"[master-1] one", "[master-1] two", "[worker-1] first", "[worker-2] second"}, lines)
	assert.Empty(t, o.errOut.String())
	assert.Contains(t, logs.requests, "master-1/shop-master tail 7")
	assert.Contains(t, logs.requests, "master-1/shop-master since 03:04:01")
	assert.Contains(t, logs.requests, "worker-2/shop-worker", "all lines of a pod that starts later")
}

func TestLogs_Follow_Ends(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods/log"}, "", errors.New("no rule"))
	for name, row := range map[string]struct {
		phase  string
		state  corev1.ContainerState
		logs   *fakeLogs
		err    string
		errOut string
		delete bool
	}{
		"a test that has ended":   {v2.PhaseSucceeded, terminated, &fakeLogs{texts: map[string][]string{"master-1": {at(1, "one")}}}, "", "", false},
		"no rights for logs":      {v2.PhaseRunning, running, &fakeLogs{err: explain("read the log", podReaderRole, forbidden)}, "ClusterRole view", "", false},
		"a container without log": {v2.PhaseSucceeded, terminated, &fakeLogs{}, "", "the log of the pod master-1 is incomplete", false},
		"logs that are gone":      {v2.PhaseFailed, waiting, &fakeLogs{}, "are gone", "", false},
		"a deleted test":          {v2.PhaseRunning, running, &fakeLogs{texts: map[string][]string{"master-1": {at(1, "one")}}}, "", "the test has been deleted", true},
	} {
		t.Run(name, func(t *testing.T) {
			test := storedTest("shop", inPhase(row.phase))
			pod := podOf(test, resources.RoleMaster, "master-1", row.state)
			var reads atomic.Int32
			c := fakeCluster(interceptor.Funcs{Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, opts ...client.GetOption) error {
				if reads.Add(1) == 5 && row.delete {
					require.NoError(t, c.Delete(ctx, pod.DeepCopy()))
					require.NoError(t, c.Delete(ctx, test.DeepCopy()))
				}
				return c.Get(ctx, key, object, opts...)
			}}, test, pod)
			var o outputs
			err := newTestLogs(&o, c, row.logs, test, logOptions{tail: -1, follow: true}).followAll(t.Context())
			if row.err == "" {
				require.NoError(t, err)
			} else {
				require.ErrorContains(t, err, row.err)
			}
			if row.errOut == "" {
				assert.Empty(t, o.errOut.String())
			}
			assert.Contains(t, o.errOut.String(), row.errOut)
			if len(row.logs.texts) > 0 {
				assert.Equal(t, "one\n", o.out.String())
			}
		})
	}
}

// TestLogs_Follow_LostNode checks that a pod that never ends does not keep the command.
func TestLogs_Follow_LostNode(t *testing.T) {
	test := storedTest("shop", inPhase(v2.PhaseSucceeded))
	c := fakeCluster(interceptor.Funcs{}, test, podOf(test, resources.RoleMaster, "master-1", running))
	var o outputs
	l := newTestLogs(&o, c, &fakeLogs{texts: map[string][]string{"master-1": {at(1, "one")}}}, test, logOptions{tail: -1, follow: true})
	l.endPatience = 20 * time.Millisecond
	require.NoError(t, l.followAll(t.Context()))
	assert.Equal(t, "one\n", o.out.String())
	assert.Contains(t, o.errOut.String(), "their logs may be incomplete")
}

func TestLogs_Follow_WaitsForTheStart(t *testing.T) {
	test := storedTest("shop", inPhase(v2.PhasePending))
	ctx, cancel := context.WithCancel(t.Context())
	lists := 0
	c := fakeCluster(interceptor.Funcs{List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
		if lists++; lists == 3 {
			cancel()
		}
		return c.List(ctx, list, opts...)
	}}, test, podOf(test, resources.RoleMaster, "master-1", waiting))
	var o outputs
	err := newTestLogs(&o, c, &fakeLogs{}, test, logOptions{tail: -1, follow: true}).followAll(ctx)
	require.ErrorIs(t, err, context.Canceled)
	assert.Equal(t, "waiting for the log: it is Pending\n", o.errOut.String(), "once")
	assert.Empty(t, o.out.String())
}

func TestLineReader(t *testing.T) {
	long := strings.Repeat("ä", maxLogLine)
	reader := newLineReader(strings.NewReader(at(1, "one") + "no time\n" + at(2, long) + at(3, "") + "2026-01-02T03:04:05Z\n" + strings.TrimSuffix(at(4, "cut"), "\n")))
	var lines []string
	for {
		line, err := reader.next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		assert.LessOrEqual(t, len(line.text), maxLogLine+len("…"))
		lines = append(lines, fmt.Sprintf("%d %.9s", line.time.Second(), line.text))
	}
	assert.Equal(t, []string{"1 one", "1 no time", "2 äääääääää", "3 ", "5 ", "4 cut"}, lines)

	_, err := newLineReader(io.MultiReader(strings.NewReader("half"), failingReader{})).next()
	assert.ErrorContains(t, err, "broken")
	line, err := newLineReader(strings.NewReader(at(2, long))).next()
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(line.text, "ä…"), "no half character")
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestLogPrinter(t *testing.T) {
	line := logLine{text: "\x1b[31mred\x1b[0m\tend  ", stamp: "2026-01-02T03:04:05Z"}
	for want, p := range map[string]*logPrinter{
		"\x1b[31mred\x1b[0m\tend  \n":                              {},
		"\ufffd[31mred\ufffd[0m    end\n":                          {safe: true},
		"[w] 2026-01-02T03:04:05Z \ufffd[31mred\ufffd[0m    end\n": {safe: true, prefix: true, timestamps: true},
	} {
		var out bytes.Buffer
		p.out = &out
		require.NoError(t, p.print("w", line))
		assert.Equal(t, want, out.String())
	}
}

// TestLogOpener checks the requests to the API server, and its errors.
func TestLogOpener(t *testing.T) {
	status := http.StatusOK
	var query, path string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, path = r.URL.Query().Encode(), r.URL.Path
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		if status != http.StatusOK {
			reason := metav1.StatusReason(strings.ReplaceAll(http.StatusText(status), " ", ""))
			fmt.Fprintf(w, `{"kind":"Status","apiVersion":"v1","status":"Failure","reason":%q,"code":%d,"message":"because"}`, reason, status)
			return
		}
		fmt.Fprint(w, at(1, "one"))
	}))
	t.Cleanup(server.Close)
	raw, err := rawClient(&rest.Config{Host: server.URL})
	require.NoError(t, err)
	pod := podOf(storedTest("shop", nil), resources.RoleMaster, "master-1", running)
	open := func(options corev1.PodLogOptions) (string, error) {
		stream, err := logOpener(raw)(t.Context(), pod, "shop-master", options)
		if err != nil {
			return "", err
		}
		defer func() { _ = stream.Close() }()
		data, err := io.ReadAll(stream)
		return string(data), err
	}
	text, err := open(logOptions{tail: -1}.request())
	require.NoError(t, err)
	assert.Equal(t, at(1, "one"), text)
	assert.Equal(t, "/api/v1/namespaces/load/pods/master-1/log", path)
	assert.Equal(t, "container=shop-master&timestamps=true", query)

	_, err = open(logOptions{tail: 5, since: 90 * time.Second, follow: true}.request())
	require.NoError(t, err)
	assert.Equal(t, "container=shop-master&follow=true&sinceSeconds=90&tailLines=5&timestamps=true", query)

	_, err = open(resumeAfter(logLine{time: time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)}))
	require.NoError(t, err)
	assert.Equal(t, "container=shop-master&follow=true&sinceTime=2026-01-02T03%3A04%3A05Z&timestamps=true", query)

	for code, isNone := range map[int]bool{http.StatusNotFound: true, http.StatusBadRequest: true, http.StatusForbidden: false} {
		status = code
		_, err = open(corev1.PodLogOptions{})
		assert.Equal(t, isNone, errors.Is(err, errNoLog), err)
		assert.ErrorContains(t, err, "because")
		if !isNone {
			assert.ErrorContains(t, err, "ClusterRole view")
			assert.ErrorContains(t, err, "load/master-1")
		}
	}
}
