// Package run starts helper commands and reports their output when they fail.
package run

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Cmd describes a helper command.
type Cmd struct {
	Args  []string
	Dir   string
	Env   []string // added to the environment
	Stdin string
	// Log receives the whole output; without it only the tail is kept for errors.
	Log string
	// Sandbox gives the command mount and pid namespaces of its own: whatever it
	// mounts or leaves running is gone when it ends, however it ends.
	Sandbox bool
}

// Run runs the command and returns its standard output.
func (c Cmd) Run(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin = strings.NewReader(c.Stdin)
	cmd.WaitDelay = 5 * time.Second
	// A helper must not outlive a killed localcluster: it would go on changing the machine.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.Sandbox {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	var stdout, all bytes.Buffer
	sinks := []io.Writer{&all}
	if c.Log != "" {
		if err := os.MkdirAll(filepath.Dir(c.Log), 0o755); err != nil {
			return "", fmt.Errorf("make log folder: %w", err)
		}
		f, err := os.OpenFile(c.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return "", fmt.Errorf("open log: %w", err)
		}
		defer f.Close() //nolint:errcheck // a log
		sinks = append(sinks, f)
	}
	both := io.MultiWriter(sinks...)
	cmd.Stdout = io.MultiWriter(&stdout, both)
	cmd.Stderr = both
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return stdout.String(), fmt.Errorf("%s: %w%s", strings.Join(c.short(), " "), err, c.where(all.String()))
	}
	return stdout.String(), nil
}

func (c Cmd) short() []string {
	const most = 6
	if len(c.Args) <= most {
		return c.Args
	}
	return append(append([]string{}, c.Args[:most]...), "...")
}

func (c Cmd) where(output string) string {
	text := Indent(Tail(output, 15))
	if text != "" {
		text = "\n" + text
	}
	if c.Log != "" {
		text += "\n  whole output: " + c.Log
	}
	return text
}

// Output runs a short command and returns its trimmed output.
func Output(ctx context.Context, args ...string) (string, error) {
	out, err := Cmd{Args: args}.Run(ctx)
	return strings.TrimSpace(out), err
}

// Quiet runs a command whose failure does not matter (clean-up of something
// that may not be there) and says whether it worked.
func Quiet(ctx context.Context, args ...string) bool {
	_, err := Cmd{Args: args}.Run(ctx)
	return err == nil
}

// Has says whether a program can be found.
func Has(program string) bool {
	_, err := exec.LookPath(program)
	return err == nil
}

// Tail returns the last n lines of a text.
func Tail(text string, n int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

// Indent sets a quoted text off from our own words.
func Indent(text string) string {
	if text == "" {
		return ""
	}
	return "  | " + strings.ReplaceAll(text, "\n", "\n  | ")
}

// FixPath makes the administrator's programs findable: a plain user's PATH, and
// some containers' too, lack the sbin folders.
func FixPath() {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if !strings.Contains(":"+path+":", ":"+dir+":") {
			path += ":" + dir
		}
	}
	os.Setenv("PATH", path) //nolint:errcheck // cannot fail for this name
}
