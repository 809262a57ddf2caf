package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/build"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/config"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/host"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/kube"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/pki"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/registry"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
)

// UpOptions select the images that Up provides in addition to the cluster.
type UpOptions struct {
	WithDebianLocust bool
	NoLocust         bool
}

// Up ensures that a healthy cluster runs: it reuses a running one, or removes an
// unhealthy one and starts a new one.
func (c *Cluster) Up(ctx context.Context, o UpOptions) error {
	if err := host.CheckPlatform(); err != nil {
		return err
	}
	if err := errors.Join(c.Validate(), config.CheckQPS()); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := host.EnsureTools(ctx, c.P, host.ClusterTools); err != nil {
		return err
	}
	bin, err := build.Ensure(ctx, c.Layout, c.P, build.Options{Quiet: true})
	if err != nil {
		return err
	}
	machine, err := host.Detect()
	if err != nil {
		return err
	}
	fingerprint, err := config.Fingerprint(c.Layout, machine, bin)
	if err != nil {
		return err
	}
	reused, err := c.reuse(ctx, fingerprint)
	if err != nil {
		return err
	}
	if !reused {
		if err := c.fresh(ctx, machine, record{Bin: bin, Fingerprint: fingerprint}); err != nil {
			return err
		}
	}
	if err := c.locustImages(ctx, o, !reused); err != nil {
		return err
	}
	if reused {
		c.P.Printf("cluster is up, reused (%.1fs)", c.P.Total().Seconds())
	} else {
		c.P.Printf("cluster is up (%.1fs)", c.P.Total().Seconds())
	}
	return nil
}

// locustImages builds and pushes the images, and pulls the first one on a new
// node, because the first test would have to wait for it.
func (c *Cluster) locustImages(ctx context.Context, o UpOptions, fetch bool) error {
	if o.NoLocust {
		return nil
	}
	wanted := []locust.Source{locust.Auto}
	if o.WithDebianLocust {
		wanted = append(wanted, locust.Debian)
	}
	for _, source := range wanted {
		ref, err := locust.Ensure(ctx, c.Layout, c.P, source)
		if err != nil {
			return err
		}
		if !fetch || source != locust.Auto {
			continue
		}
		if err := c.P.Do("node has pulled "+ref, func() error { return c.fetch(ctx, ref) }); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) fetch(ctx context.Context, ref string) error {
	_, err := run.Output(ctx, "ctr", "--address", c.ContainerdSocket(), "--namespace", "k8s.io", "images", "pull", "--plain-http", ref)
	return err
}

// reuse reports whether the running cluster is healthy and equals a new one.
func (c *Cluster) reuse(ctx context.Context, fingerprint string) (bool, error) {
	before, err := host.LoadRecord(c.HostRecord())
	if err != nil {
		return false, err
	}
	if before == nil {
		if err := host.CheckForeign(); err != nil {
			return false, err
		}
		// There may be only the registry of a killed image command.
		return false, c.stopAll()
	}
	r, ok := c.readRecord()
	switch problem := firstProblem(c.Check(ctx)); {
	case !ok || !r.Complete:
		c.P.Printf("the cluster is incomplete or damaged: starting a new one")
	case r.Fingerprint != fingerprint:
		c.P.Printf("the running cluster has other binaries or settings: starting a new one")
	case problem != nil:
		c.P.Printf("the cluster is not healthy (%s): starting a new one", oneLine(problem))
	default:
		return true, nil
	}
	return false, c.P.Do("removed the old cluster", func() error { return c.tearDown(ctx, *before) })
}

func (c *Cluster) fresh(ctx context.Context, m config.Machine, r record) error {
	var fetched chan struct{}
	steps := []struct {
		name string
		do   func() error
	}{
		{"machine prepared", func() error { return c.prepareHost(ctx) }},
		{"keys and configuration written", func() error { return c.writeFiles(m, r) }},
		{"registry ready, images of the cluster pushed", func() error { return c.startRegistry(ctx, r.Bin) }},
		{"containerd, etcd and API server ready", func() error { return c.startControl(ctx, r.Bin) }},
		{"node ready", func() error {
			fetched = c.fetchEarly(ctx)
			return c.startNode(ctx, r.Bin)
		}},
		{"CoreDNS ready", func() error { return c.startDNS(ctx, r.Bin) }},
	}
	for _, s := range steps {
		if err := c.P.Do(s.name, s.do); err != nil {
			return err
		}
	}
	<-fetched
	r.Complete = true
	return c.writeRecord(r)
}

// fetchEarly pulls the Locust image of an earlier cluster while the rest of this one
// starts. It only saves time, so failures are ignored.
func (c *Cluster) fetchEarly(ctx context.Context) chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if img, err := registry.Find(ctx, locust.Latest); err == nil && img != nil {
			c.fetch(ctx, locust.Latest) //nolint:errcheck // see above
		}
	}()
	return done
}

