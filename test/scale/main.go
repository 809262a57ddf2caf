// Command scale measures the operator, as it is deployed on the embedded cluster, under many tests at once. The nodes and
// pods are played by kwok; API server, controllers and scheduler are real.
//
//	scale bench    one table: the operator beside the baseline, against its budgets
//	scale sizes    memory by numbers of tests and pods, and what one more of each takes
//	scale shards   two operators that divide the namespaces between them
//	scale soak     tests that come and go for a long time
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/procfs"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	v2 "github.com/AbdelrhmanHamouda/locust-k8s-operator/api/v2"
)

// options are the flags of all commands.
type options struct {
	// fill makes a spec as large as it may be; nil leaves it small.
	fill                 func(*v2.LocustTestSpec)
	kwok, baseline, work string

	tests, workers  int
	runTime, spread time.Duration
	patience        time.Duration
	// check is what fails the run: counts, all or none.
	check string
	// sizes are numbers of tests and workers, as in 100x5,300x5.
	sizes string
	// duration is how long the soak goes on, and pace how many tests it starts per second.
	duration time.Duration
	pace     float64
	// environment are further settings of the operator, each NAME=VALUE.
	environment []string
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run() error {
	commands := map[string]func(context.Context, *cluster, *options) error{"bench": bench, "sizes": sizes, "shards": shards, "soak": soak}
	o := &options{}
	flag.StringVar(&o.kwok, "kwok", "", "path of kwok")
	flag.StringVar(&o.baseline, "baseline", "", "path of the baseline program; empty measures the operator alone")
	flag.StringVar(&o.work, "work", "bin/scale", "folder of logs and results")
	flag.IntVar(&o.tests, "tests", 300, "number of tests")
	flag.IntVar(&o.workers, "workers", 5, "workers of each test")
	flag.DurationVar(&o.runTime, "run-time", 0, "when the first test ends, after the first creation; 0 means when the Job controller has had the time to start all")
	flag.DurationVar(&o.spread, "spread", 40*time.Second, "over what time the tests end")
	flag.DurationVar(&o.patience, "patience", 20*time.Minute, "how long one run may take beyond its run time")
	flag.StringVar(&o.check, "check", checkAll, "what must be within its budget: counts, all (counts and times), none")
	flag.StringVar(&o.sizes, "sizes", "100x5,300x5,300x20,600x5,1000x5", "sizes: numbers of tests and workers")
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "length of the soak")
	flag.Float64Var(&o.pace, "pace", 2, "tests that the soak starts per second")
	flag.Func("largest", "fill the spec of each test to its bound: of bytes (text), or of values (values)", func(how string) error {
		if fills[how] == nil {
			return errors.New("must be text or values")
		}
		o.fill = fills[how]
		return nil
	})
	flag.Func("set", "further environment variable of the operator, NAME=VALUE; may be given again", func(pair string) error {
		o.environment = append(o.environment, pair)
		return nil
	})
	command := commands[""]
	if len(os.Args) > 1 {
		command = commands[os.Args[1]]
	}
	if command == nil {
		return errors.New("usage: scale bench|sizes|shards|soak [flags]")
	}
	if err := flag.CommandLine.Parse(os.Args[2:]); err != nil {
		return err
	}
	if !slices.Contains([]string{checkAll, checkCounts, checkNone}, o.check) {
		return fmt.Errorf("--check %q is none of counts, all, none", o.check)
	}
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		return err
	}
	log.SetLogger(logr.Discard()) // of controller-runtime's client
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	c, err := newCluster(o.work)
	if err != nil {
		return err
	}
	defer c.close()
	return command(ctx, c, o)
}

// settings are those of the operator. It asks no masters: those that kwok plays would not answer.
func (o *options) settings() map[string]string {
	settings := map[string]string{"LOCUST_OPERATOR_POLL_INTERVAL": "0"}
	for _, pair := range o.environment {
		name, value, _ := strings.Cut(pair, "=")
		settings[name] = value
	}
	return settings
}

// operator starts a fresh operator.
func (c *cluster) operator(ctx context.Context, settings map[string]string) (*subject, error) {
	pod, err := c.startOperator(ctx, settings)
	if err != nil {
		return nil, err
	}
	return c.subjectOf(ctx, "operator", pod)
}

