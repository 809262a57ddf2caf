package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/registry"
)

// ErrUnhealthy is returned by Status if a part is not healthy.
var ErrUnhealthy = errors.New("the cluster is not healthy")

// Status prints the state of every part.
func (c *Cluster) Status(ctx context.Context, out io.Writer) error {
	printf := func(format string, args ...any) { fmt.Fprintf(out, format+"\n", args...) }
	parts := c.Check(ctx)
	for _, h := range parts {
		state := "healthy"
		if h.Err != nil {
			state = oneLine(h.Err)
		}
		if h.Pid > 0 {
			state = fmt.Sprintf("running, pid %d, %s", h.Pid, state)
		}
		printf("%-24s %s", h.Name, state)
	}
	if parts[0].Err == nil {
		images, err := registry.List(ctx)
		if err != nil {
			return err
		}
		printf("%-24s %s", "images", strings.Join(images, " "))
	}
	for _, dir := range []string{c.State(), c.RegistryStorage(), c.Builds()} {
		printf("%-24s %5d MB  %s", "disk", diskUse(dir)>>20, dir)
	}
	if firstProblem(parts) != nil {
		return ErrUnhealthy
	}
	line, err := c.Env()
	if err != nil {
		return err
	}
	printf("use it with:  %s", line)
	return nil
}

// Env returns the shell line that makes kubectl find the cluster.
func (c *Cluster) Env() (string, error) {
	r, ok := c.readRecord()
	if !ok || !r.Complete {
		return "", errors.New("no cluster is running: run the command up first")
	}
	return fmt.Sprintf("export KUBECONFIG=%s PATH=%s:\"$PATH\"", shellQuote(c.Kubeconfig()), shellQuote(r.Bin)), nil
}

func shellQuote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// diskUse returns the disk usage of a folder in bytes, counting hard links
// once.
func diskUse(dir string) int64 {
	var sum int64
	seen := map[uint64]bool{}
	filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error { //nolint:errcheck // deleted files take no space
		if err != nil {
			return nil
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok || seen[stat.Ino] && !info.IsDir() {
			return nil
		}
		seen[stat.Ino] = true
		sum += stat.Blocks * 512
		return nil
	})
	return sum
}
