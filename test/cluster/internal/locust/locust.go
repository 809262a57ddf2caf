// Package locust builds the Locust images that the tests run: a minimal Debian
// with the newest Locust from the Python package index, or with Debian's own.
package locust

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	content "github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/images/locust"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/build"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/host"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/registry"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/step"
)

// Source is the source of Locust.
type Source string

// The sources. Auto is the package index, or Debian if the index fails.
const (
	Auto   Source = "auto"
	PyPI   Source = "pypi"
	Debian Source = "debian"
)

// ParseSource parses a source.
func ParseSource(text string) (Source, error) {
	switch s := Source(text); s {
	case Auto, PyPI, Debian:
		return s, nil
	default:
		return "", fmt.Errorf("%q must be one of auto, pypi, debian", text)
	}
}

// recipe is the version of the image build. Increase it when the code below changes the images.
const recipe = "1"

const (
	recipeLabel   = "locust-localcluster.recipe"
	debianVersion = "2.12.1" // of Debian 12
	repository    = layout.Registry + "/locust:"

	// Latest is the reference of the image that Auto has selected.
	Latest = repository + "latest"
)

var pinned = regexp.MustCompile(`(?m)^locust==(\S+)`)

// Version returns the pinned Locust version.
func Version() string { return pinned.FindStringSubmatch(content.Requirements)[1] }

// Ref returns the image reference of a source.
func Ref(s Source) string {
	if s == Debian {
		return repository + debianVersion
	}
	return repository + Version()
}

func recipeKey(s Source) string {
	input := recipe + string(s) + runtime.GOARCH
	if s == PyPI {
		input += content.Requirements
	}
	sum := sha256.Sum256([]byte(input))
	return hex.EncodeToString(sum[:])[:16]
}

// Ensure builds and pushes the image of a source unless the registry has it,
// and returns its reference. The registry must be running.
func Ensure(ctx context.Context, l layout.Layout, p *step.Printer, s Source) (string, error) {
	if s != Auto {
		return Ref(s), ensure(ctx, l, p, s)
	}
	chosen := PyPI
	if err := ensure(ctx, l, p, PyPI); err != nil {
		if ctx.Err() != nil || !errors.Is(err, errIndex) {
			return "", err
		}
		p.Printf("Locust %s is not available, using Debian's %s instead: %v", Version(), debianVersion, err)
		chosen = Debian
		if err := ensure(ctx, l, p, Debian); err != nil {
			return "", err
		}
	}
	return Ref(chosen), tagLatest(ctx, chosen)
}

func tagLatest(ctx context.Context, s Source) error {
	if label, err := registry.Label(ctx, Latest, recipeLabel); err == nil && label == recipeKey(s) {
		return nil
	}
	img, err := registry.Find(ctx, Ref(s))
	if err != nil {
		return err
	}
	if img == nil {
		return fmt.Errorf("%s is missing in the registry", Ref(s))
	}
	return registry.Push(ctx, Latest, img)
}

func ensure(ctx context.Context, l layout.Layout, p *step.Printer, s Source) error {
	have, err := registry.Label(ctx, Ref(s), recipeLabel)
	if err != nil {
		return err
	}
	if have == recipeKey(s) {
		return nil
	}
	if err := host.CheckPlatform(); err != nil {
		return err
	}
	if err := host.EnsureTools(ctx, p, host.RootfsTools); err != nil {
		return err
	}
	b := builder{Layout: l, p: p, work: filepath.Join(l.Cache, "locust", "work")}
	unlock, err := build.Lock(filepath.Join(l.Cache, "locust", "lock"), func() { p.Printf("waiting for another build of a Locust image") })
	if err != nil {
		return err
	}
	defer unlock()
	if err := os.RemoveAll(b.work); err != nil {
		return fmt.Errorf("remove an old build: %w", err)
	}
	defer os.RemoveAll(b.work) //nolint:errcheck // the next build removes it
	p.Printf("          building the image %s (about a minute)", Ref(s))
	var files []string
	if s == PyPI {
		files, err = b.fromIndex(ctx)
	} else {
		files, err = b.fromDebian(ctx)
	}
	if err != nil {
		return fmt.Errorf("build %s: %w", Ref(s), err)
	}
	return p.Do("pushed "+Ref(s), func() error { return push(ctx, s, files) })
}

func push(ctx context.Context, s Source, files []string) error {
	var layers []v1.Layer
	for _, file := range files {
		layer, err := tarball.LayerFromFile(file)
		if err != nil {
			return fmt.Errorf("read layer %s: %w", file, err)
		}
		layers = append(layers, layer)
	}
	img, err := registry.Image(registry.Settings{
		Entrypoint: []string{"locust"},
		User:       "1000:1000", // numeric, so that Kubernetes can verify that it is not root
		WorkingDir: home,
		Env: []string{
			"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
			"HOME=" + home, "LC_ALL=C.UTF-8", "PYTHONUNBUFFERED=1",
		},
		Labels: map[string]string{recipeLabel: recipeKey(s)},
	}, layers...)
	if err != nil {
		return err
	}
	return registry.Push(ctx, Ref(s), img)
}
