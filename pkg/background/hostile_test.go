package background

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/locust/report"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/resources"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/pkg/status"
)

const (
	pollInterval    = 5 * time.Second
	pollConcurrency = 100 // the default of --poll-concurrency
)

// response is what a master of these tests sends: text, with a delay before its last byte; or text and then forever, repeated
// without end.
type response struct {
	text    []byte
	delay   time.Duration
	forever string
}

func page(body string, header ...string) []byte {
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%s\r\n%s", len(body), strings.Join(header, ""), body)
}

const (
	total   = `{"name":"Aggregated","method":"","num_requests":2,"num_failures":1,"current_rps":1.5,"avg_response_time":10}`
	stopped = `{"state":"stopped","user_count":1,"stats":[` + total + `]}`
)

// hostileResponses returns the responses of /stats/requests by kind, and those of the CSV if the first reports that the load has
// stopped.
func hostileResponses() (hostile, csvs map[string]response) {
	const late = 1500 * time.Millisecond
	fill := func(before, with, after string) string {
		return before + strings.Repeat(with, (report.MaxResponseBytes-len(before)-len(after))/len(with)) + after
	}
	hostile = map[string]response{
		"entries":         {text: page(fill(`{"state":"running","user_count":1,"stats":[`, total+",", total+`]}`)), delay: late},
		"members":         {text: page(fill(`{`, `"a":1,`, `"b":{}}`)), delay: late},
		"a string":        {text: page(fill(`{"state":"`, "x", `"}`)), delay: late},
		"white space":     {text: page(fill(`{"state":`, " ", `"running"}`)), delay: late},
		"an element":      {text: page(fill(`{"stats":[{`, `"a":1,`, `"b":1}]}`)), delay: late},
		"depth":           {text: page(fill(`{"x":`, "[", `]`)), delay: late},
		"gzip":            {text: page(fill("\x1f\x8b\x08", "\x00", ""), "Content-Encoding: gzip\r\n"), delay: late},
		"errors":          {text: page(fill(`{"state":"running","user_count":1,"stats":[`+total+`],"errors":[`, `{"error":"`+strings.Repeat("e", 8000)+`","occurrences":1},`, `{}]}`)), delay: late},
		"a large element": {text: page(`{"stats":[` + strings.Repeat("{", 30) + strings.Repeat(`"`+strings.Repeat("k", 4000)+`":1,`, 3)), delay: late},
		"headers":         {text: []byte("HTTP/1.1 200 OK\r\n"), forever: "a-b: c\r\n"},
		"one header":      {text: []byte("HTTP/1.1 200 OK\r\nX: "), forever: "x"},
		"endless space":   {text: []byte("HTTP/1.1 200 OK\r\n\r\n"), forever: " "},
		"endless string":  {text: []byte("HTTP/1.1 200 OK\r\n\r\n{\"state\":\""), forever: "x"},
		"chunks":          {text: []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), forever: "1\r\n{\r\n"},
	}
	csvs = map[string]response{}
	for kind, table := range map[string]string{
		"columns": fill("", ",", ""), "a cell": fill("Type,", "x", ""), "a quoted cell": fill(`Type,"`, ",\n", `"`), "rows": fill("Type,Name\n", "a,b\n", ""),
	} {
		hostile[kind] = response{text: page(stopped)}
		csvs[kind] = response{text: page(table), delay: late}
	}
	return hostile, csvs
}

// masterServer serves many masters. Its clients select one by the base path, which is "kind/name".
type masterServer struct {
	responses, csvs map[string]response
	mu              sync.Mutex
	// polls holds the times of the polls of each master.
	polls map[string][]time.Time
}

func (m *masterServer) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	for reader := bufio.NewReaderSize(conn, 1024); ; {
		request, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		parts := strings.SplitN(strings.Trim(request.URL.Path, "/"), "/", 3)
		r := m.responses[parts[0]]
		if path.Base(request.URL.Path) == "csv" {
			r = m.csvs[parts[0]]
		} else {
			m.mu.Lock()
			m.polls[parts[1]] = append(m.polls[parts[1]], time.Now())
			m.mu.Unlock()
		}
		if r.send(conn) != nil {
			return
		}
	}
}

func (r response) send(conn net.Conn) error {
	last := len(r.text) - 1
	if _, err := conn.Write(r.text[:last]); err != nil {
		return err
	}
	time.Sleep(r.delay)
	_, err := conn.Write(r.text[last:])
	if r.forever == "" {
		return err
	}
	for more := bytes.Repeat([]byte(r.forever), 4096/len(r.forever)); err == nil; {
		_, err = conn.Write(more)
	}
	return err
}

