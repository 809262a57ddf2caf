package build

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func fakeModule(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "repo", "test", "cluster")
	for _, name := range sources {
		write(t, filepath.Join(dir, name), name)
	}
	write(t, filepath.Join(dir, "go.mod"), modulePath+"\n\nrequire (\n\tk8s.io/kubernetes v1.2.3\n)\n")
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func key(t *testing.T, module, goVersion string) string {
	t.Helper()
	k, err := Key(module, goVersion)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKeyFollowsTheSources(t *testing.T) {
	module := fakeModule(t)
	base := key(t, module, "go1")
	if !strings.HasPrefix(base, "v1.2.3-") || key(t, module, "go1") != base {
		t.Fatalf("got %s", base)
	}
	if key(t, module, "go2") == base {
		t.Error("another go version is another build")
	}
	for _, name := range sources {
		path := filepath.Join(module, name)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, string(before)+"\n// changed\n")
		if key(t, module, "go1") == base {
			t.Errorf("a change of %s goes unnoticed", name)
		}
		write(t, path, string(before))
	}
	write(t, filepath.Join(module, "README.md"), "x")
	if key(t, module, "go1") != base {
		t.Error("an unrelated file changes the key")
	}
}

func TestFindModule(t *testing.T) {
	module := fakeModule(t)
	want, err := filepath.EvalSymlinks(module)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{module, filepath.Join(module, "kube-all"), filepath.Dir(filepath.Dir(module))} {
		t.Chdir(dir)
		got, err := FindModule()
		if err != nil {
			t.Fatal(err)
		}
		if got, err = filepath.EvalSymlinks(got); err != nil || got != want {
			t.Errorf("from %s: %s, %v", dir, got, err)
		}
	}
	t.Chdir(t.TempDir())
	if dir, err := FindModule(); err == nil {
		t.Errorf("found %s outside the repository", dir)
	}
}

func TestLdflags(t *testing.T) {
	flags, err := ldflags(fakeModule(t), true)
	if err != nil || !strings.Contains(flags, "-X k8s.io/component-base/version.gitVersion=v1.2.3") || !strings.Contains(flags, "gitMinor=2") {
		t.Errorf("%s, %v", flags, err)
	}
}

func TestLockExcludes(t *testing.T) {
	path := filepath.Join(t.TempDir(), "d", "lock")
	unlock, err := Lock(path, func() { t.Error("the lock is free") })
	if err != nil {
		t.Fatal(err)
	}
	waiting, got := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(got)
		second, err := Lock(path, func() { close(waiting) })
		if err != nil {
			t.Error(err)
			return
		}
		second()
	}()
	<-waiting
	select {
	case <-got:
		t.Fatal("two hold the lock")
	case <-time.After(50 * time.Millisecond):
	}
	unlock()
	<-got
}
