// Command chart packages the Helm chart of a release, reproducibly: the same commit gives the same file. `helm package` does
// not, because it writes the current time, as `helm push` does.
//
// It sets the version and the operator's image in the package only, so the clone does not change. The tests of this
// module check the chart: against the manifests in config, and its values.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/registry"
)

// digestAnnotation has the digest of the operator's image; templates/_helpers.tpl reads it.
const digestAnnotation = "locust.io/operator-digest"

// imagesAnnotation lists the images for Artifact Hub.
const imagesAnnotation = "artifacthub.io/images"

func main() {
	folder := flag.String("chart", "", "folder of the chart")
	version := flag.String("version", "", "version of the chart and of the operator, without v")
	image := flag.String("image", "", "image of the operator, by tag or digest")
	dist := flag.String("dist", "", "folder to write to")
	charts := flag.String("push", "", "also push the package below this name in a registry, for example registry.example.com/charts, and print its digest")
	plain := flag.Bool("plain-http", false, "push without TLS")
	flag.Parse()
	err := func() error {
		created, err := epoch()
		if err != nil {
			return err
		}
		path, err := run(*folder, *version, *image, *dist, created)
		if err != nil || *charts == "" {
			fmt.Println(path)
			return err
		}
		ref, err := push(path, *charts, *plain, created)
		fmt.Println(ref)
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chart:", err)
		os.Exit(1)
	}
}

// epoch returns the time SOURCE_DATE_EPOCH, or 1970.
func epoch() (time.Time, error) {
	value := os.Getenv("SOURCE_DATE_EPOCH")
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil && value != "" {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH: %w", err)
	}
	return time.Unix(seconds, 0), nil
}

// push pushes a package, and returns its reference by digest. Unlike `helm push`, it does not write the current time.
func push(path, charts string, plain bool, created time.Time) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	c, err := loader.LoadFile(path)
	if err != nil {
		return "", err
	}
	options := []registry.ClientOption{registry.ClientOptWriter(io.Discard)}
	if plain {
		options = append(options, registry.ClientOptPlainHTTP())
	}
	client, err := registry.NewClient(options...)
	if err != nil {
		return "", err
	}
	repository := charts + "/" + c.Name()
	// As helm does, because a tag must not contain a plus.
	tag := strings.ReplaceAll(c.Metadata.Version, "+", "_")
	// A version that was released with other content stays, except in a registry on this machine. A new one cannot be pulled.
	if existing, err := client.Pull(repository + ":" + tag); err == nil && !plain {
		if !bytes.Equal(existing.Chart.Data, data) {
			return "", fmt.Errorf("%s:%s exists with other content: use a new version", repository, tag)
		}
		return repository + "@" + existing.Manifest.Digest, nil
	}
	pushed, err := client.Push(data, repository+":"+tag, registry.PushOptCreationTime(created.UTC().Format(time.RFC3339)))
	if err != nil {
		return "", fmt.Errorf("push %s:%s: %w", repository, tag, err)
	}
	return repository + "@" + pushed.Manifest.Digest, nil
}

// run writes the package to dist, and returns its path. All times in it are created.
func run(folder, version, image, dist string, created time.Time) (string, error) {
	c, err := loader.LoadDir(folder)
	if err != nil {
		return "", err
	}
	if err := set(c, version, image); err != nil {
		return "", err
	}
	temporary, err := os.MkdirTemp("", "chart")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(temporary) //nolint:errcheck // a temporary folder
	saved, err := chartutil.Save(c, temporary)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dist, 0o755); err != nil {
		return "", err
	}
	path := filepath.Join(dist, filepath.Base(saved))
	return path, restamp(saved, path, created)
}

var repositoryLine = regexp.MustCompile(`(?m)^  repository: .*$`)

// set sets version and image. Without a digest in the image, its tag must be that of the version, because templates
// derive it from that.
func set(c *chart.Chart, version, image string) error {
	repository, digest, _ := strings.Cut(image, "@")
	if slash := strings.LastIndex(repository, "/"); strings.Contains(repository[slash+1:], ":") {
		colon := strings.LastIndex(repository, ":")
		if tag := repository[colon+1:]; digest == "" && tag != "v"+version {
			return fmt.Errorf("image %q has neither a digest nor the tag v%s", image, version)
		}
		repository = repository[:colon]
	}
	if repository == "" {
		return errors.New("-image is empty")
	}
	c.Metadata.Version, c.Metadata.AppVersion = version, version
	c.Metadata.Annotations[imagesAnnotation] = fmt.Sprintf("- name: manager\n  image: %s\n", image)
	if digest != "" {
		c.Metadata.Annotations[digestAnnotation] = digest
	}
	for _, file := range c.Raw {
		if file.Name != chartutil.ValuesfileName {
			continue
		}
		if found := repositoryLine.FindAll(file.Data, -1); len(found) != 1 {
			return fmt.Errorf("%s has %d lines of a repository, not 1", file.Name, len(found))
		}
		file.Data = repositoryLine.ReplaceAllLiteral(file.Data, []byte("  repository: "+repository))
	}
	return c.Validate()
}

// restamp copies a package with all times set to one.
func restamp(from, to string, at time.Time) (err error) {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close() //nolint:errcheck // only read
	unpacked, err := gzip.NewReader(source)
	if err != nil {
		return err
	}
	target, err := os.Create(to)
	if err != nil {
		return err
	}
	packed := gzip.NewWriter(target)
	out := tar.NewWriter(packed)
	defer func() { err = errors.Join(err, out.Close(), packed.Close(), target.Close()) }()
	for in := tar.NewReader(unpacked); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		header.ModTime = at
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
}
