package proc

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	line := "42 (odd) name (x) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 987654 20 21"
	state, start, err := parseStat(line)
	if err != nil {
		t.Fatal(err)
	}
	if state != 'S' || start != 987654 {
		t.Fatalf("got state %c and start %d", state, start)
	}
	for _, bad := range []string{"", "42 name S 1", "42 (x) S 1 2"} {
		if _, _, err := parseStat(bad); err == nil {
			t.Errorf("%q must be refused", bad)
		}
	}
}

func TestIdentityRoundTrip(t *testing.T) {
	want := Identity{Pid: 12, Start: 34, Boot: "b"}
	got, err := ParseIdentity(want.String())
	if err != nil || got != want {
		t.Fatalf("got %v, %v", got, err)
	}
	for _, bad := range []string{"", "12", "1 2 b", "-5 2 b", "x 2 b", "12 x b", "1 2 3 4"} {
		if _, err := ParseIdentity(bad); err == nil {
			t.Errorf("%q must be refused", bad)
		}
	}
}

func TestReusedPidIsNotAlive(t *testing.T) {
	me, err := Identify(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !me.Alive() {
		t.Fatal("this test runs")
	}
	other := me
	other.Start++
	if other.Alive() {
		t.Fatal("another start time is another process")
	}
	rebooted := me
	rebooted.Boot = "another boot"
	if rebooted.Alive() {
		t.Fatal("another boot is another process")
	}
}

func TestStartAndStop(t *testing.T) {
	dir := t.TempDir()
	spec := Spec{Name: "sleeper", Args: []string{"sleep", "60"}, Env: []string{"PATH=/usr/bin:/bin"},
		Log: filepath.Join(dir, "log"), PidFile: filepath.Join(dir, "pid")}
	p, err := Start(spec)
	if err != nil {
		t.Fatal(err)
	}
	id, ok := ReadIdentity(spec.PidFile)
	if !ok || id != p.Identity || !id.Alive() || p.Ended() != nil {
		t.Fatalf("pid file has %v (%v), process is %v", id, ok, p.Identity)
	}
	reused := id
	reused.Start++
	Kill([]Identity{reused})
	if !id.Alive() {
		t.Fatal("a process with another start time was killed")
	}
	// A stopped process handles SIGTERM only after it continues.
	if err := syscall.Kill(id.Pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if left := Stop([]Identity{id}, 2*time.Second); len(left) != 0 {
		t.Fatalf("still there: %v", left)
	}
	<-p.done
	if p.Ended() == nil {
		t.Fatal("the end was not detected")
	}
}

func TestStopKillsAfterGracePeriod(t *testing.T) {
	dir := t.TempDir()
	p, err := Start(Spec{Name: "deaf", Args: []string{"sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"},
		Env: []string{"PATH=/usr/bin:/bin"}, Log: filepath.Join(dir, "log"), PidFile: filepath.Join(dir, "pid")})
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(100 * time.Millisecond)
	if left := Stop([]Identity{p.Identity}, 300*time.Millisecond); len(left) != 0 {
		t.Fatalf("still there: %v", left)
	}
}
