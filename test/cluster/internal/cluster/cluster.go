// Package cluster starts, stops and checks the local cluster.
package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/build"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/config"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/kube"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/registry"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/step"
)

// Cluster is the local cluster of one cache folder.
type Cluster struct {
	layout.Layout
	P *step.Printer
}

// record describes the running cluster.
type record struct {
	Bin         string `json:"bin"`
	Fingerprint string `json:"fingerprint"`
	// Complete is set last: a cluster whose up was interrupted is not reused.
	Complete bool `json:"complete"`
}

func (c *Cluster) readRecord() (record, bool) {
	data, err := os.ReadFile(c.Record())
	if err != nil {
		return record{}, false
	}
	var r record
	return r, json.Unmarshal(data, &r) == nil
}

func (c *Cluster) writeRecord(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode the cluster record: %w", err)
	}
	if err := os.WriteFile(c.Record(), data, 0o644); err != nil {
		return fmt.Errorf("write the cluster record: %w", err)
	}
	return nil
}

// component is one process of the cluster.
type component struct {
	name    string
	args    func(l layout.Layout, bin string) []string
	healthy func(ctx context.Context, l layout.Layout) error
	// ownMounts starts the component in its own mount namespace, so that the pods' mounts
	// end with it.
	ownMounts bool
}

func builtBinary(name string, args func(layout.Layout) []string) func(layout.Layout, string) []string {
	return func(l layout.Layout, bin string) []string {
		return append([]string{filepath.Join(bin, name)}, args(l)...)
	}
}

func healthEndpoint(url string) func(context.Context, layout.Layout) error {
	return func(ctx context.Context, _ layout.Layout) error { return kube.Healthy(ctx, url) }
}

// components are in the order of their start.
var components = []component{
	{name: registry.Name, args: func(l layout.Layout, _ string) []string { return registry.Command(l) }, healthy: healthEndpoint(config.RegistryHealth)},
	{name: "containerd", args: func(l layout.Layout, _ string) []string {
		return append([]string{"containerd"}, config.ContainerdArgs(l)...)
	}, healthy: containerdHealthy, ownMounts: true},
	{name: "etcd", args: builtBinary("etcd", config.EtcdArgs), healthy: healthEndpoint(config.EtcdHealth)},
	{name: "kube-apiserver", args: builtBinary("kube-apiserver", config.APIServerArgs), healthy: apiHealthy},
	{name: "kube-controller-manager", args: builtBinary("kube-controller-manager", config.KCMArgs), healthy: healthEndpoint(config.KCMHealth)},
	{name: "kube-scheduler", args: builtBinary("kube-scheduler", config.SchedulerArgs), healthy: healthEndpoint(config.SchedulerHealth)},
	{name: "kubelet", args: kubeletArgs, healthy: healthEndpoint(config.KubeletHealth)},
	{name: "kube-proxy", args: builtBinary("kube-proxy", config.ProxyArgs), healthy: healthEndpoint(config.ProxyHealth)},
}

// kubeletArgs runs the kubelet in containerd's mount namespace, because the volumes it
// mounts must be visible there.
func kubeletArgs(l layout.Layout, bin string) []string {
	holder, _ := proc.ReadIdentity(pidFile(l, "containerd"))
	return append([]string{"nsenter", fmt.Sprintf("--mount=/proc/%d/ns/mnt", holder.Pid), "--", filepath.Join(bin, "kubelet")},
		config.KubeletArgs(l)...)
}

func containerdHealthy(ctx context.Context, l layout.Layout) error {
	_, err := run.Output(ctx, "ctr", "--address", l.ContainerdSocket(), "--timeout", "3s", "version")
	return err
}

func apiHealthy(ctx context.Context, l layout.Layout) error {
	client, err := kube.New(l)
	if err != nil {
		return err
	}
	return client.Ready(ctx)
}

func pidFile(l layout.Layout, name string) string { return filepath.Join(l.Pids(), name+".pid") }

