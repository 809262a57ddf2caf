package host

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/proc"
	"github.com/AbdelrhmanHamouda/locust-k8s-operator/test/cluster/internal/run"
)

// Mount is one line of /proc/PID/mountinfo.
type Mount struct{ Point, Type, Source string }

// ParseMounts parses /proc/PID/mountinfo.
func ParseMounts(text string) []Mount {
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	var mounts []Mount
	for line := range strings.Lines(text) {
		head, tail, found := strings.Cut(line, " - ")
		front, back := strings.Fields(head), strings.Fields(tail)
		if !found || len(front) < 5 || len(back) < 2 {
			continue
		}
		mounts = append(mounts, Mount{unescape.Replace(front[4]), back[0], unescape.Replace(back[1])})
	}
	return mounts
}

// Unmount unmounts every mount below a folder, in reverse order, and returns the errors.
func Unmount(dir string) []string {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return []string{err.Error()}
	}
	mounts := ParseMounts(string(data))
	slices.Reverse(mounts)
	var problems []string
	for _, m := range mounts {
		if !strings.HasPrefix(m.Point, dir+"/") {
			continue
		}
		if err := unix.Unmount(m.Point, unix.MNT_DETACH); err != nil {
			problems = append(problems, fmt.Sprintf("unmount %s: %v", m.Point, err))
		}
	}
	return problems
}

// Restore restores the state of the machine. The cluster's processes must have ended. It
// continues after failures and returns all of them.
func (r Record) Restore(ctx context.Context, state string) error {
	problems := Unmount(state)
	problems = append(problems, removeCgroups()...)
	problems = append(problems, r.removeNetns(ctx)...)
	problems = append(problems, r.removeLinks(ctx)...)
	problems = append(problems, r.restoreFirewall(ctx)...)
	// A reboot has reset the settings.
	if boot, err := proc.BootID(); err == nil && boot == r.Boot {
		problems = append(problems, r.restoreSysctls()...)
		for _, module := range r.Modules {
			run.Quiet(ctx, "modprobe", "-r", module)
		}
	}
	problems = append(problems, r.removePaths()...)
	if len(problems) > 0 {
		return fmt.Errorf("the machine could not be restored completely:\n  %s", strings.Join(problems, "\n  "))
	}
	return nil
}

func (r Record) removePaths() []string {
	var problems []string
	for _, path := range Paths {
		if slices.Contains(r.Paths, path) {
			continue
		}
		remove := os.RemoveAll
		if path == netnsDir {
			remove = removeEmpty // it may contain namespaces of other programs
		}
		if err := remove(path); err != nil && !os.IsNotExist(err) {
			problems = append(problems, err.Error())
		}
	}
	return problems
}

func removeEmpty(dir string) error {
	if len(names(dir)) > 0 {
		return nil
	}
	return os.Remove(dir)
}
