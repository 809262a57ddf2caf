package locust

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
)

const settingsFile = "etc/apt/apt.conf.d/99-of-the-host"

// fromDebian installs Debian's Locust into the base, as one layer.
func (b builder) fromDebian(ctx context.Context) ([]string, error) {
	if err := b.prepare(ctx); err != nil {
		return nil, err
	}
	err := b.p.Do("Locust installed from Debian", func() error {
		stop := b.p.Heartbeat("apt", 30*time.Second)
		defer stop()
		return b.apt(ctx)
	})
	if err != nil {
		return nil, err
	}
	if err := b.fixVersion(); err != nil {
		return nil, err
	}
	if err := b.trim(); err != nil {
		return nil, err
	}
	if err := b.verify(ctx, debianVersion); err != nil {
		return nil, err
	}
	layer := filepath.Join(b.work, "locust.tar.gz")
	if err := b.pack(ctx, layer, "."); err != nil {
		return nil, err
	}
	return []string{layer}, nil
}

// apt installs Locust in the root file system with the apt and network settings of
// this machine.
func (b builder) apt(ctx context.Context) error {
	settings, err := run.Output(ctx, "apt-config", "dump", "Acquire")
	if err != nil {
		return err
	}
	hostFiles := map[string][]byte{settingsFile: []byte(settings + "\n")}
	for _, file := range []string{"etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt"} {
		if data, err := os.ReadFile("/" + file); err == nil {
			hostFiles[file] = data
		}
	}
	for file, data := range hostFiles {
		path := filepath.Join(b.rootfs(), file)
		original, err := os.ReadFile(path)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", file, err)
		}
		defer restoreFile(path, original, err == nil) //nolint:gocritic // after the installation, for all files
	}
	for _, args := range [][]string{
		{"update", "-qq"},
		{"install", "-y", "-qq", "--no-install-recommends", "python3-locust"},
	} {
		if _, err := b.inside(ctx, append([]string{"env", "DEBIAN_FRONTEND=noninteractive", "apt-get"}, args...)...); err != nil {
			return err
		}
	}
	return nil
}

func restoreFile(path string, original []byte, existed bool) {
	if existed {
		os.WriteFile(path, original, 0o644) //nolint:errcheck // the build fails elsewhere if the disk is full
		return
	}
	os.Remove(path) //nolint:errcheck // see above
}

// fixVersion writes the version that Debian's package lacks, because a master refuses
// workers with an empty version as too old.
func (b builder) fixVersion() error {
	dir := filepath.Join(b.rootfs(), "usr/lib/python3/dist-packages/locust")
	file := filepath.Join(dir, "_version.py")
	data, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the version of Debian's Locust: %w", err)
	}
	text := strings.ReplaceAll(string(data), "version = ''", "version = '"+debianVersion+"'")
	if text == string(data) {
		text = "version = '" + debianVersion + "'\n"
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		return fmt.Errorf("write Locust's version: %w", err)
	}
	compiled, err := filepath.Glob(filepath.Join(dir, "__pycache__", "_version*"))
	if err != nil {
		return fmt.Errorf("find the compiled version: %w", err)
	}
	for _, c := range compiled {
		err = errors.Join(err, os.Remove(c))
	}
	return err
}