// throughPipe connects without a network, for tests with a fake clock.
func (m *masterServer) throughPipe(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	go m.serve(server)
	return client, nil
}

// polledTest is a running test, and the part of its reconciles that polls.
type polledTest struct {
	test      v2.LocustTest
	status    v2.LocustTestStatus
	obs       status.Observation
	triggered chan struct{}
}

func newPolledTest(namespace, kind, name string) *polledTest {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: name + "-master", UID: "job"}}
	started := metav1.NewTime(time.Now().Add(-time.Hour))
	p := &polledTest{
		test:      v2.LocustTest{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace}},
		status:    v2.LocustTestStatus{Phase: v2.PhaseRunning},
		triggered: make(chan struct{}, 1),
		obs: status.Observation{
			Run:       resources.NewRun(&v2.LocustTest{Spec: v2.LocustTestSpec{Master: v2.MasterSpec{Command: fmt.Sprintf("-f a.py --web-base-path '/%s/%s'", kind, name)}}}),
			MasterJob: job,
			Pods: []corev1.Pod{{
				ObjectMeta: metav1.ObjectMeta{
					Name: job.Name + "-0", OwnerReferences: []metav1.OwnerReference{{UID: "job"}},
					Labels: map[string]string{resources.LabelTestName: name, resources.LabelPodName: job.Name},
				},
				Status: corev1.PodStatus{Phase: corev1.PodRunning, PodIP: "10.0.0.1", ContainerStatuses: []corev1.ContainerStatus{
					{Name: job.Name, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}},
				}},
			}},
		},
	}
	p.obs.Test = &p.test
	return p
}

// reconcile polls if a poll is due, and returns how long to wait; zero until the response.
func (p *polledTest) reconcile(poller *Poller) time.Duration {
	known := poller.Latest(&p.test)
	p.obs.Locust = &known
	derived := status.Derive(p.status, p.obs, status.Settings{PollInterval: pollInterval}, time.Now())
	return poller.Request(&p.test, &p.obs, derived.PollIn)
}

// run polls the tests until ctx ends.
func run(ctx context.Context, poller *Poller, tests []*polledTest) {
	byName := map[string]*polledTest{}
	for _, p := range tests {
		byName[p.test.Namespace+"/"+p.test.Name] = p
	}
	for _, p := range tests {
		go func() {
			for ctx.Err() == nil {
				var due <-chan time.Time
				if wait := p.reconcile(poller); wait > 0 {
					due = time.After(wait)
				}
				select {
				case <-due:
				case <-p.triggered:
				case <-ctx.Done():
				}
			}
		}()
	}
	for {
		select {
		case e := <-poller.tests:
			select {
			case byName[e.Object.Namespace+"/"+e.Object.Name].triggered <- struct{}{}:
			default:
			}
		case <-ctx.Done():
			return
		}
	}
}

func sampleResponse(t *testing.T) response {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("..", "locust", "report", "testdata", "2.47-running.json"))
	require.NoError(t, err)
	return response{text: page(string(data)), delay: 20 * time.Millisecond}
}

// TestPoller_HostileNeighbours: the masters of one namespace cannot delay the polls of others, whatever they respond.
func TestPoller_HostileNeighbours(t *testing.T) {
	slow := func() (responses, csvs map[string]response) {
		slow := sampleResponse(t)
		slow.delay = 1900 * time.Millisecond
		return map[string]response{"slow": slow}, nil
	}
	for name, tc := range map[string]struct {
		hostile, namespaces int
		last                time.Duration
		kinds               func() (responses, csvs map[string]response)
	}{
		"100 of all kinds":                 {100, 1, 11 * time.Second, hostileResponses},
		"1,000 slow ones":                  {1000, 1, 30 * time.Second, slow},
		"1,000 slow ones in 10 namespaces": {1000, 10, 20 * time.Second, slow},
		"1,000 that never respond": {1000, 1, 30 * time.Second, func() (responses, csvs map[string]response) {
			return map[string]response{"unresponsive": {text: []byte("HTTP/1.1 200 OK\r\n"), delay: time.Hour}}, nil
		}},
	} {
		t.Run(name, func(t *testing.T) {
			responses, csvs := tc.kinds()
			m := &masterServer{responses: responses, csvs: csvs, polls: map[string][]time.Time{}}
			var kinds []string
			for kind := range responses {
				kinds = append(kinds, kind)
			}
			responses["honest"] = sampleResponse(t)
			most := heapGrowth(t, func() {
				synctest.Test(t, func(t *testing.T) { pollNeighbours(t, m, tc.hostile/hostileDivisor, tc.namespaces, tc.last, kinds) })
			})
			t.Logf("heap growth %s", most)
			if tc.hostile <= 100 {
				most.below(t, 40)
			}
		})
	}
}

