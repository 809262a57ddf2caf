package main

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// folder writes files by path, and returns their folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		full := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o755))
		require.NoError(t, os.WriteFile(full, []byte(content), 0o600))
	}
	return root
}

func TestReadFolder(t *testing.T) {
	root := folder(t, map[string]string{
		"locustfile.py": "a", "shop.py": "b", "data.bin": "\x00\xff", "lib/__init__.py": "", "lib/cart.py": "c",
		"requirements.txt": "faker", ".git/config": "x", ".env": "x", "__pycache__/shop.cpython.pyc": "x", "shop.pyc": "x",
		"venv/pyvenv.cfg": "x", "venv/lib/x.py": "x",
	})
	require.NoError(t, os.Mkdir(filepath.Join(root, "empty"), 0o755))
	require.NoError(t, os.Symlink(filepath.Join(root, "shop.py"), filepath.Join(root, "link.py")))
	files, err := readTestFiles(root)
	require.NoError(t, err)
	assert.Equal(t, "locustfile.py", files.locustfile)
	assert.Equal(t, []string{"data.bin", "lib/__init__.py", "lib/cart.py", "link.py", "locustfile.py", "shop.py"}, slices.Sorted(maps.Keys(files.content)))
	require.Len(t, files.notes, 2)
	assert.Contains(t, files.notes[0], "requirements.txt")
	assert.Contains(t, files.notes[1], "venv")
	assert.True(t, files.isNested())
	assert.Nil(t, files.inline(), "folders and binary files need a ConfigMap")

	cm, paths, err := files.configMap()
	require.NoError(t, err)
	assert.Equal(t, map[string]string{"lib..__init__.py": "", "lib..cart.py": "c", "link.py": "b", "locustfile.py": "a", "shop.py": "b"}, cm.Data)
	assert.Equal(t, map[string][]byte{"data.bin": []byte("\x00\xff")}, cm.BinaryData)
	assert.Contains(t, paths, corev1.KeyToPath{Key: "lib..cart.py", Path: "lib/cart.py"})

	link := filepath.Join(t.TempDir(), "link")
	require.NoError(t, os.Symlink(root, link))
	files, err = readTestFiles(link)
	require.NoError(t, err)
	assert.Len(t, files.content, 6, "the folder may be a link")
}

func TestReadOneFile(t *testing.T) {
	root := folder(t, map[string]string{"shop.py": "a", "other.py": "b"})
	files, err := readTestFiles(filepath.Join(root, "shop.py"))
	require.NoError(t, err)
	assert.Equal(t, "shop.py", files.locustfile)
	assert.Equal(t, map[string][]byte{"shop.py": []byte("a")}, files.content, "only the named file")
	assert.Len(t, files.inline(), 1)
}

func TestReadRefuses(t *testing.T) {
	root := folder(t, map[string]string{
		"plain/other.py": "a", "data.txt": "a", "test.yaml": "a",
		"name/locustfile.py": "a", "name/my file.py": "a",
		"dots/locustfile.py": "a", "dots/..x": "skipped", "linked/locustfile.py": "a",
		"key/locustfile.py": "a", "key/a/b.py": "a", "key/a..b.py": "a",
	})
	require.NoError(t, os.Symlink(filepath.Join(root, "plain"), filepath.Join(root, "linked", "lib")))
	require.NoError(t, os.Mkdir(filepath.Join(root, "folder.py"), 0o755))
	for name, want := range map[string]string{
		"nothing.py": "does not exist; name a locustfile, or a folder with a locustfile.py",
		"plain":      "has no locustfile.py; add one, or name the locustfile",
		"data.txt":   "does not end in .py; rename it",
		"test.yaml":  "use --filename",
		"name":       "my file.py cannot be mounted into a pod: names have only letters",
		"linked":     "is a symbolic link to a folder",
		"folder.py":  "has no locustfile.py",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := readTestFiles(filepath.Join(root, name))
			assert.ErrorContains(t, err, want)
		})
	}
	files, err := readTestFiles(filepath.Join(root, "key"))
	require.NoError(t, err)
	_, _, err = files.configMap()
	assert.ErrorContains(t, err, "would have the same key in a ConfigMap; rename one of them")
	_, err = readTestFiles(filepath.Join(root, "dots"))
	assert.NoError(t, err, "hidden files are left out")
	_, err = readTestFiles(os.DevNull + ".py")
	assert.Error(t, err)
}

func TestReadRefusesWhatIsTooLarge(t *testing.T) {
	root := folder(t, map[string]string{"locustfile.py": "a", "a.csv": strings.Repeat("a", maxFileBytes/2), "b.csv": strings.Repeat("a", maxFileBytes/2)})
	_, err := readTestFiles(root)
	assert.ErrorContains(t, err, "b.csv: a ConfigMap holds 1024 KiB; remove files")

	huge := filepath.Join(folder(t, map[string]string{"huge.py": ""}), "huge.py")
	require.NoError(t, os.Truncate(huge, 1<<40), "a sparse file")
	_, err = readTestFiles(huge)
	assert.ErrorContains(t, err, "too large", "its size decides before it is read")
}

func TestInlineLimits(t *testing.T) {
	read := func(files map[string]string) *testFiles {
		files["locustfile.py"] = "a"
		result, err := readTestFiles(folder(t, files))
		require.NoError(t, err)
		return result
	}
	many := map[string]string{}
	for i := range 32 {
		many[fmt.Sprintf("m%d.py", i)] = ""
	}
	for name, test := range map[string]struct {
		files  map[string]string
		inline bool
	}{
		"small":         {map[string]string{"a.py": "x"}, true},
		"just fits":     {map[string]string{"a.py": strings.Repeat("x", 64<<10-len("locustfile.py"+"a"+"a.py"))}, true},
		"too large":     {map[string]string{"a.py": strings.Repeat("x", 64<<10)}, false},
		"long as JSON":  {map[string]string{"a.py": strings.Repeat("\"", 60<<10)}, false},
		"too many":      {many, false},
		"not UTF-8":     {map[string]string{"a.py": "\xff"}, false},
		"NUL character": {map[string]string{"a.py": "\x00"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, test.inline, read(test.files).inline() != nil)
		})
	}
}

func TestHasShape(t *testing.T) {
	assert.True(t, (&testFiles{content: map[string][]byte{"a.py": []byte("class S(LoadTestShape):")}}).hasShape())
	assert.False(t, (&testFiles{content: map[string][]byte{"a.py": bytes.Repeat([]byte("x"), 10)}}).hasShape())
}