// subjectOf is the operator in a pod.
func (c *cluster) subjectOf(ctx context.Context, name string, pod *corev1.Pod) (*subject, error) {
	process, err := processOf(pod, "manager")
	if err != nil {
		return nil, err
	}
	reader, err := c.newScraper(ctx, pod)
	if err != nil {
		return nil, err
	}
	return &subject{name: name, pod: pod.Name, process: process, wanted: byPod(pod.Name), scraper: reader}, nil
}

// load is what the flags ask for, in a fresh namespace.
func (o *options) load(namespace string, tests, workers int) load {
	runTime := o.runTime
	if runTime == 0 {
		runTime = startTime(tests, workers)
	}
	return load{namespace: namespace, tests: tests, workers: workers, runTime: runTime, spread: o.spread, patience: runTime + o.patience, fill: o.fill}
}

// startTime is how long it takes until all pods run. The Job controller makes one request for each pod and some for each
// Job, 20 in a second or as many as the cluster was started with; this machine carries some 40.
func startTime(tests, workers int) time.Duration {
	rate := 18.0
	if qps, err := strconv.ParseFloat(os.Getenv("LOCUST_CLUSTER_QPS"), 64); err == nil && qps > 0 {
		rate = min(0.9*qps, 40)
	}
	requests := float64(tests * (workers + 1 + 6))
	return 20*time.Second + time.Duration(requests/rate*float64(time.Second))
}

// measure runs a load in a namespace of its own, which is gone afterwards.
func (c *cluster) measure(ctx context.Context, s *subject, l load) (*result, error) {
	if err := c.makeNamespace(ctx, l.namespace); err != nil {
		return nil, err
	}
	r, err := c.run(ctx, s, l)
	if err != nil {
		return nil, err
	}
	c.log("%s: clearing up", s.name)
	return r, c.clear(ctx, l.namespace)
}

// bench measures the baseline, then the operator, then the operator with a single test.
func bench(ctx context.Context, c *cluster, o *options) error {
	if err := c.play(ctx, o.kwok, o.tests*(o.workers+1)); err != nil {
		return err
	}
	if err := c.keepOperator(ctx); err != nil {
		return err
	}
	baseline := &result{Subject: "baseline", Counts: newCounts()}
	if o.baseline != "" {
		var err error
		if baseline, err = c.measureBaseline(ctx, o); err != nil {
			return err
		}
	}
	subject, err := c.operator(ctx, o.settings())
	if err != nil {
		return err
	}
	operator, err := c.measure(ctx, subject, o.load("scale", o.tests, o.workers))
	if err != nil {
		return err
	}
	alone := o.load("scale-alone", 1, o.workers)
	alone.runTime = 15 * time.Second
	one, err := c.measure(ctx, subject, alone)
	if err != nil {
		return err
	}
	table := &table{Baseline: baseline, Operator: operator, Alone: one}
	if err := save(filepath.Join(o.work, fmt.Sprintf("bench-%dx%d.json", o.tests, o.workers)), table); err != nil {
		return err
	}
	return table.print(os.Stdout, o.check)
}

// measureBaseline measures the baseline, while no operator runs.
func (c *cluster) measureBaseline(ctx context.Context, o *options) (*result, error) {
	if err := c.stopOperator(ctx); err != nil {
		return nil, err
	}
	restore, err := c.withoutWebhooks(ctx)
	if err != nil {
		return nil, err
	}
	const ground = "scale-baseline"
	program, err := c.start(ctx, "baseline", o.baseline, "--namespace", ground, "--user-agent", "scale-baseline")
	if err != nil {
		return nil, err
	}
	process, err := procfs.NewProc(program.cmd.Process.Pid)
	if err != nil {
		return nil, err
	}
	r, err := c.measure(ctx, &subject{name: "baseline", process: process, wanted: byAgent("scale-baseline")}, o.load(ground, o.tests, o.workers))
	program.stop()
	if err != nil {
		return nil, err
	}
	return r, restore()
}

func save(path string, what any) error {
	data, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}
