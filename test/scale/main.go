// Command scale measures the operator that is deployed on the embedded cluster with many concurrent tests. kwok simulates
// nodes and pods; API server, controllers and scheduler are real.
//
//	scale bench    compares the operator with the baseline and with its budgets
//	scale sizes    measures memory as a function of the numbers of tests and pods
//	scale shards   runs two operators in separate namespaces
//	scale soak     creates and deletes tests for a long time
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
	// fill makes a spec as large as admitted; nil keeps it small.
	fill                 func(*v2.LocustTestSpec)
	kwok, baseline, work string

	tests, workers  int
	runTime, spread time.Duration
	timeout         time.Duration
	// check selects the budgets that fail the run: counts, all or none.
	check string
	// sizes are numbers of tests and workers, for example 100x5,300x5.
	sizes string
	// duration is the length of the soak, and pace the number of tests that it starts per second.
	duration time.Duration
	pace     float64
	// environment are additional environment variables of the operator, each NAME=VALUE.
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
	flag.StringVar(&o.work, "work", "bin/scale", "folder for logs and results")
	flag.IntVar(&o.tests, "tests", 300, "number of tests")
	flag.IntVar(&o.workers, "workers", 5, "workers of each test")
	flag.DurationVar(&o.runTime, "run-time", 0, "time from the first creation to the end of the first test; zero means an estimate of the time to start all tests")
	flag.DurationVar(&o.spread, "spread", 40*time.Second, "time between the ends of the first and the last test")
	flag.DurationVar(&o.timeout, "timeout", 20*time.Minute, "limit for the duration of one run beyond its run time")
	flag.StringVar(&o.check, "check", checkAll, "budgets that fail the run: counts, all (counts and times), none")
	flag.StringVar(&o.sizes, "sizes", "100x5,300x5,300x20,600x5,1000x5", "sizes: numbers of tests and workers")
	flag.DurationVar(&o.duration, "duration", 10*time.Minute, "length of the soak")
	flag.Float64Var(&o.pace, "pace", 2, "tests that the soak starts per second")
	flag.Func("largest", "fill the spec of each test to its limit: of bytes (text) or of values (values)", func(how string) error {
		if fills[how] == nil {
			return errors.New("must be text or values")
		}
		o.fill = fills[how]
		return nil
	})
	flag.Func("set", "additional environment variable of the operator, NAME=VALUE; may be repeated", func(pair string) error {
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
		return fmt.Errorf("--check %q must be one of counts, all, none", o.check)
	}
	if err := os.MkdirAll(o.work, 0o755); err != nil {
		return err
	}
	log.SetLogger(logr.Discard()) // controller-runtime's client logs
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	c, err := newCluster(o.work)
	if err != nil {
		return err
	}
	defer c.close()
	return command(ctx, c, o)
}

// settings returns the operator's environment variables. Polling is off, because simulated masters do not answer.
func (o *options) settings() map[string]string {
	settings := map[string]string{"LOCUST_OPERATOR_POLL_INTERVAL": "0"}
	for _, pair := range o.environment {
		name, value, _ := strings.Cut(pair, "=")
		settings[name] = value
	}
	return settings
}

// operator restarts the operator and returns it as target.
func (c *cluster) operator(ctx context.Context, settings map[string]string) (*target, error) {
	pod, err := c.startOperator(ctx, settings)
	if err != nil {
		return nil, err
	}
	return c.targetOf(ctx, "operator", pod)
}

// targetOf returns the operator in a pod as target.
func (c *cluster) targetOf(ctx context.Context, name string, pod *corev1.Pod) (*target, error) {
	process, err := processOf(pod, "manager")
	if err != nil {
		return nil, err
	}
	reader, err := c.newScraper(ctx, pod)
	if err != nil {
		return nil, err
	}
	return &target{name: name, pod: pod.Name, process: process, wanted: byPod(pod.Name), scraper: reader}, nil
}

// load returns the load that the flags define.
func (o *options) load(namespace string, tests, workers int) load {
	runTime := o.runTime
	if runTime == 0 {
		runTime = startTime(tests, workers)
	}
	return load{namespace: namespace, tests: tests, workers: workers, runTime: runTime, spread: o.spread, timeout: runTime + o.timeout, fill: o.fill}
}

