package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var errNoFile = errors.New("references no image")

// verifyImage pulls an index with all its images and layers, and checks digests, sizes and platforms.
func verifyImage(ctx context.Context, reference string, platforms []v1.Platform) error {
	ref, err := name.NewDigest(reference)
	if err != nil {
		return err
	}
	index, err := remote.Index(ref, remoteOptions(ctx)...)
	if err != nil {
		return fmt.Errorf("pull: %w", err)
	}
	if err := validate.Index(index); err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return fmt.Errorf("read the index: %w", err)
	}
	var missing, extra []string
	found := map[string]int{}
	for _, descriptor := range manifest.Manifests {
		if descriptor.Platform == nil {
			return fmt.Errorf("manifest %s has no platform", descriptor.Digest)
		}
		found[descriptor.Platform.String()]++
	}
	for _, platform := range platforms {
		if found[platform.String()] == 0 {
			missing = append(missing, platform.String())
		}
		found[platform.String()]--
	}
	for platform, count := range found {
		if count > 0 {
			extra = append(extra, platform)
		}
	}
	slices.Sort(extra)
	if len(missing)+len(extra) > 0 {
		return fmt.Errorf("platforms missing: %q, unexpected or repeated: %q", missing, extra)
	}
	return nil
}

// inspect prints an index as the registry has it.
func inspect(ctx context.Context, reference string, out io.Writer) error {
	ref, err := name.ParseReference(reference)
	if err != nil {
		return err
	}
	index, err := remote.Index(ref, remoteOptions(ctx)...)
	if err != nil {
		return fmt.Errorf("%s: %w", reference, err)
	}
	manifest, err := index.RawManifest()
	if err != nil {
		return fmt.Errorf("%s: %w", reference, err)
	}
	_, err = out.Write(manifest)
	return err
}

// imageLine matches a line of a YAML file that names an image.
var imageLine = regexp.MustCompile(`^[\s-]*(?:image|containerImage):\s+["']?([^\s"']+)`)

// references returns the images with a prefix that a file, or the files of a folder, reference. It returns an error if there
// are none, or if one is not referenced by digest.
func references(root, prefix string) ([]string, error) {
	var found []string
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for number, line := range strings.Split(string(data), "\n") {
			match := imageLine.FindStringSubmatch(line)
			if len(match) < 2 || !strings.HasPrefix(match[1], prefix) {
				continue
			}
			if _, err := name.NewDigest(match[1]); err != nil {
				return fmt.Errorf("%s:%d: %s has no digest", file, number+1, match[1])
			}
			found = append(found, match[1])
		}
		return nil
	})
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s %w %q", root, errNoFile, prefix)
	}
	return found, err
}