// environment returns the environment of the components. It excludes the caller's
// variables, because proxy settings would redirect requests to loopback.
func environment(bin string) []string {
	path := os.Getenv("PATH")
	if bin != "" {
		path = bin + ":" + path
	}
	return []string{"PATH=" + path, "HOME=/root", "LANG=C.UTF-8"}
}

// Environment returns the environment of helper processes such as the registry.
func Environment() []string { return environment("") }

func (c *Cluster) start(name, bin string) (*proc.Process, error) {
	for _, comp := range components {
		if comp.name != name {
			continue
		}
		return proc.Start(proc.Spec{Name: name, Args: comp.args(c.Layout, bin), Env: environment(bin),
			Log: c.Log(name), PidFile: pidFile(c.Layout, name), OwnMounts: comp.ownMounts})
	}
	return nil, fmt.Errorf("no component %s", name)
}

func healthOf(name string) func(context.Context, layout.Layout) error {
	for _, comp := range components {
		if comp.name == name {
			return comp.healthy
		}
	}
	return nil
}

// wait waits until ready returns nil. It returns at once if one of the processes
// ends, with the end of its log in the error.
func (c *Cluster) wait(ctx context.Context, timeout time.Duration, ready func() error, procs ...*proc.Process) error {
	for deadline := time.Now().Add(timeout); ; time.Sleep(50 * time.Millisecond) {
		err := ready()
		if err == nil {
			return nil
		}
		for _, p := range procs {
			if ended := p.Ended(); ended != nil {
				return fmt.Errorf("%w%s", ended, quote(p.Log))
			}
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			for _, p := range procs {
				err = fmt.Errorf("%w%s", err, quote(p.Log))
			}
			return fmt.Errorf("timed out after %s: %w", timeout, err)
		}
	}
}

func quote(log string) string {
	data, err := os.ReadFile(log)
	if err != nil || len(data) == 0 {
		return "\n  (its log is empty: " + log + ")"
	}
	return "\n" + run.Indent(run.Tail(string(data), 15)) + "\n  complete log: " + log
}

// lock serializes runs that change the cluster.
func (c *Cluster) lock() (func(), error) {
	return build.Lock(c.Lock(), func() { c.P.Printf("waiting for another up or down") })
}

// Health is the state of one part of the cluster.
type Health struct {
	Name string
	Pid  int // zero means not running, -1 not a process
	Err  error
}

var errNotRunning = errors.New("not running")

// Check returns the health of every part.
func (c *Cluster) Check(ctx context.Context) []Health {
	out := make([]Health, len(components), len(components)+2)
	done := make(chan struct{})
	for i, comp := range components {
		go func() {
			defer func() { done <- struct{}{} }()
			out[i] = Health{Name: comp.name, Err: errNotRunning}
			id, ok := proc.ReadIdentity(pidFile(c.Layout, comp.name))
			if !ok || !id.Alive() {
				return
			}
			out[i].Pid, out[i].Err = id.Pid, comp.healthy(ctx, c.Layout)
		}()
	}
	for range components {
		<-done
	}
	client, err := kube.New(c.Layout)
	if err == nil {
		err = healthNamed(out, "kube-apiserver")
	}
	if err != nil {
		err = errors.New("unknown: the API server does not respond")
		return append(out, Health{"node " + layout.NodeName, -1, err}, Health{"CoreDNS", -1, err})
	}
	return append(out, Health{"node " + layout.NodeName, -1, client.NodeReady(ctx)}, Health{"CoreDNS", -1, client.DNSReady(ctx)})
}

func healthNamed(parts []Health, name string) error {
	for _, h := range parts {
		if h.Name == name {
			return h.Err
		}
	}
	return errNotRunning
}

// firstProblem returns the error of the first unhealthy part.
func firstProblem(parts []Health) error {
	for _, h := range parts {
		if h.Err != nil {
			return fmt.Errorf("%s: %w", h.Name, h.Err)
		}
	}
	return nil
}

// oneLine truncates an error for a table.
func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > 160 {
		text = text[:160] + "..."
	}
	return text
}
