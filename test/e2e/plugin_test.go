//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// buildPlugin builds the kubectl plugin once, and returns the path of the program.
var buildPlugin = sync.OnceValues(func() (string, error) {
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", "e2e", "kubectl-locust"))
	if err != nil {
		return "", err
	}
	if out, err := exec.Command("go", "build", "-o", path, "../../cmd/kubectl-locust").CombinedOutput(); err != nil {
		return "", errors.New(string(out))
	}
	return path, nil
})

// pluginResult is the output and the exit code of the plugin.
type pluginResult struct {
	stdout, stderr string
	code           int
}

// plugin runs `kubectl locust ARGS` in the fixture's namespace until it ends. Its outputs are pipes.
//
//	result := s.plugin("watch", test.Name)
//	require.Equal(t, 0, result.code, result.stderr)
func (s *fixture) plugin(args ...string) pluginResult {
	s.t.Helper()
	return s.startPlugin(args...).wait()
}

// pluginInput is like plugin, with a text on standard input.
func (s *fixture) pluginInput(input string, args ...string) pluginResult {
	s.t.Helper()
	command := s.pluginCommand(args...)
	command.Stdin = strings.NewReader(input)
	return startPlugin(s.t, command).wait()
}

// startPlugin starts the plugin in the fixture's namespace in the background. It is killed if the test ends first.
func (s *fixture) startPlugin(args ...string) *runningPlugin {
	s.t.Helper()
	return startPlugin(s.t, s.pluginCommand(args...))
}

// pluginInTerminal starts the plugin in a pseudo terminal of 100 columns and 40 rows. The standard output has all that the terminal
// gets. send types into the terminal.
func (s *fixture) pluginInTerminal(args ...string) *runningPlugin {
	s.t.Helper()
	plain := s.pluginCommand(args...)
	words := make([]string, len(plain.Args))
	for i, word := range plain.Args {
		words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	script := exec.CommandContext(s.t.Context(), "script", "--quiet", "--return", "--flush", "--command",
		"stty cols 100 rows 40; exec "+strings.Join(words, " "), "/dev/null")
	script.Env = append(plain.Environ(), "TERM=xterm-256color")
	// The end of the input would be the end of the session.
	in, keyboard, err := os.Pipe()
	require.NoError(s.t, err)
	s.t.Cleanup(func() { _ = errors.Join(in.Close(), keyboard.Close()) })
	script.Stdin = in
	p := startPlugin(s.t, script)
	p.keyboard = keyboard
	return p
}

// pluginCommand returns the command of the plugin in the fixture's namespace, which the test may change and start with startPlugin.
func (s *fixture) pluginCommand(args ...string) *exec.Cmd {
	s.t.Helper()
	path, err := buildPlugin()
	require.NoError(s.t, err, "build the plugin")
	command := exec.CommandContext(s.t.Context(), path, append([]string{"--namespace", s.namespace}, args...)...)
	command.Env = append(os.Environ(), "KUBECTL_LOCUST_IMAGE="+locustImage)
	return command
}

// runningPlugin is a plugin in the background.
type runningPlugin struct {
	t              *testing.T
	command        *exec.Cmd
	stdout, stderr sharedBuffer
	keyboard       *os.File
}

func startPlugin(t *testing.T, command *exec.Cmd) *runningPlugin {
	t.Helper()
	p := &runningPlugin{t: t, command: command}
	command.Stdout, command.Stderr = &p.stdout, &p.stderr
	require.NoError(t, command.Start())
	return p
}

// output returns the standard output so far.
func (p *runningPlugin) output() string { return p.stdout.String() }

// untilOutput waits until the standard output has a text.
func (p *runningPlugin) untilOutput(text string) {
	p.t.Helper()
	eventually(p.t, "the plugin prints "+text, func() bool { return strings.Contains(p.output(), text) })
}

// signal sends a signal, for example os.Interrupt.
func (p *runningPlugin) signal(signal os.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.command.Process.Signal(signal))
}

// send types into the pseudo terminal; "\x03" is Ctrl-C.
func (p *runningPlugin) send(keys string) {
	p.t.Helper()
	_, err := p.keyboard.WriteString(keys)
	require.NoError(p.t, err)
}

// wait waits for the end of the plugin.
func (p *runningPlugin) wait() pluginResult {
	p.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- p.command.Wait() }()
	ctx, cancel := context.WithTimeout(p.t.Context(), timeout)
	defer cancel()
	select {
	case err := <-ended:
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			require.NoError(p.t, err)
		}
	case <-ctx.Done():
		p.t.Fatalf("timed out after %s waiting for the end of %v\n%s%s", timeout, p.command.Args, &p.stdout, &p.stderr)
	}
	result := pluginResult{stdout: p.stdout.String(), stderr: p.stderr.String(), code: p.command.ProcessState.ExitCode()}
	p.t.Logf("kubectl locust %s: exit code %d\n%s%s", strings.Join(p.command.Args[1:], " "), result.code, tail([]byte(result.stdout), 4000), result.stderr)
	return result
}

// sharedBuffer is a buffer that can be read while a command writes it.
type sharedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

func (b *sharedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *sharedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
