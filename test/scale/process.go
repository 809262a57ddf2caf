package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/procfs"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/framework"
)

// processOf returns the process of a program in a pod on this machine. It finds it by the pod's UID in the cgroup path.
func processOf(pod *corev1.Pod, program string) (procfs.Proc, error) {
	return find(program, func(p procfs.Proc) bool {
		groups, err := p.Cgroups()
		return err == nil && slices.ContainsFunc(groups, func(g procfs.Cgroup) bool { return strings.Contains(g.Path, string(pod.UID)) })
	})
}

// apiServerProcess returns the process of the embedded cluster's API server.
func apiServerProcess() (procfs.Proc, error) {
	return find("kube-apiserver", func(procfs.Proc) bool { return true })
}

func find(program string, is func(procfs.Proc) bool) (procfs.Proc, error) {
	all, err := procfs.AllProcs()
	if err != nil {
		return procfs.Proc{}, fmt.Errorf("list processes: %w", err)
	}
	for _, p := range all {
		command, err := p.CmdLine()
		if err == nil && len(command) > 0 && filepath.Base(command[0]) == program && is(p) {
			return p, nil
		}
	}
	return procfs.Proc{}, fmt.Errorf("no process %s runs on this machine; the embedded cluster is needed: make cluster-up", program)
}

// peakMemory returns the peak resident memory of a process, in bytes.
func peakMemory(p procfs.Proc) (uint64, error) {
	status, err := p.NewStatus()
	return status.VmHWM, err
}

// cpu returns the CPU time of a process, in seconds.
func cpu(p procfs.Proc) (float64, error) {
	stat, err := p.Stat()
	return stat.CPUTime(), err
}

// machine returns the total and the idle CPU time of the machine, in seconds.
func machine() (all, idle float64, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, 0, err
	}
	stat, err := fs.Stat()
	if err != nil {
		return 0, 0, err
	}
	t := stat.CPUTotal
	idle = t.Idle + t.Iowait
	return t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ + t.Steal + idle, idle, nil
}

// scraper reads the operator's metrics as Prometheus does.
type scraper struct {
	client *http.Client
	url    string
	token  string
}

const readerName = "scale-metrics-reader"

func (c *cluster) newScraper(ctx context.Context, pod *corev1.Pod) (*scraper, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: framework.OperatorNamespace, Name: readerName}}
	if err := client.IgnoreAlreadyExists(c.Create(ctx, account)); err != nil {
		return nil, fmt.Errorf("create the service account of the metrics reader: %w", err)
	}
	binding := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: readerName},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "locust-k8s-operator-metrics-reader"},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: framework.OperatorNamespace, Name: readerName}},
	}
	if err := client.IgnoreAlreadyExists(c.Create(ctx, binding)); err != nil {
		return nil, fmt.Errorf("create the role binding of the metrics reader: %w", err)
	}
	c.cleanup = append(c.cleanup, func() {
		_ = c.Delete(context.Background(), binding)
		_ = c.Delete(context.Background(), account)
	})
	hours := int64(4 * 3600)
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hours}}
	if err := c.SubResource("token").Create(ctx, account, token); err != nil {
		return nil, fmt.Errorf("create the token of the metrics reader: %w", err)
	}
	return &scraper{
		// The operator serves metrics with a self-signed certificate.
		client: &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}},
		url:    "https://" + pod.Status.PodIP + ":8443/metrics",
		token:  token.Status.Token,
	}, nil
}

// metrics are scraped metric families, by name.
type metrics map[string]*dto.MetricFamily

func (s *scraper) read(ctx context.Context) (metrics, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	response, err := s.client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("read the operator's metrics: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("read the operator's metrics: %s", response.Status)
	}
	return decode(response.Body, "the operator's")
}

func decode(text io.Reader, whose string) (metrics, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, fmt.Errorf("decode %s metrics: %w", whose, err)
	}
	return families, nil
}

// apiServerMetrics scrapes the API server.
func (c *cluster) apiServerMetrics(ctx context.Context) (metrics, error) {
	data, err := c.set.Discovery().RESTClient().Get().AbsPath("/metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the API server's metrics: %w", err)
	}
	return decode(bytes.NewReader(data), "the API server's")
}

// served are totals of the API server since its start, for all clients: the number and duration of requests without watches,
// and the number, wait time and rejections of API Priority and Fairness. Times are in seconds
// (https://kubernetes.io/docs/reference/instrumentation/metrics/).
type served struct {
	requests, seconds       float64
	turns, waited, rejected float64
}

func servedBy(m metrics) (s served) {
	s.requests, s.seconds = m.histogram("apiserver_request_duration_seconds", "verb", "WATCH")
	s.turns, s.waited = m.histogram("apiserver_flowcontrol_request_wait_duration_seconds", "", "")
	s.rejected = m.sum("apiserver_flowcontrol_rejected_requests_total")
	return s
}

// saturation describes the load of the API server in a period.
type saturation struct {
	// Request is the mean duration of requests without watches, Wait their mean time in the queues of API Priority and
	// Fairness.
	Request float64 `json:"requestSeconds"`
	Wait    float64 `json:"waitSeconds"`
	// Rejected is the number of rejected requests.
	Rejected float64 `json:"rejected"`
}

func (a served) since(b served) saturation {
	mean := func(sum, n float64) float64 {
		if n <= 0 {
			return 0
		}
		return sum / n
	}
	return saturation{mean(a.seconds-b.seconds, a.requests-b.requests), mean(a.waited-b.waited, a.turns-b.turns), a.rejected - b.rejected}
}

// sum returns the sum of the series of a metric that have all labels, given as pairs of name and value.
func (m metrics) sum(name string, labels ...string) float64 {
	total := 0.0
next:
	for _, series := range m[name].GetMetric() {
		for i := 0; i+1 < len(labels); i += 2 {
			if !has(series, labels[i], labels[i+1]) {
				continue next
			}
		}
		// A series has one of these types; the others return 0.
		total += series.GetCounter().GetValue() + series.GetGauge().GetValue() + series.GetUntyped().GetValue()
	}
	return total
}

// histogram returns count and sum of a histogram, without the series that have the label.
func (m metrics) histogram(name, label, value string) (n, sum float64) {
	for _, series := range m[name].GetMetric() {
		if !has(series, label, value) {
			n += float64(series.GetHistogram().GetSampleCount())
			sum += series.GetHistogram().GetSampleSum()
		}
	}
	return n, sum
}

// has reports whether a series has a label with that value.
func has(series *dto.Metric, label, value string) bool {
	return slices.ContainsFunc(series.GetLabel(), func(l *dto.LabelPair) bool { return l.GetName() == label && l.GetValue() == value })
}

// series returns the number of series.
func (m metrics) series() int {
	n := 0
	for _, family := range m {
		n += len(family.GetMetric())
	}
	return n
}
