// Package registry builds images and pushes them to the cluster's registry.
package registry

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/layout"
)

// Settings are the start settings of an image.
type Settings struct {
	Entrypoint []string
	User       string
	WorkingDir string
	Env        []string
	Labels     map[string]string
}

// File is a file or folder of this machine and its path in an image.
type File struct{ Source, Target string }

// ParseFile parses SOURCE=/TARGET.
func ParseFile(text string) (File, error) {
	source, target, found := strings.Cut(text, "=")
	if !found || source == "" || !strings.HasPrefix(target, "/") {
		return File{}, fmt.Errorf("%q is not SOURCE=/TARGET", text)
	}
	return File{source, path.Clean(target)}, nil
}

// Image returns an image with the layers and settings.
func Image(s Settings, layers ...v1.Layer) (v1.Image, error) {
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		return nil, fmt.Errorf("append layers: %w", err)
	}
	img, err = mutate.ConfigFile(img, configOf(img, s))
	if err != nil {
		return nil, fmt.Errorf("set the image's configuration: %w", err)
	}
	return img, nil
}

func configOf(img v1.Image, s Settings) *v1.ConfigFile {
	conf, err := img.ConfigFile()
	if err != nil {
		conf = &v1.ConfigFile{}
	}
	conf = conf.DeepCopy()
	conf.OS, conf.Architecture = "linux", runtime.GOARCH
	conf.Config = v1.Config{Entrypoint: s.Entrypoint, User: s.User, WorkingDir: s.WorkingDir, Env: s.Env, Labels: s.Labels}
	return conf
}

// FileLayer packs files into a layer that depends only on their content and
// executable bits.
func FileLayer(files []File) (v1.Layer, error) {
	entries := map[string]string{} // path in the image -> path here
	for _, f := range files {
		if err := collect(entries, f); err != nil {
			return nil, err
		}
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	targets := make([]string, 0, len(entries))
	for target := range entries {
		targets = append(targets, target)
	}
	slices.Sort(targets)
	made := map[string]bool{}
	for _, target := range targets {
		if err := addParents(w, made, target); err != nil {
			return nil, err
		}
		if err := addFile(w, target, entries[target]); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("pack files: %w", err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(buf.Bytes())), nil })
	if err != nil {
		return nil, fmt.Errorf("create a layer: %w", err)
	}
	return layer, nil
}

func collect(entries map[string]string, f File) error {
	err := filepath.WalkDir(f.Source, func(file string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if info, statErr := os.Stat(file); statErr != nil || info.IsDir() {
			return statErr
		}
		rel, err := filepath.Rel(f.Source, file)
		if err != nil {
			return err
		}
		entries[path.Join(f.Target, filepath.ToSlash(rel))] = file
		return nil
	})
	if err != nil {
		return fmt.Errorf("collect %s: %w", f.Source, err)
	}
	return nil
}

var epoch = time.Unix(0, 0)

func addParents(w *tar.Writer, made map[string]bool, target string) error {
	dir := path.Dir(target)
	if dir == "/" || made[dir] {
		return nil
	}
	if err := addParents(w, made, dir); err != nil {
		return err
	}
	made[dir] = true
	head := &tar.Header{Typeflag: tar.TypeDir, Name: dir[1:] + "/", Mode: 0o755, ModTime: epoch}
	if err := w.WriteHeader(head); err != nil {
		return fmt.Errorf("pack folder %s: %w", dir, err)
	}
	return nil
}

func addFile(w *tar.Writer, target, source string) error {
	f, err := os.Open(source)
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	mode := int64(0o644)
	if info.Mode()&0o111 != 0 {
		mode = 0o755
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: target[1:], Mode: mode, Size: info.Size(), ModTime: epoch}); err != nil {
		return fmt.Errorf("pack %s: %w", source, err)
	}
	if _, err := io.Copy(w, f); err != nil {
		return fmt.Errorf("pack %s: %w", source, err)
	}
	return nil
}

// ErrNotLocal is returned for a tag of another registry.
var ErrNotLocal = errors.New("the tag must be " + layout.Registry + "/NAME:TAG")

func parse(tag string) (name.Tag, error) {
	if !strings.HasPrefix(tag, layout.Registry+"/") {
		return name.Tag{}, fmt.Errorf("%s: %w", tag, ErrNotLocal)
	}
	ref, err := name.NewTag(tag, name.Insecure)
	if err != nil {
		return name.Tag{}, fmt.Errorf("read tag: %w", err)
	}
	return ref, nil
}

// CheckTag returns an error if an image may not be pushed with this tag.
func CheckTag(tag string) error {
	_, err := parse(tag)
	return err
}

// Push uploads an image. It skips layers that the registry already has.
func Push(ctx context.Context, tag string, img v1.Image) error {
	ref, err := parse(tag)
	if err != nil {
		return err
	}
	if err := remote.Write(ref, img, remote.WithContext(ctx)); err != nil {
		return fmt.Errorf("push %s: %w", tag, err)
	}
	return nil
}

// Find returns the description of an image, or nil if it does not exist.
func Find(ctx context.Context, tag string) (v1.Image, error) {
	ref, err := parse(tag)
	if err != nil {
		return nil, err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx))
	if missing := (*transport.Error)(nil); errors.As(err, &missing) && missing.StatusCode == http.StatusNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", tag, err)
	}
	return img, nil
}

// Label returns a label of an image in the registry, or "" if there is none.
func Label(ctx context.Context, tag, label string) (string, error) {
	img, err := Find(ctx, tag)
	if err != nil || img == nil {
		return "", err
	}
	conf, err := img.ConfigFile()
	if err != nil {
		return "", fmt.Errorf("read the configuration of %s: %w", tag, err)
	}
	return conf.Config.Labels[label], nil
}

// List returns the references of all images in the registry.
func List(ctx context.Context) ([]string, error) {
	reg, err := name.NewRegistry(layout.Registry, name.Insecure)
	if err != nil {
		return nil, fmt.Errorf("parse the registry's name: %w", err)
	}
	repos, err := remote.Catalog(ctx, reg)
	if err != nil {
		return nil, fmt.Errorf("list the registry: %w", err)
	}
	var images []string
	for _, repo := range repos {
		tags, err := remote.List(reg.Repo(repo), remote.WithContext(ctx))
		if err != nil {
			continue // all tags of the repository were deleted
		}
		for _, tag := range tags {
			images = append(images, layout.Registry+"/"+repo+":"+tag)
		}
	}
	slices.Sort(images)
	return images, nil
}
