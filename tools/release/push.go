package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

type pushOptions struct {
	dockerfile  string
	context     string
	tag         string
	overwrite   bool
	platforms   []v1.Platform
	buildArgs   map[string]string
	annotations map[string]string
}

// remoteOptions use the logins of docker and podman.
func remoteOptions(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
}

// push builds one image per platform, pushes them as one index, and returns its reference with the digest.
func push(ctx context.Context, o pushOptions) (string, error) {
	tag, err := name.NewTag(o.tag, name.StrictValidation)
	if err != nil {
		return "", err
	}
	index, err := buildIndex(ctx, o)
	if err != nil {
		return "", err
	}
	digest, err := index.Digest()
	if err != nil {
		return "", fmt.Errorf("digest: %w", err)
	}
	ref := tag.Context().Digest(digest.String()).String()
	existing, err := remote.Head(tag, remoteOptions(ctx)...)
	switch missing := (*transport.Error)(nil); {
	case err == nil && existing.Digest == digest:
		return ref, nil
	case err == nil && !o.overwrite:
		return "", fmt.Errorf("the registry has another image with this tag, %s; use a new version", existing.Digest)
	case err != nil && (!errors.As(err, &missing) || missing.StatusCode != http.StatusNotFound):
		return "", fmt.Errorf("look for the tag: %w", err)
	}
	if err := remote.WriteIndex(tag, index, remoteOptions(ctx)...); err != nil {
		return "", fmt.Errorf("push: %w", err)
	}
	return ref, nil
}

func buildIndex(ctx context.Context, o pushOptions) (v1.ImageIndex, error) {
	file, err := os.Open(o.dockerfile)
	if err != nil {
		return nil, err
	}
	defer file.Close() //nolint:errcheck // read only
	recipe, err := parseDockerfile(file, o.buildArgs)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.dockerfile, err)
	}
	index := mutate.Annotations(empty.Index, o.annotations).(v1.ImageIndex)
	for _, platform := range o.platforms {
		image, err := buildImage(ctx, recipe, o, platform)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", platform, err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: image, Descriptor: v1.Descriptor{Platform: &platform}})
	}
	return index, nil
}

func buildImage(ctx context.Context, r recipe, o pushOptions, platform v1.Platform) (v1.Image, error) {
	base, err := baseImage(ctx, r.base, platform)
	if err != nil {
		return nil, err
	}
	layer, err := r.layer(strings.ReplaceAll(o.context, "{arch}", platform.Architecture), platform)
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(base, mutate.Addendum{
		Layer: layer, History: v1.History{Created: v1.Time{Time: epoch}, CreatedBy: "tools/release"},
	})
	if err != nil {
		return nil, fmt.Errorf("append the layer: %w", err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Variant = platform.OS, platform.Architecture, platform.Variant
	config.Created = v1.Time{Time: epoch}
	r.configure(&config.Config, o.annotations)
	image, err = mutate.ConfigFile(image, config)
	if err != nil {
		return nil, fmt.Errorf("set the configuration: %w", err)
	}
	return mutate.Annotations(image, o.annotations).(v1.Image), nil
}

// configure adds the settings of the Dockerfile to those of the base image.
func (r *recipe) configure(config *v1.Config, annotations map[string]string) {
	if config.Labels == nil {
		config.Labels = map[string]string{}
	}
	for _, labels := range []map[string]string{r.config.Labels, annotations} {
		for name, value := range labels {
			config.Labels[name] = value
		}
	}
	if r.config.User != "" {
		config.User = r.config.User
	}
	if r.config.Entrypoint != nil {
		config.Entrypoint, config.Cmd = r.config.Entrypoint, nil
	}
	if r.config.Cmd != nil {
		config.Cmd = r.config.Cmd
	}
}

// baseImage returns the base for a platform; that of another platform is never used in its place.
func baseImage(ctx context.Context, base string, platform v1.Platform) (v1.Image, error) {
	if base == scratch {
		image := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		return image, nil
	}
	ref, err := name.ParseReference(base)
	if err != nil {
		return nil, fmt.Errorf("base image: %w", err)
	}
	image, err := remote.Image(ref, append(remoteOptions(ctx), remote.WithPlatform(platform))...)
	if err != nil {
		return nil, fmt.Errorf("base image %s: %w", base, err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("base image %s: %w", base, err)
	}
	if config.OS != platform.OS || config.Architecture != platform.Architecture {
		return nil, fmt.Errorf("base image %s is for %s/%s", base, config.OS, config.Architecture)
	}
	return image, nil
}
