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
	Env   []string // in addition to the environment of this process
	Stdin string
	// Log is the file for the complete output; if empty, errors contain only its end.
	Log string
	// Sandbox runs the command in new mount and pid namespaces, so that its mounts
	// and remaining processes end with it.
	Sandbox bool
}

// Run runs the command and returns its standard output.
func (c Cmd) Run(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.Stdin = strings.NewReader(c.Stdin)
	cmd.WaitDelay = 5 * time.Second
	// A helper must end with a killed localcluster, because it would continue to change the machine.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.Sandbox {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	var stdout, all bytes.Buffer
	sinks := []io.Writer{&all}
	if c.Log != "" {
		if err := os.MkdirAll(filepath.Dir(c.Log), 0o755); err != nil {
			return "", fmt.Errorf("create log folder: %w", err)
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
	const maxArgs = 6
	if len(c.Args) <= maxArgs {
		return c.Args
	}
	return append(append([]string{}, c.Args[:maxArgs]...), "...")
}

func (c Cmd) where(output string) string {
	text := Indent(Tail(output, 15))
	if text != "" {
		text = "\n" + text
	}
	if c.Log != "" {
		text += "\n  complete output: " + c.Log
	}
	return text
}

// Output runs a short command and returns its trimmed output.
func Output(ctx context.Context, args ...string) (string, error) {
	out, err := Cmd{Args: args}.Run(ctx)
	return strings.TrimSpace(out), err
}

// Quiet runs a command whose failure does not matter (such as cleanup of objects
// that may not exist) and reports whether it succeeded.
func Quiet(ctx context.Context, args ...string) bool {
	_, err := Cmd{Args: args}.Run(ctx)
	return err == nil
}

// Has reports whether a program is in PATH.
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

// Indent marks the lines of a quoted text.
func Indent(text string) string {
	if text == "" {
		return ""
	}
	return "  | " + strings.ReplaceAll(text, "\n", "\n  | ")
}

// FixPath adds the sbin folders to PATH, because they are missing in the PATH of plain
// users and some containers.
func FixPath() {
	path := os.Getenv("PATH")
	for _, dir := range []string{"/usr/local/sbin", "/usr/sbin", "/sbin"} {
		if !strings.Contains(":"+path+":", ":"+dir+":") {
			path += ":" + dir
		}
	}
	os.Setenv("PATH", path) //nolint:errcheck // cannot fail for this name
}
