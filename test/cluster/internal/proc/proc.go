package proc

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Spec describes a detached process.
type Spec struct {
	Name    string
	Args    []string
	Env     []string // the whole environment
	Log     string
	PidFile string
	// OwnMounts starts the process in a new mount namespace.
	OwnMounts bool
}

// Process is a detached process that this program has started.
type Process struct {
	Identity
	Name string
	Log  string
	done chan struct{}
	err  error
}

// Start starts a process in a new session, so that it continues when the terminal
// closes or this program ends.
func Start(s Spec) (*Process, error) {
	for _, file := range []string{s.Log, s.PidFile} {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return nil, fmt.Errorf("create folder for %s: %w", s.Name, err)
		}
	}
	log, err := os.OpenFile(s.Log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log of %s: %w", s.Name, err)
	}
	defer log.Close() //nolint:errcheck // the child holds its own copy
	cmd := exec.Command(s.Args[0], s.Args[1:]...)
	cmd.Env, cmd.Dir = s.Env, "/"
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if s.OwnMounts {
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", s.Name, err)
	}
	p := &Process{Name: s.Name, Log: s.Log, done: make(chan struct{})}
	id, err := Identify(cmd.Process.Pid)
	if err == nil {
		p.Identity = id
		err = os.WriteFile(s.PidFile, []byte(id.String()), 0o644)
	}
	// Wait to reap the child, and to detect an early end while this program runs.
	go func() { p.err = cmd.Wait(); close(p.done) }()
	if err != nil {
		cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
		return nil, fmt.Errorf("write the pid file of %s: %w", s.Name, err)
	}
	return p, nil
}

// Ended returns an error if the process has ended, and nil while it runs.
func (p *Process) Ended() error {
	select {
	case <-p.done:
		if p.err != nil {
			return fmt.Errorf("%s ended: %w", p.Name, p.err)
		}
		return fmt.Errorf("%s ended", p.Name)
	default:
		return nil
	}
}

// RaiseFileLimit raises the limit of open files to the hard limit, also for child
// processes, and returns it. Because it is set explicitly, Go does not restore the
// original soft limit for children.
func RaiseFileLimit() (uint64, error) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("read the limit of open files: %w", err)
	}
	limit.Cur = limit.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0, fmt.Errorf("raise the limit of open files: %w", err)
	}
	return limit.Max, nil
}

// Stop sends SIGTERM to processes, and SIGKILL after the grace period. It
// returns those that still run after that.
func Stop(ids []Identity, grace time.Duration) []Identity {
	signalAll(ids, syscall.SIGTERM)
	// A stopped (SIGSTOP) process does not handle SIGTERM.
	signalAll(ids, syscall.SIGCONT)
	left := waitForExit(ids, grace)
	if len(left) == 0 {
		return nil
	}
	signalAll(left, syscall.SIGKILL)
	return waitForExit(left, 10*time.Second)
}

// Kill sends SIGKILL to processes, and returns those that still run.
func Kill(ids []Identity) []Identity {
	signalAll(ids, syscall.SIGKILL)
	return waitForExit(ids, 10*time.Second)
}

func signalAll(ids []Identity, s syscall.Signal) {
	for _, id := range ids {
		id.signal(s)
	}
}

// signal uses a pid file descriptor, because the pid could be reused between the check
// of the start time and a plain kill.
func (i Identity) signal(s syscall.Signal) {
	fd, err := unix.PidfdOpen(i.Pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd) //nolint:errcheck // no data is lost
	if i.Alive() {
		unix.PidfdSendSignal(fd, s, nil, 0) //nolint:errcheck // it may have ended
	}
}

func waitForExit(ids []Identity, timeout time.Duration) []Identity {
	deadline := time.Now().Add(timeout)
	for {
		var left []Identity
		for _, id := range ids {
			if id.Alive() {
				left = append(left, id)
			}
		}
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		ids = left
		time.Sleep(20 * time.Millisecond)
	}
}

// Info is an entry of the process table.
type Info struct {
	Identity
	Args []string
}

// List returns all processes with a command line (no kernel threads) except
// this one.
func List() ([]Info, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var all []Info
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid <= 1 || pid == os.Getpid() {
			continue
		}
		if info, ok := inspect(pid); ok {
			all = append(all, info)
		}
	}
	return all, nil
}

func inspect(pid int) (Info, bool) {
	id, err := Identify(pid)
	if err != nil {
		return Info{}, false
	}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	line, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil || len(line) == 0 {
		return Info{}, false
	}
	info := Info{Identity: id}
	for _, arg := range bytes.Split(bytes.TrimRight(line, "\x00"), []byte{0}) {
		info.Args = append(info.Args, string(arg))
	}
	return info, true
}