// startTime estimates the time until all pods run. The Job controller makes one request for each pod and some for each
// Job, 20 per second or as many as the cluster was started with; this machine handles about 40.
func startTime(tests, workers int) time.Duration {
	rate := 18.0
	if qps, err := strconv.ParseFloat(os.Getenv("LOCUST_CLUSTER_QPS"), 64); err == nil && qps > 0 {
		rate = min(0.9*qps, 40)
	}
	requests := float64(tests * (workers + 1 + 6))
	return 20*time.Second + time.Duration(requests/rate*float64(time.Second))
}

// measure runs a load in a new namespace, and deletes the namespace.
func (c *cluster) measure(ctx context.Context, s *target, l load) (*result, error) {
	if err := c.makeNamespace(ctx, l.namespace); err != nil {
		return nil, err
	}
	r, err := c.run(ctx, s, l)
	if err != nil {
		return nil, err
	}
	c.log("%s: cleaning up", s.name)
	return r, c.clear(ctx, l.namespace)
}

// idleTests is the number of tests that end one after the other on an otherwise idle cluster, idleSpread apart in all.
const (
	idleTests  = 9
	idleSpread = 18 * time.Second
)

// idle returns the load that measures how fast an idle cluster shows the end of a test.
func (o *options) idle(namespace string) load {
	l := o.load(namespace, idleTests, 1)
	l.runTime, l.spread = startTime(idleTests, 1), idleSpread
	return l
}

// bench measures the baseline, then the operator, then the operator with a single test. If times are checked, it also measures
// both with a few tests that end one after the other.
func bench(ctx context.Context, c *cluster, o *options) error {
	if err := c.startKwok(ctx, o.kwok, o.tests*(o.workers+1)); err != nil {
		return err
	}
	if err := c.restoreOperatorAtEnd(ctx); err != nil {
		return err
	}
	table := &table{Baseline: &result{Target: "baseline", Counts: newCounts()}, IdleBaseline: &result{}, Idle: &result{}}
	if o.baseline != "" {
		if err := c.measureBaseline(ctx, o, table); err != nil {
			return err
		}
	}
	operatorTarget, err := c.operator(ctx, o.settings())
	if err != nil {
		return err
	}
	if table.Operator, err = c.measure(ctx, operatorTarget, o.load("scale", o.tests, o.workers)); err != nil {
		return err
	}
	alone := o.load("scale-alone", 1, o.workers)
	alone.runTime = 15 * time.Second
	if table.Alone, err = c.measure(ctx, operatorTarget, alone); err != nil {
		return err
	}
	if o.check == checkAll {
		if table.Idle, err = c.measure(ctx, operatorTarget, o.idle("scale-idle")); err != nil {
			return err
		}
	}
	if err := save(filepath.Join(o.work, fmt.Sprintf("bench-%dx%d.json", o.tests, o.workers)), table); err != nil {
		return err
	}
	return table.print(os.Stdout, o.check)
}

// measureBaseline stops the operator and measures the baseline.
func (c *cluster) measureBaseline(ctx context.Context, o *options, table *table) error {
	if err := c.stopOperator(ctx); err != nil {
		return err
	}
	restore, err := c.withoutWebhooks(ctx)
	if err != nil {
		return err
	}
	measure := func(l load) (*result, error) {
		program, err := c.start(ctx, "baseline", o.baseline, "--namespace", l.namespace, "--user-agent", "scale-baseline")
		if err != nil {
			return nil, err
		}
		defer program.stop()
		process, err := procfs.NewProc(program.cmd.Process.Pid)
		if err != nil {
			return nil, err
		}
		return c.measure(ctx, &target{name: "baseline", process: process, wanted: byAgent("scale-baseline")}, l)
	}
	if table.Baseline, err = measure(o.load("scale-baseline", o.tests, o.workers)); err != nil {
		return err
	}
	if o.check == checkAll {
		if table.IdleBaseline, err = measure(o.idle("scale-baseline-idle")); err != nil {
			return err
		}
	}
	return restore()
}

func save(path string, what any) error {
	data, err := json.MarshalIndent(what, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o600)
}
