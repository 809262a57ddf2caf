package registry

import (
	"context"
	"path/filepath"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/build"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/host"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/step"
)

// Tools are the tools of the registry.
var Tools = []host.Tool{{Program: "docker-registry", Package: "docker-registry", Service: "docker-registry.service"}}

// BuildOptions describe the build of an image from a Dockerfile.
type BuildOptions struct {
	Context    string
	Dockerfile string
	Tag        string
	Args       []string
}

// Build builds an image and pushes it. Base images may come from the cluster's
// registry. Images and layers are cached.
func Build(ctx context.Context, l layout.Layout, p *step.Printer, o BuildOptions) error {
	if err := CheckTag(o.Tag); err != nil {
		return err
	}
	if err := host.EnsureTools(ctx, p, host.ImageTools); err != nil {
		return err
	}
	if o.Dockerfile == "" {
		o.Dockerfile = filepath.Join(o.Context, "Dockerfile")
	}
	dir := filepath.Join(l.Cache, "buildah")
	unlock, err := build.Lock(filepath.Join(dir, "lock"), func() { p.Printf("waiting for another image build") })
	if err != nil {
		return err
	}
	defer unlock()
	buildah := func(args ...string) error {
		// The sandbox contains its mounts; buildah's user namespaces would need
		// permissions that root lacks on some machines.
		c := run.Cmd{
			Args: append([]string{"buildah", "--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "overlay"}, args...),
			Env:  []string{"BUILDAH_ISOLATION=chroot", "TMPDIR=" + dir}, Log: filepath.Join(dir, "build.log"), Sandbox: true,
		}
		_, err := c.Run(ctx)
		return err
	}
	bud := []string{"bud", "--isolation", "chroot", "--layers", "--tls-verify=false", "--file", o.Dockerfile, "--tag", o.Tag}
	for _, arg := range o.Args {
		bud = append(bud, "--build-arg", arg)
	}
	err = p.Do("built "+o.Tag, func() error {
		stop := p.Heartbeat("buildah", 30*time.Second)
		defer stop()
		return buildah(append(bud, o.Context)...)
	})
	if err != nil {
		return err
	}
	return p.Do("pushed "+o.Tag, func() error {
		return buildah("push", "--tls-verify=false", o.Tag, "docker://"+o.Tag)
	})
}
