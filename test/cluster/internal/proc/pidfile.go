// Package proc starts detached processes and finds them again later, never
// mistaking a stranger that got a re-used pid for one of ours.
package proc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Identity names one process for all times: pids are re-used, a pid together
// with its start time and the boot of the machine is not.
type Identity struct {
	Pid   int
	Start uint64 // clock ticks since boot
	Boot  string
}

// String is the content of a pid file.
func (i Identity) String() string { return fmt.Sprintf("%d %d %s\n", i.Pid, i.Start, i.Boot) }

// ParseIdentity reads the content of a pid file.
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

// ReadIdentity reads a pid file. A missing or damaged one counts as no process.
func ReadIdentity(path string) (Identity, bool) {
	data, err := os.ReadFile(path)
	if err != nil {
		return Identity{}, false
	}
	id, err := ParseIdentity(string(data))
	return id, err == nil
}

// Identify asks the kernel about a running process.
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

// parseStat takes the state and the start time (fields 3 and 22) from a line of
// /proc/PID/stat. The name in field 2 may hold spaces and brackets, so counting
// starts after its last closing bracket.
func parseStat(line string) (state byte, start uint64, err error) {
	end := strings.LastIndexByte(line, ')')
	if end < 0 {
		return 0, 0, fmt.Errorf("odd process state %q", line)
	}
	fields := strings.Fields(line[end+1:])
	const startField = 22 - 3
	if len(fields) <= startField {
		return 0, 0, fmt.Errorf("short process state %q", line)
	}
	start, err = strconv.ParseUint(fields[startField], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("odd start time in process state: %w", err)
	}
	return fields[0][0], start, nil
}

// BootID is the kernel's name for the time since the machine was started.
func BootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// Alive says whether exactly this process still runs.
func (i Identity) Alive() bool {
	now, err := Identify(i.Pid)
	return err == nil && now == i
}
