package registry

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

func TestFileLayerIsReproducible(t *testing.T) {
	dir := t.TempDir()
	program, data := filepath.Join(dir, "b"), filepath.Join(dir, "sub", "a")
	if err := os.MkdirAll(filepath.Dir(data), 0o700); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{program: 0o700, data: 0o600} {
		if err := os.WriteFile(path, []byte(path[len(dir):]), mode); err != nil {
			t.Fatal(err)
		}
	}
	files := []File{{program, "/bin/b"}, {dir, "/all"}}
	first, err := FileLayer(files)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(program, time.Now(), time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	second, err := FileLayer([]File{files[1], files[0]})
	if err != nil {
		t.Fatal(err)
	}
	a, err1 := first.Digest()
	b, err2 := second.Digest()
	if err := errors.Join(err1, err2); err != nil || a != b {
		t.Errorf("%v and %v, %v", a, b, err)
	}
	rc, err := first.Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]int64{}
	for r := tar.NewReader(rc); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Uid != 0 || h.ModTime.Unix() != 0 {
			t.Errorf("%s: owner %d, time %v", h.Name, h.Uid, h.ModTime)
		}
		got[h.Name] = h.Mode
	}
	want := map[string]int64{"all/": 0o755, "all/b": 0o755, "all/sub/": 0o755, "all/sub/a": 0o644, "bin/": 0o755, "bin/b": 0o755}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestParseFile(t *testing.T) {
	if f, err := ParseFile("a=/b/../c"); err != nil || f != (File{"a", "/c"}) {
		t.Errorf("%v, %v", f, err)
	}
	for _, bad := range []string{"", "a", "a=", "=/b", "a=b"} {
		if _, err := ParseFile(bad); err == nil {
			t.Errorf("%q must be refused", bad)
		}
	}
}

func TestCheckTag(t *testing.T) {
	if err := CheckTag("localhost:5000/some/name:1"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{"example.com/x:1", "localhost:50001/x:1", "name", ""} {
		if err := CheckTag(bad); !errors.Is(err, ErrNotLocal) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