func (c *Cluster) prepareHost(ctx context.Context) error {
	if err := c.removeRuntime(); err != nil {
		return err
	}
	// Old logs must not appear in error messages.
	if err := os.RemoveAll(c.Logs()); err != nil {
		return fmt.Errorf("remove old logs: %w", err)
	}
	if err := portsFree(); err != nil {
		return err
	}
	before, err := host.Capture(ctx)
	if err != nil {
		return err
	}
	return before.SetUp(ctx, func() error { return before.Save(c.HostRecord()) })
}

// portsFree returns an error if a required port is in use, before a component fails with
// a less clear one.
func portsFree() error {
	for _, addr := range config.Listens {
		listener, err := net.Listen("tcp", addr)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("another program listens on %s, which the cluster needs: stop it first", addr)
		}
		if err == nil {
			listener.Close() //nolint:errcheck // only a check
		}
	}
	return nil
}

func (c *Cluster) writeFiles(m config.Machine, r record) error {
	if err := pki.Write(c.Pki()); err != nil {
		return err
	}
	files, err := config.Files(c.Layout, m)
	if err != nil {
		return err
	}
	for path, data := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("create folder of the configuration: %w", err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("write configuration: %w", err)
		}
	}
	for _, dir := range []string{c.Logs(), c.Etcd(), c.Containerd(), c.Kubelet(), c.PodLogs(), c.RegistryStorage()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("create state folder: %w", err)
		}
	}
	if err := config.WriteKubeconfigs(c.Layout); err != nil {
		return err
	}
	return c.writeRecord(r)
}

func (c *Cluster) startRegistry(ctx context.Context, bin string) error {
	p, err := c.start(registry.Name, bin)
	if err != nil {
		return err
	}
	if err := c.wait(ctx, 20*time.Second, func() error { return kube.Healthy(ctx, config.RegistryHealth) }, p); err != nil {
		return err
	}
	for tag, program := range map[string]string{layout.PauseImage: "pause", layout.CoreDNSImage: "coredns"} {
		if err := pushProgram(ctx, tag, bin, program); err != nil {
			return err
		}
	}
	return nil
}

const buildLabel = "locust-localcluster.build"

// pushProgram pushes an image with a single program, unless the registry already
// has it from an earlier cluster.
func pushProgram(ctx context.Context, tag, bin, program string) error {
	if label, err := registry.Label(ctx, tag, buildLabel); err == nil && label == bin {
		return nil
	}
	layer, err := registry.FileLayer([]registry.File{{Source: filepath.Join(bin, program), Target: "/" + program}})
	if err != nil {
		return err
	}
	img, err := registry.Image(registry.Settings{Entrypoint: []string{"/" + program}, Labels: map[string]string{buildLabel: bin}}, layer)
	if err != nil {
		return err
	}
	return registry.Push(ctx, tag, img)
}

func (c *Cluster) startControl(ctx context.Context, bin string) error {
	containerd, err := c.start("containerd", bin)
	if err != nil {
		return err
	}
	etcd, err := c.start("etcd", bin)
	if err != nil {
		return err
	}
	if err := c.wait(ctx, 30*time.Second, func() error { return kube.Healthy(ctx, config.EtcdHealth) }, etcd); err != nil {
		return err
	}
	api, err := c.start("kube-apiserver", bin)
	if err != nil {
		return err
	}
	if err := c.wait(ctx, 30*time.Second, func() error { return containerdHealthy(ctx, c.Layout) }, containerd); err != nil {
		return err
	}
	return c.wait(ctx, 2*time.Minute, func() error { return apiHealthy(ctx, c.Layout) }, api, etcd)
}

func (c *Cluster) startNode(ctx context.Context, bin string) error {
	var procs []*proc.Process
	for _, name := range []string{"kube-controller-manager", "kube-scheduler", "kubelet", "kube-proxy"} {
		p, err := c.start(name, bin)
		if err != nil {
			return err
		}
		procs = append(procs, p)
	}
	client, err := kube.New(c.Layout)
	if err != nil {
		return err
	}
	// Only the kubelet's log explains an unready node.
	if err := c.wait(ctx, 2*time.Minute, func() error { return client.NodeReady(ctx) }, procs[2]); err != nil {
		return err
	}
	for _, p := range procs {
		if err := c.wait(ctx, time.Minute, func() error { return healthOf(p.Name)(ctx, c.Layout) }, p); err != nil {
			return err
		}
	}
	return nil
}

func (c *Cluster) startDNS(ctx context.Context, bin string) error {
	kubectl := []string{filepath.Join(bin, "kubectl"), "--kubeconfig", c.Kubeconfig()}
	apply := run.Cmd{Args: append(kubectl, "apply", "-f", "-"), Stdin: config.CoreDNS()}
	if _, err := apply.Run(ctx); err != nil {
		return err
	}
	client, err := kube.New(c.Layout)
	if err != nil {
		return err
	}
	if err := c.wait(ctx, 2*time.Minute, func() error { return client.DNSReady(ctx) }); err != nil {
		describe, _ := run.Output(ctx, append(kubectl, "--namespace", "kube-system", "describe", "pods")...)
		return fmt.Errorf("%w\n%s\n  log of the kubelet: %s", err, run.Indent(run.Tail(describe, 20)), c.Log("kubelet"))
	}
	return nil
}