func pollNeighbours(t *testing.T, m *masterServer, hostile, namespaces int, last time.Duration, kinds []string) {
	const honest = 20
	poller := NewPoller(locust.NewDirect(locust.WithDialContext(m.throughPipe)), pollInterval, pollConcurrency, clock.RealClock{}, nil)
	var tests []*polledTest
	for i := range hostile {
		tests = append(tests, newPolledTest(fmt.Sprintf("hostile%d", i%namespaces), kinds[i%len(kinds)], fmt.Sprintf("bad%d", i)))
	}
	for i := range honest {
		p := newPolledTest(fmt.Sprintf("honest%d", i%5), "honest", fmt.Sprintf("good%d", i))
		poller.of(&p.test).known.RecordReport(&report.Report{State: report.StateRunning, Workers: 2}, time.Now().Add(-time.Minute)) // with all workers
		tests = append(tests, p)
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), last)
	defer cancel()
	run(ctx, poller, tests)
	poller.stop()
	ended := time.Now()
	time.Sleep(2 * time.Hour) // the connections end

	m.mu.Lock()
	defer m.mu.Unlock()
	worst := time.Duration(0)
	for i := range honest {
		name := fmt.Sprintf("good%d", i)
		times := slices.Concat(m.polls[name], []time.Time{ended})
		previous := began
		for _, at := range times {
			worst = max(worst, at.Sub(previous))
			previous = at
		}
		assert.GreaterOrEqual(t, len(times), int(last/(pollInterval+2*time.Second)), name)
	}
	t.Logf("longest time between two polls of an honest master: %s", worst)
	assert.LessOrEqual(t, worst, pollInterval+2*time.Second)
}

// TestPoller_Memory: 100 concurrent hostile responses over the network, from as many namespaces as needed to use all slots.
func TestPoller_Memory(t *testing.T) {
	responses, csvs := hostileResponses()
	m := &masterServer{responses: responses, csvs: csvs, polls: map[string][]time.Time{}}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go m.serve(conn)
		}
	}()
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", listener.Addr().String())
	}
	poller := NewPoller(locust.NewDirect(locust.WithDialContext(dial)), pollInterval, pollConcurrency, clock.RealClock{}, nil)
	defer poller.stop()
	var tests []*polledTest
	for kind := range responses {
		for i := len(tests); len(tests) < i+6; {
			tests = append(tests, newPolledTest(fmt.Sprintf("hostile%d", len(tests)%8), kind, fmt.Sprintf("bad%d", len(tests))))
		}
	}
	require.GreaterOrEqual(t, len(tests), 100)
	most := heapGrowth(t, func() {
		for _, p := range tests {
			p.reconcile(poller)
		}
		for range tests {
			<-poller.tests
		}
	})
	t.Logf("heap growth %s", most)
	most.below(t, 40)
	for _, p := range tests {
		if known := poller.Latest(&p.test); known.LastError == "" {
			assert.Contains(t, []report.State{report.StateRunning, report.StateStopped}, known.Report.State)
		}
	}
}

// heap is the growth of the heap in bytes, allocated and obtained from the OS.
type heap struct{ alloc, system int64 }

func (h heap) String() string {
	return fmt.Sprintf("%.1f MiB allocated, %.1f MiB from the OS", float64(h.alloc)/(1<<20), float64(h.system)/(1<<20))
}

func (h heap) below(t *testing.T, mebibytes int64) {
	t.Helper()
	assert.Less(t, h.alloc, mebibytes<<20, "allocated")
	assert.Less(t, h.system, mebibytes<<20, "from the OS")
}

func heapNow() heap {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return heap{int64(stats.HeapAlloc), int64(stats.HeapSys - stats.HeapReleased)}
}

// heapGrowth returns how much the heap grows while do runs, with the GC settings of the Deployment.
func heapGrowth(t *testing.T, do func()) heap {
	t.Helper()
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	defer debug.SetGCPercent(debug.SetGCPercent(65))
	debug.FreeOSMemory()
	before, most := heapNow(), heap{}
	done, sampled := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(sampled)
		for {
			now := heapNow()
			most.alloc = max(most.alloc, now.alloc-before.alloc)
			most.system = max(most.system, now.system-before.system)
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	do()
	close(done)
	<-sampled
	return most
}
