// Package proc starts detached processes and finds them again later. It is safe
// against reused pids.
package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Identity identifies a process uniquely: pids are reused, but not a pid together
// with its start time and the boot of the machine.
type Identity struct {
	Pid   int
	Start uint64 // clock ticks since boot
	Boot  string
}

// String returns the content of a pid file.
func (i Identity) String() string { return fmt.Sprintf("%d %d %s\n", i.Pid, i.Start, i.Boot) }

// ParseIdentity parses the content of a pid file.
func ParseIdentity(text string) (Identity, error) {
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return Identity{}, fmt.Errorf("want pid, start time and boot id, got %q", text)
	}
	pid, err := strconv.Atoi(fields[0])
	if err != nil || pid <= 1 {
		return Identity{}, fmt.Errorf("bad pid %q", fields[0])
	}
	start, err := strconv.ParseUint(fields[1], 10, 64)
	if err != nil {
		return Identity{}, fmt.Errorf("bad start time %q", fields[1])
	}
	return Identity{Pid: pid, Start: start, Boot: fields[2]}, nil
}

// ReadIdentity reads a pid file. It returns false if the file is missing or invalid.
func ReadIdentity(path string) (Identity, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, false
	}
	id, err := ParseIdentity(string(data))
	return id, err == nil
}

// Identify returns the identity of a running process.
func Identify(pid int) (Identity, error) {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return Identity{}, fmt.Errorf("read process state: %w", err)
	}
	state, start, err := parseStat(string(stat))
	if err != nil {
		return Identity{}, err
	}
	if state == 'Z' || state == 'X' {
		return Identity{}, errors.New("the process has ended")
	}
	boot, err := BootID()
	if err != nil {
		return Identity{}, err
	}
	return Identity{Pid: pid, Start: start, Boot: boot}, nil
}

// parseStat returns the state and the start time (fields 3 and 22) from a line of
// /proc/PID/stat. The name in field 2 may contain spaces and parentheses, so counting
// starts after the last closing parenthesis.
func parseStat(line string) (state byte, start uint64, err error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("invalid process state %q", line)
	}
	fields := strings.Fields(line[end+1:])
	const startField = 22 - 3
	if len(fields) <= startField {
		return 0, 0, fmt.Errorf("incomplete process state %q", line)
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("invalid start time in process state: %w", err)
	}
	return fields[0][0], start, nil
}

// BootID returns the kernel's ID of the current boot.
func BootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// Alive reports whether exactly this process still runs.
func (i Identity) Alive() bool {
	now, err := Identify(i.Pid)
	return err == nil && now == i
}
