package registry

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/build"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/config"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/kube"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/step"
)

// Name is the component name of the registry.
const Name = "registry"

// Command returns the command line of the registry.
func Command(l layout.Layout) []string {
	return []string{"docker-registry", "serve", filepath.Join(l.Conf(), "registry.yaml")}
}

// WithServer runs fn with a running registry: that of the running cluster, or a temporary
// one, for which up and down wait.
func WithServer(ctx context.Context, l layout.Layout, p *step.Printer, env []string, fn func() error) error {
	pidFile := filepath.Join(l.Pids(), Name+".pid")
	running := func() bool {
		id, ok := proc.ReadIdentity(pidFile)
		return ok && id.Alive() && kube.Healthy(ctx, config.RegistryHealth) == nil
	}
	if running() {
		return fn()
	}
	unlock, err := build.Lock(l.Lock(), func() { p.Printf("waiting for another up, down or image build") })
	if err != nil {
		return err
	}
	if running() { // an up has finished meanwhile
		unlock()
		return fn()
	}
	defer unlock()
	return temporary(ctx, l, env, pidFile, fn)
}

func temporary(ctx context.Context, l layout.Layout, env []string, pidFile string, fn func() error) error {
	// Stop the registry of a killed command.
	if id, ok := proc.ReadIdentity(pidFile); ok {
		proc.Stop([]proc.Identity{id}, 3*time.Second)
	}
	if kube.Healthy(ctx, config.RegistryHealth) == nil {
		return fmt.Errorf("another image registry listens on %s; stop it first", layout.RegistryAddr)
	}
	conf, err := config.Registry(l)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.Conf(), 0o755); err != nil {
		return fmt.Errorf("create folder of the configuration: %w", err)
	}
	if err := os.WriteFile(filepath.Join(l.Conf(), "registry.yaml"), conf, 0o644); err != nil {
		return fmt.Errorf("write the registry's configuration: %w", err)
	}
	p, err := proc.Start(proc.Spec{Name: Name, Args: Command(l), Env: env, Log: l.Log(Name), PidFile: pidFile})
	if err != nil {
		return err
	}
	defer os.Remove(pidFile) //nolint:errcheck // a stale pid file is detected
	defer proc.Stop([]proc.Identity{p.Identity}, 3*time.Second)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := kube.Healthy(ctx, config.RegistryHealth)
		if err == nil {
			return fn()
		}
		if ended := p.Ended(); ended != nil {
			err = ended
		} else if time.Now().Before(deadline) && ctx.Err() == nil {
			continue
		}
		return fmt.Errorf("start the image registry (log: %s): %w", p.Log, err)
	}
}
